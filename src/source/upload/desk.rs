//! The desk where uploads are handed in: one at a time, and none after the first that was whole.
//!
//! Senders are asynchronous, the reader of archives is not: between them is a channel of few pieces, so that a slow disk slows
//! the sender down and memory stays flat.

use std::io::{self, Read};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::socket::Place;
use super::{Receipt, Refusal, UploadError, UploadOptions, http, socket};
use crate::model::Reason;
use crate::source::archive::{ArchiveError, Asker, Progress};
use crate::support::limits::SOURCE_BYTES;

/// Pieces between a sender and the reader.
const PIECES: usize = 4;

/// Connections at once. Whoever holds one without a token has it for seconds only.
const HTTP_CONNECTIONS: usize = 64;
const SOCKET_CONNECTIONS: usize = 8;

/// How long a sender may take to read what became of its upload, once the run has ended.
const LAST_WORDS: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Taking,
    Done,
}

/// What all senders share.
pub(super) struct Counter {
    state: Mutex<State>,
    uploads: mpsc::Sender<Upload>,
    pub options: UploadOptions,
    /// Room for connections; more wait to be accepted.
    pub http: Arc<Semaphore>,
    pub socket: Arc<Semaphore>,
}

impl Counter {
    pub fn is_waiting(&self) -> bool {
        *self.state() == State::Waiting
    }

    /// Takes the desk for one upload; `None` where another has it, or had it.
    pub async fn begin(self: &Arc<Self>, framing: Framing, total: Option<u64>) -> Option<Sender> {
        {
            let mut state = self.state();
            if *state != State::Waiting {
                return None;
            }
            *state = State::Taking;
        }
        let (pieces, from) = mpsc::channel(PIECES);
        let (verdict, hears) = oneshot::channel();
        let taken = Some(Taken { counter: Arc::clone(self), next: State::Waiting });
        let most = (self.options.bytes, self.options.idle);
        let upload = Upload { framing, total, from, piece: Bytes::new(), bytes: 0, ending: None, verdict: Some(verdict), taken, most };
        self.uploads.send(upload).await.ok()?;
        Some(Sender { pieces, hears })
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The desk, while one upload has it.
struct Taken {
    counter: Arc<Counter>,
    next: State,
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut state = self.counter.state();
        // A desk that was closed meanwhile stays so.
        if *state == State::Taking {
            *state = self.next;
        }
    }
}

/// How a sender says that all was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    /// Said by whoever has the file.
    Http,
    /// Said by `podwright receive`, which cannot tell the end of its standard input from a `kubectl` that was killed.
    Receive,
}

/// Why no more pieces come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Whole,
    Cut,
    /// All came, and is not what the sender says it sent.
    Corrupt(String),
    Silent,
    /// It says itself that it is larger than it may be.
    TooLarge(u64),
}

enum Piece {
    Data(Bytes),
    End(Ending),
}

/// A sender's side of an upload.
pub(super) struct Sender {
    pieces: mpsc::Sender<Piece>,
    hears: oneshot::Receiver<Verdict>,
}

pub(super) enum Verdict {
    Taken(Receipt),
    Refused(Refusal),
    TooLarge(Refusal),
    Corrupt(Refusal),
    Silent(Refusal),
}

impl Sender {
    /// Whether more is wanted.
    pub async fn piece(&self, data: Bytes) -> bool {
        self.pieces.send(Piece::Data(data)).await.is_ok()
    }

    /// Says how it ended; what became of it. `None` where nobody decides any more.
    pub async fn end(self, ending: Ending) -> Option<Verdict> {
        let _ = self.pieces.send(Piece::End(ending)).await;
        self.verdict().await
    }

    /// What became of an upload of which no more is wanted.
    pub async fn verdict(self) -> Option<Verdict> {
        drop(self.pieces);
        self.hears.await.ok()
    }
}

/// An upload on its way in, to be read where blocking is allowed. Dropped without a word, it is as if it had not come.
pub struct Upload {
    framing: Framing,
    total: Option<u64>,
    from: mpsc::Receiver<Piece>,
    piece: Bytes,
    bytes: u64,
    ending: Option<Ending>,
    verdict: Option<oneshot::Sender<Verdict>>,
    /// `None` once the desk is free again, or closed.
    taken: Option<Taken>,
    /// The bytes it may have, and the silence within it.
    most: (u64, Duration),
}

/// The upload was none, and another may come: why, for people.
#[derive(Debug, PartialEq, Eq)]
pub struct Again(pub String);

impl Upload {
    /// Bytes that the sender says will come.
    pub fn total(&self) -> Option<u64> {
        self.total
    }

    /// It is the source.
    pub fn accept(mut self, receipt: Receipt) {
        self.leave(State::Done);
        self.tell(Verdict::Taken(receipt));
    }

