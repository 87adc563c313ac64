//! From what the settings name to a tree that can be read.

use std::error::Error;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Services;
use super::access::{Access, AccessError, Token};
use super::retry::{Policy, retrying};
use crate::config::Settings;
use crate::config::settings::{ArchiveFrom, ArchiveSource, GitSource, SourceKind};
use crate::event::{Event, SourceProgress};
use crate::model::memory::MemoryTree;
use crate::model::tree::{Revision, SourceTree};
use crate::model::{Classified, Reason};
use crate::source::SourceError;
use crate::source::archive::{self, ArchiveOptions};
use crate::source::directory::DirectoryTree;
use crate::source::git;

/// Between two progress events.
const BEAT: Duration = Duration::from_millis(500);

#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Access(#[from] AccessError),
    #[error("the thread that read the source ended without an answer")]
    Thread,
}

impl Classified for FetchError {
    fn reason(&self) -> Reason {
        match self {
            Self::Source(error) => error.reason(),
            Self::Access(error) => error.reason(),
            Self::Thread => Reason::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Source(error) => error.hint(),
            Self::Access(error) => error.hint(),
            Self::Thread => None,
        }
    }
}

type Tree = Arc<dyn SourceTree>;

/// Whether the source needs room in the workspace.
pub fn needs_workspace(settings: &Settings) -> bool {
    matches!(settings.source.kind, SourceKind::Git(_) | SourceKind::Archive(_))
}

/// Gets the source. What came over a network and failed in passing is tried again.
pub async fn source(settings: &Arc<Settings>, workspace: &Path, services: &Services) -> Result<Tree, FetchError> {
    let from_network = match &settings.source.kind {
        SourceKind::Git(_) => true,
        SourceKind::Archive(archive) => matches!(archive.from, ArchiveFrom::Url { .. }),
        SourceKind::Directory(_) | SourceKind::Empty => false,
    };
    let policy = Policy { attempts: if from_network { Policy::SOURCE.attempts } else { 1 }, ..Policy::SOURCE };
    let once = async |_| {
        let (settings, services, workspace) = (Arc::clone(settings), services.clone(), workspace.to_owned());
        tokio::task::spawn_blocking(move || read(&settings, &workspace, &services)).await.unwrap_or(Err(FetchError::Thread))
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

fn read(settings: &Settings, workspace: &Path, services: &Services) -> Result<Tree, FetchError> {
    Ok(match &settings.source.kind {
        SourceKind::Git(git) => from_git(git, settings, workspace, services)?,
        SourceKind::Archive(archive) => from_archive(archive, settings, workspace, services)?,
        SourceKind::Directory(directory) => {
            let guard = settings.policy.guard();
            Arc::new(DirectoryTree::open(&directory.path, &directory.subdir, &settings.limits, guard).map_err(SourceError::from)?)
        }
        SourceKind::Empty => Arc::new(MemoryTree::new(Revision { kind: "dockerfile".into(), ..Revision::default() }, Vec::new())),
    })
}

fn from_git(wanted: &GitSource, settings: &Settings, workspace: &Path, services: &Services) -> Result<Tree, FetchError> {
    let url = wanted.address.url();
    let access = Access::to(url, wanted.secret.as_deref(), wanted.credential.as_ref(), Token::Git, settings, services)?;
    let options = git::Options {
        address: wanted.address.clone(),
        reference: wanted.reference.clone(),
        commit: wanted.commit.clone(),
        subdir: wanted.subdir.clone(),
        credential: access.credential,
        workspace: workspace.to_owned(),
        limits: settings.limits.clone(),
        lfs: wanted.lfs,
        plain_http: settings.policy.plain_http,
    };
    let mut beat = Beat::new(services);
    let tree = git::fetch(&options, &access.client, &mut |progress| beat.goes_on(progress)).map_err(SourceError::from)?;
    for notice in tree.notices() {
        services.events.emit(Event::Notice { message: notice.message.clone(), hint: notice.hint.clone() });
    }
    Ok(Arc::new(tree))
}

fn from_archive(wanted: &ArchiveSource, settings: &Settings, workspace: &Path, services: &Services) -> Result<Tree, FetchError> {
    let mut options = ArchiveOptions {
        workspace: workspace.to_owned(),
        limits: settings.limits.clone(),
        sha256: wanted.sha256.clone(),
        strip_components: wanted.strip_components,
        subdir: wanted.subdir.clone(),
        url: None,
        identity: "stdin".to_owned(),
    };
    let mut total_bytes = None;
    let reader: Box<dyn io::Read> = match &wanted.from {
        ArchiveFrom::Url { address, credential, secret } => {
            let url = address.url();
            let access = Access::to(url, secret.as_deref(), credential.as_ref(), Token::Bearer, settings, services)?;
            let download = archive::download(url, access.credential, &access.client).map_err(SourceError::from)?;
            total_bytes = download.size;
            options.identity = address.shown();
            options.url = Some(address.shown());
            download.body
        }
        ArchiveFrom::Path(path) => {
            options.identity = path.display().to_string();
            Box::new(archive::open(path, settings.policy.guard()).map_err(SourceError::from)?)
        }
        ArchiveFrom::Stdin => Box::new(io::stdin().lock()),
    };
    let mut beat = Beat::new(services);
    let tree = archive::receive(reader, &options, &mut |bytes| {
        if beat.goes_on(SourceProgress { bytes, total_bytes, ..SourceProgress::default() }) {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    });
    Ok(Arc::new(tree.map_err(SourceError::from)?))
}

/// Says how far it is, not too often, and whether anybody still wants it.
struct Beat<'a> {
    services: &'a Services,
    last: Instant,
}

impl<'a> Beat<'a> {
    fn new(services: &'a Services) -> Self {
        Self { services, last: Instant::now() }
    }

    fn goes_on(&mut self, progress: SourceProgress) -> bool {
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
