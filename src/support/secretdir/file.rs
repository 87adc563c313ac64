//! One secret file: opened without waiting, judged by what was opened, read up to a bound.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use super::SecretError;
use crate::support::guard::Guard;
use crate::support::limits::SECRET_BYTES;

/// That the directory is there and may be entered.
pub fn check_directory(path: &Path) -> Result<(), SecretError> {
    let metadata = fs::metadata(path).map_err(|cause| failed(path, cause))?;
    if !metadata.is_dir() {
        return Err(SecretError::NotADirectory { path: path.to_owned() });
    }
    // Read permission is not needed, but search is: a name that cannot be there tells the two apart.
    match fs::metadata(path.join(".podwright-probe")) {
        Err(cause) if cause.kind() == io::ErrorKind::PermissionDenied => Err(denied(path)),
        _ => Ok(()),
    }
}

/// The file's bytes; `None` where there is no such file.
pub fn read(path: &Path, guard: &Guard) -> Result<Option<Vec<u8>>, SecretError> {
    let file = match open(path) {
        Ok(file) => file,
        Err(cause) if matches!(cause.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
        Err(cause) => return Err(failed(path, cause)),
    };
    guard.opened(&file, path)?;
    if !file.metadata().map_err(|cause| failed(path, cause))?.is_file() {
        return Err(SecretError::Malformed { path: path.to_owned(), rule: "is not a regular file".into() });
    }
    let mut bytes = Vec::new();
    file.take(SECRET_BYTES + 1).read_to_end(&mut bytes).map_err(|cause| failed(path, cause))?;
    if bytes.len() as u64 > SECRET_BYTES {
        return Err(SecretError::TooLarge { path: path.to_owned(), limit: SECRET_BYTES });
    }
    Ok(Some(bytes))
}

/// A pipe under the name must not keep the run waiting.
fn open(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}

fn failed(path: &Path, cause: io::Error) -> SecretError {
    match cause.kind() {
        io::ErrorKind::NotFound => SecretError::Missing { path: path.to_owned() },
        io::ErrorKind::PermissionDenied => denied(path),
        _ => SecretError::Unreadable { path: path.to_owned(), cause },
    }
}

/// Names the nearest thing on the way that can be looked at: it is the one that bars it, or lies just above.
pub(super) fn denied(path: &Path) -> SecretError {
    let found = path.ancestors().find_map(|at| fs::metadata(at).ok().map(|metadata| (at, metadata)));
    let (at, mode, owner) = found.map_or((path, "unknown".to_owned(), "unknown".to_owned()), |(at, metadata)| {
        (at, format!("{:04o}", metadata.mode() & 0o7777), format!("{}:{}", metadata.uid(), metadata.gid()))
    });
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    SecretError::Denied { path: at.to_owned(), uid, gid, mode, owner }
}
