//! The objects of one source: one file in the fetch's own directory, and where in it each object is.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use super::{Lfs, LfsId, Pointer};

/// What pointers come to.
#[derive(Debug, Default)]
pub struct Store {
    mode: Lfs,
    file: Option<Arc<File>>,
    /// Offset and size of every object that is here and was checked.
    found: HashMap<LfsId, (u64, u64)>,
    /// Bytes that are taken.
    end: u64,
}

impl Store {
    pub fn new(mode: Lfs) -> Self {
        Self { mode, ..Self::default() }
    }

    pub fn mode(&self) -> Lfs {
        self.mode
    }

    /// Bytes of the object that is here.
    pub fn find(&self, oid: &LfsId) -> Option<u64> {
        self.found.get(oid).map(|(_, size)| *size)
    }

    /// Bytes of what takes the pointer's place; `None` where nothing does.
    pub fn size(&self, pointer: &Pointer) -> Option<u64> {
        self.place(pointer).map(|(_, size)| size)
    }

    fn place(&self, pointer: &Pointer) -> Option<(u64, u64)> {
        match self.mode {
            Lfs::Auto if pointer.extended => None,
            Lfs::Auto if pointer.size == 0 => Some((0, 0)),
            Lfs::Auto => self.found.get(&pointer.oid).copied(),
            Lfs::Refuse | Lfs::Keep => None,
        }
    }

    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// The file, made in this directory when it is first needed.
    pub fn file(&mut self, directory: &Path) -> io::Result<Arc<File>> {
        if let Some(file) = &self.file {
            return Ok(Arc::clone(file));
        }
        let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(directory.join("lfs"))?;
        Ok(Arc::clone(self.file.insert(Arc::new(file))))
    }

    /// Room for an object; the offset it begins at.
    pub fn reserve(&mut self, size: u64) -> u64 {
        let offset = self.end;
        self.end += size;
        offset
    }

    /// The object is here, and is what it should be.
    pub fn add(&mut self, oid: LfsId, offset: u64, size: u64) {
        self.found.insert(oid, (offset, size));
    }

    /// What takes the pointer's place: `None` where it stays, an error where it may not be shipped.
    pub fn open(&self, pointer: &Pointer) -> Result<Option<Stretch<'_>>, &'static str> {
        match (self.place(pointer), self.mode) {
            (Some((offset, size)), _) => Ok(Some(Stretch { file: self.file.as_deref(), at: offset, left: size })),
            (None, Lfs::Keep) => Ok(None),
            (None, Lfs::Refuse) => Err("it is a pointer of Git LFS, and source.git.lfs says to refuse those"),
            (None, Lfs::Auto) if pointer.extended => {
                Err("its LFS object went through an extension (ext-…) on its way in, and nothing here takes that back")
            }
            (None, Lfs::Auto) => Err("it is a pointer of Git LFS to an object that was not fetched"),
        }
    }
}

/// Reads a part of the file without moving its position, so that many may read at once.
pub struct Stretch<'a> {
    file: Option<&'a File>,
    at: u64,
    left: u64,
}

impl Read for Stretch<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let Some(file) = self.file.filter(|_| most > 0) else { return Ok(0) };
        let count = file.read_at(&mut buffer[..most], self.at)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}
