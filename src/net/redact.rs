//! URLs as people and logs may see them.

use std::fmt;

use serde::{Serialize, Serializer};
use url::Url;

use crate::support::redact::MASK;

/// Query parameters that say where, never who: everything else in a query is masked, since signatures and tokens go by
/// too many names (`sig`, `token`, `X-Amz-Signature`, `access_token`, `private_token`, …) to list them.
const SHOWN: [&str; 10] = ["service", "ref", "scope", "digest", "mount", "from", "n", "last", "version", "format"];

/// The URL without user, password and fragment, and with the values of its query masked.
pub fn redact_url(url: &Url) -> String {
    let mut shown = url.clone();
    shown.set_fragment(None);
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.set_query(None);
    let Some(query) = url.query().filter(|query| !query.is_empty()) else { return shown.to_string() };
    let pairs: Vec<String> = query.split('&').map(mask).collect();
    format!("{shown}?{}", pairs.join("&"))
}

fn mask(pair: &str) -> String {
    match pair.split_once('=') {
        Some((name, value)) if SHOWN.contains(&name) => format!("{name}={value}"),
        Some((name, _)) => format!("{name}={MASK}"),
        None => MASK.to_owned(),
    }
}

/// A URL that can only be printed redacted; what it is inside stays usable.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RedactedUrl(Box<Url>);

impl RedactedUrl {
    pub fn new(url: Url) -> Self {
        Self(Box::new(url))
    }

    /// The URL as it is: for requests, never for text.
    pub fn expose(&self) -> &Url {
        &self.0
    }
}

impl fmt::Display for RedactedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact_url(&self.0))
    }
}

impl fmt::Debug for RedactedUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact_url(&self.0))
    }
}

impl Serialize for RedactedUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_known_to_be_harmless_is_shown() {
        let table = [
            ("https://me:pw@a.b/c.git", "https://a.b/c.git"),
            ("https://token@a.b/c?service=git-upload-pack", "https://a.b/c?service=git-upload-pack"),
            ("https://b/k?X-Amz-Signature=s3cret&n=4&s3cret", "https://b/k?X-Amz-Signature=[redacted]&n=4&[redacted]"),
            ("https://b/k?SIG=s3cret&access_token=s3cret#s3cret", "https://b/k?SIG=[redacted]&access_token=[redacted]"),
        ];
        for (text, want) in table {
            let url = RedactedUrl::new(Url::parse(text).unwrap());
            assert_eq!(url.to_string(), want);
            assert_eq!(format!("{url:?}"), want);
        }
    }
}
