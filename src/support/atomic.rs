//! Files that are there whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes beside the target, syncs, renames over it: a reader sees the old file or the whole new one. Two writers of one file
/// never share what they write to, and a link at the target is replaced, not followed.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (temporary, file) = beside(path)?;
    let written = fill(file, bytes).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn fill(mut file: File, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    file.sync_all()
}

/// A new file in the same directory, under a name nobody can guess: one that is there already, a link included, is an error.
fn beside(path: &Path) -> io::Result<(PathBuf, File)> {
    if path.file_name().is_none() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"));
    }
    let number = getrandom::u64().map_err(|why| io::Error::other(why.to_string()))?;
    let temporary = path.with_file_name(format!(".podwright-{number:016x}.tmp"));
    let file = File::create_new(&temporary)?;
    Ok((temporary, file))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;
    use std::thread;

    use super::*;

    #[test]
    fn writers_of_one_file_never_tear_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("result.json");
        let write_often = |letter: &'static str| {
            let path = path.clone();
            thread::spawn(move || (0..50).for_each(|_| write(&path, letter.repeat(100_000).as_bytes()).unwrap()))
        };
        let writers = ["a", "b", "c"].map(write_often);
        while !writers.iter().all(thread::JoinHandle::is_finished) {
            if let Ok(text) = fs::read_to_string(&path) {
                assert!(text.len() == 100_000 && text.bytes().all(|byte| byte == text.as_bytes()[0]));
            }
        }
        for writer in writers {
            writer.join().unwrap();
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn what_was_planted_is_neither_followed_nor_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let (path, victim) = (dir.path().join("result.json"), dir.path().join("victim"));
        fs::write(&victim, "mine").unwrap();
        symlink(&victim, dir.path().join(".result.json.tmp")).unwrap();
        symlink(&victim, &path).unwrap();
        write(&path, b"new").unwrap();
        assert_eq!((fs::read_to_string(&victim).unwrap(), fs::read_to_string(&path).unwrap()), ("mine".into(), "new".into()));
    }

    #[test]
    fn a_target_that_cannot_be_replaced_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("taken")).unwrap();
        assert!(write(&dir.path().join("taken"), b"x").is_err());
        assert!(write(Path::new("/"), b"x").is_err());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
