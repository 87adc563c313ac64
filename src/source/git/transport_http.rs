//! libgit2's smart subtransport over `net`: gitprotocol-http(5), the fetching half, protocol version 0.
//!
//! libgit2 knows errors only as text, so what really happened is kept aside in the [`Session`] and taken from there.
//! Redirects are followed for the first request alone, as git does; where it ends up is where the others go, and a
//! credential never goes along to another origin.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use git2::transport::{Service, SmartSubtransport, SmartSubtransportStream, Transport};
use git2::{Error, Remote};
use url::Url;

use super::remote::{Capabilities, Scanner, readable};
use super::{GitError, GitUrl};
use crate::net::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue, USER_AGENT};
use crate::net::{BlockingClient, Body, Credential, NetError, RedactedUrl, Reply, Request};

/// Bytes of the list of refs: half a million of them.
const ADVERTISEMENT_BYTES: u64 = 64 << 20;

/// Bytes of one request: libgit2 asks in small steps.
const REQUEST_BYTES: usize = 64 << 20;

/// Hosts choose by it whether they talk to git or to a browser; the first word has to be this one.
const AGENT: &str = concat!("git/2.0 (podwright ", env!("CARGO_PKG_VERSION"), ")");

const QUERY: &str = "service=git-upload-pack";

thread_local! {
    static SESSION: RefCell<Option<Session>> = const { RefCell::new(None) };
}

/// One fetch's conversation with a host.
#[derive(Clone)]
pub(super) struct Session(Arc<Inner>);

struct Inner {
    net: BlockingClient,
    url: GitUrl,
    credential: Option<Credential>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Where the repository is, once the first answer said so, and whether that is another origin than the request's.
    base: Option<(Url, bool)>,
    /// The origin asked for the credential, so it is shown from now on.
    offered: bool,
    /// What really happened, the first of it.
    trouble: Option<GitError>,
    capabilities: Capabilities,
    said: Option<String>,
}

/// While it lives, libgit2's transports of this thread belong to one session.
pub(super) struct Entered;

impl Drop for Entered {
    fn drop(&mut self) {
        SESSION.with(|session| session.borrow_mut().take());
    }
}

/// What libgit2 calls for every http and https URL.
pub(super) fn for_this_thread(remote: &Remote<'_>) -> Result<Transport, Error> {
    let session = SESSION.with(|session| session.borrow().clone());
    let session = session.ok_or_else(|| Error::from_str("no fetch is under way on this thread"))?;
    Transport::smart(remote, true, HttpTransport(session))
}

impl Session {
    pub fn new(net: BlockingClient, url: GitUrl, credential: Option<Credential>) -> Self {
        Self(Arc::new(Inner { net, url, credential, state: Mutex::default() }))
    }

    pub fn enter(&self) -> Entered {
        SESSION.with(|session| session.borrow_mut().replace(self.clone()));
        Entered
    }

    pub fn capabilities(&self) -> Capabilities {
        self.state().capabilities
    }

    /// What ended the conversation, if it was not libgit2.
    pub fn trouble(&self) -> Option<GitError> {
        self.state().trouble.take()
    }

    /// The server's own last words.
    pub fn said(&self) -> Option<String> {
        self.state().said.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, error: GitError) {
        self.state().trouble.get_or_insert(error);
    }

    fn net_error(&self, cause: NetError) -> GitError {
        match cause {
            NetError::Cancelled => GitError::Cancelled,
            cause => GitError::Net { url: self.0.url.redacted(), said: self.said(), cause },
        }
    }

    /// `GET info/refs`: the only request whose redirects are followed.
    fn list(&self) -> Result<Body, GitError> {
        let mut url = self.0.url.url().clone();
        url.set_path(&format!("{}/info/refs", url.path().trim_end_matches('/')));
        url.set_query(Some(QUERY));
        let request = Request { headers: headers(&[(ACCEPT, "*/*")]), ..Request::get(url) };
        let reply = self.ask(&request)?;
        self.check_type(&reply, "application/x-git-upload-pack-advertisement")?;
        let base = base_of(&reply.url).ok_or_else(|| GitError::NotGit {
            url: RedactedUrl::new(reply.url.clone()),
            got: "a redirect to a place that is no repository".to_owned(),
        })?;
        self.state().base = Some((base, reply.foreign));
        Ok(reply.body)
    }

    /// `POST git-upload-pack`, to where the list came from.
    fn upload_pack(&self, body: Vec<u8>) -> Result<Body, GitError> {
        let (mut url, foreign) = self.state().base.clone().unwrap_or_else(|| (self.0.url.url().clone(), false));
        url.set_path(&format!("{}/git-upload-pack", url.path().trim_end_matches('/')));
        let headers = headers(&[(CONTENT_TYPE, "application/x-git-upload-pack-request"), (ACCEPT, "application/x-git-upload-pack-result")]);
        let request = Request { headers, foreign, ..Request::post(url, body.into()) };
        let reply = self.ask(&request)?;
        self.check_type(&reply, "application/x-git-upload-pack-result")?;
        Ok(reply.body)
    }

