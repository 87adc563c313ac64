//! The places whose files no request may name: the kernel's, the devices, and the pod's own identity; and the operator's roots,
//! where there are any, outside of which nothing may be read.
//!
//! A path is judged by where it really leads, links and `..` included, and what was opened is judged once more by the
//! file itself. This module never opens anything that was named.

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// What the kernel shows as files: processes, their environment and memory, devices.
const KERNEL: [&str; 3] = ["/proc", "/sys", "/dev"];

/// Where Kubernetes mounts the pod's own token (kubelet, `serviceaccount` admission: `DefaultAPITokenMountPath`).
const IDENTITY: [&str; 2] = ["/var/run/secrets/kubernetes.io/serviceaccount", "/run/secrets/kubernetes.io/serviceaccount"];

/// Links that are followed on the way to one name, as in Linux (`MAXSYMLINKS`).
const MOST_LINKS: u32 = 40;

/// A path that leads to where nobody's request may look.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// `path` is as it was written.
    #[error("{} leads into {}, which no request may name", path.display(), place.display())]
    Place { path: PathBuf, place: PathBuf },
    #[error("{} lies outside of what the operator allows to be read", path.display())]
    Outside { path: PathBuf },
}

impl Forbidden {
    /// What to do about it.
    pub fn fix(&self) -> String {
        match self {
            Self::Place { .. } => "name a file of the workspace or of a volume mounted for this".into(),
            Self::Outside { .. } => "the operator names the directories with --allow-path, or PODWRIGHT_ALLOW_PATH".into(),
        }
    }
}

/// Knows the forbidden places and the operator's roots. Every run starts from `Guard::default()`, which has no roots: all but
/// the forbidden places may be read.
#[derive(Clone, Debug)]
pub struct Guard {
    places: Vec<PathBuf>,
    roots: Vec<PathBuf>,
}

impl Default for Guard {
    fn default() -> Self {
        Self::new(KERNEL.iter().chain(&IDENTITY).map(PathBuf::from))
    }
}

impl Guard {
    /// With other places than the usual ones.
    pub fn new(places: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut all = Vec::new();
        for place in places {
            let real = resolve(&place);
            if real != place {
                all.push(real);
            }
            all.push(place);
        }
        Self { places: all, roots: Vec::new() }
    }

    /// From now on files are read only below this directory, and those named before.
    pub fn add_root(&mut self, directory: &Path) {
        self.roots.push(resolve(directory));
    }

    /// The directories below which files may be read; empty where there is no such bound.
    pub fn roots(&self) -> &[PathBuf] {
        &self.roots
    }

    /// Where a named file really is, if it may be read. It need not be there.
    pub fn file(&self, path: &Path) -> Result<PathBuf, Forbidden> {
        let real = resolve(path);
        self.judge(&real, path).map(|()| real)
    }

    /// That a file is in none of the forbidden places; roots bound what is read, not what is written.
    pub fn writable(&self, path: &Path) -> Result<(), Forbidden> {
        self.judge_place(&resolve(path), path)
    }

    fn judge(&self, real: &Path, path: &Path) -> Result<(), Forbidden> {
        self.judge_place(real, path)?;
        if self.roots.is_empty() || self.roots.iter().any(|root| real.starts_with(root)) {
            return Ok(());
        }
        Err(Forbidden::Outside { path: path.to_owned() })
    }

    fn judge_place(&self, real: &Path, path: &Path) -> Result<(), Forbidden> {
        match self.places.iter().find(|place| real.starts_with(place)) {
            Some(place) => Err(Forbidden::Place { path: path.to_owned(), place: place.clone() }),
            None => Ok(()),
        }
    }

    /// Where a directory really is, if it and all that is in it may be read: `/` holds `/proc`.
    pub fn tree(&self, path: &Path) -> Result<PathBuf, Forbidden> {
        let real = self.file(path)?;
        self.judge_below(&real, path).map(|()| real)
    }

    fn judge_below(&self, real: &Path, path: &Path) -> Result<(), Forbidden> {
        match self.places.iter().find(|place| place.starts_with(real) && place.exists()) {
            Some(place) => Err(Forbidden::Place { path: path.to_owned(), place: place.clone() }),
            None => Ok(()),
        }
    }

    /// Judges what was opened under a name, whatever the name leads to by now.
    pub fn opened(&self, file: &File, path: &Path) -> Result<(), Forbidden> {
        self.judge(&real(file, path), path)
    }

    /// The same for a directory of which everything is read.
    pub fn opened_tree(&self, directory: &File, path: &Path) -> Result<(), Forbidden> {
        let real = real(directory, path);
        self.judge(&real, path)?;
        self.judge_below(&real, path)
    }
}

