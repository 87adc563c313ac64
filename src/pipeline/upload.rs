//! Waiting for a source that is brought: the desk is opened, what is handed in is read, and what was no upload is passed over.

use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::Services;
use super::fetch::{Beat, FetchError};
use crate::config::Settings;
use crate::config::settings::{ArchiveFrom, SourceKind, UploadFrom, UploadSocket};
use crate::event::{Event, SourceProgress, SourceWaiting, millis};
use crate::source::SourceError;
use crate::source::archive::{self, ArchiveOptions, ArchiveTree};
use crate::source::upload::{Again, Desk, HttpOptions, Inbox, Receipt, SOCKET_NAME, SocketOptions, UploadError, UploadOptions};

/// Opens the desk where the source is an upload, and says where it is. `workspace` is the run's own directory.
pub async fn open(settings: &Settings, workspace: &Path, services: &Services) -> Result<Option<(Desk, Inbox)>, FetchError> {
    let SourceKind::Archive(archive) = &settings.source.kind else { return Ok(None) };
    let ArchiveFrom::Upload(wanted) = &archive.from else { return Ok(None) };
    let options = options(wanted, settings, workspace, services);
    let socket = options.socket.as_ref().map(|socket| socket.path.display().to_string());
    let (desk, inbox) = Desk::open(options).await.map_err(SourceError::from)?;
    services.events.emit(Event::SourceWaiting(SourceWaiting {
        url: desk.url.clone(),
        socket,
        max_bytes: settings.limits.source_bytes,
        first_byte_ms: millis(settings.limits.upload_first_byte),
        idle_ms: millis(settings.limits.upload_idle),
    }));
    Ok(Some((desk, inbox)))
}

fn options(wanted: &UploadFrom, settings: &Settings, workspace: &Path, services: &Services) -> UploadOptions {
    let http = wanted.http.as_ref();
    UploadOptions {
        http: http.map(|http| HttpOptions { listen: http.listen, token: http.token.clone(), tls: http.tls.clone() }),
        socket: wanted.socket.as_ref().map(|socket| SocketOptions {
            path: match socket {
                UploadSocket::At(path) => path.clone(),
                UploadSocket::Workspace => workspace.with_file_name(SOCKET_NAME),
            },
            workshop: workspace.to_owned(),
        }),
        bytes: settings.limits.source_bytes,
        first_byte: settings.limits.upload_first_byte,
        idle: settings.limits.upload_idle,
        guard: settings.policy.guard().clone(),
        redactor: Arc::clone(&services.redactor),
    }
}

/// Takes the first upload that is whole. Blocks.
pub fn take(mut inbox: Inbox, options: &ArchiveOptions, services: &Services) -> Result<ArchiveTree, UploadError> {
    loop {
        let mut upload = Handle::current().block_on(inbox.next())?;
        let (total_bytes, mut beat) = (upload.total(), Beat::new(services));
        let mut progress = |bytes| beat.on(SourceProgress { bytes, total_bytes, ..SourceProgress::default() });
        match archive::receive(&mut upload, options, &mut progress) {
            Ok(tree) => {
                let receipt = Receipt::of(&tree)?;
                upload.accept(receipt);
                return Ok(tree);
            }
            Err(cause) => {
                let Again(why) = upload.refuse(cause, &mut progress)?;
                let hint = Some("the agent goes on waiting".to_owned());
                services.events.emit(Event::Notice { message: why, hint });
            }
        }
    }
}
