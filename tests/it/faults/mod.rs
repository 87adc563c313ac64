//! Peers that fail on purpose: a relay in front of a real one, and a server that only ever answers by its script.

use crate::harness::process::new_listener;
use crate::harness::relay::Relay;
use crate::harness::rule::Act;

/// A port of its own in front of a real peer, or in front of nothing.
pub struct Faulty {
    pub relay: Relay,
    pub port: u16,
}

impl Faulty {
    /// Passes on to this port what no rule takes.
    pub fn before(port: u16) -> Self {
        Self::listen(Some(port))
    }

    /// Answers by rules alone; everything else is cut off.
    pub fn alone() -> Self {
        Self::listen(None)
    }

    fn listen(to: Option<u16>) -> Self {
        let (listener, port) = new_listener();
        Self { relay: Relay::tcp(listener, to), port }
    }

    /// `127.0.0.1:PORT`.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The next `times` such calls get 503, and then it is well.
    pub fn unavailable(&self, times: usize, method: &str, path: &str) {
        self.relay.answer(times, method, path, 503, "try again");
    }

    /// Sends on this many bytes of the next such answer, then hangs up.
    pub fn cut_answer(&self, method: &str, path: &str, after: u64) {
        self.relay.rule(1, method, path, Act::CutAnswer { after });
    }

    /// Takes this many bytes of the next such request's body, then hangs up.
    pub fn cut_request(&self, method: &str, path: &str, after: u64) {
        self.relay.rule(1, method, path, Act::CutRequest { after });
    }

    /// Sends on this many bytes of the next such answer, then keeps silent.
    pub fn stall(&self, method: &str, path: &str, after: u64) {
        self.relay.rule(1, method, path, Act::Stall { after });
    }
}
