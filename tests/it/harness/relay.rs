//! A relay between a client and a server that speak HTTP/1.1: it records every call and does to it what a test asks for.
//!
//! The same relay stands on the engine's socket in every end-to-end run, and in front of registries and git servers where
//! a test needs them to fail. It changes nothing it was not told to change.

use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use super::connection::Connection;
use super::rule::{Act, Call, Gate, Rule};

/// Judges a call by itself and those before it; words say what is wrong with it.
pub type Judge = fn(&Call, &[Call]) -> Result<(), String>;

/// A relay that is running; it stops when this is dropped.
pub struct Relay(Arc<Shared>);

/// What all connections of a relay have in common.
pub(super) struct Shared {
    pub(super) judge: Option<Judge>,
    rules: Mutex<Vec<Rule>>,
    pub(super) calls: Mutex<Vec<Call>>,
    pub(super) violations: Mutex<Vec<String>>,
    /// Connections to the other side that are open now.
    pub(super) open: AtomicUsize,
    /// Connections that ever came to its port.
    accepted: AtomicUsize,
    pub(super) stopping: AtomicBool,
    /// Whether the other side is left as it is when a client leaves.
    pub(super) deaf: AtomicBool,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Relay {
    fn shared(judge: Option<Judge>) -> Arc<Shared> {
        Arc::new(Shared {
            judge,
            rules: Mutex::default(),
            calls: Mutex::default(),
            violations: Mutex::default(),
            open: AtomicUsize::new(0),
            accepted: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            deaf: AtomicBool::new(false),
        })
    }

    /// From one unix socket to another.
    pub fn unix(listen: &Path, to: &Path, judge: Option<Judge>) -> Self {
        let shared = Self::shared(judge);
        let listener = UnixListener::bind(listen).unwrap_or_else(|e| panic!("{}: {e}", listen.display()));
        let (accepting, to) = (Arc::clone(&shared), to.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if accepting.stopping.load(Ordering::Relaxed) {
                    break;
                }
                let (shared, to) = (Arc::clone(&accepting), to.clone());
                thread::spawn(move || Connection::serve(&shared, client, move || UnixStream::connect(&to)));
            }
        });
        Self(shared)
    }

    /// From a port of its own to another port; with no other side, every call must have its answer by a rule.
    pub fn tcp(listener: TcpListener, to: Option<u16>) -> Self {
        let shared = Self::shared(None);
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if accepting.stopping.load(Ordering::Relaxed) {
                    break;
                }
                accepting.accepted.fetch_add(1, Ordering::SeqCst);
                let shared = Arc::clone(&accepting);
                thread::spawn(move || {
                    Connection::serve(&shared, client, move || {
                        TcpStream::connect(("127.0.0.1", to.ok_or(io::ErrorKind::ConnectionRefused)?))
                    });
                });
            }
        });
        Self(shared)
    }

    /// From now on, a client that leaves is no news to the other side: its connections stay open while this lives.
    pub fn deafen(&self) {
        self.0.deaf.store(true, Ordering::SeqCst);
    }

    /// From now on, the next `times` calls that match get this. The first rule that matches applies.
    pub fn rule(&self, times: usize, method: &str, path: &str, act: Act) {
        lock(&self.0.rules).push(Rule { method: method.to_owned(), path: path.to_owned(), left: times, act });
    }

    /// Answers the next `times` such calls here.
    pub fn answer(&self, times: usize, method: &str, path: &str, status: u16, body: &str) {
        self.answer_with(times, method, path, status, &[], body);
    }

    pub fn answer_with(&self, times: usize, method: &str, path: &str, status: u16, headers: &[(&str, &str)], body: &str) {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        self.rule(times, method, path, Act::Answer { status, headers, body: body.as_bytes().to_vec() });
    }

    /// Keeps the next such call waiting at the gate that is returned.
    pub fn hold(&self, method: &str, path: &str) -> Gate {
        let gate = Gate::default();
        self.rule(1, method, path, Act::Hold(gate.clone()));
        gate
    }

    /// Every call so far, in the order of their heads.
    pub fn calls(&self) -> Vec<Call> {
        lock(&self.0.calls).clone()
    }

    /// How many such calls came.
    pub fn count(&self, method: &str, path: &str) -> usize {
        lock(&self.0.calls).iter().filter(|call| call.is(method, path)).count()
    }

    /// What the judge found wrong.
    pub fn violations(&self) -> Vec<String> {
        lock(&self.0.violations).clone()
    }

    /// Connections that ever came to its port.
    pub fn accepted(&self) -> usize {
        self.0.accepted.load(Ordering::SeqCst)
    }

    /// Connections to the other side that are open now, and should not be without a client.
    pub fn open(&self) -> usize {
        if self.0.deaf.load(Ordering::SeqCst) { 0 } else { self.0.open.load(Ordering::SeqCst) }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // The accepting thread leaves at its next connection, or with the process.
        self.0.stopping.store(true, Ordering::SeqCst);
    }
}

impl Shared {
    pub(super) fn act_on(&self, call: &Call) -> Option<Act> {
        let mut rules = lock(&self.rules);
        let rule = rules.iter_mut().find(|rule| rule.left > 0 && call.is(&rule.method, &rule.path))?;
        rule.left = if rule.left == usize::MAX { usize::MAX } else { rule.left - 1 };
        Some(rule.act.clone())
    }
}
