//! What `podwright receive` and the waiting agent say to each other over the unix socket.
//!
//! ```text
//! greeting │ D length bytes │ D length bytes │ … │ E 40 total sha256        one JSON line back
//! ```
//!
//! Lengths have 4 bytes, the total 8, big-endian. Without the frame `E`, or with another total or digest than what came, nothing
//! was sent: a broken connection is never the end of an archive.

use sha2::{Digest as _, Sha256};

/// The first bytes, with the version.
pub const GREETING: &[u8; 20] = b"podwright-receive/1\n";

/// Bytes of one piece.
pub const PIECE: usize = 64 << 10;

/// Bytes of the frame `E`.
const SEAL: usize = 40;

/// Bytes of the answer.
pub const ANSWER: usize = 64 << 10;

/// The head of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    Data(usize),
    End,
}

impl Head {
    pub fn write(self) -> [u8; 5] {
        let (kind, length) = match self {
            Self::Data(length) => (b'D', length),
            Self::End => (b'E', SEAL),
        };
        let [a, b, c, d] = u32::try_from(length).unwrap_or_default().to_be_bytes();
        [kind, a, b, c, d]
    }

    /// `None` for what is no head.
    pub fn read([kind, a, b, c, d]: [u8; 5]) -> Option<Self> {
        let length = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?;
        match kind {
            b'D' if (1..=PIECE).contains(&length) => Some(Self::Data(length)),
            b'E' if length == SEAL => Some(Self::End),
            _ => None,
        }
    }
}

/// What both sides count.
#[derive(Clone, Default)]
pub struct Sum {
    pub total: u64,
    hash: Sha256,
}

impl Sum {
    pub fn add(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        self.hash.update(bytes);
    }

    /// The body of the frame `E`.
    pub fn seal(self) -> [u8; SEAL] {
        let mut seal = [0; SEAL];
        seal[..8].copy_from_slice(&self.total.to_be_bytes());
        seal[8..].copy_from_slice(&self.hash.finalize());
        seal
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_as_written_and_nothing_else_is_one() {
        for head in [Head::Data(1), Head::Data(PIECE), Head::End] {
            assert_eq!(Head::read(head.write()), Some(head));
        }
        for bad in
            [*b"D\0\0\0\0", *b"D\0\x01\0\x01", *b"D\xff\xff\xff\xff", *b"E\0\0\0\0", *b"E\0\0\0\x29", *b"X\0\0\0\x01", *b"\0\0\0\0\0"]
        {
            assert_eq!(Head::read(bad), None, "{bad:?}");
        }
    }
}
