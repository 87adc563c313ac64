//! One fetch's conversation with a host: the way to it, and what went wrong. libgit2 knows errors only as text, so what really
//! happened is kept here and taken from here.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::GitError;
use super::pkt::Fault;
use super::remote::{Capabilities, Scanner};
use super::resolve::Asked;
use crate::model::Address;
use crate::net::{BlockingClient, Credential, NetError, SshIdentity};
use crate::support::limits::{GIT_REFS, GIT_REFS_BYTES};

const SHA256: &str = "SHA-256 object names";

/// How a repository's host is talked to, and who this pod is there.
#[derive(Clone, Debug)]
pub enum Door {
    /// The credential is shown to the address's own origin only, and only when it asks.
    Http(Option<Credential>),
    Ssh(SshIdentity),
    /// git's own daemon, which knows nobody.
    Daemon,
}

/// One fetch's conversation with a host.
#[derive(Clone)]
pub(super) struct Session(Arc<Inner>);

struct Inner {
    net: BlockingClient,
    address: Address,
    door: Door,
    checked: bool,
    asked: Asked,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What really happened, the first of it.
    trouble: Option<GitError>,
    capabilities: Capabilities,
    said: Option<String>,
}

impl Session {
    /// `checked`: a repository chose the address, so what only this node can see is refused.
    pub fn new(net: BlockingClient, address: Address, door: Door, checked: bool, asked: Asked) -> Self {
        Self(Arc::new(Inner { net, address, door, checked, asked, state: Mutex::default() }))
    }

    pub fn net(&self) -> &BlockingClient {
        &self.0.net
    }

    pub fn address(&self) -> &Address {
        &self.0.address
    }

    pub fn is_checked(&self) -> bool {
        self.0.checked
    }

    pub fn door(&self) -> &Door {
        &self.0.door
    }

    /// The refs that this fetch has to know of.
    pub fn asked(&self) -> &Asked {
        &self.0.asked
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

    /// The server's own words, once there are any.
    pub fn heard(&self, scanner: &Scanner) {
        if let Some(said) = scanner.said() {
            self.state().said = Some(said);
        }
    }

    /// What the list of refs says so far, after so many bytes of it.
    pub fn listed(&self, scanner: &Scanner, received: u64) -> Result<(), GitError> {
        let url = || self.0.address.redacted();
        if scanner.capabilities.sha256 {
            return Err(GitError::Unsupported { url: url(), what: SHA256 });
        }
        if scanner.unreadable {
            return Err(GitError::Unsupported { url: url(), what: "the name of a ref that is no UTF-8" });
        }
        if received > GIT_REFS_BYTES {
            return Err(GitError::Limit { url: url(), limit: GIT_REFS, value: GIT_REFS_BYTES });
        }
        self.state().capabilities = scanner.capabilities;
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn keep(&self, error: GitError) {
        self.state().trouble.get_or_insert(error);
    }

    pub fn net_error(&self, cause: NetError) -> GitError {
        match cause {
            NetError::Cancelled => GitError::Cancelled,
            cause => GitError::Net { url: self.0.address.redacted(), said: self.said(), cause },
        }
    }
    /// What reading from the other side ended with: an error of the network, or what is wrong with what came.
    pub fn read_error(&self, error: io::Error) -> GitError {
        let url = self.0.address.redacted();
        match error.downcast::<Fault>() {
            Ok(Fault::Over(limit, value)) => GitError::Limit { url, limit, value },
            Ok(Fault::Sha256) => GitError::Unsupported { url, what: SHA256 },
            Ok(fault) => GitError::Broken { url, problem: fault.to_string(), said: self.said() },
            Err(error) => self.net_error(NetError::of_io(error)),
        }
    }
}
