//! An archive from a URL: one GET, its answer told apart, its body as a reader.

use std::io::Read;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_LENGTH, HeaderMap};
use url::Url;

use super::resume::{Resumable, Resumed};
use super::{ArchiveError, Asker, Expected};
use crate::model::Digest;
use crate::net::{BlockingClient, Credential, RedactedUrl, Request};

/// The body of an answer that was a success.
pub struct Download {
    pub body: Box<dyn Read>,
    /// What the server says will come.
    pub size: Option<u64>,
    /// What the server says it hashes to.
    pub digests: Vec<Expected>,
}

/// Asks for the archive; where the server allows it, goes on after a cut. The credential goes to the URL's own origin only; redirects are followed by the connector's rules.
pub fn download(url: &Url, credential: Option<Credential>, net: &BlockingClient) -> Result<Download, ArchiveError> {
    let request = Request { credential, ..Request::get(url.clone()) };
    let given = request.credential.is_some();
    let net_error = |cause| ArchiveError::Net { url: RedactedUrl::new(url.clone()), cause };
    let reply = net.send(request.clone()).map_err(net_error)?;
    // Who answered: a redirect may have led away, and then no credential went along.
    let (status, url, authenticated) = (reply.status.as_u16(), RedactedUrl::new(reply.url.clone()), given && !reply.foreign);
    match reply.status {
        StatusCode::OK => {
            let size = reply.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
            let digests = ["repr-digest", "content-digest"].into_iter().flat_map(|name| stated(&reply.headers, name)).collect();
            let body: Box<dyn Read> = match Resumable::of(&reply.headers, size) {
                Some(resumable) => Box::new(Resumed::new(reply.body, resumable, request, net.clone())),
                None => Box::new(reply.body),
            };
            Ok(Download { body, size, digests })
        }
        StatusCode::NOT_FOUND | StatusCode::GONE => Err(ArchiveError::NotFound { url, status }),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(ArchiveError::Auth { url, status, authenticated }),
        other if other.is_server_error() || matches!(other, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT) => {
            Err(ArchiveError::Server { url, status })
        }
        _ => Err(ArchiveError::Answer { url, status }),
    }
}

/// The digests of a field (RFC 9530, sections 2 and 3: of all of the answer, either). What is malformed says nothing, as the
/// RFC has it, and neither does another algorithm.
fn stated(headers: &HeaderMap, name: &str) -> Vec<Expected> {
    let items = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(','));
    let digests = items.filter_map(|item| {
        let (algorithm, value) = item.trim().split_once('=')?;
        let bytes = STANDARD.decode(value.strip_prefix(':')?.strip_suffix(':')?).ok()?;
        match (algorithm, bytes.len()) {
            ("sha-256", 32) => Some(Digest::sha256(bytes)),
            ("sha-512", 64) => Some(Digest::sha512(bytes)),
            _ => None,
        }
    });
    digests.map(|digest| Expected { digest, by: Asker::Server }).collect()
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Runtime;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::net::trial::{Pki, Server, answer, redirect};
    use crate::net::{Client, Origin, Settings, Trust};

    #[test]
    fn a_refusal_names_who_refused_and_whether_a_credential_was_shown() {
        let pki = Pki::new();
        let other = Server::tls(&pki, |_, out| answer(out, 403, &[], b""));
        let elsewhere = other.at("/elsewhere?X-Amz-Signature=hush");
        let server = Server::tls(&pki, move |asked, out| match asked.path() {
            "/moved" => redirect(out, 302, elsewhere.as_str()),
            "/here" => redirect(out, 302, "/refused"),
            _ => answer(out, 403, &[], b""),
        });
        let runtime = Runtime::new().unwrap();
        let client = Client::new(&Settings { trust: Trust { extra: vec![pki.ca_pem.clone()] }, ..Settings::default() }).unwrap();
        let net = BlockingClient::new(client, runtime.handle().clone(), CancellationToken::new());
        let credential = Credential::bearer(Origin::of(&server.url).unwrap(), "secret-1".into()).unwrap();
        let refusal = |path: &str| download(&server.at(path), Some(credential.clone()), &net).err().unwrap().to_string();
        assert_eq!(refusal("/here"), format!("{}refused refused the credential (status 403)", server.url));
        let moved = format!("{}elsewhere?X-Amz-Signature=[redacted] wants a credential (status 403)", other.url);
        assert_eq!(refusal("/moved"), moved);
        assert!(other.asked().iter().all(|asked| asked.header("authorization").is_none()));
    }

    #[test]
    fn a8_what_the_server_states_is_read_or_says_nothing() {
        let of = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("repr-digest", text.parse().unwrap());
            stated(&headers, "repr-digest").into_iter().map(|expected| expected.digest.to_string()).collect::<Vec<_>>()
        };
        let short = "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:";
        let abc = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(of(short), [abc]);
        let long = format!("sha-512=:{}:", STANDARD.encode([7; 64]));
        assert_eq!(of(&format!("unixsum=:AA==:, {short} , {long}")), [abc.to_owned(), format!("sha512:{}", "07".repeat(64))]);
        for nothing in
            ["", "sha-256", "sha-256=ungW", "sha-256=:ungW:", "sha-256=:!:", "sha-1=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:"]
        {
            assert!(of(nothing).is_empty(), "{nothing}");
        }
    }
}
