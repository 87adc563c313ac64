//! One connection through a relay: requests and answers in step, bodies as they come, and an upgrade at the end.
//!
//! Both sides are read at the same time: a server may answer while it is still being sent to, and a client that leaves
//! must be seen to leave even while nothing comes back.

use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::http::{Head, Messages};
use super::relay::{Shared, lock};
use super::rule::{Act, Call, Gate, Script};

/// A stream with two ends that can be closed.
pub trait Pipe: Read + Write + Send + Sync + Sized + 'static {
    fn twin(&self) -> io::Result<Self>;
    fn hang_up(&self, how: Shutdown);
}

impl Pipe for UnixStream {
    fn twin(&self) -> io::Result<Self> {
        self.try_clone()
    }
    fn hang_up(&self, how: Shutdown) {
        let _ = self.shutdown(how);
    }
}

impl Pipe for TcpStream {
    fn twin(&self) -> io::Result<Self> {
        self.try_clone()
    }
    fn hang_up(&self, how: Shutdown) {
        let _ = self.shutdown(how);
    }
}

/// What the client sends, read by a thread of its own, so that its leaving is seen while an answer is on the way.
struct Incoming(Receiver<Vec<u8>>, Vec<u8>);

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.1.is_empty() {
            self.1 = self.0.recv().unwrap_or_default();
        }
        let now = buffer.len().min(self.1.len());
        buffer[..now].copy_from_slice(&self.1[..now]);
        self.1.drain(..now);
        Ok(now)
    }
}

/// The far side of one connection, shared with the thread that watches the client.
struct Far<U> {
    stream: Mutex<Option<U>>,
    client_gone: AtomicBool,
    raw: AtomicBool,
    /// It is not told that the client left.
    deaf: bool,
}

pub(super) struct Connection<'a, C, U: Pipe> {
    shared: &'a Shared,
    client: C,
    requests: Messages<Incoming>,
    far: Arc<Far<U>>,
    answers: Option<Messages<U>>,
}

