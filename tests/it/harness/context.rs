//! Source trees on disk for tests to build.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use super::agent::UID;
use super::engine::Engine;
use super::registry::base;

/// A directory that the agent, the reference CLI and this process can read.
#[derive(Debug)]
pub struct Context(pub PathBuf);

impl Context {
    pub fn new() -> Self {
        let dir = Engine::shared().new_dir("c");
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        Self(dir)
    }

    /// With this Dockerfile; `BASE` in it stands for the tests' base image.
    pub fn with(dockerfile: &str) -> Self {
        let context = Self::new();
        context.file("Dockerfile", dockerfile.replace("BASE", base()))
    }

    pub fn file(self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> Self {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        // A mounted directory belongs to the pod's user, whatever its modes.
        chown(path, Some(UID), Some(UID)).unwrap();
        self
    }

    /// An empty directory of the pod's user.
    pub fn dir(self, path: impl AsRef<Path>) -> Self {
        let path = self.0.join(path);
        fs::create_dir_all(&path).unwrap();
        chown(path, Some(UID), Some(UID)).unwrap();
        self
    }

    pub fn mode(self, path: impl AsRef<Path>, mode: u32) -> Self {
        fs::set_permissions(self.0.join(path), fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    pub fn link(self, path: impl AsRef<Path>, target: impl AsRef<Path>) -> Self {
        symlink(target, self.0.join(path)).unwrap();
        self
    }

    /// Another name of a file that is there.
    pub fn hard_link(self, path: impl AsRef<Path>, first: impl AsRef<Path>) -> Self {
        fs::hard_link(self.0.join(first), self.0.join(path)).unwrap();
        self
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}
