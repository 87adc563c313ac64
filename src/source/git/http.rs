//! One fetch's requests to a host over http (gitprotocol-http(5)): in protocol version 2 where the host speaks it, else in version 0,
//! which is all that libgit2 knows.
//!
//! Redirects are followed for the first request alone, as git does; where it ends up is where the others go, and a credential
//! never goes along to another origin.

use std::io::{self, Cursor, Read};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use url::Url;

use super::GitError;
use super::answer::Answer;
use super::remote::readable;
use super::session::Session;
use super::version2::{self, List, Offer, Opening, Wants};
use crate::net::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use crate::net::{Body, Credential, RedactedUrl, Reply, Request};

/// Hosts choose by it whether they talk to git or to a browser; the first word has to be this one.
const AGENT: &str = concat!("git/2.0 (podwright ", env!("CARGO_PKG_VERSION"), ")");

const QUERY: &str = "service=git-upload-pack";

/// How the version is asked for (gitprotocol-v2(5), "HTTP Transport"); hosts that do not know it speak version 0.
const PROTOCOL: HeaderName = HeaderName::from_static("git-protocol");

/// What libgit2 expects before a list over http.
const SERVICE: &[u8] = b"001e# service=git-upload-pack\n0000";

/// What libgit2 reads of an answer.
pub(super) type Answered = Box<dyn Read + Send>;

/// The answer to a fetch in version 2: libgit2 reads it in two steps when it is shallow, as two answers of version 0.
#[derive(Clone)]
struct Fetching(Arc<Mutex<(Answer, Body)>>);

impl Read for Fetching {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (answer, body) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        answer.read(body, buffer)
    }
}

/// What is learnt on the way.
#[derive(Default)]
struct State {
    /// Where the repository is, once the first answer said so, and whether that is another origin than the request's.
    base: Option<(Url, bool)>,
    /// The origin asked for the credential, so it is shown from now on.
    offered: bool,
    /// Version 2 is spoken.
    version2: bool,
    /// What the first step of a shallow fetch asked for and left to the second.
    begun: Option<(Wants, Fetching)>,
}

/// The requests of one session.
pub(super) struct Http {
    credential: Option<Credential>,
    state: Mutex<State>,
}

impl Http {
    pub fn new(credential: Option<Credential>) -> Self {
        let offered = credential.as_ref().is_some_and(Credential::is_for_each);
        Self { credential, state: Mutex::new(State { offered, ..State::default() }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `GET info/refs`, the only request whose redirects are followed; in version 2 the list itself is asked for afterwards.
    pub fn list(&self, session: &Session) -> Result<Answered, GitError> {
        let mut url = session.address().url().clone();
        url.set_path(&format!("{}/info/refs", url.path().trim_end_matches('/')));
        url.set_query(Some(QUERY));
        let headers = headers(AGENT, &[(ACCEPT, "*/*"), (PROTOCOL, version2::ASKED)]);
        let request = Request { headers, checked: session.is_checked(), ..Request::get(url) };
        let mut reply = self.ask(session, &request)?;
        check_type(session, &reply, "application/x-git-upload-pack-advertisement")?;
        let base = base_of(&reply.url).ok_or_else(|| GitError::NotGit {
            url: RedactedUrl::new(reply.url.clone()),
            got: "a redirect to a place that is no repository".to_owned(),
        })?;
        self.state().base = Some((base, reply.foreign));
        match version2::open(&mut reply.body).map_err(|error| session.read_error(error))? {
            Opening::Other(begin) => Ok(Box::new(Cursor::new(begin).chain(reply.body))),
            Opening::Version2(offer) => {
                finish(reply.body);
                self.state().version2 = true;
                self.list_refs(session, offer)
            }
        }
    }

    fn list_refs(&self, session: &Session, offer: Offer) -> Result<Answered, GitError> {
        let list = version2::list(session.asked(), |prefixes| {
            let mut body = self.post(session, version2::ls_refs(prefixes), &[(PROTOCOL, version2::ASKED)])?;
            let list = List::read(&mut body, prefixes).map_err(|error| session.read_error(error))?;
            finish(body);
            Ok(list)
        })?;
        Ok(Box::new(list.into_version0(SERVICE, offer)))
    }

    /// What libgit2 asks for in version 0.
    pub fn upload_pack(&self, session: &Session, request: Vec<u8>) -> Result<Answered, GitError> {
        if !self.state().version2 {
            return Ok(Box::new(self.post(session, request, &[])?));
        }
        let (wants, done) = Wants::parse(&request).ok_or_else(version2::not_first)?;
        let begun = self.state().begun.take();
        if let Some((_, fetching)) = begun.filter(|(first, _)| done && *first == wants) {
            return Ok(Box::new(fetching));
        }
        let body = self.post(session, wants.command(), &[(PROTOCOL, version2::ASKED)])?;
        let fetching = Fetching(Arc::new(Mutex::new((Answer::new(wants.deepens()), body))));
        self.state().begun = (!done).then(|| (wants, fetching.clone()));
        Ok(Box::new(fetching))
    }

    /// `POST git-upload-pack`, to where the list came from.
    fn post(&self, session: &Session, body: Vec<u8>, more: &[(HeaderName, &'static str)]) -> Result<Body, GitError> {
        let (mut url, foreign) = self.state().base.clone().unwrap_or_else(|| (session.address().url().clone(), false));
        url.set_path(&format!("{}/git-upload-pack", url.path().trim_end_matches('/')));
        let usual = [(CONTENT_TYPE, "application/x-git-upload-pack-request"), (ACCEPT, "application/x-git-upload-pack-result")];
        let headers = headers(AGENT, &[&usual, more].concat());
        let request = Request { headers, foreign, checked: session.is_checked(), ..Request::post(url, body.into()) };
        let reply = self.ask(session, &request)?;
        check_type(session, &reply, "application/x-git-upload-pack-result")?;
        Ok(reply.body)
    }

    /// Asks without the credential, and once more with it when the host wants one: two requests at most.
    /// Hosts hide private repositories behind 403 and 404 as well as 401.
    fn ask(&self, session: &Session, request: &Request) -> Result<Reply, GitError> {
        let mut offer = self.state().offered;
        loop {
            let credential = self.credential.clone().filter(|_| offer);
            let reply = session.net().send(Request { credential, ..request.clone() }).map_err(|cause| session.net_error(cause))?;
            let status = reply.status.as_u16();
            if status == 200 {
                return Ok(reply);
            }
            let shown = offer && !reply.foreign;
            if offer || request.foreign || self.credential.is_none() || !matches!(status, 401 | 403 | 404) {
                return Err(refusal(reply, shown));
            }
            offer = true;
            self.state().offered = true;
        }
    }
}

/// Waits for http's end of an answer that is over by git's account: then its connection serves the next request. Whatever comes
/// instead, that request fails or is made by another.
fn finish(mut body: Body) {
    let _ = body.read(&mut [0; 1]);
}

fn check_type(session: &Session, reply: &Reply, want: &str) -> Result<(), GitError> {
    let got = reply.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("nothing it would name");
    if got.split(';').next().unwrap_or_default().trim() == want {
        return Ok(());
    }
    Err(GitError::NotGit { url: session.address().redacted(), got: got.chars().take(100).collect() })
}

/// Of a request by one who calls himself so.
pub(super) fn headers(agent: &'static str, pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    map.insert(USER_AGENT, HeaderValue::from_static(agent));
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
        401 | 403 => GitError::Auth { url, status: Some(status), authenticated, said },
        404 | 410 => GitError::NotFound { url, status: Some(status), authenticated, said },
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
