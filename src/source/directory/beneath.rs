//! Opening what lies below a directory, and nothing else: no symbolic link is followed, on no component of the way.
//!
//! The kernel does it in one call (openat2(2), `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS`, Linux 5.6). Where that call is missing,
//! or a seccomp profile older than it answers EPERM, every component is opened by itself with `O_NOFOLLOW`: as strict, slower.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Mode, OFlags, RawDir, ResolveFlags, openat, openat2};
use rustix::io::{Errno, Result};

use crate::model::TreePath;

/// Set once the kernel has said that it has no openat2.
static BY_COMPONENT: AtomicBool = AtomicBool::new(false);

/// What keeps an open harmless whatever the name turns out to be: a pipe does not block, a link is not followed.
const SAFE: OFlags = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).union(OFlags::CLOEXEC).union(OFlags::NOCTTY);

/// Opens a directory for reading its names; the root path gives the root itself, anew.
pub fn open_directory(root: BorrowedFd<'_>, path: &TreePath) -> Result<OwnedFd> {
    open(root, path, OFlags::RDONLY | OFlags::DIRECTORY)
}

/// Opens a file for reading. What it is must be asked of the descriptor: the name may mean something else by now.
pub fn open_file(root: BorrowedFd<'_>, path: &TreePath) -> Result<OwnedFd> {
    open(root, path, OFlags::RDONLY)
}

/// Opens one name in a directory that is open already.
pub fn open_child(directory: BorrowedFd<'_>, name: &[u8]) -> Result<OwnedFd> {
    openat(directory, name, OFlags::RDONLY | OFlags::DIRECTORY | SAFE, Mode::empty())
}

fn open(root: BorrowedFd<'_>, path: &TreePath, flags: OFlags) -> Result<OwnedFd> {
    let name = if path.is_root() { &b"."[..] } else { path.as_bytes() };
    if !BY_COMPONENT.load(Ordering::Relaxed) {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        match openat2(root, name, flags | SAFE, Mode::empty(), resolve) {
            // A file that may not be opened says EACCES; EPERM is the sandbox speaking.
            Err(Errno::NOSYS | Errno::PERM) => BY_COMPONENT.store(true, Ordering::Relaxed),
            // A rename nearby, or a name as long as PATH_MAX: this once.
            Err(Errno::AGAIN | Errno::NAMETOOLONG) => {}
            other => return other,
        }
    }
    open_by_component(root, path, flags)
}

fn open_by_component(root: BorrowedFd<'_>, path: &TreePath, flags: OFlags) -> Result<OwnedFd> {
    let mut parents: Vec<&[u8]> = path.components().collect();
    let last = parents.pop().unwrap_or(b".");
    let mut above: Option<OwnedFd> = None;
    for component in parents {
        let at = above.as_ref().map_or(root, AsFd::as_fd);
        let next = openat(at, component, OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
        above = Some(next);
    }
    openat(above.as_ref().map_or(root, AsFd::as_fd), last, flags | SAFE, Mode::empty())
}

/// The names in one directory, sorted by their bytes, in one piece of memory: a directory may hold a million of them.
#[derive(Default)]
pub struct Names {
    bytes: Vec<u8>,
    /// Where each name begins, and its length.
    spans: Vec<(usize, usize)>,
}

impl Names {
    /// Reads the whole directory. `buffer` is only room to work in.
    pub fn read(directory: BorrowedFd<'_>, buffer: &mut [MaybeUninit<u8>]) -> Result<Self> {
        let mut names = Self::default();
        let mut entries = RawDir::new(directory, buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.spans.push((names.bytes.len(), name.len()));
                names.bytes.extend_from_slice(name);
            }
        }
        let Self { bytes, spans } = &mut names;
        spans.sort_unstable_by(|a, b| bytes[a.0..a.0 + a.1].cmp(&bytes[b.0..b.0 + b.1]));
        Ok(names)
    }

    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.spans.iter().map(|(at, length)| &self.bytes[*at..at + length])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    type Open = fn(BorrowedFd<'_>, &TreePath, OFlags) -> Result<OwnedFd>;

    /// Both ways of opening must refuse and allow the same.
    #[test]
    fn no_link_is_followed_on_any_component_by_either_way() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("root");
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/file"), "x").unwrap();
        fs::write(home.path().join("secret"), "x").unwrap();
        symlink("a", root.join("inside")).unwrap();
        symlink("..", root.join("up")).unwrap();
        symlink("../secret", root.join("leak")).unwrap();
        symlink("b", root.join("a/c")).unwrap();
        let fd = rustix::fs::open(&root, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        for way in [open as Open, open_by_component as Open] {
            let try_open = |path: &str| way(fd.as_fd(), &TreePath::parse(path.as_bytes()).unwrap(), OFlags::RDONLY).map(drop);
            for good in ["a", "a/b", "a/b/file", "."] {
                assert_eq!(try_open(good), Ok(()), "{good}");
            }
            for linked in ["inside/b/file", "up/secret", "leak", "a/c/file", "a/c"] {
                assert!(matches!(try_open(linked), Err(Errno::LOOP | Errno::NOTDIR)), "{linked}: {:?}", try_open(linked));
            }
            assert_eq!(try_open("a/none"), Err(Errno::NOENT));
            assert_eq!(try_open("a/b/file/x"), Err(Errno::NOTDIR));
        }
    }

    #[test]
    fn names_come_sorted_by_bytes_and_whole() {
        let home = tempfile::tempdir().unwrap();
        let mut want: Vec<String> = (0..3000).map(|n| format!("name-{n}-{}", "x".repeat(n % 200))).collect();
        for name in &want {
            fs::write(home.path().join(name), "").unwrap();
        }
        want.sort();
        let fd = rustix::fs::open(home.path(), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        let names = Names::read(fd.as_fd(), Vec::with_capacity(8192).spare_capacity_mut()).unwrap();
        assert!(names.iter().eq(want.iter().map(String::as_bytes)));
    }
}
