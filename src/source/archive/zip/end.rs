//! The end of a zip (APPNOTE 4.3.14 to 4.3.16): where the directory is. Readers look for it from behind, each a little
//! differently; here the end record is the last thing in the file, by its own account, and the only one that could be.

use std::fs::File;
use std::io::Read;

use super::super::error::ArchiveError;
use super::super::spool::Stretch;
use super::record::{u16_at, u32_at, u64_at};

const SIGNATURE: &[u8] = b"PK\x05\x06";
const SIGNATURE_64: &[u8] = b"PK\x06\x06";
const LOCATOR: &[u8] = b"PK\x06\x07";

const BYTES: usize = 22;
const LOCATOR_BYTES: usize = 20;
const BYTES_64: usize = 56;

/// Bytes from the end that hold all of it, with the longest comment there can be.
const TAIL: u64 = (BYTES + LOCATOR_BYTES + BYTES_64 + 0xffff) as u64;

/// The central directory.
#[derive(Debug, PartialEq, Eq)]
pub struct End {
    pub at: u64,
    pub bytes: u64,
    pub entries: u64,
}

impl End {
    pub fn find(zip: &File, size: u64) -> Result<Self, ArchiveError> {
        let first = size.saturating_sub(TAIL);
        let mut tail = Vec::new();
        let read = Stretch::new(zip, first, size - first).read_to_end(&mut tail);
        read.map_err(|cause| ArchiveError::Spool { cause })?;
        let at = last_record(&tail)?;
        let (end, begins) = parse(&tail, at)?;
        if end.at.checked_add(end.bytes) != Some(first + begins as u64) {
            return Err(refused("its directory does not end where the end record begins"));
        }
        Ok(end)
    }
}

/// Where the end record is among the last bytes of the file.
fn last_record(tail: &[u8]) -> Result<usize, ArchiveError> {
    let all = || tail.windows(SIGNATURE.len()).enumerate().filter(|(_, bytes)| *bytes == SIGNATURE).map(|(at, _)| at);
    let cut = |what: &str| ArchiveError::Truncated(what.to_owned());
    let last = all().next_back().ok_or_else(|| cut("it is a zip without an end record"))?;
    if tail.len() - last < BYTES {
        return Err(cut("it ends within its end record"));
    }
    let ends = |at: usize| at + BYTES + usize::from(u16_at(tail, at + 20));
    if ends(last) > tail.len() {
        return Err(cut("it ends within its comment"));
    }
    if ends(last) < tail.len() {
        return Err(refused("something follows its end record"));
    }
    // A reader that looks at lengths first would take one whose comment hides the other.
    if all().any(|at| at != last && at + BYTES <= tail.len() && ends(at) == tail.len()) {
        return Err(refused("it has two end records"));
    }
    Ok(last)
}

/// What the records say, and where the first of them begins.
fn parse(tail: &[u8], at: usize) -> Result<(End, usize), ArchiveError> {
    let record = &tail[at..at + BYTES];
    let (disks, here, all) = ((u16_at(record, 4), u16_at(record, 6)), u16_at(record, 8), u16_at(record, 10));
    let (bytes, start) = (u32_at(record, 12), u32_at(record, 16));
    let locator = at.checked_sub(LOCATOR_BYTES).map(|from| &tail[from..at]).filter(|bytes| bytes.starts_with(LOCATOR));
    let Some(locator) = locator else {
        if disks != (0, 0) || here != all {
            return Err(parts());
        }
        return Ok((End { at: start.into(), bytes: bytes.into(), entries: all.into() }, at));
    };
    if u32_at(locator, 4) != 0 || u32_at(locator, 16) > 1 || !matches!(disks, (0 | 0xffff, 0 | 0xffff)) {
        return Err(parts());
    }
    let begins = (at - LOCATOR_BYTES).checked_sub(BYTES_64).filter(|begins| tail[*begins..].starts_with(SIGNATURE_64));
    let begins = begins.ok_or_else(|| refused("its zip64 end record does not stand before its locator"))?;
    let wide = &tail[begins..begins + BYTES_64];
    if u64_at(wide, 4) != (BYTES_64 - 12) as u64 {
        return Err(refused("its zip64 end record has a length of its own"));
    }
    if u32_at(wide, 16) != 0 || u32_at(wide, 20) != 0 || u64_at(wide, 24) != u64_at(wide, 32) {
        return Err(parts());
    }
    let end = End { at: u64_at(wide, 48), bytes: u64_at(wide, 40), entries: u64_at(wide, 32) };
    // The locator has the place of the record, which is where the directory ends.
    let same = agree(here.into(), 0xffff, end.entries)
        && agree(all.into(), 0xffff, end.entries)
        && agree(bytes.into(), 0xffff_ffff, end.bytes)
        && agree(start.into(), 0xffff_ffff, end.at)
        && Some(u64_at(locator, 8)) == end.at.checked_add(end.bytes);
    if same { Ok((end, begins)) } else { Err(refused("its two end records disagree")) }
}

/// Whether the narrow field says the same as the wide one, or that the wide one counts.
fn agree(narrow: u64, full: u64, wide: u64) -> bool {
    narrow == wide || narrow == full
}

fn parts() -> ArchiveError {
    refused("it is a part of a zip in several files")
}

fn refused(rule: &str) -> ArchiveError {
    ArchiveError::Format(rule.to_owned())
}
