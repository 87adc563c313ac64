//! An archive from a URL: one GET, its answer told apart, its body as a reader.

use std::io::Read;

use reqwest::StatusCode;
use reqwest::header::CONTENT_LENGTH;
use url::Url;

use super::resume::{Resumable, Resumed};
use super::{ArchiveError, Asker, Expected};
use crate::net::{BlockingClient, Credential, RedactedUrl, Request};
use crate::source::digest_fields;

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
            let stated = digest_fields::stated(&reply.headers).flatten();
            let digests = stated.map(|digest| Expected { digest, by: Asker::Server }).collect();
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
        let trust = Trust { extra: vec![pki.ca_pem.clone()] };
        let client = Client::new(&Settings { trust, loopback: true, ..Settings::default() }).unwrap();
        let net = BlockingClient::new(client, runtime.handle().clone(), CancellationToken::new());
        let credential = Credential::bearer(Origin::of(&server.url).unwrap(), "secret-1".into()).unwrap();
        let refusal = |path: &str| download(&server.at(path), Some(credential.clone()), &net).err().unwrap().to_string();
        assert_eq!(refusal("/here"), format!("{}refused refused the credential (status 403)", server.url));
        let moved = format!("{}elsewhere?X-Amz-Signature=[redacted] wants a credential (status 403)", other.url);
        assert_eq!(refusal("/moved"), moved);
        assert!(other.asked().iter().all(|asked| asked.header("authorization").is_none()));
    }
}
