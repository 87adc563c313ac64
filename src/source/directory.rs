//! A mounted directory as a tree: a volume, what git-sync keeps, what an init container left.
//!
//! Read where it lies, never copied. No symbolic link below the root is followed, whatever it points to; the root's own path may
//! be one (git-sync swaps one to publish a commit), and is resolved once, so that a swap during the build changes nothing.

mod beneath;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, StatxFlags, fstat, readlinkat, statat, statx};
use rustix::io::Errno;

use super::body::ExactBody;
use crate::model::path::{BadPath, MAX_DEPTH};
use crate::model::tree::{BodyKey, Entry, Kind, Revision, SourceTree, Time, TreeError, Visited, Walk, reason_of};
use crate::model::{Classified, Reason, TreePath};
use crate::support::guard::{Forbidden, Guard};
use crate::support::limits::{Limits, OBJECT_BYTES, SOURCE_ENTRIES};
use beneath::{Names, open_child, open_directory, open_file};

/// Room for the names the kernel hands over in one call.
const NAMES_BUFFER: usize = 64 << 10;

/// A directory of this pod's file system.
#[derive(Debug)]
pub struct DirectoryTree {
    root: OwnedFd,
    revision: Revision,
    identity: String,
    entries: u64,
    object_bytes: u64,
    /// Numbers of the files that have several names, by device and inode.
    links: Mutex<HashMap<(u64, u64), u64>>,
}

impl DirectoryTree {
    /// Opens `subdir` of the directory at `path`. Of the limits, `source_entries` binds a walk and `object_bytes` a body;
    /// the sum of bytes is for whoever ships them to count, since only it knows which are ignored.
    pub fn open(path: &Path, subdir: &TreePath, limits: &Limits, guard: &Guard) -> Result<Self, DirectoryError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let top = rustix::fs::open(path, flags, Mode::empty()).map_err(|cause| DirectoryError::root(path, cause))?;
        // The path was judged when the request was read, and may lead elsewhere by now.
        let top = File::from(top);
        guard.opened_tree(&top, path)?;
        let root = enter(top.into(), path, subdir)?;
        let stat = fstat(&root).map_err(|cause| DirectoryError::root(path, cause))?;
        let revision = Revision {
            kind: "directory".into(),
            url: Some(path.to_string_lossy().into_owned()),
            subdir: (!subdir.is_root()).then(|| subdir.display()),
            ..Revision::default()
        };
        // Every pod mounts its volume at the same path: inode and birth tell their directories apart.
        let born = born(&root, &stat);
        let identity = format!("directory\n{}\n{}\n{}:{}:{born}", path.display(), subdir.display(), stat.st_dev, stat.st_ino);
        let Limits { source_entries: entries, object_bytes, .. } = *limits;
        Ok(Self { root, revision, identity, entries, object_bytes, links: Mutex::default() })
    }

    /// What a name in an open directory is.
    fn describe(&self, directory: BorrowedFd<'_>, name: &[u8], path: &TreePath) -> Result<Entry, Errno> {
        let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Kind::Directory,
            FileType::RegularFile => Kind::File { size: size(&stat), link: self.link(&stat) },
            FileType::Symlink => Kind::Symlink { target: readlinkat(directory, name, Vec::new())?.into_bytes() },
            FileType::Socket => Kind::Other("socket"),
            FileType::Fifo => Kind::Other("pipe"),
            _ => Kind::Other("device"),
        };
        Ok(Entry { path: path.clone(), kind, mode: stat.st_mode & 0o7777, modified: modified(&stat), key: key(&stat) })
    }

    fn link(&self, stat: &Stat) -> u64 {
        if stat.st_nlink < 2 {
            return 0;
        }
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let next = links.len() as u64 + 1;
        *links.entry((stat.st_dev, stat.st_ino)).or_insert(next)
    }
}

