//! One entry as the central directory has it (APPNOTE 4.3.12), and the extra fields that count.

use std::io::Read;

use time::{Date, Month, PrimitiveDateTime, Time};

use super::super::error::ArchiveError;

const SIGNATURE: &[u8] = b"PK\x01\x02";
const BYTES: usize = 46;

/// Flags (APPNOTE 4.4.4): a descriptor behind the body, and names in UTF-8. Two more say how hard the deflate tried.
pub const DESCRIPTOR: u16 = 1 << 3;
const UTF8: u16 = 1 << 11;
const HARMLESS: u16 = 0b110 | DESCRIPTOR | UTF8;
/// The entry, or the directory, is encrypted.
const ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;

pub const STORED: u16 = 0;
pub const DEFLATED: u16 = 8;

/// Systems that an entry may be made by and whose attributes are Unix modes (APPNOTE 4.4.2: Unix, and OS X).
const UNIX: [u8; 2] = [3, 19];

/// Unix file types (`st_mode`), and DOS's mark of a directory.
const FILE: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
const LINK: u32 = 0o120_000;
const DOS_DIRECTORY: u32 = 0x10;

/// 1980, the first year that a zip's own times have.
const FIRST_SECOND: i64 = 315_532_800;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Directory,
    File,
    Symlink,
}

#[derive(Debug)]
pub struct Record {
    pub name: Vec<u8>,
    pub flags: u16,
    pub method: u16,
    pub crc: u32,
    /// Bytes as stored.
    pub stored: u64,
    pub size: u64,
    /// Where its local header is.
    pub offset: u64,
    /// Since the epoch.
    pub seconds: i64,
    made_by: u8,
    attributes: u32,
    /// The name in Info-ZIP's own extra field.
    second_name: Option<Vec<u8>>,
}

impl Record {
    /// The next one. What is wrong with the directory itself is told here, what with the entry by `kind`.
    pub fn read(directory: &mut impl Read) -> Result<Self, ArchiveError> {
        let fixed = take(directory, BYTES)?;
        if !fixed.starts_with(SIGNATURE) {
            return Err(ArchiveError::Format("its directory holds something that is no entry".into()));
        }
        let name = take(directory, u16_at(&fixed, 28).into())?;
        let extra = take(directory, u16_at(&fixed, 30).into())?;
        take(directory, u16_at(&fixed, 32).into())?;
        Self::parse(&fixed, name.clone(), &extra).map_err(|rule| ArchiveError::entry(&name, rule))
    }

    fn parse(fixed: &[u8], name: Vec<u8>, extra: &[u8]) -> Result<Self, &'static str> {
        let extra = Extra::parse(extra)?;
        let narrow = [u32_at(fixed, 24), u32_at(fixed, 20), u32_at(fixed, 42)];
        let [size, stored, offset] = widen(narrow, extra.zip64)?;
        if !matches!(u16_at(fixed, 34), 0 | 0xffff) {
            return Err("it is in another file of several");
        }
        Ok(Self {
            flags: u16_at(fixed, 8),
            method: u16_at(fixed, 10),
            crc: u32_at(fixed, 16),
            stored,
            size,
            offset,
            seconds: extra.seconds.unwrap_or_else(|| dos_time(u16_at(fixed, 14), u16_at(fixed, 12))),
            made_by: fixed[5],
            attributes: u32_at(fixed, 38),
            second_name: extra.name.map(<[u8]>::to_vec),
            name,
        })
    }

    /// What it is, by its name and attributes, which have to agree; everything about it that is refused is refused here.
    pub fn kind(&self) -> Result<Kind, String> {
        if self.flags & ENCRYPTED != 0 {
            return Err("it is encrypted".into());
        }
        if self.flags & !HARMLESS != 0 {
            return Err(format!("its flags {:#x} are none that are read", self.flags));
        }
        if !matches!(self.method, STORED | DEFLATED) {
            return Err(format!("it is compressed by {}; stored and deflate are read", method_name(self.method)));
        }
        self.check_name()?;
        let directory = self.name.ends_with(b"/");
        let made_on_unix = UNIX.contains(&self.made_by);
        let stated = self.attributes >> 16 & 0o170_000;
        if stated == LINK && !made_on_unix {
            return Err("it is a symbolic link to some readers and a file to others".into());
        }
        match (if made_on_unix { stated } else { 0 }, directory) {
            (0 | DIRECTORY, true) => Ok(Kind::Directory),
            (0 | FILE, false) if self.attributes & DOS_DIRECTORY == 0 => Ok(Kind::File),
            (LINK, false) => Ok(Kind::Symlink),
            (0o020_000 | 0o060_000, _) => Err("it is a device".into()),
            (0o010_000, _) => Err("it is a named pipe".into()),
            (0o140_000, _) => Err("it is a socket".into()),
            _ => Err("its name and its attributes disagree about what it is".into()),
        }
    }

    fn check_name(&self) -> Result<(), &'static str> {
        if self.second_name.as_ref().is_some_and(|second| *second != self.name) {
            return Err("its headers give it two names");
        }
        if self.name.contains(&b'\\') {
            return Err("its name holds a backslash, which some readers take for a slash");
        }
        if self.flags & UTF8 != 0 && str::from_utf8(&self.name).is_err() {
            return Err("its name is said to be UTF-8 and is not");
        }
        if self.flags & UTF8 == 0 && !self.name.is_ascii() && !UNIX.contains(&self.made_by) && self.second_name.is_none() {
            return Err("its name is in an unknown charset");
        }
        Ok(())
    }

    /// Permission, set-id and sticky bits; where none are given, what everybody may read.
    pub fn mode(&self) -> u32 {
        let mode = self.attributes >> 16;
        match (UNIX.contains(&self.made_by) && mode != 0, self.name.ends_with(b"/")) {
            (true, _) => mode & 0o7777,
            (false, true) => 0o755,
            (false, false) => 0o644,
        }
    }
}

