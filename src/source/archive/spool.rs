//! The one file an archive is kept in while it is used: nameless, so that nothing is left behind even on SIGKILL.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat, unlink};
use rustix::io::Errno;

use super::error::ArchiveError;

/// Names tried where the file system cannot make a nameless file.
const TRIES: usize = 16;

/// A file without a name in `workspace`, readable and writable by this user alone.
pub fn create(workspace: &Path) -> Result<File, ArchiveError> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::TMPFILE;
    match openat(CWD, workspace, flags, Mode::RUSR | Mode::WUSR) {
        Ok(file) => Ok(file.into()),
        // Not every file system has it (overlayfs before Linux 6.1), and not every kernel knows the flag.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => create_named(workspace),
        Err(error) => Err(error),
    }
    .map_err(|cause| ArchiveError::workspace(workspace, cause.into()))
}

/// Made under a name nobody can guess, which is taken away at once.
fn create_named(workspace: &Path) -> Result<File, Errno> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW;
    for _ in 0..TRIES {
        let path = workspace.join(format!(".podwright-spool-{:016x}", getrandom::u64().unwrap_or_default()));
        match openat(CWD, &path, flags, Mode::RUSR | Mode::WUSR) {
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
            Ok(file) => {
                unlink(&path)?;
                return Ok(file.into());
            }
        }
    }
    Err(Errno::EXIST)
}

/// Appends. Whatever goes wrong here, the workspace is to blame, never the archive.
pub fn append(mut file: &File, bytes: &[u8], workspace: &Path) -> Result<(), ArchiveError> {
    file.write_all(bytes).map_err(|cause| ArchiveError::workspace(workspace, cause))
}

/// Reads a stretch of a file without moving its position, so that many may read at once.
#[derive(Debug)]
pub struct Stretch<'a> {
    file: &'a File,
    at: u64,
    left: u64,
}

impl<'a> Stretch<'a> {
    pub fn new(file: &'a File, at: u64, length: u64) -> Self {
        Self { file, at, left: length }
    }

    /// Bytes that were not read yet.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Passes over bytes without reading them, as many as there are.
    pub fn skip(&mut self, bytes: u64) {
        let bytes = bytes.min(self.left);
        self.at += bytes;
        self.left -= bytes;
    }

    /// Where the next byte is read from.
    pub fn position(&self) -> u64 {
        self.at
    }
}

impl Read for Stretch<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.file.read_at(&mut buffer[..most], self.at)?;
        if count == 0 && most > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Classified, Reason};
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn the_spool_has_no_name_and_no_other_reader() {
        let home = tempfile::tempdir().unwrap();
        for file in [create(home.path()).unwrap(), create_named(home.path()).unwrap()] {
            let metadata = file.metadata().unwrap();
            assert_eq!((metadata.nlink(), metadata.mode() & 0o777), (0, 0o600));
            append(&file, b"0123456789", home.path()).unwrap();
            let mut text = String::new();
            Stretch::new(&file, 3, 4).read_to_string(&mut text).unwrap();
            assert_eq!(text, "3456");
            assert!(Stretch::new(&file, 8, 4).read_to_string(&mut text).is_err());
        }
        assert_eq!(std::fs::read_dir(home.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_full_workspace_is_named_and_worth_another_try() {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let error = append(&full, b"x", Path::new("/workspace")).unwrap_err();
        assert_eq!(error.reason(), Reason::WorkspaceFull);
        assert!(error.reason().retryable() && error.to_string().contains("\"/workspace\"") && error.hint().unwrap().contains("more room"));
    }

    #[test]
    fn a_missing_workspace_is_the_workspaces_fault() {
        let error = create(Path::new("/nonexistent/workspace")).unwrap_err();
        assert_eq!(error.reason(), Reason::WorkspaceFull);
        assert!(error.to_string().contains("/nonexistent/workspace"));
    }
}
