//! URLs as people and logs may see them.

use std::fmt;

use secrecy::SecretString;
use serde::{Serialize, Serializer};
use url::Url;

use super::redact::MASK;

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

/// Bytes from which on a value of a query counts as a key, whatever its name: signatures and tokens are longer than words.
const LONG: usize = 20;

/// Parts of names whose values are secrets however short.
const TELLING: [&str; 6] = ["sig", "token", "secret", "password", "credential", "key"];

/// The values of a URL's query that must be masked wherever they turn up: a presigned URL is a credential.
pub fn secret_values(url: &Url) -> Vec<SecretString> {
    let is_secret = |name: &str, value: &str| {
        let name = name.to_ascii_lowercase();
        !SHOWN.contains(&name.as_str()) && (value.len() >= LONG || TELLING.iter().any(|part| name.contains(part)))
    };
    let decoded = url.query_pairs().filter(|(name, value)| is_secret(name, value)).map(|(_, value)| value.into_owned());
    let raw = url.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    let raw = raw.filter(|(name, value)| is_secret(name, value)).map(|(_, value)| value.to_owned());
    decoded.chain(raw).map(SecretString::from).collect()
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
    fn a_presigned_urls_keys_are_secrets_in_both_forms() {
        use secrecy::ExposeSecret;
        let url = "https://b/k?X-Amz-Date=20240101T000000Z&X-Amz-Signature=abc%2fdef&format=a-format-that-has-a-long-name&sig=p%2b1&x=0123456789012345678%3d";
        let values: Vec<String> = secret_values(&Url::parse(url).unwrap()).iter().map(|value| value.expose_secret().to_owned()).collect();
        assert_eq!(values, ["abc/def", "p+1", "0123456789012345678=", "abc%2fdef", "p%2b1", "0123456789012345678%3d"]);
    }

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