/// Where an open file is; where its name leads, if the kernel does not say.
fn real(file: &File, path: &Path) -> PathBuf {
    fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).unwrap_or_else(|_| resolve(path))
}

/// The absolute path without links and `..`; what is not there is taken as written.
pub fn resolve(path: &Path) -> PathBuf {
    resolve_within(&std::path::absolute(path).unwrap_or_else(|_| path.to_owned()), MOST_LINKS)
}

fn resolve_within(path: &Path, links: u32) -> PathBuf {
    if let Ok(real) = fs::canonicalize(path) {
        return real;
    }
    let Some(parent) = path.parent() else { return path.to_owned() };
    let parent = resolve_within(parent, links);
    let Some(name) = path.file_name() else {
        // The path ends in `..`.
        return parent.parent().map_or_else(|| parent.clone(), Path::to_owned);
    };
    let whole = parent.join(name);
    match fs::read_link(&whole) {
        Ok(target) if links > 0 => resolve_within(&parent.join(target), links - 1),
        _ => whole,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_usual_places_are_refused_in_every_spelling() {
        let guard = Guard::default();
        let dir = tempfile::tempdir().unwrap();
        symlink("/proc/self", dir.path().join("me")).unwrap();
        symlink("/proc/none/such", dir.path().join("dangling")).unwrap();
        symlink(dir.path().join("me"), dir.path().join("twice")).unwrap();
        let here = dir.path().display();
        let table = [
            "/proc/self/environ".to_owned(),
            "/proc".to_owned(),
            "//proc/./1/../1/root/etc/passwd".to_owned(),
            "/sys/kernel".to_owned(),
            "/dev/fd/0".to_owned(),
            "/etc/../proc/version".to_owned(),
            "/no/such/../../proc/version".to_owned(),
            "/var/run/secrets/kubernetes.io/serviceaccount/token".to_owned(),
            "/run/secrets/kubernetes.io/serviceaccount".to_owned(),
            format!("{here}/me/environ"),
            format!("{here}/twice/environ"),
            format!("{here}/dangling"),
            format!("{here}/dangling/deeper"),
        ];
        for path in table {
            assert!(guard.file(Path::new(&path)).is_err(), "{path}");
        }
        for path in ["/process", "/etc/passwd", "/run/secrets/kubernetes.io/serviceaccount-mine/token", "/no/such/file"] {
            assert!(guard.file(Path::new(path)).is_ok(), "{path}");
        }
    }

    #[test]
    fn a_tree_that_holds_a_forbidden_place_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let secret = dir.path().join("run/secrets/identity");
        let guard = Guard::new([secret.clone()]);
        assert!(guard.tree(&dir.path().join("run")).is_ok(), "nothing is mounted there");
        fs::create_dir_all(&secret).unwrap();
        assert!(guard.tree(&dir.path().join("run")).is_err());
        assert!(guard.tree(dir.path()).is_err());
        assert!(guard.tree(&dir.path().join("run-other")).is_ok());
        assert!(Guard::default().tree(Path::new("/")).is_err());
    }

    #[test]
    fn what_was_opened_is_judged_by_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("token");
        symlink("/proc/version", &link).unwrap();
        assert!(Guard::default().opened(&File::open(&link).unwrap(), &link).is_err());
        let plain = dir.path().join("plain");
        fs::write(&plain, "x").unwrap();
        assert!(Guard::default().opened(&File::open(&plain).unwrap(), &plain).is_ok());
    }

    #[test]
    fn roots_bound_what_is_read_and_what_was_opened() {
        let dir = tempfile::tempdir().unwrap();
        let (inside, outside) = (dir.path().join("in"), dir.path().join("in-evil"));
        for place in [&inside, &outside] {
            fs::create_dir(place).unwrap();
            fs::write(place.join("file"), "x").unwrap();
        }
        symlink(outside.join("file"), inside.join("link")).unwrap();
        let mut guard = Guard::default();
        guard.add_root(&inside);
        for (path, want) in [(inside.join("file"), true), (inside.join("link"), false), (outside.join("file"), false)] {
            assert_eq!(guard.file(&path).is_ok(), want, "{}", path.display());
            assert_eq!(guard.opened(&File::open(&path).unwrap(), &path).is_ok(), want, "{}", path.display());
        }
        for (path, want) in [(&inside, true), (&outside, false)] {
            assert_eq!(guard.opened_tree(&File::open(path).unwrap(), path).is_ok(), want, "{}", path.display());
        }
        assert!(Guard::default().opened_tree(&File::open("/").unwrap(), Path::new("/")).is_err());
        assert!(guard.writable(&outside.join("result.json")).is_ok());
    }
}
