//! The last line of defence: no known secret leaves through any sink, in any of the forms it may have taken.
//!
//! The first line is the type: a secret is a `secrecy::SecretString`, which cannot be printed.

use std::borrow::Cow;
use std::sync::{PoisonError, RwLock};

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};

/// What stands where a secret stood.
pub const MASK: &str = "[redacted]";

/// Shorter values are no secrets that could be masked: masking them would destroy every text.
const SHORTEST: usize = 6;

/// Knows every secret of the run by value. One for a process; secrets are added as they are read.
#[derive(Default)]
pub struct Redactor {
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    forms: Vec<String>,
    matcher: Option<AhoCorasick>,
    longest: usize,
}

impl Redactor {
    /// From now on this value is masked, as it is and as base64, base64url, percent-encoding and JSON would write it.
    pub fn add(&self, secret: &SecretString) {
        let value = secret.expose_secret().trim();
        if value.len() < SHORTEST {
            return;
        }
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        let before = state.forms.len();
        for form in forms(value) {
            if form.len() >= SHORTEST && !state.forms.contains(&form) {
                state.forms.push(form);
            }
        }
        if state.forms.len() > before {
            state.longest = state.forms.iter().map(String::len).max().unwrap_or_default();
            state.matcher = AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(&state.forms).ok();
        }
    }

    /// A credential's two parts: the password, and the pair as HTTP's basic authentication writes it.
    pub fn add_basic(&self, username: &str, password: &SecretString) {
        self.add(password);
        if password.expose_secret().len() >= SHORTEST {
            self.add(&SecretString::from(format!("{username}:{}", password.expose_secret())));
        }
    }

    /// The text with every known secret masked.
    pub fn scrub<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        match &state.matcher {
            Some(matcher) if matcher.is_match(text) => {
                let masks = vec![MASK; state.forms.len()];
                Cow::Owned(matcher.replace_all(text, &masks))
            }
            _ => Cow::Borrowed(text),
        }
    }

    /// Bytes of the longest form known: what a splitter must hold back so that no secret is cut in two.
    pub fn longest(&self) -> usize {
        self.state.read().unwrap_or_else(PoisonError::into_inner).longest
    }
}

/// The forms in which a value travels. Base64 of a longer text that holds the value is found by the part that does not
/// depend on what stands around it, at each of the three alignments.
fn forms(value: &str) -> Vec<String> {
    let mut forms = vec![value.to_owned(), utf8_percent_encode(value, NON_ALPHANUMERIC).to_string()];
    forms.extend(
        url::form_urlencoded::byte_serialize(value.as_bytes())
            .next()
            .map(|_| url::form_urlencoded::byte_serialize(value.as_bytes()).collect::<String>()),
    );
    let escaped = serde_json::to_string(value).unwrap_or_default();
    forms.push(escaped.trim_matches('"').to_owned());
    for engine in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
        forms.push(engine.encode(value));
    }
    for shift in 1..3usize {
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let padded = [&vec![0u8; shift][..], value.as_bytes()].concat();
            let text = engine.encode(&padded);
            // The first characters mix in what stood before.
            forms.push(text[shift + 1..].to_owned());
        }
    }
    // The last characters of an encoded value mix in what follows: the form without them is found inside a longer text.
    let inner: Vec<String> = forms[4..]
        .iter()
        .map(|form| form.trim_end_matches('='))
        .filter(|form| form.len() > 10)
        .map(|form| form[..form.len() - 2].to_owned())
        .collect();
    forms.extend(inner);
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_secret_is_masked() {
        let redactor = Redactor::default();
        let secret = "p\"ss wörd~ÿ>>>1";
        redactor.add(&SecretString::from(secret));
        let encoded = [
            secret.to_owned(),
            serde_json::to_string(secret).unwrap(),
            STANDARD.encode(secret),
            URL_SAFE_NO_PAD.encode(secret),
            utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
            STANDARD.encode(format!("user:{secret}")),
            STANDARD.encode(format!("me:{secret}:tail")),
            URL_SAFE_NO_PAD.encode(format!("{{\"a\":\"{secret}\"}}")),
        ];
        for text in encoded {
            let line = format!("before {text} after");
            assert!(redactor.scrub(&line).contains(MASK), "{text}");
        }
        assert_eq!(redactor.scrub("nothing here"), "nothing here");
    }

    #[test]
    fn a_trivial_value_masks_nothing() {
        let redactor = Redactor::default();
        redactor.add(&SecretString::from("a"));
        redactor.add(&SecretString::from(""));
        assert_eq!(redactor.scrub("banana"), "banana");
    }
}
