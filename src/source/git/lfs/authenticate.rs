//! `git-lfs-authenticate` (git-lfs, docs/api/server-discovery.md): a host of ssh is asked where the LFS server of a repository is, and
//! what that wants to be shown. As git-lfs has it, a host that does not say it is not guessed about.

use std::collections::HashMap;
use std::io::Read;

use secrecy::SecretString;
use serde::Deserialize;

use super::LfsError;
use super::api::{self, End};
use super::ask::{body_error, net_error};
use super::endpoint::{Endpoint, derived};
use crate::model::Address;
use crate::net::header::{HeaderMap, HeaderValue};
use crate::net::{BlockingClient, Cause, NetError, RemoteCommand, Stream};
use crate::source::git::remote::readable;
use crate::source::git::transport_stream::quoted;
use crate::source::git::{Door, GitError, Options};
use crate::support::limits::{LFS_LEAVE_BYTES, LFS_LEAVE_HEADER_BYTES};
use crate::support::redact::Redactor;

/// What the command prints.
#[derive(Deserialize)]
struct Answer {
    href: Option<String>,
    header: Option<HashMap<String, String>>,
    #[serde(flatten)]
    end: End,
}

/// The LFS server of the repository at this address, by the word of its host, and until when that holds.
pub(super) fn ask(net: &BlockingClient, options: &Options, at: &Address) -> Result<Endpoint, GitError> {
    let Door::Ssh(identity) = &options.door else { return Err(LfsError::SshElsewhere.into()) };
    let url = at.redacted();
    let remote = RemoteCommand { line: command(&at.path()), variable: None };
    let asked = net.ssh(at.url(), identity, remote, options.foreign);
    let mut stream = asked.map_err(|cause| net_error(url.clone(), cause))?;
    let mut text = Vec::new();
    let read = stream.by_ref().take(LFS_LEAVE_BYTES + 1).read_to_end(&mut text);
    read.map_err(|error| body_error(&url, error))?;
    let refused = |rule: String| LfsError::Leave { url: url.clone(), rule };
    if text.len() as u64 > LFS_LEAVE_BYTES {
        return Err(refused(format!("it has more than {LFS_LEAVE_BYTES} bytes")).into());
    }
    let answer = match (serde_json::from_slice::<Answer>(&text), stream.status()) {
        (Ok(answer), None | Some(0)) => answer,
        // What serde says of it may show a secret.
        (Err(why), Some(0)) => {
            return Err(refused(format!("it is not what git-lfs documents (line {}, column {})", why.line(), why.column())).into());
        }
        (_, status) => return Err(silent(at, &stream, &text, status)),
    };
    Ok(endpoint(answer, options.plain_http, at, &options.redactor).map_err(refused)?)
}

/// The path is in quotes where a shell would not take it for one word: git-lfs uses none, and a host may compare texts.
fn command(path: &[u8]) -> Vec<u8> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._/~@+-".contains(byte);
    let path = if path.iter().all(plain) { path.to_vec() } else { quoted(path) };
    [b"git-lfs-authenticate ", &path[..], b" download"].concat()
}

/// There is no answer, but perhaps a reason.
fn silent(at: &Address, stream: &Stream, text: &[u8], status: Option<u32>) -> GitError {
    // An answer is no reason, and may hold a secret.
    let said = readable(&stream.said()).or_else(|| readable(text).filter(|text| !text.contains('{')));
    let url = at.redacted();
    if status.is_none() && said.is_none() {
        let cause = Cause("the connection ended without an answer to git-lfs-authenticate".to_owned());
        return net_error(url, NetError::Io { host: at.url().host_str().unwrap_or_default().to_owned(), cause });
    }
    LfsError::Ssh { url, status, said }.into()
}

fn endpoint(answer: Answer, plain_http: bool, at: &Address, redactor: &Redactor) -> Result<Endpoint, String> {
    let place = match answer.href.filter(|href| !href.is_empty()) {
        Some(href) if href.contains(['?', '#']) => return Err("its href has a query or a fragment".to_owned()),
        Some(href) => api::href(&format!("{}/objects/batch", href.trim_end_matches('/')), plain_http)?,
        None => derived(at).ok_or("it names no LFS server")?,
    };
    let headers = api::headers(answer.header.unwrap_or_default())?;
    keep_secret(&headers, redactor)?;
    // A host named it: it is checked, and shown nothing but these.
    Ok(Endpoint { batch: place, foreign: true, bound: headers, until: answer.end.at() })
}

