//! An archive from a URL: one GET, its answer told apart, its body as a reader.

use std::io::Read;

use reqwest::StatusCode;
use reqwest::header::CONTENT_LENGTH;
use url::Url;

use super::ArchiveError;
use crate::net::{BlockingClient, Credential, RedactedUrl, Request};

/// The body of an answer that was a success.
pub struct Download {
    pub body: Box<dyn Read>,
    /// What the server says will come.
    pub size: Option<u64>,
}

/// Asks for the archive. The credential goes to the URL's own origin only; redirects are followed by the connector's rules.
pub fn download(url: &Url, credential: Option<Credential>, net: &BlockingClient) -> Result<Download, ArchiveError> {
    let shown = || RedactedUrl::new(url.clone());
    let authenticated = credential.is_some();
    let reply = net.send(Request { credential, ..Request::get(url.clone()) }).map_err(|cause| ArchiveError::Net { url: shown(), cause })?;
    let status = reply.status.as_u16();
    match reply.status {
        StatusCode::OK => {
            let size = reply.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
            Ok(Download { body: Box::new(reply.body), size })
        }
        StatusCode::NOT_FOUND | StatusCode::GONE => Err(ArchiveError::NotFound { url: shown(), status }),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(ArchiveError::Auth { url: shown(), status, authenticated }),
        other if other.is_server_error() || matches!(other, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT) => {
            Err(ArchiveError::Server { url: shown(), status })
        }
        _ => Err(ArchiveError::Answer { url: shown(), status }),
    }
}