/// The extra fields that count (APPNOTE 4.5; Info-ZIP's `extrafld.txt` for the times).
#[derive(Default)]
pub struct Extra<'a> {
    pub zip64: Option<&'a [u8]>,
    seconds: Option<i64>,
    pub name: Option<&'a [u8]>,
}

impl<'a> Extra<'a> {
    pub fn parse(mut bytes: &'a [u8]) -> Result<Self, &'static str> {
        let mut extra = Self::default();
        // Up to three zeros are what `zipalign` fills up with.
        while bytes.len() > 3 || bytes.iter().any(|byte| *byte != 0) {
            let length = if bytes.len() < 4 { usize::MAX } else { usize::from(u16_at(bytes, 2)) };
            let body = bytes.get(4..).and_then(|rest| rest.get(..length)).ok_or("an extra field of it is malformed")?;
            match u16_at(bytes, 0) {
                0x0001 if extra.zip64.replace(body).is_some() => return Err("its zip64 sizes are there twice"),
                0x5455 if body.len() >= 5 && body[0] & 1 != 0 => extra.seconds = Some(u32_at(body, 1).cast_signed().into()),
                0x7075 if extra.name.is_some() => return Err("its headers give it two names"),
                0x7075 if body.len() >= 5 => extra.name = Some(&body[5..]),
                _ => {}
            }
            bytes = &bytes[4 + length..];
        }
        Ok(extra)
    }
}

/// Size, stored bytes and offset, of which those that are all ones are in the zip64 field, in this order (APPNOTE 4.5.3). Go's
/// writer repeats an offset there that needs no room: that is said twice, and must be the same.
fn widen(narrow: [u32; 3], zip64: Option<&[u8]>) -> Result<[u64; 3], &'static str> {
    const MALFORMED: &str = "its zip64 sizes are malformed";
    let mut wide = narrow.map(u64::from);
    let mut rest = zip64.unwrap_or_default();
    if zip64.is_none() {
        return Ok(wide);
    }
    for value in wide.iter_mut().filter(|value| **value == u64::from(u32::MAX)) {
        *value = rest.get(..8).map(|field| u64_at(field, 0)).ok_or(MALFORMED)?;
        rest = &rest[8..];
    }
    match rest.len() {
        0 => Ok(wide),
        8 if narrow[2] != u32::MAX && u64_at(rest, 0) == wide[2] => Ok(wide),
        _ => Err(MALFORMED),
    }
}

/// A time without a zone, taken as UTC; its seconds are even.
fn dos_time(date: u16, time: u16) -> i64 {
    let small = |value: u16| u8::try_from(value).unwrap_or_default();
    let month = Month::try_from(small(date >> 5 & 15)).ok();
    let day = month.and_then(|month| Date::from_calendar_date(i32::from(1980 + (date >> 9)), month, small(date & 31)).ok());
    let clock = Time::from_hms(small(time >> 11), small(time >> 5 & 63), small((time & 31) * 2)).ok();
    match (day, clock) {
        (Some(day), Some(clock)) => PrimitiveDateTime::new(day, clock).assume_utc().unix_timestamp(),
        _ => FIRST_SECOND,
    }
}

fn method_name(method: u16) -> String {
    match method {
        9 => "deflate64".into(),
        12 => "bzip2".into(),
        14 => "LZMA".into(),
        93 => "zstd".into(),
        95 => "xz".into(),
        99 => "an encryption".into(),
        other => format!("method {other}"),
    }
}

fn take(from: &mut impl Read, bytes: usize) -> Result<Vec<u8>, ArchiveError> {
    let mut taken = Vec::with_capacity(bytes);
    let read = from.take(bytes as u64).read_to_end(&mut taken).map_err(|cause| ArchiveError::Spool { cause })?;
    if read == bytes { Ok(taken) } else { Err(ArchiveError::Format("its directory ends within an entry".into())) }
}

pub fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

pub fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}
