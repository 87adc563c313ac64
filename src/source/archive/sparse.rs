//! Sparse files of GNU tar: what is stored of them, put where it belongs (GNU tar manual, "Storing Sparse Files").
//!
//! Three ways to say where the pieces go: in the header's own block (old GNU, type `S`), in the records of an extended header
//! (PAX 0.0 and 0.1), or at the head of the body (PAX 1.0). All come to one map, whose pieces ascend, lie apart within the file and
//! have exactly the bytes that are stored. The file is laid out at the end of the spool, its holes as holes: it takes no more room
//! there than in the archive, and counts for the limits as what it is to the daemon.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use super::error::ArchiveError;
use super::header::{self, BLOCK};
use super::spool::Stretch;
use crate::source::body::read_some;
use crate::support::limits::SPARSE_PIECES_MOST;

type Rule = &'static str;

pub const NO_MAP: Rule = "its map of a sparse file is malformed";
const TOO_MANY: Rule = "its sparse file has more than 65536 pieces";

/// Why a map is none: a broken rule, or an archive that ends.
#[derive(Debug)]
pub enum Fault {
    Rule(Rule),
    Archive(ArchiveError),
}

impl Fault {
    pub fn about(self, name: &[u8]) -> ArchiveError {
        match self {
            Self::Rule(rule) => ArchiveError::entry(name, rule),
            Self::Archive(error) => error,
        }
    }
}

impl From<Rule> for Fault {
    fn from(rule: Rule) -> Self {
        Self::Rule(rule)
    }
}

impl From<ArchiveError> for Fault {
    fn from(error: ArchiveError) -> Self {
        Self::Archive(error)
    }
}

/// A stretch of a sparse file that is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    pub at: u64,
    pub bytes: u64,
}

/// What is said of a sparse file before its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The file's own name, where that of the entry is a substitute.
    pub name: Option<Vec<u8>>,
    /// Bytes of the file, holes and all.
    pub size: u64,
    /// `None` where the map is at the head of the body.
    pub map: Option<Vec<Piece>>,
}

/// The records of an extended header, as they come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Records {
    any: bool,
    version: (Option<u64>, Option<u64>),
    name: Option<Vec<u8>>,
    size: Option<u64>,
    count: Option<u64>,
    /// Offsets and lengths by turns.
    numbers: Vec<u64>,
}

impl Records {
    /// One record whose key begins with `GNU.sparse.`; `number` reads decimal digits.
    pub fn keep(&mut self, key: &[u8], value: &[u8], number: fn(&[u8]) -> Option<u64>) -> Result<(), Rule> {
        self.any = true;
        let one = number(value).ok_or("an extended header's number of a sparse file is none");
        match key {
            b"major" => once(&mut self.version.0, one?),
            b"minor" => once(&mut self.version.1, one?),
            b"name" if value.is_empty() || value.contains(&0) => Err("the name of a sparse file is none"),
            b"name" => once(&mut self.name, value.to_vec()),
            b"size" | b"realsize" => once(&mut self.size, one?),
            b"numblocks" => once(&mut self.count, one?),
            b"offset" if self.numbers.len().is_multiple_of(2) => self.push(one?),
            b"numbytes" if !self.numbers.len().is_multiple_of(2) => self.push(one?),
            b"map" if self.numbers.is_empty() && value.is_empty() => Ok(()),
            b"map" if self.numbers.is_empty() => {
                value.split(|byte| *byte == b',').try_for_each(|digits| self.push(number(digits).ok_or(NO_MAP)?))
            }
            _ => Err(NO_MAP),
        }
    }

    fn push(&mut self, number: u64) -> Result<(), Rule> {
        if self.numbers.len() as u64 >= 2 * SPARSE_PIECES_MOST {
            return Err(TOO_MANY);
        }
        self.numbers.push(number);
        Ok(())
    }

    /// What the records come to; `None` where there are none.
    pub fn layout(self) -> Result<Option<Layout>, Rule> {
        let Self { any, version, name, size, count, numbers } = self;
        if !any {
            return Ok(None);
        }
        let size = size.ok_or("an extended header gives a sparse file no size")?;
        let map = match version {
            (Some(1), Some(0)) if count.is_none() && numbers.is_empty() => None,
            (None, None) | (Some(0), Some(0 | 1)) => Some(pieces(&numbers)?),
            _ => return Err("its version of a sparse file is unknown"),
        };
        if map.as_ref().is_some_and(|map| count != Some(map.len() as u64)) {
            return Err(NO_MAP);
        }
        Ok(Some(Layout { name, size, map }))
    }
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), Rule> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err("an extended header says the same thing twice"),
    }
}

