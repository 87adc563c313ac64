//! A download that goes on where it broke off (RFC 9110, section 14), as long as the server proves that it is the same thing.
//!
//! Only where the first answer has a size, does not refuse ranges, and names a strong validator: then the rest is asked for on condition
//! that nothing changed. Any other answer than exactly that rest ends in the error of the cut, and the whole may be tried anew.

use std::io::{self, Read};
use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::{ACCEPT_RANGES, CONTENT_RANGE, DATE, ETAG, HeaderMap, HeaderValue, IF_RANGE, LAST_MODIFIED, RANGE};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;

use crate::net::{BlockingClient, Body, NetError, Reply, Request};
use crate::support::backoff::{Backoff, random};

/// Times in a row that a download is taken up again with little to show for it.
const MOST: u32 = 3;

/// Bytes that make it a good connection again.
const GAIN: u64 = 1 << 20;

const WAITS: Backoff = Backoff { first: Duration::from_millis(250), most: Duration::from_secs(2) };

/// What the first answer said.
pub struct Resumable {
    size: u64,
    validator: HeaderValue,
}

impl Resumable {
    pub fn of(headers: &HeaderMap, size: Option<u64>) -> Option<Self> {
        // Not every server says that it takes them; one that does not answers with the whole.
        let ranges = headers.get(ACCEPT_RANGES).is_none_or(|value| value == "bytes");
        let validator = strong_tag(headers).or_else(|| strong_date(headers)).filter(|_| ranges)?;
        Some(Self { size: size?, validator: validator.clone() })
    }
}

/// A tag that is the same for the same bytes only (RFC 9110, 8.8.3).
fn strong_tag(headers: &HeaderMap) -> Option<&HeaderValue> {
    headers.get(ETAG).filter(|tag| tag.as_bytes().starts_with(b"\""))
}

/// A time of change after which at least a second passed before the answer (RFC 9110, 8.8.2.2): nothing changed within it.
fn strong_date(headers: &HeaderMap) -> Option<&HeaderValue> {
    let at = |value: &HeaderValue| OffsetDateTime::parse(value.to_str().ok()?, &Rfc2822).ok();
    let changed = headers.get(LAST_MODIFIED)?;
    let passed = at(headers.get(DATE)?)? - at(changed)?;
    (headers.get(ETAG).is_none() && passed >= time::Duration::SECOND).then_some(changed)
}

/// The body, and whatever else of it has to be asked for.
pub struct Resumed {
    body: Body,
    /// Bytes that were read.
    at: u64,
    first: Resumable,
    request: Request,
    net: BlockingClient,
    tries: u32,
    /// Where it was taken up last.
    from: u64,
}

impl Resumed {
    pub fn new(body: Body, first: Resumable, request: Request, net: BlockingClient) -> Self {
        Self { body, at: 0, first, request, net, tries: 0, from: 0 }
    }

    /// Puts the rest in the place of a body that failed, or gives its error back.
    fn go_on(&mut self, cut: io::Error) -> io::Result<()> {
        if self.at - self.from >= GAIN {
            self.tries = 0;
        }
        while self.tries < MOST && is_passing(&cut) {
            self.tries += 1;
            self.net.pause(WAITS.after(self.tries, random())).map_err(io::Error::other)?;
            match self.net.send(self.rest()) {
                Ok(reply) if self.is_the_rest(&reply) => {
                    self.body = reply.body;
                    self.from = self.at;
                    return Ok(());
                }
                // It is another thing by now, or the server will not.
                Ok(_) => break,
                Err(NetError::Cancelled) => return Err(io::Error::other(NetError::Cancelled)),
                Err(_) => {}
            }
        }
        self.tries = MOST;
        Err(cut)
    }

    fn rest(&self) -> Request {
        let mut request = self.request.clone();
        if let Ok(range) = HeaderValue::from_str(&format!("bytes={}-", self.at)) {
            request.headers.insert(RANGE, range);
            request.headers.insert(IF_RANGE, self.first.validator.clone());
        }
        request
    }

    fn is_the_rest(&self, reply: &Reply) -> bool {
        let (at, size) = (self.at, self.first.size);
        let wanted = format!("bytes {at}-{}/{size}", size - 1);
        let (tag, date, validator) = (reply.headers.get(ETAG), reply.headers.get(LAST_MODIFIED), &self.first.validator);
        // A part has the tag that the whole has (RFC 9110, 15.3.7); whoever leaves `If-Range` aside may not.
        let same = match validator.as_bytes().first() {
            Some(b'"') => tag == Some(validator),
            _ => tag.is_none() && date.is_none_or(|date| date == validator),
        };
        reply.status == StatusCode::PARTIAL_CONTENT && same && reply.headers.get(CONTENT_RANGE).is_some_and(|range| *range == *wanted)
    }
}

/// Whether another connection may do better.
fn is_passing(error: &io::Error) -> bool {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<NetError>()) {
        Some(cause) => !matches!(cause, NetError::Cancelled | NetError::Tls { .. }),
        None => error.kind() == io::ErrorKind::UnexpectedEof,
    }
}

