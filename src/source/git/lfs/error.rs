//! Why an object of Git LFS could not be fetched.

use std::time::Duration;

use crate::model::{Classified, Reason};
use crate::net::{NetError, RedactedUrl};
use crate::source::reason_of;
use crate::support::limits::Bound;

/// `path` is the first file that points to the object, `oid` the object's SHA-256 in hexadecimal.
#[derive(Debug, thiserror::Error)]
pub enum LfsError {
    #[error("the source is refused: \".lfsconfig\": {0}")]
    Config(String),
    #[error("the LFS server that .lfsconfig names is reached over plain http, which the operator does not allow")]
    PlainHttp,
    #[error("{url} does not say by git-lfs-authenticate where this repository's LFS objects are{}{}", ended(*.status), quote(.said.as_deref()))]
    Ssh { url: RedactedUrl, status: Option<u32>, said: Option<String> },
    #[error("the source is refused: what {url} answers to git-lfs-authenticate: {rule}")]
    Leave { url: RedactedUrl, rule: String },
    #[error("the LFS server that .lfsconfig names is asked by git-lfs-authenticate over ssh, and it is not on the repository's own host")]
    SshElsewhere,
    #[error("{url} is no LFS server of this repository (status {status}){}", quote(.said.as_deref()))]
    NoServer { url: RedactedUrl, status: u16, authenticated: bool, said: Option<String> },
    #[error("{url} {} (status {status}){}", if *.authenticated { "refused the credential" } else { "wants a credential" }, quote(.said.as_deref()))]
    Auth { url: RedactedUrl, status: u16, authenticated: bool, said: Option<String> },
    #[error("{url} failed with status {status}{}", quote(.said.as_deref()))]
    Server { url: RedactedUrl, status: u16, said: Option<String>, wait: Option<Duration> },
    #[error("{url} could not be fetched by this pod")]
    Net {
        url: RedactedUrl,
        #[source]
        cause: NetError,
    },
    #[error("the LFS server at {url} does not keep to the batch API: {problem}")]
    Answer { url: RedactedUrl, problem: String },
    #[error("the LFS object of {path:?} is not there: {oid} (status {code}){}", quote(.said.as_deref()))]
    Missing { path: String, oid: String, code: u16, said: Option<String> },
    #[error("the LFS object of {path:?} is refused by its server: {oid} (status {code}){}", quote(.said.as_deref()))]
    Refused { path: String, oid: String, code: u16, said: Option<String> },
    #[error("the LFS server sends this pod for the object of {path:?} to a place that is refused: {rule}")]
    Href { path: String, rule: String },
    #[error("the LFS object of {path:?} is not the one that the commit names: {problem}")]
    Integrity { path: String, problem: String },
    #[error(
        "the source is refused: {path:?}: with the LFS object it points to ({size} bytes) it has more than the limit {limit} of {value}"
    )]
    Limit { path: String, size: u64, limit: Bound, value: u64 },
}

fn quote(text: Option<&str>) -> String {
    text.map(|text| format!("; it said: {text}")).unwrap_or_default()
}

fn ended(status: Option<u32>) -> String {
    status.map(|status| format!(" (exit status {status})")).unwrap_or_default()
}

/// A host that knows the command and refuses says it in text alone.
fn denies(said: Option<&str>) -> bool {
    let lower = said.unwrap_or_default().to_lowercase();
    ["denied", "not allowed", "unauthorized", "forbidden", "no access"].iter().any(|word| lower.contains(word))
}

impl LfsError {
    /// The server's own wish how long to wait.
    pub(super) fn wait(&self) -> Option<Duration> {
        match self {
            Self::Server { wait, .. } => *wait,
            _ => None,
        }
    }
}

impl Classified for LfsError {
    fn reason(&self) -> Reason {
        match self {
            Self::Config(_) | Self::Leave { .. } | Self::Answer { .. } | Self::Href { .. } | Self::Limit { .. } => Reason::SourceRefused,
            Self::PlainHttp => Reason::NotPermitted,
            Self::Ssh { said, .. } if denies(said.as_deref()) => Reason::SourceAuth,
            Self::Ssh { .. } | Self::SshElsewhere => Reason::Unsupported,
            Self::NoServer { .. } | Self::Missing { .. } => Reason::SourceNotFound,
            Self::Auth { .. } => Reason::SourceAuth,
            Self::Server { .. } => Reason::SourceUnavailable,
            Self::Net { cause, .. } => reason_of(cause),
            Self::Refused { code, .. } => match code {
                401 | 403 => Reason::SourceAuth,
                408 | 425 | 429 | 500.. => Reason::SourceUnavailable,
                _ => Reason::SourceRefused,
            },
            Self::Integrity { .. } => Reason::SourceIntegrity,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::PlainHttp => "the operator allows it by --allow plain-http",
            Self::Ssh { .. } | Self::SshElsewhere => {
                "name the LFS server's https URL as lfs.url in .lfsconfig, or fetch by the repository's https URL with its own source.git.secret; \
                 source.git.lfs: keep ships the pointers, refuse fails where a build would"
            }
            Self::NoServer { authenticated: false, .. } | Self::Auth { authenticated: false, .. } => {
                "a server that keeps its objects from the public needs source.git.secret, which is shown to the repository's own host only"
            }
            Self::NoServer { .. } | Self::Auth { .. } => "check that the secret is current and may read this repository's LFS objects",
            Self::Server { status: 507 | 509, .. } => "the server's storage or the repository's quota of traffic is used up",
            Self::Missing { .. } => "was the object ever pushed? `git lfs push --all` from a clone that has it would help",
            Self::Limit { .. } => "raise the limit if the repository can be trusted",
            Self::Net { cause, .. } => return cause.hint(),
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
