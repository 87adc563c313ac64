//! The file a source is written to before it has its name. Others may write to the volume, so it is made by this run, held open
//! and never opened by its name again. A lock says that its run lives: what a killed run left is taken away by the next.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, openat};

/// Names tried: a run that begins at the same moment may take one for a dead run's, before it is locked.
const TRIES: usize = 16;

/// Names of the directory that are looked at for what was left.
const LOOKED_AT: usize = 4096;

const PREFIX: &str = ".podwright-fetch-";
const SUFFIX: &str = ".tmp";

#[derive(Debug)]
pub struct Unfinished {
    path: PathBuf,
    file: File,
}

impl Unfinished {
    /// Makes it in `dir`, once what dead runs left there is gone.
    pub fn create(dir: &Path, run: &str) -> io::Result<Self> {
        sweep(dir);
        for attempt in 0..TRIES {
            let path = dir.join(format!("{PREFIX}{run}.{attempt}{SUFFIX}"));
            let made = Self { file: File::create_new(&path)?, path };
            // Where there are no locks nobody can take it for a dead run's, either.
            if !matches!(made.file.try_lock(), Err(TryLockError::WouldBlock)) && made.has_its_name() {
                return Ok(made);
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    pub fn file(&self) -> &File {
        &self.file
    }

    /// Whether what has its name still is the file of this run.
    pub fn has_its_name(&self) -> bool {
        is_same(&self.file, &self.path)
    }

    pub fn rename(&self, to: &Path) -> io::Result<()> {
        fs::rename(&self.path, to)
    }

    pub fn remove(&self) {
        if self.has_its_name() {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn is_same(file: &File, path: &Path) -> bool {
    let inode = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino());
    matches!((file.metadata(), fs::symlink_metadata(path)), (Ok(file), Ok(named)) if inode(&file) == inode(&named))
}

/// Takes away what no living run holds. It is tidiness: whatever cannot be done is left.
fn sweep(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.take(LOOKED_AT).flatten() {
        let name = entry.file_name();
        if name.to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX)) {
            remove_dead(&entry.path());
        }
    }
}

fn remove_dead(path: &Path) {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let Ok(file) = openat(CWD, path, flags, Mode::empty()).map(File::from) else { return };
    if file.metadata().is_ok_and(|metadata| metadata.is_file()) && file.try_lock().is_ok() && is_same(&file, path) {
        let _ = fs::remove_file(path);
    }
}
