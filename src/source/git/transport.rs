//! What libgit2 calls for every URL: the transport of the session that this thread has under way.

use std::cell::RefCell;
use std::sync::Arc;

use git2::transport::Transport;
use git2::{Error, Remote};

use super::http::Http;
use super::session::{Door, Session};
use super::transport_http::HttpTransport;
use super::transport_stream::StreamTransport;

thread_local! {
    static SESSION: RefCell<Option<Session>> = const { RefCell::new(None) };
}

/// While it lives, libgit2's transports of this thread belong to one session.
pub(super) struct Entered;

impl Drop for Entered {
    fn drop(&mut self) {
        SESSION.with(|session| session.borrow_mut().take());
    }
}

/// Makes the session this thread's own until the guard is dropped.
pub(super) fn enter(session: &Session) -> Entered {
    SESSION.with(|slot| slot.borrow_mut().replace(session.clone()));
    Entered
}

pub(super) fn for_this_thread(remote: &Remote<'_>) -> Result<Transport, Error> {
    let session = SESSION.with(|session| session.borrow().clone());
    let session = session.ok_or_else(|| Error::from_str("no fetch is under way on this thread"))?;
    match session.door() {
        Door::Http(credential) => {
            let http = Arc::new(Http::new(credential.clone()));
            Transport::smart(remote, true, HttpTransport { session, http })
        }
        Door::Ssh(_) | Door::Daemon => Transport::smart(remote, false, StreamTransport(session)),
    }
}
