//! What a relay is told to do to a call, and what it remembers of one.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use percent_encoding::percent_decode_str;

use super::http::{Framing, Head};

/// One request that went through a relay, and what became of it.
#[derive(Clone, Debug, Default)]
pub struct Call {
    pub method: String,
    /// Decoded, without the API version's prefix and without the query.
    pub path: String,
    /// Decoded, in the order they were sent.
    pub query: Vec<(String, String)>,
    /// How its head declares the body: in chunks, or of so many bytes.
    pub chunked: bool,
    pub length: Option<String>,
    /// None until the answer came; a call that was cut off keeps none.
    pub status: Option<u16>,
    /// Bytes on the wire.
    pub request_bytes: u64,
    pub response_bytes: u64,
}

impl Call {
    pub fn of(head: &Head) -> Self {
        let (path, query) = head.word(1).split_once('?').unwrap_or((head.word(1), ""));
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        Self {
            method: head.word(0).to_owned(),
            path: decode(without_version(path)),
            query: url::form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            chunked: head.request_framing() == Framing::Chunked,
            length: head.header("content-length").map(str::to_owned),
            ..Self::default()
        }
    }

    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    pub fn is(&self, method: &str, path: &str) -> bool {
        self.method == method && like(path, &self.path)
    }
}

fn without_version(path: &str) -> &str {
    let Some(rest) = path.strip_prefix("/v") else { return path };
    match rest.find('/') {
        // With a dot: a registry's paths begin with /v2/.
        Some(end) if rest[..end].split('.').count() == 2 && rest[..end].bytes().all(|b| b.is_ascii_digit() || b == b'.') => &rest[end..],
        _ => path,
    }
}

/// `*` stands for anything, slashes too.
pub fn like(pattern: &str, text: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == text,
        Some((start, rest)) => text
            .strip_prefix(start)
            .is_some_and(|text| (0..=text.len()).filter(|at| text.is_char_boundary(*at)).any(|at| like(rest, &text[at..]))),
    }
}

/// What to do to a call.
#[derive(Clone, Debug)]
pub enum Act {
    /// Answer it here; it never reaches the other side.
    Answer { status: u16, headers: Vec<(String, String)>, body: Vec<u8> },
    /// Keep it waiting, then pass it on.
    Hold(Gate),
    /// Pass on this many bytes of the answer (head included), then hang up on both sides.
    CutAnswer { after: u64 },
    /// Pass on this many bytes of the request's body, then hang up on both sides.
    CutRequest { after: u64 },
    /// Pass on this many bytes of the answer, then nothing more, with the connection left open.
    Stall { after: u64 },
    /// Take 50 ms for each piece of the request's body: at most 1.3 MB a second.
    SlowRequest,
    /// Pass the answer on until these bytes come, keep them waiting, then pass them on and hang up on both sides.
    CutAt { words: &'static str, gate: Gate },
    /// Answer here with the bytes that this writes, and hang up. It never reaches the other side.
    Script(Script),
}

/// What a daemon that no real one is like writes to its client: whole answers, head included.
#[derive(Clone)]
pub struct Script {
    /// Whether the request is read to its end before.
    pub reads: bool,
    speech: Arc<Speech>,
}

type Speech = dyn Fn(&mut dyn Write) -> io::Result<()> + Send + Sync;

impl Script {
    /// After the whole request.
    pub fn new(speech: impl Fn(&mut dyn Write) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self { reads: true, speech: Arc::new(speech) }
    }

    /// Of these bytes.
    pub fn bytes(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::new(move |out| out.write_all(&bytes))
    }

    /// Before anything of the request's body was read.
    pub fn early(self) -> Self {
        Self { reads: false, ..self }
    }

    pub(super) fn run(&self, out: &mut dyn Write) -> io::Result<()> {
        (self.speech)(out)
    }
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Script").field("reads", &self.reads).finish_non_exhaustive()
    }
}

/// An act for the calls that match, while it lasts.
pub struct Rule {
    pub method: String,
    pub path: String,
    /// Calls it still applies to; `usize::MAX` for all.
    pub left: usize,
    pub act: Act,
}

/// A barrier: a call waits at it, a test sees it arrive and lets it go.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<(Mutex<(usize, bool)>, Condvar)>);

impl Gate {
    /// Called by the relay; gives up when `gone` says so.
    pub(super) fn pass(&self, gone: &dyn Fn() -> bool) {
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        state.0 += 1;
        changed.notify_all();
        while !state.1 && !gone() {
            state = changed.wait_timeout(state, Duration::from_millis(50)).unwrap().0;
        }
    }

    /// Returns once a call waits here.
    pub fn arrived(&self) {
        let (state, changed) = &*self.0;
        let until = Instant::now() + Duration::from_mins(1);
        let mut state = state.lock().unwrap();
        while state.0 == 0 {
            assert!(Instant::now() < until, "no call came to the gate within a minute");
            state = changed.wait_timeout(state, Duration::from_millis(50)).unwrap().0;
        }
    }

    pub fn open(&self) {
        let (state, changed) = &*self.0;
        state.lock().unwrap().1 = true;
        changed.notify_all();
    }
}

#[test]
fn patterns_and_versions_are_understood() {
    assert!(like("/images/*/push", "/images/127.0.0.1:5000/a/b/push"));
    assert!(!like("/images/*/push", "/images/a/pushed"));
    assert!(like("*", "") && like("/build", "/build") && !like("/build", "/build/cancel"));
    for (path, bare) in [("/v1.41/build", "/build"), ("/build", "/build"), ("/volumes", "/volumes"), ("/v2/x", "/v2/x")] {
        assert_eq!(without_version(path), bare);
    }
}
