//! A pure parser of the daemon's stream: bytes in, messages out.
//!
//! `/build` and `/push` answer 200 as soon as anything was sent and put the outcome, good or bad, into a stream of JSON objects
//! (moby, pkg/jsonmessage/jsonmessage.go). Objects are separated by line ends, which JSON itself never holds unescaped.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard::moby::buildkit::v1::StatusResponse;
use bytes::{Buf, BytesMut};
use prost::Message as _;
use serde::Deserialize;
use serde_json::Value;

use crate::engine::Pushed;
use crate::model::{Digest, ImageId};
use crate::support::limits::DAEMON_LINE_BYTES;

/// One thing the daemon said.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// Output of the classic builder.
    Text(String),
    /// A line about one layer, or about the whole where there is no id.
    Status { id: String, text: String, current: u64, total: Option<u64> },
    /// BuildKit's trace.
    Trace(Box<StatusResponse>),
    /// Evidence of a build.
    Image(ImageId),
    /// Evidence of a push.
    Pushed { tag: String, pushed: Pushed },
    /// `manifestPushedInsteadOfIndex`: not the image that was meant.
    Downgraded(String),
    /// The failure, in a stream that began with 200.
    Fault { code: Option<i64>, message: String },
}

/// A stream that is not what a daemon says.
#[derive(Debug, thiserror::Error)]
pub enum Garbled {
    #[error("a line of its answer is longer than {DAEMON_LINE_BYTES} bytes")]
    TooLong,
    #[error("its answer is not JSON: {0}")]
    NotJson(#[from] serde_json::Error),
    #[error("its answer holds an unreadable BuildKit trace")]
    Trace,
}

#[derive(Deserialize)]
struct Raw {
    stream: Option<String>,
    status: Option<String>,
    id: Option<String>,
    #[serde(rename = "progressDetail")]
    progress: Option<Progress>,
    aux: Option<Value>,
    error: Option<String>,
    #[serde(rename = "errorDetail")]
    detail: Option<Detail>,
}

#[derive(Default, Deserialize)]
struct Progress {
    #[serde(default)]
    current: i64,
    #[serde(default)]
    total: i64,
}

#[derive(Deserialize)]
struct Detail {
    code: Option<i64>,
    message: Option<String>,
}

/// Takes the stream as it comes, in pieces of any size.
#[derive(Default)]
pub struct Decoder {
    buffer: BytesMut,
    /// How far the buffer was searched for a line end already.
    searched: usize,
}

impl Decoder {
    /// Adds every message that is complete with these bytes.
    pub fn push(&mut self, bytes: &[u8], messages: &mut Vec<Message>) -> Result<(), Garbled> {
        self.buffer.extend_from_slice(bytes);
        let mut begin = 0;
        while let Some(length) = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n') {
            let end = self.searched + length;
            decode(&self.buffer[begin..end], messages)?;
            begin = end + 1;
            self.searched = begin;
        }
        self.buffer.advance(begin);
        self.searched = self.buffer.len();
        if self.searched > DAEMON_LINE_BYTES { Err(Garbled::TooLong) } else { Ok(()) }
    }

    /// Adds what a stream that ended without a last line end still holds.
    pub fn finish(&mut self, messages: &mut Vec<Message>) -> Result<(), Garbled> {
        let rest = std::mem::take(&mut self.buffer);
        self.searched = 0;
        decode(&rest, messages)
    }
}

fn decode(line: &[u8], messages: &mut Vec<Message>) -> Result<(), Garbled> {
    for raw in serde_json::Deserializer::from_slice(line).into_iter::<Raw>() {
        messages.extend(interpret(raw?)?);
    }
    Ok(())
}

fn interpret(raw: Raw) -> Result<Option<Message>, Garbled> {
    if raw.error.is_some() || raw.detail.is_some() {
        let (code, detail) = raw.detail.map_or((None, None), |detail| (detail.code, detail.message));
        let message = detail.or(raw.error).unwrap_or_default();
        return Ok(Some(Message::Fault { code: code.filter(|code| *code != 0), message: message.trim().to_owned() }));
    }
    if let Some(aux) = raw.aux {
        return auxiliary(raw.id.as_deref().unwrap_or_default(), &aux);
    }
    if let Some(text) = raw.stream {
        return Ok(Some(Message::Text(text)));
    }
    let Some(text) = raw.status else { return Ok(None) };
    if let Some(found) = pushed_status(&text) {
        return Ok(Some(found));
    }
    let progress = raw.progress.unwrap_or_default();
    Ok(Some(Message::Status {
        id: raw.id.unwrap_or_default(),
        text,
        current: u64::try_from(progress.current).unwrap_or_default(),
        total: u64::try_from(progress.total).ok().filter(|total| *total > 0),
    }))
}

