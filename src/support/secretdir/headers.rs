//! `headers`: a header of HTTP on each line, `Name: value`, as curl's `-H @file` reads them (RFC 9110, section 5).

use http::header::{self, HeaderName, HeaderValue};
use secrecy::SecretString;

use crate::support::limits::SECRET_HEADERS;

/// What the requests themselves need to say, or what is between two neighbours only (RFC 9110, section 7.6.1).
const NOT_OURS: [HeaderName; 14] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::TE,
    header::TRAILER,
    header::UPGRADE,
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    header::PROXY_AUTHORIZATION,
    header::RANGE,
    header::IF_RANGE,
    header::ACCEPT_ENCODING,
    header::EXPECT,
];

/// A header that is a secret.
pub type SecretHeader = (HeaderName, SecretString);

/// Empty lines are skipped; any other must be a whole header. The rule broken names the line only.
pub fn parse(text: &str) -> Result<Vec<SecretHeader>, String> {
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let mut headers: Vec<SecretHeader> = Vec::new();
    for (index, line) in lines {
        let malformed = |rule: &str| format!("is malformed in line {}: {rule}", index + 1);
        let (name, value) = header(line).map_err(malformed)?;
        if headers.iter().any(|(have, _)| *have == name) {
            return Err(malformed("its name stands in another line, too"));
        }
        headers.push((name, value));
        if headers.len() > SECRET_HEADERS {
            return Err(format!("holds more than {SECRET_HEADERS} headers"));
        }
    }
    Ok(headers)
}

fn header(line: &str) -> Result<SecretHeader, &'static str> {
    let (name, value) = line.split_once(':').ok_or("it is not `Name: value`")?;
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| "its name is none of HTTP's (RFC 9110, section 5.1)")?;
    if NOT_OURS.contains(&name) {
        return Err("what this header says is not for a secret to say");
    }
    let value = value.trim_matches([' ', '\t']);
    match HeaderValue::from_str(value) {
        Ok(_) if value.is_empty() => Err("it has no value"),
        Ok(_) if value.is_ascii() => Ok((name, SecretString::from(value))),
        _ => Err("its value holds something else than visible ASCII and blanks"),
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn headers_are_read_as_curl_reads_them() {
        let read = parse("PRIVATE-TOKEN: hush: x\r\n\nX-Other:\t1 \nAuthorization: token abc\n").unwrap();
        let read: Vec<_> = read.iter().map(|(name, value)| (name.as_str(), value.expose_secret())).collect();
        assert_eq!(read, [("private-token", "hush: x"), ("x-other", "1"), ("authorization", "token abc")]);
        let lines = |count: usize| (0..count).fold(String::new(), |text, n| text + &format!("x-{n}: 1\n"));
        assert_eq!(parse(&lines(SECRET_HEADERS)).unwrap().len(), SECRET_HEADERS);
        assert!(parse(&lines(SECRET_HEADERS + 1)).unwrap_err().contains("more than 32"));
    }

    #[test]
    fn what_would_change_the_request_itself_is_refused_and_no_value_is_shown() {
        let names = NOT_OURS.into_iter().map(|name| (format!("{}: hush", name.as_str().to_uppercase()), "not for a secret"));
        let others = [
            ("hush", "Name: value"),
            ("X Y: hush", "RFC 9110"),
            ("X : hush", "RFC 9110"),
            (" X: hush", "RFC 9110"),
            (":path: hush", "RFC 9110"),
            ("X:", "no value"),
            ("X: hush\rHost: evil", "visible ASCII"),
            ("X: hüsh", "visible ASCII"),
            ("X: hush\0", "visible ASCII"),
            ("x: 1\nX: hush", "line 2: its name stands"),
        ];
        for (text, want) in names.chain(others.map(|(text, want)| (text.to_owned(), want))) {
            let rule = parse(&text).unwrap_err();
            assert!(rule.contains(want) && rule.contains("line ") && !rule.contains("hush"), "{text:?}: {rule}");
        }
    }
}
