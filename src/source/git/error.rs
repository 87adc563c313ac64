//! Why a repository could not be fetched.

use super::lfs::LfsError;
use crate::model::tree::TreeError;
use crate::model::{Classified, Reason};
use crate::net::{NetError, RedactedUrl};
use crate::source::reason_of;
use crate::support::limits::{Bound, GIT_PIECE};

/// Every message is about this pod's side: the node's daemon takes no part in a fetch.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    #[error("{url} has no such repository{}{}", of_http(*.status), quote(.said.as_deref()))]
    NotFound { url: RedactedUrl, status: Option<u16>, authenticated: bool, said: Option<String> },
    #[error("{url} is no git repository over smart http: it answered with {got}")]
    NotGit { url: RedactedUrl, got: String },
    #[error("{url} {}{}{}", if *.authenticated { "refused the credential" } else { "wants a credential" }, of_http(*.status), quote(.said.as_deref()))]
    Auth { url: RedactedUrl, status: Option<u16>, authenticated: bool, said: Option<String> },
    #[error("{problem} at {url}")]
    Revision { url: RedactedUrl, problem: String, hint: Option<String> },
    #[error("source.git.subdir {path:?}: {problem}")]
    Subdir { path: String, problem: &'static str, exists: bool },
    #[error("{url} could not be fetched by this pod{}", quote(.said.as_deref()))]
    Net {
        url: RedactedUrl,
        said: Option<String>,
        #[source]
        cause: NetError,
    },
    #[error("{url} failed with status {status}{}", quote(.said.as_deref()))]
    Server { url: RedactedUrl, status: u16, said: Option<String> },
    #[error("the fetch from {url} broke off: {problem}{}", quote(.said.as_deref()))]
    Broken { url: RedactedUrl, problem: String, said: Option<String> },
    #[error("{url} moved its refs twice while they were fetched")]
    Moving { url: RedactedUrl },
    #[error("{url} uses {what}, which this agent cannot read")]
    Unsupported { url: RedactedUrl, what: &'static str },
    #[error("the source is refused: {url} sent more than the limit {limit} of {value}")]
    Limit { url: RedactedUrl, limit: Bound, value: u64 },
    #[error("the workspace {path:?} of this pod could not be used")]
    Workspace {
        path: String,
        #[source]
        cause: std::io::Error,
    },
    #[error("the workspace {path:?} of this pod is full")]
    WorkspaceFull { path: String },
    #[error("libgit2 could not be used: {0}")]
    Library(String),
    #[error(transparent)]
    Tree(#[from] TreeError),
    #[error(transparent)]
    Lfs(#[from] LfsError),
    /// Whoever asked for the fetch stopped it: never the reason of a run.
    #[error("the fetch was cancelled")]
    Cancelled,
}

fn of_http(status: Option<u16>) -> String {
    status.map(|status| format!(" (status {status})")).unwrap_or_default()
}

fn quote(text: Option<&str>) -> String {
    text.map(|text| format!("; it said: {text}")).unwrap_or_default()
}

impl Classified for GitError {
    fn reason(&self) -> Reason {
        match self {
            Self::Workspace { .. } => Reason::RequestInvalid,
            Self::NotFound { .. } | Self::NotGit { .. } | Self::Subdir { exists: false, .. } => Reason::SourceNotFound,
            Self::Auth { .. } => Reason::SourceAuth,
            Self::Revision { .. } => Reason::RevisionNotFound,
            Self::Net { cause, .. } => reason_of(cause),
            Self::Server { .. } | Self::Broken { .. } | Self::Moving { .. } => Reason::SourceUnavailable,
            Self::Unsupported { .. } => Reason::Unsupported,
            // As with archives and directories: what is there and cannot be a context is refused.
            Self::Limit { .. } | Self::Subdir { exists: true, .. } => Reason::SourceRefused,
            Self::WorkspaceFull { .. } => Reason::WorkspaceFull,
            Self::Library(_) | Self::Cancelled => Reason::Internal,
            Self::Tree(cause) => cause.reason(),
            Self::Lfs(cause) => cause.reason(),
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NotFound { authenticated: false, .. } => {
                "check the URL; hosts answer so for a private repository too: then it needs source.git.secret"
            }
            Self::NotFound { authenticated: true, .. } => "check the URL, and that the credential may read this repository",
            Self::NotGit { .. } => "check the URL: it must be what `git clone` takes, not the page of the repository",
            Self::Auth { authenticated: false, .. } => {
                "give the credential in source.git.secret: a directory with username and password, or token; it is shown to the URL's own \
                 host only, never to where a redirect leads"
            }
            Self::Auth { authenticated: true, .. } => "check that the secret is current and may read this repository",
            Self::Revision { hint, .. } => return hint.clone(),
            Self::Net { cause, .. } => return cause.hint(),
            Self::Workspace { .. } | Self::WorkspaceFull { .. } => {
                "the workspace needs to be a writable directory with room for the repository's objects: see workspace"
            }
            Self::Limit { limit: GIT_PIECE, .. } => "let the server make no deltas of files this large: its core.bigFileThreshold",
            Self::Limit { limit: Bound { flag: Some(_), .. }, .. } => "raise the limit if the repository can be trusted",
            Self::Tree(cause) => return cause.hint(),
            Self::Lfs(cause) => return cause.hint(),
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
