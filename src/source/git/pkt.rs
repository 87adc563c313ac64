//! pkt-line, gitprotocol-common(5): one packet after the other from whatever gives bytes, and into what is sent.

use std::io::{self, Read};

use crate::support::limits::Bound;

/// Bytes of one packet with its length (gitprotocol-common(5)).
const MOST: usize = 65520;

/// What a packet is; its bytes are where it was read to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Line,
    Flush,
    /// Between the sections of protocol version 2.
    Delimiter,
}

/// Why what comes is no conversation in protocol version 2. Found inside an `io::Error`, as the errors of `net` are.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("the other side closed the connection")]
    Ended,
    #[error("the server does not keep to version 2 of git's protocol: {0}")]
    Strange(&'static str),
    #[error("more than {0} of {1}")]
    Over(Bound, u64),
    #[error("object names of SHA-256")]
    Sha256,
}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        Self::other(fault)
    }
}

/// Reads one packet with its length into `packet`, which holds as much of it as came when this fails.
pub(super) fn read(source: &mut impl Read, packet: &mut Vec<u8>) -> io::Result<Kind> {
    packet.clear();
    fill(source, packet, 4)?;
    let length = std::str::from_utf8(packet).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
    match length.and_then(|text| usize::from_str_radix(text, 16).ok()) {
        Some(0) => Ok(Kind::Flush),
        Some(1) => Ok(Kind::Delimiter),
        Some(length @ 5..=MOST) => fill(source, packet, length).map(|()| Kind::Line),
        _ => Err(Fault::Strange("a packet of no possible length").into()),
    }
}

fn fill(source: &mut impl Read, packet: &mut Vec<u8>, length: usize) -> io::Result<()> {
    let missing = length.saturating_sub(packet.len()) as u64;
    source.take(missing).read_to_end(packet)?;
    if packet.len() == length { Ok(()) } else { Err(Fault::Ended.into()) }
}

/// The line in a packet, without the line feed that it may end with.
pub(super) fn text(packet: &[u8]) -> &[u8] {
    let line = packet.get(4..).unwrap_or_default();
    line.strip_suffix(b"\n").unwrap_or(line)
}

/// Appends a line as a packet. Lines of ours are short: a ref's name and some words.
pub(super) fn write(out: &mut Vec<u8>, line: &[u8]) {
    out.extend_from_slice(format!("{:04x}", line.len() + 4).as_bytes());
    out.extend_from_slice(line);
}

pub(super) const FLUSH: &[u8] = b"0000";
pub(super) const DELIMITER: &[u8] = b"0001";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_are_read_as_they_were_written() {
        let mut stream = Vec::new();
        write(&mut stream, b"a line\n");
        stream.extend_from_slice(b"00010000");
        let (mut source, mut packet) = (&stream[..], Vec::new());
        assert_eq!(read(&mut source, &mut packet).unwrap(), Kind::Line);
        assert_eq!((&packet[..], text(&packet)), (&b"000ba line\n"[..], &b"a line"[..]));
        assert_eq!(read(&mut source, &mut packet).unwrap(), Kind::Delimiter);
        assert_eq!(read(&mut source, &mut packet).unwrap(), Kind::Flush);
    }

    #[test]
    fn g11_what_is_no_packet_is_an_error_and_is_not_lost() {
        for (bytes, want) in [
            (&b""[..], Fault::Ended),
            (b"000", Fault::Ended),
            (b"0009don", Fault::Ended),
            (b"zzzz", Fault::Strange("a packet of no possible length")),
            (b"+009", Fault::Strange("a packet of no possible length")),
            (b"0004", Fault::Strange("a packet of no possible length")),
            (b"0002", Fault::Strange("a packet of no possible length")),
            (b"ffff", Fault::Strange("a packet of no possible length")),
        ] {
            let (mut source, mut packet) = (bytes, Vec::new());
            assert_eq!(read(&mut source, &mut packet).unwrap_err().downcast::<Fault>().unwrap(), want);
            assert_eq!(packet, bytes);
        }
    }
}