fn pieces(numbers: &[u64]) -> Result<Vec<Piece>, Rule> {
    let (pairs, odd) = numbers.as_chunks::<2>();
    if odd.is_empty() { Ok(pairs.iter().map(|[at, bytes]| Piece { at: *at, bytes: *bytes }).collect()) } else { Err(NO_MAP) }
}

/// Old GNU's map, which begins in the header's block: four pieces there, and 21 in each block that follows while the last says
/// that one does. `next` reads a block.
pub fn old_gnu(block: &[u8; BLOCK], mut next: impl FnMut() -> Result<[u8; BLOCK], ArchiveError>) -> Result<Layout, Fault> {
    let size = unsigned(&block[483..495])?;
    let mut map = Vec::new();
    let mut ended = take_fields(&block[386..482], &mut map)?;
    let mut more = block[482];
    while more != 0 {
        let block = next()?;
        if ended || map.len() as u64 > SPARSE_PIECES_MOST {
            return Err(if ended { NO_MAP } else { TOO_MANY }.into());
        }
        ended = take_fields(&block[..504], &mut map)?;
        more = block[504];
    }
    Ok(Layout { name: None, size, map: Some(map) })
}

/// Pairs of twelve bytes; whether the map ended among them.
fn take_fields(fields: &[u8], map: &mut Vec<Piece>) -> Result<bool, Rule> {
    for (index, pair) in fields.chunks_exact(24).enumerate() {
        if pair[12] == 0 {
            return if fields[index * 24..].iter().all(|byte| *byte == 0) { Ok(true) } else { Err(NO_MAP) };
        }
        map.push(Piece { at: unsigned(&pair[..12])?, bytes: unsigned(&pair[12..])? });
    }
    Ok(false)
}

fn unsigned(field: &[u8]) -> Result<u64, Rule> {
    u64::try_from(header::number(field)?).map_err(|_| "a number of a sparse file is negative")
}

/// The map at the head of a body: a count, then offsets and lengths, a decimal number and a line end each, filled up with NULs
/// to whole blocks. Also the bytes it took.
pub fn in_body(mut next: impl FnMut() -> Result<[u8; BLOCK], ArchiveError>) -> Result<(Vec<Piece>, u64), Fault> {
    let (mut numbers, mut wanted, mut digits, mut blocks) = (Vec::new(), None, None::<u64>, 0);
    loop {
        let block = next()?;
        blocks += 1;
        for (at, byte) in block.iter().enumerate() {
            match (byte, digits) {
                (b'0'..=b'9', _) => {
                    let more = digits.unwrap_or_default().checked_mul(10).and_then(|value| value.checked_add(u64::from(byte - b'0')));
                    digits = Some(more.ok_or(NO_MAP)?);
                }
                (b'\n', Some(count)) if wanted.is_none() => {
                    wanted = Some(count.checked_mul(2).filter(|_| count <= SPARSE_PIECES_MOST).ok_or(TOO_MANY)?);
                    digits = None;
                }
                (b'\n', Some(number)) => {
                    numbers.push(number);
                    digits = None;
                }
                _ => return Err(NO_MAP.into()),
            }
            if wanted == Some(numbers.len() as u64) {
                let rest = &block[at + 1..];
                return if rest.iter().all(|byte| *byte == 0) {
                    Ok((pieces(&numbers)?, blocks * BLOCK as u64))
                } else {
                    Err(NO_MAP.into())
                };
            }
        }
    }
}

/// Whether the map is one of a file of this size with this many bytes stored.
pub fn check(map: &[Piece], size: u64, stored: u64) -> Result<(), Rule> {
    let (mut end, mut sum) = (0, 0u64);
    for piece in map {
        if piece.at < end {
            return Err("the pieces of its sparse file overlap or are out of order");
        }
        end = piece.at.checked_add(piece.bytes).filter(|end| *end <= size).ok_or("a piece of its sparse file lies behind its end")?;
        sum += piece.bytes;
    }
    if sum == stored { Ok(()) } else { Err("the pieces of its sparse file are not what is stored of it") }
}

/// Lays the file out in the spool from `at` on, which nothing lies behind.
pub fn expand(spool: &File, mut stored: Stretch<'_>, map: &[Piece], at: u64, size: u64) -> io::Result<()> {
    spool.set_len(at + size)?;
    let mut buffer = vec![0; 64 << 10];
    for piece in map {
        let (mut to, mut left) = (at + piece.at, piece.bytes);
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let count = read_some(&mut stored.by_ref().take(most as u64), &mut buffer)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            spool.write_all_at(&buffer[..count], to)?;
            to += count as u64;
            left -= count as u64;
        }
    }
    Ok(())
}
