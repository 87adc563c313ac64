//! From what the settings name to a tree that can be read.

use std::cell::Cell;
use std::error::Error;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Services;
use super::access::{Access, AccessError, Token};
use super::artifact::{self, PullError};
use super::clients::Clients;
use super::repository::{self, SubmoduleError};
use super::retry::{Policy, retrying};
use super::upload;
use crate::config::Settings;
use crate::config::settings::{ArchiveFormat, ArchiveFrom, ArchiveSource, SourceKind};
use crate::event::{Event, SourceProgress};
use crate::model::memory::MemoryTree;
use crate::model::tree::{Revision, SourceTree};
use crate::model::{Classified, Reason, TreePath};
use crate::source::SourceError;
use crate::source::archive::{self, ArchiveOptions, Asker, Codec, Expected, Format};
use crate::source::directory::DirectoryTree;
use crate::source::prepared;
use crate::source::upload::Inbox;

/// Between two progress events.
const BEAT: Duration = Duration::from_millis(500);

#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Pull(#[from] PullError),
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error(transparent)]
    Submodule(#[from] SubmoduleError),
    #[error("the thread that read the source ended without an answer")]
    Thread,
}

impl Classified for FetchError {
    fn reason(&self) -> Reason {
        match self {
            Self::Source(error) => error.reason(),
            Self::Pull(error) => error.reason(),
            Self::Access(error) => error.reason(),
            Self::Submodule(error) => error.reason(),
            Self::Thread => Reason::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Source(error) => error.hint(),
            Self::Pull(error) => error.hint(),
            Self::Access(error) => error.hint(),
            Self::Submodule(error) => error.hint(),
            Self::Thread => None,
        }
    }
}

type Tree = Arc<dyn SourceTree>;

/// Whether the source needs room in the workspace.
pub fn needs_workspace(settings: &Settings) -> bool {
    !matches!(settings.source.kind, SourceKind::Directory(_) | SourceKind::Empty)
}

/// Gets the source. What came over a network and failed in passing is tried again.
pub async fn source(settings: &Arc<Settings>, workspace: &Path, inbox: Option<Inbox>, services: &Services) -> Result<Tree, FetchError> {
    let from_network = match &settings.source.kind {
        SourceKind::Git(_) | SourceKind::Artifact(_) => true,
        SourceKind::Archive(archive) => matches!(archive.from, ArchiveFrom::Url { .. }),
        SourceKind::Directory(_) | SourceKind::Prepared(_) | SourceKind::Empty => false,
    };
    let policy = Policy { attempts: if from_network { Policy::SOURCE.attempts } else { 1 }, ..Policy::SOURCE };
    // An upload is waited for once.
    let inbox = Cell::new(inbox);
    let once = async |_| {
        let (settings, services, workspace, inbox) = (Arc::clone(settings), services.clone(), workspace.to_owned(), inbox.take());
        tokio::task::spawn_blocking(move || read(&settings, &workspace, inbox, &services)).await.unwrap_or(Err(FetchError::Thread))
    };
    let retried = retrying(policy, once, |failed| {
        let message = format!("try {} of {} at the source failed: {}", failed.attempt, failed.of, with_cause(failed.error));
        let hint = Some(format!("it is tried again in {} ms", failed.delay.as_millis()));
        services.events.emit(Event::Notice { message, hint });
    });
    retried.await.map(|(tree, _)| tree)
}