    /// What an upload that did not become a tree means to the run. Where the bytes are to blame it is first read on, to where its
    /// sender says whether they are the ones that were sent. Blocks.
    pub fn refuse(mut self, cause: ArchiveError, progress: &mut Progress<'_>) -> Result<Again, UploadError> {
        let cause = if cause.is_about_content() && self.read_on(progress).is_break() { ArchiveError::Cancelled } else { cause };
        if matches!(cause, ArchiveError::Cancelled) {
            // Nothing is wrong with it: its sender hears that the agent has ended.
            self.leave(State::Done);
            return Err(cause.into());
        }
        let error = match self.ending.take() {
            Some(Ending::Cut) => {
                let why = format!("an upload was cut after {} bytes", self.bytes);
                return Ok(self.again(why, Verdict::Corrupt));
            }
            Some(Ending::Corrupt(why)) => return Ok(self.again(why, Verdict::Corrupt)),
            Some(Ending::Whole) if self.framing == Framing::Receive && may_be_cut(&cause) => {
                let why = format!("what came on the standard input of podwright receive was cut, or is another archive: {cause}");
                let refusal = Refusal::of(&cause);
                return Ok(self.again(why, |_| Verdict::Refused(refusal)));
            }
            Some(Ending::Silent) => UploadError::Idle { bytes: self.bytes, after: self.most.1 },
            Some(Ending::TooLarge(says)) => UploadError::TooLarge { says, most: self.most.0 },
            Some(Ending::Whole) | None => cause.into(),
        };
        let refusal = Refusal::of(&error);
        self.leave(State::Done);
        self.tell(match error {
            UploadError::Idle { .. } => Verdict::Silent(refusal),
            UploadError::TooLarge { .. } => Verdict::TooLarge(refusal),
            UploadError::Archive(ArchiveError::Limit { limit, .. }) if limit == SOURCE_BYTES => Verdict::TooLarge(refusal),
            _ => Verdict::Refused(refusal),
        });
        Err(error)
    }

    /// It was no upload; the desk is free before its sender knows.
    fn again(mut self, why: String, verdict: impl FnOnce(Refusal) -> Verdict) -> Again {
        self.leave(State::Waiting);
        self.tell(verdict(Refusal::plain(Reason::SourceIntegrity, why.clone())));
        Again(why)
    }

    /// To its end, or to where it is too long to be one.
    fn read_on(&mut self, progress: &mut Progress<'_>) -> ControlFlow<()> {
        self.bytes += self.piece.split_off(0).len() as u64;
        while self.ending.is_none() && self.bytes <= self.most.0 {
            self.receive();
            self.bytes += self.piece.split_off(0).len() as u64;
            progress(self.bytes)?;
        }
        ControlFlow::Continue(())
    }

    /// The next piece, or the ending.
    fn receive(&mut self) {
        match self.from.blocking_recv() {
            Some(Piece::Data(data)) => self.piece = data,
            Some(Piece::End(ending)) => self.ending = Some(ending),
            None => self.ending = Some(Ending::Cut),
        }
    }

    fn leave(&mut self, next: State) {
        if let Some(mut taken) = self.taken.take() {
            taken.next = next;
        }
    }

    fn tell(&mut self, verdict: Verdict) {
        if let Some(hears) = self.verdict.take() {
            let _ = hears.send(verdict);
        }
    }
}

/// Whether it is what an archive looks like of which the end did not come.
fn may_be_cut(cause: &ArchiveError) -> bool {
    matches!(cause, ArchiveError::Truncated(_) | ArchiveError::Digest { by: Asker::Request, .. })
}

impl Read for Upload {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() && self.ending.is_none() {
            self.receive();
        }
        if self.piece.is_empty() {
            return match self.ending {
                Some(Ending::Whole) => Ok(0),
                _ => Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the upload broke off")),
            };
        }
        let count = self.piece.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.piece.split_to(count));
        self.bytes += count as u64;
        Ok(count)
    }
}

/// Everything that waits for an upload. It stays open when one was taken, to turn others away, and is closed by `close`.
pub struct Desk {
    counter: Arc<Counter>,
    servers: JoinSet<()>,
    /// Where it really listens for `PUT`.
    pub url: Option<String>,
    place: Option<Place>,
}

/// Where uploads come out of the desk.
pub struct Inbox {
    counter: Arc<Counter>,
    uploads: mpsc::Receiver<Upload>,
}

impl Desk {
    /// Listens wherever that is asked for.
    pub async fn open(options: UploadOptions) -> Result<(Self, Inbox), UploadError> {
        let (sender, uploads) = mpsc::channel(1);
        let counter = Arc::new(Counter {
            state: Mutex::new(State::Waiting),
            uploads: sender,
            options,
            http: Arc::new(Semaphore::new(HTTP_CONNECTIONS)),
            socket: Arc::new(Semaphore::new(SOCKET_CONNECTIONS)),
        });
        let mut desk = Self { counter: Arc::clone(&counter), servers: JoinSet::new(), url: None, place: None };
        if let Some(wanted) = &counter.options.http {
            let server = http::Server::bind(wanted, Arc::clone(&counter)).await?;
            desk.url = Some(server.url());
            desk.servers.spawn(server.serve());
        }
        if let Some(wanted) = &counter.options.socket {
            let (listener, place) = socket::bind(wanted).await?;
            desk.place = Some(place);
            desk.servers.spawn(socket::serve(listener, Arc::clone(&counter)));
        }
        Ok((desk, Inbox { counter, uploads }))
    }

    /// Lets senders read what became of their uploads, and then turns everybody away.
    pub async fn close(mut self) {
        *self.counter.state() = State::Done;
        self.place.take();
        self.servers.shutdown().await;
        let Counter { http, socket, .. } = self.counter.as_ref();
        let told = async { (http.acquire_many(most(HTTP_CONNECTIONS)).await, socket.acquire_many(most(SOCKET_CONNECTIONS)).await) };
        let _ = timeout(LAST_WORDS, told).await;
    }
}

fn most(connections: usize) -> u32 {
    u32::try_from(connections).unwrap_or(u32::MAX)
}

impl Inbox {
    /// The next upload that begins.
    pub async fn next(&mut self) -> Result<Upload, UploadError> {
        let after = self.counter.options.first_byte;
        match timeout(after, self.uploads.recv()).await {
            Ok(Some(upload)) => Ok(upload),
            Ok(None) | Err(_) => Err(UploadError::FirstByte { after }),
        }
    }
}

#[cfg(test)]
mod tests;