/// Goes down component by component, so that the error can name the one that is not a directory.
fn enter(top: OwnedFd, path: &Path, subdir: &TreePath) -> Result<OwnedFd, DirectoryError> {
    let mut at = top;
    for component in subdir.components() {
        at = open_child(at.as_fd(), component).map_err(|cause| {
            let stat = statat(&at, component, AtFlags::SYMLINK_NOFOLLOW);
            let found = stat.map_or(FileType::Directory, |stat| FileType::from_raw_mode(stat.st_mode));
            DirectoryError::subdir(path, subdir, component, found, cause)
        })?;
    }
    Ok(at)
}

/// When the directory came to be: an inode's number is given again, to a volume that may differ in nothing else a daemon that
/// compares stats would see. Where the file system does not know, the last change of the directory itself stands in.
fn born(root: &OwnedFd, stat: &Stat) -> String {
    match statx(root, "", AtFlags::EMPTY_PATH, StatxFlags::BTIME) {
        Ok(known) if known.stx_mask & StatxFlags::BTIME.bits() != 0 => format!("{}.{}", known.stx_btime.tv_sec, known.stx_btime.tv_nsec),
        _ => format!("{}.{}", stat.st_ctime, stat.st_ctime_nsec),
    }
}

fn size(stat: &Stat) -> u64 {
    u64::try_from(stat.st_size).unwrap_or_default()
}

fn modified(stat: &Stat) -> Time {
    Time { seconds: stat.st_mtime, nanos: u32::try_from(stat.st_mtime_nsec).unwrap_or_default() }
}

/// The size, to hold the body to it, and the inode, so that no two files share a key.
fn key(stat: &Stat) -> BodyKey {
    let mut key = [0; 20];
    key[..8].copy_from_slice(&size(stat).to_be_bytes());
    key[8..16].copy_from_slice(&stat.st_ino.to_be_bytes());
    key
}

fn announced(key: &BodyKey) -> u64 {
    key[..8].iter().fold(0, |size, byte| size << 8 | u64::from(*byte))
}

impl SourceTree for DirectoryTree {
    fn revision(&self) -> &Revision {
        &self.revision
    }

    fn identity(&self) -> String {
        self.identity.clone()
    }

    fn walk(&self, visit: &mut dyn FnMut(Entry) -> Visited) -> Result<(), TreeError> {
        let mut walker = Walker { tree: self, visit, shown: 0, buffer: Vec::with_capacity(NAMES_BUFFER) };
        let root = TreePath::root();
        // Anew for each walk: a descriptor that was read stands at its end.
        let directory = open_directory(self.root.as_fd(), &root).map_err(|cause| TreeError::io(&root, cause.into()))?;
        walker.directory(directory.as_fd(), &root, 0)
    }

    fn lookup(&self, path: &TreePath) -> Result<Option<Entry>, TreeError> {
        let (parent, name) = match path.parent() {
            Some(parent) => (parent, path.name()),
            None => (TreePath::root(), &b"."[..]),
        };
        let found = open_directory(self.root.as_fd(), &parent).and_then(|directory| self.describe(directory.as_fd(), name, path));
        match found {
            Ok(entry) => Ok(Some(entry)),
            // A file or a link on the way: this tree shows nothing below either.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
            Err(cause) => Err(TreeError::io(path, cause.into())),
        }
    }

    fn open(&self, path: &TreePath, key: &BodyKey) -> Result<Box<dyn Read + Send + '_>, TreeError> {
        let size = announced(key);
        if size > self.object_bytes {
            return Err(TreeError::refused(
                path,
                format!("it has {size} bytes, more than the limit {OBJECT_BYTES} of {}", self.object_bytes),
            ));
        }
        let file = open_file(self.root.as_fd(), path).map_err(|cause| TreeError::io(path, cause.into()))?;
        let stat = fstat(&file).map_err(|cause| TreeError::io(path, cause.into()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(TreeError::refused(path, "it was a regular file when it was listed, and no longer is"));
        }
        Ok(Box::new(ExactBody::new(File::from(file), path.display(), size)))
    }
}

