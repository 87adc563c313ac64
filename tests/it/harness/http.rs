//! HTTP/1.1 as it stands on the wire (RFC 9112): just enough to follow messages through a relay, and to ask one question.
//!
//! A relay must see what is really sent, so nothing here is a client library: heads are kept byte for byte.

use std::fmt::Write as _;
use std::io::{self, Read, Write};

const HEAD_LIMIT: usize = 256 << 10;

/// The first line and the headers of a request or a response.
#[derive(Clone, Debug, Default)]
pub struct Head {
    pub first: String,
    pub headers: Vec<(String, String)>,
    pub raw: Vec<u8>,
}

/// How the end of a body is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Empty,
    Length(u64),
    Chunked,
    UntilClose,
}

impl Head {
    fn parse(raw: Vec<u8>) -> io::Result<Self> {
        let text = String::from_utf8_lossy(&raw).into_owned();
        let mut lines = text.split("\r\n").filter(|line| !line.is_empty());
        let first = lines.next().ok_or_else(|| broken("a head without a first line"))?.to_owned();
        let headers = lines
            .map(|line| line.split_once(':').ok_or_else(|| broken("a header without a colon")))
            .map(|pair| pair.map(|(name, value)| (name.trim().to_ascii_lowercase(), value.trim().to_owned())))
            .collect::<io::Result<_>>()?;
        Ok(Self { first, headers, raw })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    pub fn word(&self, index: usize) -> &str {
        self.first.split(' ').nth(index).unwrap_or_default()
    }

    /// Of a response.
    pub fn status(&self) -> u16 {
        self.word(1).parse().unwrap_or_default()
    }

    pub fn says_close(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }

    pub fn request_framing(&self) -> Framing {
        self.declared().unwrap_or(Framing::Empty)
    }

    pub fn response_framing(&self, method: &str) -> Framing {
        if method == "HEAD" || matches!(self.status(), 100..=199 | 204 | 304) {
            return Framing::Empty;
        }
        self.declared().unwrap_or(Framing::UntilClose)
    }

    fn declared(&self) -> Option<Framing> {
        if self.header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            return Some(Framing::Chunked);
        }
        self.header("content-length").and_then(|value| value.parse().ok()).map(Framing::Length)
    }
}

/// Takes bytes on; an error ends the copying.
pub type Sink<'a> = dyn FnMut(&[u8]) -> io::Result<()> + 'a;

/// A stream that is read message by message.
#[derive(Debug)]
pub struct Messages<R> {
    stream: R,
    buffer: Vec<u8>,
}

impl<R: Read> Messages<R> {
    pub fn new(stream: R) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    fn fill(&mut self) -> io::Result<bool> {
        let mut chunk = [0; 16 << 10];
        let read = self.stream.read(&mut chunk)?;
        self.buffer.extend_from_slice(&chunk[..read]);
        Ok(read > 0)
    }

    fn take(&mut self, bytes: usize) -> Vec<u8> {
        let rest = self.buffer.split_off(bytes);
        std::mem::replace(&mut self.buffer, rest)
    }

    fn until(&mut self, end: &[u8]) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|window| window == end) {
                return Ok(Some(self.take(at + end.len())));
            }
            if self.buffer.len() > HEAD_LIMIT {
                return Err(broken("an endless head"));
            }
            if !self.fill()? {
                return if self.buffer.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
            }
        }
    }

    /// The next message's head; `None` where the stream ended between messages.
    pub fn head(&mut self) -> io::Result<Option<Head>> {
        if self.buffer.is_empty() && !self.fill()? {
            return Ok(None);
        }
        if !self.buffer[0].is_ascii_uppercase() {
            return Err(broken("no HTTP"));
        }
        self.until(b"\r\n\r\n")?.map(Head::parse).transpose()
    }

    /// Passes the body on as it stands, framing included.
    pub fn body(&mut self, framing: Framing, sink: &mut Sink) -> io::Result<()> {
        match framing {
            Framing::Empty => Ok(()),
            Framing::Length(length) => self.exactly(length, sink),
            Framing::UntilClose => self.rest(sink),
            Framing::Chunked => loop {
                let line = self.until(b"\r\n")?.ok_or(io::ErrorKind::UnexpectedEof)?;
                sink(&line)?;
                let size = String::from_utf8_lossy(&line).split(';').next().unwrap_or_default().trim().to_owned();
                let size = u64::from_str_radix(&size, 16).map_err(|_| broken("a chunk without a size"))?;
                if size == 0 {
                    // Trailers, as far as anybody sends them, and the empty line.
                    loop {
                        let line = self.until(b"\r\n")?.ok_or(io::ErrorKind::UnexpectedEof)?;
                        sink(&line)?;
                        if line == b"\r\n" {
                            return Ok(());
                        }
                    }
                }
                self.exactly(size + 2, sink)?;
            },
        }
    }

    fn exactly(&mut self, mut length: u64, sink: &mut Sink) -> io::Result<()> {
        while length > 0 {
            if self.buffer.is_empty() && !self.fill()? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let now = usize::try_from(length).unwrap_or(usize::MAX).min(self.buffer.len());
            let part = self.take(now);
            sink(&part)?;
            length -= now as u64;
        }
        Ok(())
    }

    /// Everything up to the end of the stream.
    pub fn rest(&mut self, sink: &mut Sink) -> io::Result<()> {
        loop {
            if !self.buffer.is_empty() {
                let part = std::mem::take(&mut self.buffer);
                sink(&part)?;
            }
            if !self.fill()? {
                return Ok(());
            }
        }
    }
}

/// What a question was answered with; the body without its framing.
#[derive(Debug)]
pub struct Answer {
    pub head: Head,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {} {}", self.head.first, String::from_utf8_lossy(&self.body)))
    }
}

/// Asks one question on a fresh connection.
pub fn ask(stream: impl Read + Write, method: &str, target: &str, headers: &[(&str, &str)]) -> io::Result<Answer> {
    send(stream, method, target, headers, b"")
}

/// The same with a body, whose length the headers must say.
pub fn send(mut stream: impl Read + Write, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<Answer> {
    let mut request = format!("{method} {target} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n");
    for (name, value) in headers {
        let _ = write!(request, "{name}: {value}\r\n");
    }
    stream.write_all(format!("{request}\r\n").as_bytes())?;
    stream.write_all(body)?;
    let mut messages = Messages::new(stream);
    let head = messages.head()?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let framing = head.response_framing(method);
    let mut wire = Vec::new();
    messages.body(framing, &mut |part| {
        wire.extend_from_slice(part);
        Ok(())
    })?;
    let body = if framing == Framing::Chunked { dechunked(&wire) } else { wire };
    Ok(Answer { head, body })
}

/// A chunked body's content.
pub fn dechunked(mut wire: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = wire.windows(2).position(|pair| pair == b"\r\n") {
        let line = String::from_utf8_lossy(&wire[..end]);
        let size = usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16).unwrap_or_default();
        if size == 0 || wire.len() < end + 4 + size {
            break;
        }
        body.extend_from_slice(&wire[end + 2..end + 2 + size]);
        wire = &wire[end + 4 + size..];
    }
    body
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
