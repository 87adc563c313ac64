//! The context as one tar, for the builder that must be told everything: sorted, owned by 0:0, without anything of this machine.
//!
//! The form is GNU's (GNU tar manual, "Basic Tar Format"), which every daemon reads and which takes names of any bytes.

use std::io::{self, Read, Write};

use sha2::{Digest as _, Sha256};

use crate::event::ContextSent;
use crate::model::tree::{BodyKey, Entry, Kind, SourceTree, Time, TreeError};
use crate::model::visible::FirstNames;
use crate::model::{Digest, TreePath};

const BLOCK: usize = 512;
/// Bytes of a body that are in memory at once.
const PIECE: usize = 64 << 10;

/// A tar on its way out, hashed and counted as it goes.
pub struct TarWriter<'a> {
    out: Hashing<'a>,
    sent: ContextSent,
    first_names: FirstNames,
    /// What a body goes through.
    piece: Vec<u8>,
    /// Whether times are written to the nanosecond.
    whole_times: bool,
}

impl<'a> TarWriter<'a> {
    pub fn new(out: &'a mut dyn Write) -> Self {
        Self {
            out: Hashing { out, hash: Sha256::new() },
            sent: ContextSent::default(),
            first_names: FirstNames::default(),
            piece: vec![0; PIECE],
            whole_times: false,
        }
    }

    /// With times as exact as the source has them, for a reader of our own: a daemon must see one tar whatever a source's
    /// sub-second parts are.
    pub fn with_whole_times(out: &'a mut dyn Write) -> Self {
        Self { whole_times: true, ..Self::new(out) }
    }

    /// One entry, with its body from the source.
    pub fn entry(&mut self, source: &dyn SourceTree, entry: &Entry) -> Result<(), TreeError> {
        self.sent.entries += 1;
        let path = entry.path.as_bytes();
        match &entry.kind {
            Kind::Directory => self.header(&[path, b"/"].concat(), tar::EntryType::Directory, entry, 0, b""),
            Kind::Symlink { target } => self.header(path, tar::EntryType::Symlink, entry, 0, target),
            Kind::File { size, .. } => {
                if let Some(first) = self.first_names.before(entry) {
                    self.header(path, tar::EntryType::Link, entry, 0, first.as_bytes())
                } else {
                    self.header(path, tar::EntryType::Regular, entry, *size, b"")?;
                    let mut body = source.open(&entry.path, &entry.key)?;
                    self.body(&entry.path, &mut body, *size)
                }
            }
            Kind::Other(what) => Err(TreeError::refused(&entry.path, format!("a {what} has no place in an image"))),
        }
    }

    /// A file that is in no source.
    pub fn file(&mut self, path: &TreePath, mut body: &[u8]) -> Result<(), TreeError> {
        let size = body.len() as u64;
        let entry = Entry {
            path: path.clone(),
            kind: Kind::File { size, link: 0 },
            mode: 0o644,
            modified: Time::default(),
            key: BodyKey::default(),
        };
        self.header(path.as_bytes(), tar::EntryType::Regular, &entry, size, b"")?;
        self.body(path, &mut body, size)
    }

    /// The end mark, and what was sent in all.
    pub fn finish(mut self, ignored: u64) -> Result<ContextSent, TreeError> {
        self.out.write_all(&[0; 2 * BLOCK]).map_err(|_| TreeError::Abandoned)?;
        self.sent.ignored = ignored;
        self.sent.digest = Some(Digest::sha256(self.out.hash.finalize()));
        Ok(self.sent)
    }

    fn header(&mut self, name: &[u8], kind: tar::EntryType, entry: &Entry, size: u64, link: &[u8]) -> Result<(), TreeError> {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(entry.mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(size);
        header.set_mtime(u64::try_from(entry.modified.seconds).unwrap_or_default());
        let old = header.as_old_mut();
        put(&mut old.name, name);
        put(&mut old.linkname, link);
        header.set_cksum();
        let written = self.time(entry.modified).and_then(|()| self.long(tar::EntryType::GNULongLink, link));
        let written = written.and_then(|()| self.long(tar::EntryType::GNULongName, name));
        written.and_then(|()| self.out.write_all(header.as_bytes())).map_err(|_| TreeError::Abandoned)
    }

    /// What a header has no room for goes before it, as an extended header (POSIX.1-2017, pax, "pax Extended Header").
    fn time(&mut self, time: Time) -> io::Result<()> {
        if !self.whole_times || (time.nanos == 0 && time.seconds >= 0) {
            return Ok(());
        }
        // A time before the epoch is written as its distance.
        let (sign, seconds, nanos) = match (time.seconds, time.nanos) {
            (seconds, nanos) if seconds >= 0 => ("", seconds.unsigned_abs(), nanos),
            (seconds, 0) => ("-", seconds.unsigned_abs(), 0),
            (seconds, nanos) => ("-", (seconds + 1).unsigned_abs(), 1_000_000_000 - nanos),
        };
        let text = format!(" mtime={sign}{seconds}.{nanos:09}\n");
        // The length counts itself, which has two digits.
        let record = format!("{}{text}", text.len() + 2);
        self.extension(tar::EntryType::XHeader, b"././@PaxHeader", record.as_bytes())
    }

    /// A name that does not fit its field goes before the entry, as an entry of its own.
    fn long(&mut self, kind: tar::EntryType, name: &[u8]) -> io::Result<()> {
        if name.len() <= 100 {
            return Ok(());
        }
        self.extension(kind, b"././@LongLink", &[name, b"\0"].concat())
    }

    /// An entry that says something of the next one.
    fn extension(&mut self, kind: tar::EntryType, name: &[u8], body: &[u8]) -> io::Result<()> {
        let mut header = if kind == tar::EntryType::XHeader { tar::Header::new_ustar() } else { tar::Header::new_gnu() };
        put(&mut header.as_old_mut().name, name);
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(body.len() as u64);
        header.set_cksum();
        self.out.write_all(header.as_bytes())?;
        self.out.write_all(body)?;
        self.pad(body.len() as u64)
    }

    fn body(&mut self, path: &TreePath, body: &mut dyn Read, size: u64) -> Result<(), TreeError> {
        let mut left = size;
        while left > 0 {
            let most = self.piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            let read = match body.read(&mut self.piece[..most]) {
                Ok(0) => return Err(TreeError::Damaged(format!("{:?} ends {left} bytes early", path.display()))),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(TreeError::io(path, error)),
            };
            self.out.write_all(&self.piece[..read]).map_err(|_| TreeError::Abandoned)?;
            left -= read as u64;
        }
        self.sent.body(path, size);
        self.pad(size).map_err(|_| TreeError::Abandoned)
    }

    fn pad(&mut self, size: u64) -> io::Result<()> {
        let over = usize::try_from(size % BLOCK as u64).unwrap_or_default();
        if over == 0 { Ok(()) } else { self.out.write_all(&[0; BLOCK][over..]) }
    }
}

/// As much of the name as fits; what does not was written before.
fn put(field: &mut [u8], name: &[u8]) {
    let fits = name.len().min(field.len());
    field[..fits].copy_from_slice(&name[..fits]);
}

struct Hashing<'a> {
    out: &'a mut dyn Write,
    hash: Sha256,
}

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.hash.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