/// One walk in progress.
struct Walker<'a> {
    tree: &'a DirectoryTree,
    visit: &'a mut dyn FnMut(Entry) -> Visited,
    shown: u64,
    buffer: Vec<u8>,
}

impl Walker<'_> {
    fn directory(&mut self, directory: BorrowedFd<'_>, path: &TreePath, depth: usize) -> Result<(), TreeError> {
        let room: &mut [MaybeUninit<u8>] = self.buffer.spare_capacity_mut();
        let names = Names::read(directory, room).map_err(|cause| TreeError::io(path, cause.into()))?;
        for name in names.iter() {
            if depth == MAX_DEPTH {
                return Err(TreeError::bad_name(path.as_bytes(), BadPath::TooDeep));
            }
            let child = path.clone().checked_join(name).map_err(|rule| TreeError::bad_name(name, rule))?;
            self.child(directory, name, &child, depth)?;
        }
        Ok(())
    }

    fn child(&mut self, directory: BorrowedFd<'_>, name: &[u8], path: &TreePath, depth: usize) -> Result<(), TreeError> {
        let entry = match self.tree.describe(directory, name, path) {
            Ok(entry) => entry,
            // Removed since the names were read: as if it had been before.
            Err(Errno::NOENT) => return Ok(()),
            Err(cause) => return Err(TreeError::io(path, cause.into())),
        };
        self.shown += 1;
        if self.shown > self.tree.entries {
            return Err(TreeError::refused(
                path,
                format!("the source has more entries than the limit {SOURCE_ENTRIES} of {}", self.tree.entries),
            ));
        }
        let enter = entry.is_directory();
        if (self.visit)(entry)? == Walk::Enter && enter {
            let below = open_child(directory, name).map_err(|cause| TreeError::io(path, cause.into()))?;
            self.directory(below.as_fd(), path, depth + 1)?;
        }
        Ok(())
    }
}

/// Why a directory did not become a tree.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    #[error("the source directory {path:?} cannot be opened in this pod")]
    Root {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("the source directory is not read: {0}")]
    Forbidden(#[from] Forbidden),
    #[error("the source directory {path:?} has no {subdir:?}: {component:?} cannot be opened in this pod")]
    Subdir {
        path: PathBuf,
        subdir: String,
        component: String,
        #[source]
        cause: io::Error,
    },
    #[error("the source is refused: {subdir:?}: {component:?} is {found}, not a directory, and no link in a source is followed")]
    NotADirectory { subdir: String, component: String, found: &'static str },
}

impl DirectoryError {
    fn root(path: &Path, cause: Errno) -> Self {
        Self::Root { path: path.to_owned(), cause: cause.into() }
    }

    fn subdir(path: &Path, subdir: &TreePath, component: &[u8], found: FileType, cause: Errno) -> Self {
        let component = String::from_utf8_lossy(component).into_owned();
        let found = match found {
            FileType::Directory => return Self::Subdir { path: path.to_owned(), subdir: subdir.display(), component, cause: cause.into() },
            FileType::Symlink => "a symbolic link",
            FileType::RegularFile => "a file",
            _ => "a special file",
        };
        Self::NotADirectory { subdir: subdir.display(), component, found }
    }
}

impl Classified for DirectoryError {
    fn reason(&self) -> Reason {
        match self {
            Self::Root { cause, .. } | Self::Subdir { cause, .. } => reason_of(cause),
            Self::NotADirectory { .. } => Reason::SourceRefused,
            Self::Forbidden(_) => Reason::NotPermitted,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Root { cause, .. } | Self::Subdir { cause, .. } => match cause.kind() {
                io::ErrorKind::NotFound => Some("mount the volume that holds the source into this container".into()),
                io::ErrorKind::PermissionDenied => {
                    Some("the agent runs as an unprivileged user: give that user read access to the source".into())
                }
                _ => None,
            },
            Self::NotADirectory { .. } => None,
            Self::Forbidden(forbidden) => Some(forbidden.fix()),
        }
    }
}

#[cfg(test)]
mod tests;