impl Read for Resumed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let cut = match self.body.read(buffer) {
                // Shorter than was said: cut, whatever the connection thinks of it.
                Ok(0) if self.at < self.first.size && !buffer.is_empty() => io::ErrorKind::UnexpectedEof.into(),
                Ok(count) => {
                    self.at += count as u64;
                    let more = self.at > self.first.size;
                    return if more { Err(io::Error::other("more came than the server said")) } else { Ok(count) };
                }
                Err(error) => error,
            };
            if self.at >= self.first.size {
                return Err(cut);
            }
            self.go_on(cut)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::runtime::Runtime;
    use tokio_util::sync::CancellationToken;

    use super::super::download;
    use crate::net::trial::{Asked, Server, answer};
    use crate::net::{BlockingClient, Client, Settings};

    use super::*;

    type Answer = fn(usize, &mut dyn Write) -> io::Result<()>;

    const TAG: (&str, &str) = ("ETag", "\"one\"");
    const RANGES: (&str, &str) = ("Accept-Ranges", "bytes");

    fn whole() -> Vec<u8> {
        (0u32..5000).flat_map(u32::to_le_bytes).collect()
    }

    /// Says that all of it comes, and sends so much.
    fn cut(out: &mut dyn Write, headers: &[(&str, &str)], body: &[u8], after: usize) -> io::Result<()> {
        write!(out, "HTTP/1.1 200 X\r\nConnection: close\r\nContent-Length: {}\r\n", body.len())?;
        headers.iter().try_for_each(|(name, value)| write!(out, "{name}: {value}\r\n"))?;
        out.write_all(b"\r\n")?;
        out.write_all(&body[..after])
    }

    /// The first request is answered by a cut, all others by `more`. Also what was asked.
    fn fetched(
        headers: &'static [(&'static str, &'static str)],
        more: impl Fn(usize, &mut dyn Write) -> io::Result<()> + Send + Sync + 'static,
    ) -> (io::Result<Vec<u8>>, Vec<Asked>) {
        let number = AtomicUsize::new(0);
        let server = Server::plain(move |_, out| match number.fetch_add(1, Ordering::SeqCst) {
            0 => cut(out, headers, &whole(), 7000),
            number => more(number, out),
        });
        let runtime = Runtime::new().unwrap();
        let client = Client::new(&Settings::default()).unwrap();
        let net = BlockingClient::new(client, runtime.handle().clone(), CancellationToken::new());
        let mut got = Vec::new();
        let mut download = download(&server.at("/x"), None, &net).unwrap();
        let read = download.body.read_to_end(&mut got).map(|_| got);
        (read, server.asked())
    }

    fn part(out: &mut dyn Write, headers: &[(&str, &str)], from: usize) -> io::Result<()> {
        let whole = whole();
        let range = format!("bytes {from}-{}/{}", whole.len() - 1, whole.len());
        answer(out, 206, &[headers, &[("Content-Range", &range)]].concat(), &whole[from..])
    }

    #[test]
    fn a_cut_download_goes_on_where_it_was_cut() {
        let (read, asked) = fetched(&[TAG, RANGES], |_, out| part(out, &[TAG], 7000));
        assert!(read.unwrap() == whole());
        assert_eq!((asked[1].header("range"), asked[1].header("if-range")), (Some("bytes=7000-"), Some("\"one\"")));
        assert_eq!((asked[0].header("range"), asked.len()), (None, 2));
        // A time that is old enough says as much.
        let dated = &[("Last-Modified", "Sun, 06 Nov 1994 08:49:36 GMT"), ("Date", "Sun, 06 Nov 1994 08:49:37 GMT"), RANGES];
        let (read, asked) = fetched(dated, |_, out| part(out, &[], 7000));
        assert!(read.unwrap() == whole());
        assert_eq!(asked[1].header("if-range"), Some("Sun, 06 Nov 1994 08:49:36 GMT"));
        let (read, _) = fetched(&[TAG], |_, out| part(out, &[TAG], 7000));
        assert!(read.is_ok());
        // A refused connection in between is tried once more.
        let (read, asked) = fetched(&[TAG, RANGES], |number, out| if number == 1 { Ok(()) } else { part(out, &[TAG], 7000) });
        assert!(read.is_ok() && asked.len() == 3);
    }

    #[test]
    fn what_may_have_changed_is_never_put_together() {
        let table: [(&str, Answer); 6] = [
            ("the whole", |_, out| answer(out, 200, &[TAG], &whole())),
            ("another tag", |_, out| part(out, &[("ETag", "\"two\"")], 7000)),
            ("another place", |_, out| part(out, &[TAG], 7001)),
            ("another size", |_, out| answer(out, 206, &[TAG, ("Content-Range", "bytes 7000-19999/20001")], &whole()[7000..])),
            ("no range", |_, out| answer(out, 206, &[TAG], &whole()[7000..])),
            ("an error", |_, out| answer(out, 416, &[TAG], b"")),
        ];
        for (what, more) in table {
            let (read, asked) = fetched(&[TAG, RANGES], more);
            assert!(read.is_err() && asked.len() == 2, "{what}");
        }
        let none: [&'static [(&'static str, &'static str)]; 4] = [
            &[TAG, ("Accept-Ranges", "none")],
            &[RANGES],
            &[RANGES, ("ETag", "W/\"one\"")],
            &[RANGES, ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT"), ("Date", "Sun, 06 Nov 1994 08:49:37 GMT")],
        ];
        for headers in none {
            let (read, asked) = fetched(headers, |_, out| part(out, &[TAG], 7000));
            assert!(read.is_err() && asked.len() == 1, "{headers:?}");
        }
    }

    #[test]
    fn there_is_an_end_to_going_on() {
        let (read, asked) = fetched(&[TAG, RANGES], |_, _| Ok(()));
        assert!(read.is_err());
        assert_eq!(asked.len(), 1 + MOST as usize);
    }
}
