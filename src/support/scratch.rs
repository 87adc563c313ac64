//! A directory for the time being: only this user may enter it, and it is gone with everything in it when it is dropped.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// Removed when dropped, as far as it can be.
#[derive(Debug)]
pub struct ScratchDir(PathBuf);

impl ScratchDir {
    /// A new one; what has the name already is never taken over.
    pub fn create(path: PathBuf) -> io::Result<Self> {
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for ScratchDir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_this_users_alone_and_goes_with_its_content() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("a");
        let scratch = ScratchDir::create(path.clone()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(ScratchDir::create(path.clone()).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        fs::write(scratch.path().join("b"), "c").unwrap();
        drop(scratch);
        assert!(!path.exists());
    }
}