fn auxiliary(id: &str, aux: &Value) -> Result<Option<Message>, Garbled> {
    if id == "moby.buildkit.trace" {
        let bytes = aux.as_str().and_then(|text| STANDARD.decode(text).ok()).ok_or(Garbled::Trace)?;
        let trace = StatusResponse::decode(&bytes[..]).map_err(|_| Garbled::Trace)?;
        return Ok(Some(Message::Trace(Box::new(trace))));
    }
    let text = |key: &str| aux.get(key).and_then(Value::as_str);
    if let Some(image) = text("ID").and_then(|id| ImageId::parse(id).ok()) {
        return Ok(Some(Message::Image(image)));
    }
    if aux.get("manifestPushedInsteadOfIndex").and_then(Value::as_bool) == Some(true) {
        return Ok(Some(Message::Downgraded(aux.to_string())));
    }
    let digest = text("Digest").and_then(|digest| Digest::parse(digest).ok());
    Ok(digest.map(|digest| Message::Pushed {
        tag: text("Tag").unwrap_or_default().to_owned(),
        pushed: Pushed { digest, size: aux.get("Size").and_then(Value::as_u64) },
    }))
}

/// `1.2: digest: sha256:… size: 740`: the containerd store's only word on what it pushed.
fn pushed_status(text: &str) -> Option<Message> {
    let (tag, rest) = text.split_once(": digest: ")?;
    let (digest, size) = rest.split_once(" size: ").unwrap_or((rest, ""));
    let digest = Digest::parse(digest.trim()).ok()?;
    Some(Message::Pushed { tag: tag.to_owned(), pushed: Pushed { digest, size: size.trim().parse().ok() } })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = concat!(
        "{\"stream\":\"Step 1/1 : FROM scratch\"}\r\n{\"stream\":\"\\n\"}\r\n",
        "{\"status\":\"Pushing\",\"progressDetail\":{\"current\":512,\"total\":1024},\"id\":\"a1\"}\n",
        "{\"aux\":{\"ID\":\"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"}}{\"stream\":\"two on a line\"}\r\n",
        "{\"status\":\"1: digest: sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb size: 740\"}\r\n",
        "{\"errorDetail\":{\"code\":7,\"message\":\"returned a non-zero code: 7\"},\"error\":\"x\"}\r\n{\"error\":\"alone\"}"
    );

    fn decode_in(size: usize) -> Vec<Message> {
        let mut decoder = Decoder::default();
        let mut messages = Vec::new();
        STREAM.as_bytes().chunks(size).for_each(|chunk| decoder.push(chunk, &mut messages).unwrap());
        decoder.finish(&mut messages).unwrap();
        messages
    }

    #[test]
    fn the_same_messages_come_out_wherever_the_stream_is_cut() {
        let whole = decode_in(STREAM.len());
        assert_eq!(whole.len(), 8, "{whole:#?}");
        assert_eq!(whole[6], Message::Fault { code: Some(7), message: "returned a non-zero code: 7".into() });
        assert_eq!(whole[7], Message::Fault { code: None, message: "alone".into() });
        assert!(matches!(&whole[5], Message::Pushed { tag, pushed } if tag == "1" && pushed.size == Some(740)));
        for size in 1..STREAM.len() {
            assert_eq!(decode_in(size), whole, "in pieces of {size}");
        }
    }

    #[test]
    fn evidence_must_be_a_digest() {
        for line in [
            r#"{"aux":{"ID":"sha256:12"}}"#,
            r#"{"aux":{"Tag":"1","Digest":"","Size":1}}"#,
            r#"{"status":"1: digest: sha256:12 size: 740"}"#,
        ] {
            let mut messages = Vec::new();
            Decoder::default().push(format!("{line}\n").as_bytes(), &mut messages).unwrap();
            assert!(!messages.iter().any(|m| matches!(m, Message::Image(_) | Message::Pushed { .. })), "{line}: {messages:?}");
        }
    }

    #[test]
    fn what_no_daemon_says_is_garbled() {
        let garbled = |bytes: &[u8]| {
            let mut messages = Vec::new();
            let read = Decoder::default().push(bytes, &mut messages);
            (read.unwrap_err(), messages.len())
        };
        assert!(matches!(garbled(b"{\"stream\":\"heard\"}\n<html>\n"), (Garbled::NotJson(_), 1)));
        assert!(matches!(garbled(b"{\"id\":\"moby.buildkit.trace\",\"aux\":\"%%\"}\n"), (Garbled::Trace, 0)));
        assert!(matches!(garbled(&vec![b'a'; DAEMON_LINE_BYTES + 1]), (Garbled::TooLong, 0)));
        let mut decoder = Decoder::default();
        decoder.push(b"{\"stream\":\"cut", &mut Vec::new()).unwrap();
        assert!(decoder.finish(&mut Vec::new()).is_err());
    }
}
