//! The last line of defence: no known secret leaves through any sink, in any of the forms it may have taken.
//!
//! The first line is the type: a secret is a `secrecy::SecretString`, which cannot be printed.

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::sync::{PoisonError, RwLock};

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
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

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Redactor")
    }
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

    /// A credential's two parts: the password, or the name where that is the token, and the pair as HTTP's basic authentication
    /// writes it.
    pub fn add_basic(&self, username: &str, password: &SecretString) {
        if is_beside_a_token(password.expose_secret()) {
            return self.add(&SecretString::from(username));
        }
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

/// Whether a password only stands beside a token that is given as the name: none at all, or GitHub's word for that
/// ("Authenticating with OAuth tokens over HTTPS", `https://TOKEN:x-oauth-basic@`). Any other name is no secret: to mask it
/// would destroy every text, and every reference, that has the word in it.
pub fn is_beside_a_token(password: &str) -> bool {
    matches!(password, "" | "x-oauth-basic")
}

/// The forms in which a value travels.
fn forms(value: &str) -> Vec<String> {
    let mut forms = vec![value.to_owned()];
    forms.extend(percent_forms(value));
    forms.extend(json_forms(value));
    forms.extend(base64_forms(value));
    forms
}

/// What else than letters and digits stays as it is, by who writes it.
const PERCENT_KEEPS: [&[u8]; 7] = [
    // Everything encoded.
    b"",
    // RFC 3986, section 2.3: the unreserved characters. Go's QueryEscape, Python's quote(safe='').
    b"-_.~",
    // Python's quote.
    b"-_.~/",
    // JavaScript's encodeURIComponent.
    b"-_.~!*'()",
    // JavaScript's encodeURI.
    b"-_.~!*'();,/?:@&=+$#",
    // Go's url.UserPassword and PathEscape, apart from the colon and the at sign that only the latter keeps.
    b"-_.~$&+=",
    // The URL standard's userinfo, as browsers, curl and the url crate write it. A percent sign stays.
    b"-_.~!$&'()*+,%",
];

/// Percent-encoded, with hexadecimal digits in either case, and as forms write it, with a plus for a space.
fn percent_forms(value: &str) -> Vec<String> {
    let with = |keeps: &[u8], upper: bool| {
        value.bytes().fold(String::new(), |mut text, byte| {
            let _ = match byte {
                byte if byte.is_ascii_alphanumeric() || keeps.contains(&byte) => write!(text, "{}", char::from(byte)),
                byte if upper => write!(text, "%{byte:02X}"),
                byte => write!(text, "%{byte:02x}"),
            };
            text
        })
    };
    let all = PERCENT_KEEPS.iter().flat_map(|keeps| [with(keeps, true), with(keeps, false)]);
    let more = [with(b"-_.~$&+=:@", true), with(b"-_.~$&+=;:,", true), with(b"-_.*", true), with(b"-_.*", false)];
    let plus = more.map(|text| [text.replace("%20", "+"), text]);
    all.chain(plus.into_iter().flatten()).collect()
}

/// Inside a JSON string: as serde writes it, as Go does (which escapes `&`, `<` and `>` for HTML), in ASCII alone (Python, Ruby,
/// PHP), with hexadecimal digits in either case, and with the slashes that PHP escapes.
fn json_forms(value: &str) -> Vec<String> {
    let written = serde_json::to_string(value).unwrap_or_default();
    let plain = written.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or_default();
    let escaped = |which: &dyn Fn(char) -> bool, upper: bool| {
        plain.chars().fold(String::new(), |mut text, c| {
            if !which(c) {
                text.push(c);
                return text;
            }
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                let _ = if upper { write!(text, "\\u{unit:04X}") } else { write!(text, "\\u{unit:04x}") };
            }
            text
        })
    };
    let html = |c: char| matches!(c, '&' | '<' | '>' | '\u{2028}' | '\u{2029}');
    let wide = |c: char| !c.is_ascii();
    let mut forms = vec![plain.to_owned(), escaped(&html, false), escaped(&html, true)];
    for upper in [false, true] {
        forms.extend([escaped(&wide, upper), escaped(&|c| wide(c) || html(c), upper)]);
    }
    let slashes: Vec<String> = forms.iter().filter(|form| form.contains('/')).map(|form| form.replace('/', "\\/")).collect();
    forms.extend(slashes);
    forms
}