    /// Asks without the credential, and once more with it when the host wants one: two requests at most.
    /// Hosts hide private repositories behind 403 and 404 as well as 401.
    fn ask(&self, request: &Request) -> Result<Reply, GitError> {
        let mut offer = self.state().offered;
        loop {
            let credential = self.0.credential.clone().filter(|_| offer);
            let reply = self.0.net.send(Request { credential, ..request.clone() }).map_err(|cause| self.net_error(cause))?;
            let status = reply.status.as_u16();
            if status == 200 {
                return Ok(reply);
            }
            let shown = offer && !reply.foreign;
            if offer || request.foreign || self.0.credential.is_none() || !matches!(status, 401 | 403 | 404) {
                return Err(refusal(reply, shown));
            }
            offer = true;
            self.state().offered = true;
        }
    }

    fn check_type(&self, reply: &Reply, want: &str) -> Result<(), GitError> {
        let got = reply.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("nothing it would name");
        if got.split(';').next().unwrap_or_default().trim() == want {
            return Ok(());
        }
        Err(GitError::NotGit { url: self.0.url.redacted(), got: got.chars().take(100).collect() })
    }
}

fn headers(pairs: &[(crate::net::header::HeaderName, &'static str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    map.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    for (name, value) in pairs {
        map.insert(name, HeaderValue::from_static(value));
    }
    map
}

/// The repository that an answer's URL belongs to; `None` where a redirect ended elsewhere.
fn base_of(url: &Url) -> Option<Url> {
    let path = url.path().strip_suffix("/info/refs")?;
    if url.query() != Some(QUERY) {
        return None;
    }
    let mut base = url.clone();
    base.set_path(path);
    base.set_query(None);
    Some(base)
}

fn refusal(reply: Reply, authenticated: bool) -> GitError {
    let (status, url) = (reply.status.as_u16(), RedactedUrl::new(reply.url.clone()));
    let said = plain_text(reply);
    match status {
        401 | 403 => GitError::Auth { url, status, authenticated, said },
        404 | 410 => GitError::NotFound { url, status, authenticated, said },
        408 | 425 | 429 | 500.. => GitError::Server { url, status, said },
        _ => GitError::NotGit { url, got: format!("status {status}") },
    }
}

/// What a host says for people, as git shows it: plain text only.
fn plain_text(reply: Reply) -> Option<String> {
    let plain = reply.headers.get(CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"text/plain"));
    let mut text = Vec::new();
    if plain {
        let _ = reply.body.take(1024).read_to_end(&mut text);
    }
    readable(&text)
}

struct HttpTransport(Session);

impl SmartSubtransport for HttpTransport {
    fn action(&self, _url: &str, action: Service) -> Result<Box<dyn SmartSubtransportStream>, Error> {
        let session = self.0.clone();
        let exchange = match action {
            Service::UploadPackLs => Exchange::new(session, true),
            Service::UploadPack => Exchange::new(session, false),
            Service::ReceivePackLs | Service::ReceivePack => return Err(Error::from_str("nothing is ever pushed")),
        };
        Ok(Box::new(exchange))
    }

    fn close(&self) -> Result<(), Error> {
        Ok(())
    }
}

/// One request and its answer: what libgit2 writes is the body, sent when it begins to read.
struct Exchange {
    session: Session,
    listing: bool,
    request: Vec<u8>,
    body: Option<Body>,
    received: u64,
    scanner: Scanner,
}

impl Exchange {
    fn new(session: Session, listing: bool) -> Self {
        Self { session, listing, request: Vec::new(), body: None, received: 0, scanner: Scanner::default() }
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<usize, GitError> {
        let body = match &mut self.body {
            Some(body) => body,
            None if self.listing => self.body.insert(self.session.list()?),
            None => self.body.insert(self.session.upload_pack(std::mem::take(&mut self.request))?),
        };
        let count = body.read(buffer).map_err(|error| self.session.net_error(net_cause(error)))?;
        self.scanner.feed(&buffer[..count]);
        self.received += count as u64;
        self.note()?;
        Ok(count)
    }

    /// Puts what the scanner found where the fetch looks for it.
    fn note(&mut self) -> Result<(), GitError> {
        let mut state = self.session.state();
        if let Some(said) = self.scanner.said().filter(|_| !self.scanner.errors.is_empty() || state.said.is_none()) {
            state.said = Some(said);
        }
        let url = || self.session.0.url.redacted();
        if self.listing && self.scanner.capabilities.known {
            state.capabilities = self.scanner.capabilities;
            if state.capabilities.sha256 {
                return Err(GitError::Unsupported { url: url(), what: "SHA-256 object names" });
            }
        }
        if self.listing && self.received > ADVERTISEMENT_BYTES {
            return Err(GitError::Limit { url: url(), limit: "advertisement-bytes", value: ADVERTISEMENT_BYTES });
        }
        Ok(())
    }
}

fn net_cause(error: io::Error) -> NetError {
    let text = error.to_string();
    let inner = error.into_inner().and_then(|inner| inner.downcast::<NetError>().ok());
    inner.map_or_else(|| NetError::Settings(text), |inner| *inner)
}

impl Read for Exchange {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.receive(buffer).map_err(|error| {
            self.session.keep(error);
            // libgit2 shows this to nobody: the session has the error itself.
            io::Error::other("the connection failed")
        })
    }
}

impl Write for Exchange {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.request.len() + bytes.len() > REQUEST_BYTES {
            return Err(io::Error::other("the request is too long"));
        }
        self.request.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
