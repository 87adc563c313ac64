//! Asking hosts about LFS objects: the credential is offered to its own origin, and only once that asks for one.

use std::io::{self, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Deserialize;
use url::Url;

use super::LfsError;
use super::endpoint::Endpoint;
use crate::net::header::{ACCEPT, CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER};
use crate::net::{BlockingClient, Credential, NetError, Origin, RedactedUrl, Reply, Request};
use crate::source::git::http::headers;
use crate::source::git::remote::readable;
use crate::source::git::{Door, GitError, Options};
use crate::support::limits::LFS_ANSWER_BYTES;

/// Hosts may choose by it whom they talk to; the first word has to be this one.
const AGENT: &str = concat!("git-lfs/3.0.0 (podwright ", env!("CARGO_PKG_VERSION"), ")");

const JSON: &str = "application/vnd.git-lfs+json";

/// Places of its own origin that a batch request is sent on to.
const MOST_HOPS: usize = 3;

/// The longest that a server may ask us to wait.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// One fetch's way to the hosts that have its objects.
pub(super) struct Asker<'a> {
    /// Stopped, once an object is known not to come.
    pub net: BlockingClient,
    credential: Option<&'a Credential>,
    /// The origin asked for the credential, so it is shown from now on.
    offered: AtomicBool,
    /// The user's own.
    home: Option<Origin>,
    /// A repository chose the place, as of a submodule: what only this node can see is refused.
    checked: bool,
}

impl<'a> Asker<'a> {
    /// For the objects of a repository that was fetched.
    pub fn new(net: &BlockingClient, options: &'a Options) -> Self {
        let credential = match &options.door {
            Door::Http(credential) => credential.as_ref(),
            Door::Ssh(_) | Door::Daemon => None,
        };
        let home = Origin::of(options.address.url());
        Self { net: net.child(), credential, offered: AtomicBool::new(false), home, checked: options.foreign }
    }

    /// The answer to a batch request, of a bounded size.
    pub fn batch(&self, endpoint: &Endpoint, question: &[u8]) -> Result<Vec<u8>, GitError> {
        let mut url = endpoint.batch.clone();
        for _ in 0..=MOST_HOPS {
            let headers = headers(AGENT, &[(ACCEPT, JSON), (CONTENT_TYPE, JSON)]);
            let (bound, foreign) = (endpoint.bound.clone(), endpoint.foreign);
            let request = Request { headers, bound, follow: false, foreign, ..Request::post(url.clone(), question.to_vec().into()) };
            let (reply, shown) = self.ask(&request, true)?;
            let shown = shown || !endpoint.bound.is_empty();
            match reply.status.as_u16() {
                200 => return Self::body(reply),
                301 | 302 | 307 | 308 => url = onward(&url, &reply)?,
                _ => return Err(refusal(reply, shown).into()),
            }
        }
        Err(LfsError::Answer { url: RedactedUrl::new(url), problem: "it sends requests on without end".to_owned() }.into())
    }

    /// The answer to a request for an object; `bound` are the headers that belong to its URL.
    pub fn object(&self, href: &Url, bound: HeaderMap, authorized: bool) -> Result<Reply, GitError> {
        let foreign = Origin::of(href) != self.home;
        let request = Request { headers: headers(AGENT, &[(ACCEPT, "*/*")]), bound, foreign, ..Request::get(href.clone()) };
        let (reply, shown) = self.ask(&request, !authorized)?;
        match reply.status.as_u16() {
            200 => Ok(reply),
            _ => Err(refusal(reply, shown).into()),
        }
    }

    /// Asks without the credential, and once more with it when the host wants one. Hosts hide what is private behind 403 and 404
    /// as well as 401.
    fn ask(&self, request: &Request, offers: bool) -> Result<(Reply, bool), GitError> {
        let credential = self
            .credential
            .filter(|credential| offers && !request.foreign && Some(credential.origin()) == Origin::of(&request.url).as_ref());
        let mut offer = self.offered.load(Ordering::Relaxed);
        loop {
            let url = RedactedUrl::new(request.url.clone());
            let shown = credential.filter(|_| offer).cloned();
            let showing = shown.is_some();
            let reply = self
                .net
                .send(Request { credential: shown, checked: self.checked, ..request.clone() })
                .map_err(|cause| net_error(url, cause))?;
            let wants = matches!(reply.status.as_u16(), 401 | 403 | 404);
            if offer || !wants || credential.is_none() {
                let shown = showing && !reply.foreign;
                return Ok((reply, shown));
            }
            offer = true;
            self.offered.store(true, Ordering::Relaxed);
        }
    }

    fn body(reply: Reply) -> Result<Vec<u8>, GitError> {
        let url = RedactedUrl::new(reply.url.clone());
        let mut body = Vec::new();
        let read = reply.body.take(LFS_ANSWER_BYTES + 1).read_to_end(&mut body);
        read.map_err(|error| body_error(&url, error))?;
        if body.len() as u64 > LFS_ANSWER_BYTES {
            let problem = format!("its answer has more than {LFS_ANSWER_BYTES} bytes");
            return Err(LfsError::Answer { url, problem }.into());
        }
        Ok(body)
    }
}

/// Where a batch request is sent on to: a place of the same origin, for it says what a repository holds, and shows a credential.
fn onward(from: &Url, reply: &Reply) -> Result<Url, LfsError> {
    let location = reply.headers.get(LOCATION).and_then(|value| value.to_str().ok());
    let next = location.and_then(|text| from.join(text).ok()).filter(|next| Origin::of(next) == Origin::of(from));
    next.filter(|next| next.username().is_empty() && next.password().is_none())
        .ok_or_else(|| LfsError::Answer { url: RedactedUrl::new(from.clone()), problem: "it sends requests on to another host".to_owned() })
}

/// What broke a body off.
pub(super) fn body_error(url: &RedactedUrl, error: io::Error) -> GitError {
    net_error(url.clone(), NetError::of_io(error))
}

pub(super) fn net_error(url: RedactedUrl, cause: NetError) -> GitError {
    match cause {
        NetError::Cancelled => GitError::Cancelled,
        cause => LfsError::Net { url, cause }.into(),
    }
}

fn refusal(reply: Reply, authenticated: bool) -> LfsError {
    let (status, url) = (reply.status.as_u16(), RedactedUrl::new(reply.url.clone()));
    let seconds = reply.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let wait = seconds.map(Duration::from_secs).map(|wait| wait.min(LONGEST_WAIT));
    let said = said(reply);
    match status {
        401 | 403 => LfsError::Auth { url, status, authenticated, said },
        404 | 410 => LfsError::NoServer { url, status, authenticated, said },
        408 | 425 | 429 | 500.. => LfsError::Server { url, status, said, wait },
        _ => LfsError::Answer {
            url,
            problem: format!("status {status}{}", said.map(|said| format!("; it said: {said}")).unwrap_or_default()),
        },
    }
}

/// What a server says for people: `message` of its JSON, or plain text.
fn said(reply: Reply) -> Option<String> {
    #[derive(Deserialize)]
    struct Message {
        message: String,
    }
    let kind = reply.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let mut text = Vec::new();
    let _ = reply.body.take(4096).read_to_end(&mut text);
    match serde_json::from_slice::<Message>(&text) {
        Ok(said) => readable(said.message.as_bytes()),
        Err(_) if kind.starts_with("text/plain") => readable(&text),
        Err(_) => None,
    }
}
