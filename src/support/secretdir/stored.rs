//! `.git-credentials`: a URL with user and password on each line (git-credential-store(1), "STORAGE FORMAT").

use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use url::Url;

/// One line: a credential and the origin it is for.
#[derive(Clone, Debug)]
pub struct StoredCredential {
    /// `scheme://host[:port]`, as `url::Origin` writes it: lower case, the scheme's own port left out.
    pub origin: String,
    pub username: String,
    pub password: SecretString,
}

/// Empty lines and comments are skipped; any other line must be a whole credential. The rule broken names the line only.
pub fn parse(bytes: &[u8]) -> Result<Vec<StoredCredential>, String> {
    let text = std::str::from_utf8(bytes).map_err(|_| "is not UTF-8".to_owned())?;
    let lines = text.lines().map(str::trim).enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines.map(|(index, line)| credential(line).map_err(|rule| format!("is malformed in line {}: {rule}", index + 1))).collect()
}

fn credential(line: &str) -> Result<StoredCredential, &'static str> {
    let url = Url::parse(line).map_err(|_| "it is not a URL")?;
    if !matches!(url.scheme(), "https" | "http") || url.host_str().is_none() {
        return Err("it is not https:// or http:// with a host");
    }
    let password = decoded(url.password().ok_or("it has no password")?)?;
    let username = decoded(url.username())?;
    if username.contains(':') {
        return Err("its username has a colon");
    }
    Ok(StoredCredential { origin: url.origin().ascii_serialization(), username, password: SecretString::from(password) })
}

fn decoded(part: &str) -> Result<String, &'static str> {
    let text = percent_decode_str(part).decode_utf8().map_err(|_| "it is not UTF-8 when percent-decoded")?;
    if text.chars().any(char::is_control) { Err("it holds a control character") } else { Ok(text.into_owned()) }
}
