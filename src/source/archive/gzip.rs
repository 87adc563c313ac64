//! gzip with any number of members, and nothing after them (RFC 1952, section 2.2).
//!
//! flate2 checks each member's length and sum. This adds the strictness between members: what is no further member is refused,
//! where other readers ignore it or call it the header's fault.

use std::io::{self, BufRead, Read};

use flate2::bufread::GzDecoder;

use super::error::ArchiveError;
use super::format::GZIP;

/// The bytes of all members, one after the other.
pub struct Members<R> {
    /// `None` once the last member has ended.
    member: Option<GzDecoder<R>>,
}

impl<R: BufRead> Members<R> {
    pub fn new(inner: R) -> Self {
        Self { member: Some(GzDecoder::new(inner)) }
    }
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let count = member.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                return Ok(count);
            }
            self.member = self.member.take().map(next).transpose()?.flatten();
        }
        Ok(0)
    }
}

fn next<R: BufRead>(ended: GzDecoder<R>) -> io::Result<Option<GzDecoder<R>>> {
    let mut inner = ended.into_inner();
    let following = inner.fill_buf()?;
    match following.first() {
        None => Ok(None),
        // The second byte may not be here yet; the decoder looks at it.
        Some(first) if *first == GZIP[0] => Ok(Some(GzDecoder::new(inner))),
        Some(_) => Err(ArchiveError::Format("something follows the end of its gzip stream".into()).into_io()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;

    fn member(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        flate2::bufread::GzEncoder::new(bytes, Compression::fast()).read_to_end(&mut out).unwrap();
        out
    }

    fn unpack(bytes: &[u8]) -> Result<Vec<u8>, ArchiveError> {
        let mut out = Vec::new();
        Members::new(bytes).read_to_end(&mut out).map(|_| out).map_err(ArchiveError::from_io)
    }

    #[test]
    fn a7_members_follow_each_other_and_nothing_else_does() {
        let two = [member(b"one "), member(b""), member(b"two")].concat();
        assert_eq!(unpack(&two).unwrap(), b"one two");
        for tail in [&b"\0"[..], b"junk", &[0; 512], b"PK\x03\x04"] {
            assert!(matches!(unpack(&[&two[..], tail].concat()), Err(ArchiveError::Format(_))), "{tail:?}");
        }
        for tail in [&b"\x1f"[..], b"\x1f\x8b", b"\x1f\x8b\x08\0\0"] {
            assert!(matches!(unpack(&[&two[..], tail].concat()), Err(ArchiveError::Truncated(_))), "{tail:?}");
        }
        assert!(matches!(unpack(&[&two[..], b"\x1fjunk junk junk"].concat()), Err(ArchiveError::Damaged(_))));
    }

    #[test]
    fn a7_every_cut_and_every_flipped_bit_is_seen() {
        let whole = member(b"some text, some more text, some text");
        for cut in 0..whole.len() {
            assert!(matches!(unpack(&whole[..cut]), Err(ArchiveError::Truncated(_))), "{cut}");
        }
        // The bytes before the deflate stream (time, system) carry nothing.
        for at in 10..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 0x10;
            assert!(unpack(&bad).is_err(), "{at}");
        }
    }
}
