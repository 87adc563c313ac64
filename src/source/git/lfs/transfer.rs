//! Fetching objects, a few at once, each into its own place in the store's file; what comes is held against the pointer.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::LfsError;
use super::api::{Action, Wanted};
use super::ask::{Asker, body_error};
use crate::model::digest::hex;
use crate::model::{Classified, Reason};
use crate::net::RedactedUrl;
use crate::net::header::CONTENT_LENGTH;
use crate::source::git::GitError;
use crate::source::git::fetch::workspace_failed;

/// Objects that come at once: each holds some 2 MB of what was read ahead.
const AT_ONCE: usize = 4;

const PIECE: usize = 64 << 10;

/// How often it is asked whether to go on.
const EVERY: Duration = Duration::from_millis(100);

/// One object, by its number, and whether it came: where it was to come from may have been over before its turn.
pub(super) type Outcome = (usize, Result<bool, GitError>);

/// Where objects go.
pub(super) struct Transfer<'a> {
    pub asker: &'a Asker<'a>,
    pub file: &'a File,
    /// For errors.
    pub workspace: &'a Path,
    /// Bytes that came, of all objects.
    pub received: &'a AtomicU64,
}

/// Whether another try may bring an object: leave to fetch it may have run out since it was given.
pub(super) fn passes(error: &GitError) -> bool {
    error.reason() == Reason::SourceUnavailable || matches!(error, GitError::Lfs(LfsError::Auth { .. }))
}

impl Transfer<'_> {
    /// Fetches them all, as far as they can be had; one that will not come is the end of all. `goes_on` is asked a few times a
    /// second. Outcomes are in the order in which they were known, so that the first error that does not pass is the reason.
    pub fn run(&self, jobs: Vec<(usize, &Wanted, Action)>, goes_on: &mut dyn FnMut() -> bool) -> Vec<Outcome> {
        let workers = jobs.len().min(AT_ONCE);
        let (outcomes, waiting) = channel();
        let queue = Mutex::new(jobs.into_iter());
        thread::scope(|scope| {
            for _ in 0..workers {
                let (outcomes, queue) = (outcomes.clone(), &queue);
                scope.spawn(move || {
                    let next = || queue.lock().ok()?.next();
                    while let Some((index, wanted, action)) = next() {
                        let outcome = self.object(wanted, action);
                        if outcomes.send((index, outcome)).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(outcomes);
            let mut done = Vec::new();
            loop {
                match waiting.recv_timeout(EVERY) {
                    Ok(outcome) => {
                        if outcome.1.as_ref().is_err_and(|error| !passes(error)) {
                            self.asker.net.stop();
                        }
                        done.push(outcome);
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => return done,
                }
                if !goes_on() {
                    self.asker.net.stop();
                }
            }
        })
    }

    fn object(&self, wanted: &Wanted, action: Action) -> Result<bool, GitError> {
        if self.asker.net.is_cancelled() {
            return Err(GitError::Cancelled);
        }
        if action.is_over() {
            return Ok(false);
        }
        let authorized = action.is_authorized();
        let reply = self.asker.object(&action.href, action.headers, authorized)?;
        let wrong = |problem: String| LfsError::Integrity { path: wanted.path.clone(), problem };
        let announced = reply.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if let Some(other) = announced.filter(|length| *length != wanted.size) {
            return Err(wrong(format!("{other} bytes come, and the pointer says {}", wanted.size)).into());
        }
        let url = RedactedUrl::new(reply.url.clone());
        let (mut body, mut hash, mut piece, mut at) = (reply.body, Sha256::new(), vec![0; PIECE], 0);
        loop {
            let count = body.read(&mut piece).map_err(|error| body_error(&url, error))?;
            let bytes = &piece[..count];
            if count == 0 {
                break;
            }
            if at + count as u64 > wanted.size {
                return Err(wrong(format!("more bytes come than the {} that the pointer says", wanted.size)).into());
            }
            hash.update(bytes);
            self.file.write_all_at(bytes, wanted.offset + at).map_err(|cause| workspace_failed(self.workspace, cause))?;
            at += count as u64;
            self.received.fetch_add(count as u64, Ordering::Relaxed);
        }
        if at < wanted.size {
            return Err(wrong(format!("it ended after {at} of {} bytes", wanted.size)).into());
        }
        let digest: [u8; 32] = hash.finalize().into();
        if digest != wanted.oid {
            return Err(wrong(format!("its SHA-256 is {}, the pointer's {}", hex(&digest), hex(&wanted.oid))).into());
        }
        Ok(true)
    }
}