/// Base64 of a longer text that holds the value is found by the part that does not depend on what stands around it, at each of
/// the three alignments.
fn base64_forms(value: &str) -> Vec<String> {
    let mut forms: Vec<String> = [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE_NO_PAD].iter().map(|engine| engine.encode(value)).collect();
    for shift in 1..3usize {
        for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
            let padded = [&vec![0u8; shift][..], value.as_bytes()].concat();
            let text = engine.encode(&padded);
            // The first characters mix in what stood before.
            forms.push(text[shift + 1..].to_owned());
        }
    }
    // The last characters of an encoded value mix in what follows: the form without them is found inside a longer text.
    let inner: Vec<String> = forms
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
            percent_encoding::utf8_percent_encode(secret, percent_encoding::NON_ALPHANUMERIC).to_string(),
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
    fn every_writer_s_encoding_is_masked() {
        let redactor = Redactor::default();
        redactor.add(&SecretString::from("p@ss!w/rd &<ä>🔑"));
        let table = [
            ("RFC 3986", "p%40ss%21w%2Frd%20%26%3C%C3%A4%3E%F0%9F%94%91"),
            ("the same in lower case", "p%40ss%21w%2frd%20%26%3c%c3%a4%3e%f0%9f%94%91"),
            ("JavaScript, encodeURIComponent", "p%40ss!w%2Frd%20%26%3C%C3%A4%3E%F0%9F%94%91"),
            ("JavaScript, encodeURI", "p@ss!w/rd%20&%3C%C3%A4%3E%F0%9F%94%91"),
            ("Python, quote", "p%40ss%21w/rd%20%26%3C%C3%A4%3E%F0%9F%94%91"),
            ("a form", "p%40ss%21w%2Frd+%26%3C%C3%A4%3E%F0%9F%94%91"),
            ("Go, PathEscape", "p@ss%21w%2Frd%20&%3C%C3%A4%3E%F0%9F%94%91"),
            ("Go, UserPassword", "p%40ss%21w%2Frd%20&%3C%C3%A4%3E%F0%9F%94%91"),
            ("Go, JSON", r"p@ss!w/rd \u0026\u003cä\u003e🔑"),
            ("Python, JSON", r"p@ss!w/rd &<\u00e4>\ud83d\udd11"),
            ("PHP, JSON", r"p@ss!w\/rd &<\u00e4>\ud83d\udd11"),
            (".NET, JSON", r"p@ss!w/rd \u0026\u003C\u00E4\u003E\uD83D\uDD11"),
        ];
        for (writer, text) in table {
            assert_eq!(redactor.scrub(&format!("a {text} b")), "a [redacted] b", "{writer}");
        }
        let mut url = url::Url::parse("https://me@a.b/").unwrap();
        url.set_password(Some("p@ss!w/rd &<ä>🔑")).unwrap();
        assert_eq!(redactor.scrub(url.as_str()), "https://me:[redacted]@a.b/");
        let quote = Redactor::default();
        quote.add(&SecretString::from("ends-in\""));
        assert_eq!(quote.scrub(r#"{"a":"ends-in\""}"#), r#"{"a":"[redacted]"}"#);
    }

    #[test]
    fn a_trivial_value_masks_nothing() {
        let redactor = Redactor::default();
        redactor.add(&SecretString::from("a"));
        redactor.add(&SecretString::from(""));
        assert_eq!(redactor.scrub("banana"), "banana");
    }
}