/// Of `RemoteAuth x` the word behind the scheme is a secret of its own.
fn keep_secret(headers: &HeaderMap, redactor: &Redactor) -> Result<(), String> {
    let bytes: usize = headers.values().map(HeaderValue::len).sum();
    if bytes > LFS_LEAVE_HEADER_BYTES {
        return Err(format!("its headers have more than {LFS_LEAVE_HEADER_BYTES} bytes"));
    }
    for value in headers.values().filter_map(|value| value.to_str().ok()) {
        redactor.add(&SecretString::from(value));
        if let Some((_, word)) = value.split_once(' ') {
            redactor.add(&SecretString::from(word));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, plain_http: bool) -> Result<(Endpoint, Redactor), String> {
        let (at, redactor) = (Address::of_git("git@a.example:foo/bar.git").unwrap().0, Redactor::default());
        let answer = serde_json::from_str(text).map_err(|why| why.to_string())?;
        endpoint(answer, plain_http, &at, &redactor).map(|endpoint| (endpoint, redactor))
    }

    #[test]
    fn the_answer_is_read_as_git_lfs_reads_it() {
        for (text, want, ends) in [
            (r#"{"href": "https://b.example/lfs/"}"#, "https://b.example/lfs/objects/batch", false),
            (r#"{"href": "https://b.example:444", "expires_in": 600}"#, "https://b.example:444/objects/batch", true),
            (r#"{"expires_at": "2199-01-01T00:00:00Z", "more": 1}"#, "https://a.example/foo/bar.git/info/lfs/objects/batch", true),
            (r#"{"href": "", "header": null, "expires_in": -5}"#, "https://a.example/foo/bar.git/info/lfs/objects/batch", false),
        ] {
            let (endpoint, _) = read(text, false).unwrap();
            assert_eq!((endpoint.batch.as_str(), endpoint.until.is_some(), endpoint.foreign), (want, ends, true), "{text}");
        }
    }

    #[test]
    fn g14_what_it_is_shown_is_a_secret_from_then_on() {
        let text = r#"{"href": "https://b.example/x", "header": {"Authorization": "RemoteAuth hush-word", "X-Key": "other-hush"}}"#;
        let (endpoint, redactor) = read(text, false).unwrap();
        assert!(endpoint.bound.len() == 2 && endpoint.bound.values().all(HeaderValue::is_sensitive));
        assert_eq!(redactor.scrub("hush-word, RemoteAuth hush-word, other-hush"), "[redacted], [redacted], [redacted]");
        assert!(!format!("{endpoint:?}").contains("hush"));
    }

    #[test]
    fn g3_g4_it_names_no_forbidden_place() {
        for (text, rule) in [
            (r#"{"href": "http://b.example/x"}"#, "plain http"),
            (r#"{"href": "file:///etc/passwd"}"#, "file://"),
            (r#"{"href": "ssh://git@b.example/x"}"#, "no http"),
            (r#"{"href": "https://me:hush@b.example/x"}"#, "user name or password"),
            (r#"{"href": "https://b.example/x?y=z"}"#, "query"),
            (r#"{"href": "-oProxyCommand=x"}"#, "hyphen"),
            (r#"{"href": "https://b.example/x", "header": {"Host": "c.example"}}"#, "header"),
        ] {
            let rules = read(text, false).err().unwrap();
            assert!(rules.contains(rule) && !rules.contains("hush"), "{text}: {rules}");
        }
        let long = format!(r#"{{"href": "https://b.example/x", "header": {{"a": "{}"}}}}"#, "y".repeat(LFS_LEAVE_HEADER_BYTES + 1));
        assert!(read(&long, false).err().unwrap().contains("bytes"));
        assert_eq!(read(r#"{"href": "http://b.example/x"}"#, true).unwrap().0.batch.as_str(), "http://b.example/x/objects/batch");
    }

    #[test]
    fn g7_a_path_is_one_word_to_the_shell_on_the_other_side() {
        for (path, want) in [
            ("foo/bar.git", "git-lfs-authenticate foo/bar.git download"),
            ("/~ada/x_1@2+3.git", "git-lfs-authenticate /~ada/x_1@2+3.git download"),
            ("a b;rm -rf /", "git-lfs-authenticate 'a b;rm -rf /' download"),
            ("a'$(x)'!b", r"git-lfs-authenticate 'a'\''$(x)'\'''\!'b' download"),
        ] {
            assert_eq!(String::from_utf8(command(path.as_bytes())).unwrap(), want);
        }
    }
}
