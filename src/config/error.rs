//! Why a request was turned down: the field, what is wrong with it, what to write instead. Never a value that may be a secret.

use crate::model::{Classified, Reason};
use crate::support::guard::Forbidden;

/// Every way a request can be wrong. `path` is the field as the document writes it (`source.git.ref`), or the variable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The document itself could not be read or parsed.
    #[error("the request {from} {what}")]
    Document { from: String, what: String, fix: String },
    #[error("{path}: {what}")]
    Invalid { path: String, what: String, fix: String },
    #[error("{path}: not built yet in this version")]
    NotBuilt { path: String, fix: String },
    #[error("{path}: an engine can be asked for {what} by BuildKit's own call (Control.Solve) alone, which this version does not make")]
    Unsupported { path: String, what: &'static str, fix: String },
    #[error("{path}: {what}; that needs the operator's permission {permission:?}")]
    NotPermitted { path: String, what: String, permission: String },
    #[error("{path}: {forbidden}")]
    Forbidden { path: String, forbidden: Forbidden },
    #[error("{path}: the file {file:?} cannot be read by this pod: {what}")]
    Unreadable { path: String, file: String, what: String },
}

impl ConfigError {
    pub fn invalid(path: impl Into<String>, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::Invalid { path: path.into(), what: what.into(), fix: fix.into() }
    }

    pub fn not_built(path: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::NotBuilt { path: path.into(), fix: fix.into() }
    }

    pub fn not_permitted(path: impl Into<String>, what: impl Into<String>, permission: impl Into<String>) -> Self {
        Self::NotPermitted { path: path.into(), what: what.into(), permission: permission.into() }
    }

    /// The field or variable at fault; empty for the document as a whole.
    pub fn path(&self) -> &str {
        match self {
            Self::Document { .. } => "",
            Self::Invalid { path, .. }
            | Self::NotBuilt { path, .. }
            | Self::Unsupported { path, .. }
            | Self::NotPermitted { path, .. }
            | Self::Forbidden { path, .. }
            | Self::Unreadable { path, .. } => path,
        }
    }
}

impl Classified for ConfigError {
    fn reason(&self) -> Reason {
        match self {
            Self::Document { .. } | Self::Invalid { .. } | Self::NotBuilt { .. } | Self::Unreadable { .. } => Reason::RequestInvalid,
            Self::Unsupported { .. } => Reason::Unsupported,
            Self::NotPermitted { .. } | Self::Forbidden { .. } => Reason::NotPermitted,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Document { fix, .. } | Self::Invalid { fix, .. } | Self::NotBuilt { fix, .. } | Self::Unsupported { fix, .. } => {
                Some(fix.clone()).filter(|f| !f.is_empty())
            }
            Self::NotPermitted { permission, .. } => {
                Some(format!("the operator gives it with --allow {permission}, or PODWRIGHT_ALLOW={permission}"))
            }
            Self::Forbidden { forbidden, .. } => Some(forbidden.fix()),
            Self::Unreadable { .. } => Some("mount it where the variable or flag says, readable by the pod's user".into()),
        }
    }
}

/// A word that somebody wrote, as an error may show it: quoted, escaped, cut.
pub fn shown(text: &str) -> String {
    const MOST: usize = 60;
    let cut: String = text.chars().take(MOST).collect();
    if cut.len() < text.len() { format!("{cut:?}…") } else { format!("{cut:?}") }
}

/// The known word that was probably meant.
pub fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let likely = known.into_iter().map(|candidate| (strsim::jaro_winkler(&lower, &candidate.to_lowercase()), candidate));
    likely.filter(|(likeness, _)| *likeness > 0.8).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_miss_finds_the_word_and_a_far_one_finds_none() {
        let known = ["destinations", "secret", "retries", "verify"];
        assert_eq!(did_you_mean("destination", known), Some("destinations"));
        assert_eq!(did_you_mean("Verfiy", known), Some("verify"));
        assert_eq!(did_you_mean("xyz", known), None);
    }

    #[test]
    fn what_is_shown_is_escaped_and_cut() {
        assert_eq!(shown("a\u{1b}[1m"), "\"a\\u{1b}[1m\"");
        assert!(shown(&"x".repeat(1000)).chars().count() < 70);
    }
}
