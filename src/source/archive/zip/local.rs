//! What stands before and behind a body (APPNOTE 4.3.7, 4.3.9): it must say what the directory says.

use std::fs::File;
use std::io::Read;

use super::super::error::ArchiveError;
use super::super::spool::Stretch;
use super::Fault;
use super::record::{DESCRIPTOR, Extra, Record, u16_at, u32_at, u64_at};

const SIGNATURE: &[u8] = b"PK\x03\x04";
const DESCRIPTOR_SIGNATURE: &[u8] = b"PK\x07\x08";
const BYTES: u64 = 30;

const OVERLAP: &str = "it overlaps what comes next in the zip";

/// The body as it is stored, between a header that agrees and the next entry, which begins at `next`.
pub fn body<'a>(zip: &'a File, record: &Record, next: u64) -> Result<Stretch<'a>, Fault> {
    let fixed = take(zip, record.offset, BYTES, next)?;
    if !fixed.starts_with(SIGNATURE) {
        return Err("it is not where the directory says it is".into());
    }
    let (name_bytes, extra_bytes) = (u64::from(u16_at(&fixed, 26)), u64::from(u16_at(&fixed, 28)));
    let name = take(zip, record.offset + BYTES, name_bytes, next)?;
    let extra = take(zip, record.offset + BYTES + name_bytes, extra_bytes, next)?;
    agree(record, &fixed, &name, &extra)?;
    let at = record.offset + BYTES + name_bytes + extra_bytes;
    let end = at.checked_add(record.stored).filter(|end| *end <= next).ok_or(OVERLAP)?;
    if next - end > 24 {
        return Err("something stands between it and what comes next in the zip".into());
    }
    let behind = take(zip, end, next - end, next)?;
    match (record.flags & DESCRIPTOR != 0, behind.is_empty()) {
        (false, true) => {}
        (false, false) => return Err("something stands between it and what comes next in the zip".into()),
        (true, _) if descriptor_agrees(record, &behind) => {}
        (true, _) => return Err("the descriptor behind it is not what the directory says".into()),
    }
    Ok(Stretch::new(zip, at, record.stored))
}

fn agree(record: &Record, fixed: &[u8], name: &[u8], extra: &[u8]) -> Result<(), &'static str> {
    if *name != record.name {
        return Err("its two headers name it differently");
    }
    if (u16_at(fixed, 6), u16_at(fixed, 8)) != (record.flags, record.method) {
        return Err("its two headers disagree about how it is stored");
    }
    let extra = Extra::parse(extra)?;
    // Some readers go by a name here, of those that have one.
    if extra.name.is_some_and(|name| name != record.name) {
        return Err("its headers give it two names");
    }
    let zip64 = extra.zip64;
    let wide = |at: usize, place: usize| match (u32_at(fixed, at), zip64) {
        (u32::MAX, Some(wide)) if wide.len() >= 16 => u64_at(wide, place),
        (narrow, _) => u64::from(narrow),
    };
    let (crc, stored, size) = (u32_at(fixed, 14), wide(18, 8), wide(22, 0));
    // With a descriptor, the header may have been written before anything was known.
    let later = record.flags & DESCRIPTOR != 0;
    let right = |said: u64, is: u64| said == is || (later && said == 0);
    if right(crc.into(), record.crc.into()) && right(stored, record.stored) && right(size, record.size) {
        Ok(())
    } else {
        Err("its two headers disagree about its size or sum")
    }
}

/// With a signature or without, with four bytes for a size or eight: all four are in use.
fn descriptor_agrees(record: &Record, bytes: &[u8]) -> bool {
    let fields = match bytes.len() {
        16 | 24 if bytes.starts_with(DESCRIPTOR_SIGNATURE) => &bytes[4..],
        12 | 20 => bytes,
        _ => return false,
    };
    let (stored, size) = match fields.len() {
        12 => (u32_at(fields, 4).into(), u32_at(fields, 8).into()),
        _ => (u64_at(fields, 4), u64_at(fields, 12)),
    };
    (u32_at(fields, 0), stored, size) == (record.crc, record.stored, record.size)
}

/// Bytes that lie before `next`.
fn take(zip: &File, at: u64, bytes: u64, next: u64) -> Result<Vec<u8>, Fault> {
    if at.checked_add(bytes).is_none_or(|end| end > next) {
        return Err(OVERLAP.into());
    }
    let mut taken = Vec::new();
    let read = Stretch::new(zip, at, bytes).read_to_end(&mut taken);
    read.map_err(|cause| ArchiveError::Spool { cause })?;
    Ok(taken)
}
