//! What a checkout on Linux without configuration makes of a body: `ident` first, then line ends (git's convert.c).
//!
//! The body is read twice, once for its size, once for its bytes, and is never copied whole.

use std::io::{self, Read};

use git2::Oid;

use super::ffi::Blob;
use super::ident::{Ident, Piece, Pieces};

/// Which line ends become CRLF.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Crlf {
    #[default]
    Never,
    Always,
    /// Where the body looks like text that knows LF alone.
    Guessed,
}

/// What is done to a body. The default is nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Conversion {
    pub ident: Option<Ident>,
    pub crlf: Crlf,
}

impl Conversion {
    pub fn is_nothing(self) -> bool {
        self == Self::default()
    }

    /// Bytes that the body has on checkout.
    pub fn size(self, body: &[u8], id: Oid) -> u64 {
        let (size, stats) = self.look(body, id);
        size + if self.adds_cr(&stats) { stats.lone_lf } else { 0 }
    }

    /// Bytes after `ident`, and what kind they are.
    fn look(self, body: &[u8], id: Oid) -> (u64, Stats) {
        let mut pieces = Pieces::new(self.ident, id);
        let (mut size, mut stats) = (0, Stats::default());
        while let Some(piece) = pieces.next(body) {
            let bytes = bytes(&piece, body, &pieces);
            size += bytes.len() as u64;
            stats.add(bytes, self.crlf);
        }
        (size, stats)
    }

    /// convert.c, `will_convert_lf_to_crlf`.
    fn adds_cr(self, stats: &Stats) -> bool {
        match self.crlf {
            Crlf::Never => false,
            Crlf::Always => stats.lone_lf > 0,
            Crlf::Guessed => stats.lone_lf > 0 && stats.lone_cr() == 0 && stats.crlf == 0 && !stats.is_binary(),
        }
    }
}

fn bytes<'a>(piece: &Piece, body: &'a [u8], pieces: &'a Pieces) -> &'a [u8] {
    match piece {
        Piece::Stored(range) => &body[range.clone()],
        Piece::Id => pieces.id(),
    }
}

/// A blob as it comes out of a checkout.
pub(super) struct Converted<'a> {
    blob: Blob<'a>,
    pieces: Pieces,
    adds_cr: bool,
    piece: Option<Piece>,
    /// Bytes of the piece that were read.
    at: usize,
    /// The last byte that was read was a CR.
    after_cr: bool,
}

impl<'a> Converted<'a> {
    pub fn new(blob: Blob<'a>, conversion: Conversion, id: Oid) -> Self {
        let adds_cr = conversion.adds_cr(&conversion.look(blob.data(), id).1);
        Self { blob, pieces: Pieces::new(conversion.ident, id), adds_cr, piece: None, at: 0, after_cr: false }
    }
}

impl Read for Converted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut count = 0;
        while count < buffer.len() {
            let Some(piece) = self.piece.take().or_else(|| self.pieces.next(self.blob.data())) else { break };
            let rest = &bytes(&piece, self.blob.data(), &self.pieces)[self.at..];
            let room = &mut buffer[count..];
            if self.adds_cr && rest.first() == Some(&b'\n') && !self.after_cr {
                room[0] = b'\r';
                (count, self.after_cr, self.piece) = (count + 1, true, Some(piece));
                continue;
            }
            let run = &rest[..rest.len().min(room.len())];
            // The first byte may be a line end whose CR was written; the next one needs its own.
            let run = match run.iter().skip(1).position(|b| *b == b'\n') {
                Some(at) if self.adds_cr => &run[..=at],
                _ => run,
            };
            room[..run.len()].copy_from_slice(run);
            self.after_cr = run.last().map_or(self.after_cr, |last| *last == b'\r');
            (count, self.at) = (count + run.len(), self.at + run.len());
            if run.len() < rest.len() {
                self.piece = Some(piece);
            } else {
                self.at = 0;
            }
        }
        Ok(count)
    }
}

/// convert.c, `gather_stats`.
#[derive(Debug, Default)]
struct Stats {
    nul: u64,
    other_cr: u64,
    lone_lf: u64,
    crlf: u64,
    printable: u64,
    strange: u64,
    /// The last byte, which may be a CR whose LF is still to come.
    last: Option<u8>,
}

impl Stats {
    /// The next bytes. Nothing is counted for a body whose line ends stay.
    fn add(&mut self, bytes: &[u8], wanted: Crlf) {
        if wanted == Crlf::Never {
            return;
        }
        for byte in bytes {
            let after_cr = self.last == Some(b'\r');
            match byte {
                b'\n' if after_cr => self.crlf += 1,
                b'\n' => self.lone_lf += 1,
                b'\r' => {}
                0x08 | b'\t' | 0x0c | 0x1b => self.printable += 1,
                0 => {
                    self.nul += 1;
                    self.strange += 1;
                }
                0x01..0x20 | 0x7f => self.strange += 1,
                _ => self.printable += 1,
            }
            if after_cr && *byte != b'\n' {
                self.other_cr += 1;
            }
            self.last = Some(*byte);
        }
    }

    fn lone_cr(&self) -> u64 {
        self.other_cr + u64::from(self.last == Some(b'\r'))
    }

    fn is_binary(&self) -> bool {
        // The end-of-file mark of DOS.
        let strange = self.strange - u64::from(self.last == Some(0x1a));
        self.lone_cr() > 0 || self.nul > 0 || (self.printable >> 7) < strange
    }
}