impl<C: Pipe, U: Pipe> Connection<'_, C, U> {
    pub(super) fn serve(shared: &Shared, client: C, dial: impl Fn() -> io::Result<U>) {
        let far = Arc::new(Far {
            stream: Mutex::new(None),
            client_gone: AtomicBool::new(false),
            raw: AtomicBool::new(false),
            deaf: shared.deaf.load(Ordering::SeqCst),
        });
        let (sender, receiver) = sync_channel(64);
        let (Ok(reading), watching) = (client.twin(), Arc::clone(&far)) else { return };
        thread::spawn(move || watch(reading, &sender, &watching));
        let requests = Messages::new(Incoming(receiver, Vec::new()));
        let mut connection = Connection { shared, client, requests, far, answers: None };
        if connection.converse(&dial).is_err_and(|e| e.kind() == io::ErrorKind::InvalidData) {
            // As any plain server answers a client that tries TLS first.
            let _ = connection.client.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
        connection.client.hang_up(Shutdown::Both);
        if let Some(stream) = lock(&connection.far.stream).take() {
            shared.open.fetch_sub(1, Ordering::SeqCst);
            if connection.far.deaf {
                Gate::default().pass(&|| shared.stopping.load(Ordering::SeqCst));
            }
            stream.hang_up(Shutdown::Both);
        }
    }

    fn converse(&mut self, dial: &dyn Fn() -> io::Result<U>) -> io::Result<()> {
        while let Some(head) = self.requests.head()? {
            let call = Call::of(&head);
            let number = {
                let mut calls = lock(&self.shared.calls);
                if let Some(Err(why)) = self.shared.judge.map(|judge| judge(&call, &calls)) {
                    lock(&self.shared.violations).push(format!("{}: {why}", head.first));
                    drop(calls);
                    return self.client.write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
                }
                calls.push(call.clone());
                calls.len() - 1
            };
            let act = self.shared.act_on(&call);
            if let Some(Act::Hold(gate)) = &act {
                let far = Arc::clone(&self.far);
                gate.pass(&|| far.client_gone.load(Ordering::SeqCst));
                if far.client_gone.load(Ordering::SeqCst) {
                    break;
                }
            }
            let go_on = match act {
                Some(Act::Answer { status, headers, body }) => self.answer(number, &head, status, &headers, &body)?,
                Some(Act::Script(script)) => self.play(number, &head, &script)?,
                act => {
                    self.connect(dial)?;
                    self.forward(number, &head, act.as_ref())?
                }
            };
            if !go_on {
                break;
            }
        }
        Ok(())
    }

    fn connect(&mut self, dial: &dyn Fn() -> io::Result<U>) -> io::Result<()> {
        if self.answers.is_none() {
            let stream = dial()?;
            self.answers = Some(Messages::new(stream.twin()?));
            *lock(&self.far.stream) = Some(stream);
            self.shared.open.fetch_add(1, Ordering::SeqCst);
            if self.far.client_gone.load(Ordering::SeqCst) {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
        }
        Ok(())
    }

    fn answer(&mut self, number: usize, head: &Head, status: u16, headers: &[(String, String)], body: &[u8]) -> io::Result<bool> {
        if head.header("expect").is_some() {
            self.client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let mut sent = 0;
        self.requests.body(head.request_framing(), &mut |part| {
            sent += part.len() as u64;
            Ok(())
        })?;
        let phrase = http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("By Rule");
        let mut text = format!("HTTP/1.1 {status} {phrase}\r\n");
        for (name, value) in headers {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        if !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-length")) {
            let _ = write!(text, "content-length: {}\r\n", body.len());
        }
        self.client.write_all(format!("{text}\r\n").as_bytes())?;
        if head.word(0) != "HEAD" {
            self.client.write_all(body)?;
        }
        let call = &mut lock(&self.shared.calls)[number];
        (call.status, call.request_bytes, call.response_bytes) = (Some(status), sent, body.len() as u64);
        Ok(true)
    }

    fn play(&mut self, number: usize, head: &Head, script: &Script) -> io::Result<bool> {
        if script.reads {
            self.requests.body(head.request_framing(), &mut |_| Ok(()))?;
        }
        let told = script.run(&mut self.client);
        lock(&self.shared.calls)[number].status = Some(200);
        told.map(|()| false)
    }

    /// Passes one call on; whether the connection can take another.
    fn forward(&mut self, number: usize, head: &Head, act: Option<&Act>) -> io::Result<bool> {
        let mut to_far = lock(&self.far.stream).as_ref().ok_or(io::ErrorKind::NotConnected)?.twin()?;
        to_far.write_all(&head.raw)?;
        let Some(answers) = self.answers.as_mut() else { return Ok(false) };
        let (shared, requests, client, far) = (self.shared, &mut self.requests, &mut self.client, &self.far);
        thread::scope(|scope| {
            let upload = scope.spawn(|| {
                let mut left = if let Some(Act::CutRequest { after }) = act { *after } else { u64::MAX };
                let sent = requests.body(head.request_framing(), &mut |part| {
                    let now = usize::try_from(left).unwrap_or(usize::MAX).min(part.len());
                    lock(&shared.calls)[number].request_bytes += now as u64;
                    left -= now as u64;
                    to_far.write_all(&part[..now])?;
                    if matches!(act, Some(Act::SlowRequest)) {
                        thread::sleep(Duration::from_millis(50));
                    }
                    if left == 0 { Err(io::ErrorKind::ConnectionAborted.into()) } else { Ok(()) }
                });
                if sent.is_err() && left == 0 {
                    to_far.hang_up(Shutdown::Both);
                }
                requests
            });
            let answered = pass_answer(shared, number, head, act, answers, client, far);
            if answered.is_err() {
                client.hang_up(Shutdown::Both);
            }
            let requests = upload.join().map_err(|_| io::Error::other("the upload's thread died"))?;
            let answer = answered?;
            if answer.status() == 101 {
                tunnel(requests, answers, client, far);
                return Ok(false);
            }
            Ok(!answer.says_close() && act.is_none_or(|act| matches!(act, Act::Hold(_))))
        })
    }
}

/// Hands on what the client sends; where it leaves, the far side is told at once.
fn watch<C: Pipe, U: Pipe>(mut client: C, sender: &SyncSender<Vec<u8>>, far: &Far<U>) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(read @ 1..) = client.read(&mut buffer) {
        if sender.send(buffer[..read].to_vec()).is_err() {
            break;
        }
    }
    far.client_gone.store(true, Ordering::SeqCst);
    if far.deaf {
        return;
    }
    if let Some(stream) = lock(&far.stream).as_ref() {
        stream.hang_up(if far.raw.load(Ordering::SeqCst) { Shutdown::Write } else { Shutdown::Both });
    }
}

fn pass_answer<C: Pipe, U: Pipe>(
    shared: &Shared,
    number: usize,
    head: &Head,
    act: Option<&Act>,
    answers: &mut Messages<U>,
    client: &mut C,
    far: &Far<U>,
) -> io::Result<Head> {
    let mut left = match act {
        Some(Act::CutAnswer { after } | Act::Stall { after }) => *after,
        _ => u64::MAX,
    };
    let mut tail = Vec::new();
    let mut pass = |part: &[u8]| {
        if let Some(Act::CutAt { words, gate }) = act {
            tail.extend_from_slice(part);
            if tail.windows(words.len()).any(|window| window == words.as_bytes()) {
                gate.pass(&|| far.client_gone.load(Ordering::SeqCst) || shared.stopping.load(Ordering::SeqCst));
                client.write_all(part)?;
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            tail.drain(..tail.len().saturating_sub(words.len()));
        }
        let now = usize::try_from(left).unwrap_or(usize::MAX).min(part.len());
        client.write_all(&part[..now])?;
        lock(&shared.calls)[number].response_bytes += now as u64;
        left -= now as u64;
        if left > 0 {
            return Ok(());
        }
        if let Some(Act::Stall { .. }) = act {
            Gate::default().pass(&|| far.client_gone.load(Ordering::SeqCst) || shared.stopping.load(Ordering::SeqCst));
        }
        Err(io::ErrorKind::ConnectionAborted.into())
    };
    loop {
        let answer = answers.head()?.ok_or(io::ErrorKind::UnexpectedEof)?;
        if answer.status() == 101 {
            far.raw.store(true, Ordering::SeqCst);
        }
        lock(&shared.calls)[number].status = Some(answer.status());
        pass(&answer.raw)?;
        if !matches!(answer.status(), 100..=199) || answer.status() == 101 {
            answers.body(answer.response_framing(head.word(0)), &mut pass)?;
            return Ok(answer);
        }
    }
}

/// After an upgrade: bytes both ways until both ends are done.
fn tunnel<C: Pipe, U: Pipe>(requests: &mut Messages<Incoming>, answers: &mut Messages<U>, client: &mut C, far: &Far<U>) {
    let Some(mut to_far) = lock(&far.stream).as_ref().and_then(|stream| stream.twin().ok()) else { return };
    thread::scope(|scope| {
        scope.spawn(|| {
            let _ = requests.rest(&mut |part| to_far.write_all(part));
            if !far.deaf {
                to_far.hang_up(Shutdown::Write);
            }
        });
        let _ = answers.rest(&mut |part| client.write_all(part));
        client.hang_up(Shutdown::Both);
    });
}
