//! The same client for code that blocks: libgit2's callbacks, archive readers. Never called from inside an async task.
//!
//! A task on the runtime reads ahead by a few pieces, so that the network and whoever digests the bytes work at once.

use std::io::{self, Read};
use std::time::Duration;

use bytes::{Buf, Bytes};
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::stream::{Place, Said, Stream, Wire};
use super::{Client, NetError, Request, Response, Timeouts};

/// Pieces of a body that may wait to be read; each is at most what the connection reads at once (some 400 KiB).
const READ_AHEAD: usize = 4;

/// A client, the runtime that runs it, and what stops it.
#[derive(Clone, Debug)]
pub struct BlockingClient {
    client: Client,
    runtime: Handle,
    cancel: CancellationToken,
}

/// The head of an answer, and its body as a reader.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// Where the answer came from, after all redirects.
    pub url: Url,
    /// Whether a redirect led away from the request's origin.
    pub foreign: bool,
    pub body: Body,
}

enum Piece {
    Data(Bytes),
    End,
}

impl BlockingClient {
    /// The runtime must be driven by other threads than the ones that call this client.
    pub fn new(client: Client, runtime: Handle, cancel: CancellationToken) -> Self {
        Self { client, runtime, cancel }
    }

    /// One more, whose answers may come to be of no use before all others are.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { cancel: self.cancel.child_token(), ..self.clone() }
    }

    /// Nobody wants the answers any more: what waits for one ends at once.
    pub fn stop(&self) {
        self.cancel.cancel();
    }

    /// Whether nobody wants the answers any more.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    pub(super) fn timeouts(&self) -> Timeouts {
        self.client.timeouts()
    }

    /// The place of a URL; `checked`: somebody else than the request chose the host.
    pub(super) fn place(&self, url: &Url, usual_port: u16, checked: bool) -> Place {
        Place::of(url, usual_port, checked.then(|| self.client.rule()))
    }

    /// Waits for work on the runtime, until it is done or nobody wants it any more.
    pub(super) fn wait<T>(&self, work: impl Future<Output = Result<T, NetError>>) -> Result<T, NetError> {
        self.runtime.block_on(async {
            tokio::select! {
                () = self.cancel.cancelled() => Err(NetError::Cancelled),
                done = work => done,
            }
        })
    }

    pub(super) fn stream(&self, wire: Box<dyn Wire>, said: Said, host: String) -> Stream {
        Stream { wire, said, host, idle: self.timeouts().idle, runtime: self.runtime.clone(), cancel: self.cancel.clone() }
    }

    /// Connects to a host's port and nothing more. `checked`: somebody else than the request chose the host.
    pub fn tcp(&self, url: &Url, usual_port: u16, checked: bool) -> Result<Stream, NetError> {
        let place = self.place(url, usual_port, checked);
        let timeouts = self.timeouts();
        let wire = self.wait(place.connect(&timeouts))?;
        Ok(self.stream(Box::new(wire), Said::default(), place.shown()))
    }

    /// Lets time pass; an error once nobody wants the answers any more.
    pub fn pause(&self, time: Duration) -> Result<(), NetError> {
        self.wait(async {
            tokio::time::sleep(time).await;
            Ok(())
        })
    }

    /// Sends and waits for the head of the answer. See [`Client::send`] for redirects and credentials.
    pub fn send(&self, request: Request) -> Result<Reply, NetError> {
        let (head, waiting) = oneshot::channel();
        let (pieces, body) = mpsc::channel(READ_AHEAD);
        let (client, cancel) = (self.client.clone(), self.cancel.clone());
        self.runtime.spawn(async move {
            tokio::select! {
                () = cancel.cancelled() => {}
                () = exchange(client, request, head, pieces) => {}
            }
        });
        let (status, headers, url, foreign) = waiting.blocking_recv().unwrap_or(Err(NetError::Cancelled))?;
        Ok(Reply { status, headers, url, foreign, body: Body { pieces: body, rest: Bytes::new(), ended: false } })
    }
}

type Head = Result<(StatusCode, HeaderMap, Url, bool), NetError>;

async fn exchange(client: Client, request: Request, head: oneshot::Sender<Head>, pieces: mpsc::Sender<Result<Piece, NetError>>) {
    let mut response = match client.send(request).await {
        Ok(response) => response,
        Err(error) => {
            let _ = head.send(Err(error));
            return;
        }
    };
    let heads = (response.status(), response.headers().clone(), response.url().clone(), response.is_foreign());
    if head.send(Ok(heads)).is_err() {
        return;
    }
    tokio::select! {
        () = pieces.closed() => {}
        () = pump(&mut response, &pieces) => {}
    }
}

async fn pump(response: &mut Response, pieces: &mpsc::Sender<Result<Piece, NetError>>) {
    loop {
        let (piece, more) = match response.chunk().await {
            Ok(Some(bytes)) => (Ok(Piece::Data(bytes)), true),
            Ok(None) => (Ok(Piece::End), false),
            Err(error) => (Err(error), false),
        };
        if pieces.send(piece).await.is_err() || !more {
            return;
        }
    }
}

/// A body as it comes. Every error is a [`NetError`] inside an `io::Error`; a cancelled body is an error, never an end.
pub struct Body {
    pieces: mpsc::Receiver<Result<Piece, NetError>>,
    rest: Bytes,
    ended: bool,
}

impl Body {
    /// Of an answer that async code got, from a task on the runtime that ends with the reader or once nobody wants it any more.
    pub fn of(mut response: Response, runtime: &Handle, cancel: CancellationToken) -> Self {
        let (pieces, body) = mpsc::channel(READ_AHEAD);
        runtime.spawn(async move {
            tokio::select! {
                () = cancel.cancelled() => {}
                () = pieces.closed() => {}
                () = pump(&mut response, &pieces) => {}
            }
        });
        Self { pieces: body, rest: Bytes::new(), ended: false }
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.rest.is_empty() && !self.ended && !buffer.is_empty() {
            match self.pieces.blocking_recv() {
                Some(Ok(Piece::Data(bytes))) => self.rest = bytes,
                Some(Ok(Piece::End)) => self.ended = true,
                Some(Err(error)) => return Err(io::Error::other(error)),
                None => return Err(io::Error::other(NetError::Cancelled)),
            }
        }
        let length = self.rest.len().min(buffer.len());
        self.rest.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Body")
    }
}