/// The error, and what is at the bottom of it.
fn with_cause(error: &(dyn Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    match Some(innermost.to_string()).filter(|cause| !error.to_string().contains(cause.as_str())) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

fn read(settings: &Settings, workspace: &Path, inbox: Option<Inbox>, services: &Services) -> Result<Tree, FetchError> {
    Ok(match &settings.source.kind {
        SourceKind::Git(git) => repository::fetch(git, settings, workspace, services)?,
        SourceKind::Archive(archive) => from_archive(archive, settings, workspace, inbox, services)?,
        SourceKind::Artifact(wanted) => artifact::fetch(wanted, settings, workspace, services)?,
        SourceKind::Directory(directory) => {
            let guard = settings.policy.guard();
            Arc::new(DirectoryTree::open(&directory.path, &directory.subdir, &settings.limits, guard).map_err(SourceError::from)?)
        }
        SourceKind::Prepared(dir) => {
            let mut beat = Beat::new(services);
            let mut progress = |bytes| beat.on(SourceProgress { bytes, ..SourceProgress::default() });
            let tree = prepared::open(dir, workspace, &settings.limits, settings.policy.guard(), &mut progress);
            Arc::new(tree.map_err(SourceError::from)?)
        }
        SourceKind::Empty => Arc::new(MemoryTree::new(Revision { kind: "dockerfile".into(), ..Revision::default() }, Vec::new())),
    })
}

fn from_archive(
    wanted: &ArchiveSource,
    settings: &Settings,
    workspace: &Path,
    inbox: Option<Inbox>,
    services: &Services,
) -> Result<Tree, FetchError> {
    let requested = [&wanted.sha256, &wanted.sha512].into_iter().flatten().cloned();
    let mut options = ArchiveOptions {
        workspace: workspace.to_owned(),
        limits: settings.limits.clone(),
        digests: requested.map(|digest| Expected { digest, by: Asker::Request }).collect(),
        size: None,
        format: format_of(wanted.format),
        name: wanted.name.clone().unwrap_or_else(TreePath::root),
        strip_components: wanted.strip_components,
        subdir: wanted.subdir.clone(),
        url: None,
        identity: "stdin".to_owned(),
    };
    let mut total_bytes = None;
    let reader: Box<dyn io::Read> = match &wanted.from {
        ArchiveFrom::Url { address, credential, secret } => {
            let url = address.url();
            let (secret, written) = (secret.as_deref(), credential.as_ref());
            let access = Access::to(url, secret, written, Token::Bearer, &Clients::of(url), settings, services)?;
            let download = archive::download(url, access.credential, &access.client).map_err(SourceError::from)?;
            total_bytes = download.size;
            options.size = download.size;
            options.digests.extend(download.digests);
            options.identity = address.shown();
            options.url = Some(address.shown());
            download.body
        }
        ArchiveFrom::Path(path) => {
            options.identity = path.display().to_string();
            Box::new(archive::open(path, settings.policy.guard()).map_err(SourceError::from)?)
        }
        ArchiveFrom::Stdin => Box::new(io::stdin().lock()),
        ArchiveFrom::Upload(_) => {
            "upload".clone_into(&mut options.identity);
            let inbox = inbox.ok_or(FetchError::Thread)?;
            return Ok(Arc::new(upload::take(inbox, &options, services).map_err(SourceError::from)?));
        }
    };
    let mut beat = Beat::new(services);
    let mut progress = |bytes| beat.on(SourceProgress { bytes, total_bytes, ..SourceProgress::default() });
    let tree = archive::receive(reader, &options, &mut progress);
    Ok(Arc::new(tree.map_err(SourceError::from)?))
}

/// What the archive must be; `None` for what its first bytes say.
fn format_of(named: ArchiveFormat) -> Option<Format> {
    Some(match named {
        ArchiveFormat::Auto => return None,
        ArchiveFormat::Tar => Format::Tar,
        ArchiveFormat::TarGz => Format::Compressed(Codec::Gzip),
        ArchiveFormat::TarZst => Format::Compressed(Codec::Zstd),
        ArchiveFormat::TarXz => Format::Compressed(Codec::Xz),
        ArchiveFormat::File => Format::File,
        ArchiveFormat::Zip => Format::Zip,
        ArchiveFormat::TarBz2 => Format::Compressed(Codec::Bzip2),
    })
}

/// Says how far it is, not too often, and whether anybody still wants it.
pub struct Beat<'a> {
    services: &'a Services,
    last: Instant,
}

impl<'a> Beat<'a> {
    pub fn new(services: &'a Services) -> Self {
        Self { services, last: Instant::now() }
    }

    pub fn on(&mut self, progress: SourceProgress) -> ControlFlow<()> {
        if self.goes_on(progress) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }

    pub fn goes_on(&mut self, progress: SourceProgress) -> bool {
        if self.last.elapsed() >= BEAT {
            self.last = Instant::now();
            self.services.events.emit(Event::SourceProgress(progress));
        }
        !self.services.cancel.is_cancelled()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::{Cause, NetError};
    use crate::source::archive::ArchiveError;

    #[test]
    fn a_retry_is_told_with_what_is_at_the_bottom_of_it() {
        let url = crate::net::RedactedUrl::new(url::Url::parse("https://a.example/x.tgz").unwrap());
        let net = NetError::Connect { host: "a.example".to_owned(), cause: Cause("connection refused".to_owned()) };
        let error = FetchError::Source(ArchiveError::Net { url, cause: net }.into());
        assert_eq!(with_cause(&error), "https://a.example/x.tgz could not be fetched by this pod: connection refused");
        let alone = FetchError::Source(ArchiveError::Truncated("early".to_owned()).into());
        assert_eq!(with_cause(&alone), alone.to_string());
    }
}
