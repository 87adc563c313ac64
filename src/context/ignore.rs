//! Which ignore file counts, and what it says: `<Dockerfile>.dockerignore` next to the Dockerfile, else `.dockerignore` at the
//! root (BuildKit, frontend/dockerui/config.go). One of the two, never both.
//!
//! The rules are applied by this pod for every source and both builders, so that all make the same image of one source.

use crate::model::TreePath;
use crate::model::tree::{Kind, SourceTree};
use crate::support::limits::IGNORE_BYTES;
use crate::support::patterns::Matcher;

use super::ContextError;

/// The name at the root of a context.
const DEFAULT: &[u8] = b".dockerignore";

/// An ignore file that was found, read and compiled.
pub struct IgnoreFile {
    pub name: TreePath,
    /// Its bytes as they stand, for a daemon that reads it by itself.
    pub raw: Vec<u8>,
    pub matcher: Matcher,
}

/// The ignore file for a Dockerfile of this name (as it was asked for: BuildKit looks for `Dockerfile.dockerignore` even
/// where it falls back to `dockerfile`). `None`: the source has none, and nothing is ignored.
///
/// A file that cannot be used is an error: to go on without it would ship what it was written to keep out.
pub fn find(tree: &dyn SourceTree, dockerfile: &TreePath) -> Result<Option<IgnoreFile>, ContextError> {
    for name in names(dockerfile) {
        if let Some(found) = read(tree, name)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn names(dockerfile: &TreePath) -> impl Iterator<Item = TreePath> {
    let beside = [dockerfile.as_bytes(), DEFAULT].concat();
    // A name too long to be one is no file either.
    [beside, DEFAULT.to_vec()].into_iter().filter_map(|name| TreePath::parse(&name).ok())
}

fn read(tree: &dyn SourceTree, name: TreePath) -> Result<Option<IgnoreFile>, ContextError> {
    let refused = |rule: &str| ContextError::IgnoreFile { name: name.display(), rule: rule.to_owned() };
    let Some(entry) = tree.lookup(&name)? else { return Ok(None) };
    match entry.kind {
        Kind::File { size, .. } if size > IGNORE_BYTES => {
            return Err(refused(&format!("has {size} bytes, more than the limit of {IGNORE_BYTES}")));
        }
        Kind::File { .. } => {}
        Kind::Symlink { .. } => return Err(refused("is a symbolic link: put the rules there themselves")),
        Kind::Directory => return Err(refused("is a directory")),
        Kind::Other(what) => return Err(refused(&format!("is a {what}"))),
    }
    let raw = tree.read(&name, IGNORE_BYTES)?.unwrap_or_default();
    let matcher = Matcher::from_ignore_file(&raw).map_err(|cause| ContextError::IgnorePattern { name: name.display(), cause })?;
    Ok(Some(IgnoreFile { name, raw, matcher }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::testing::{MemoryTree, path};
    use crate::model::{Classified, Reason};

    fn name(tree: &MemoryTree, dockerfile: &str) -> Option<String> {
        find(tree, &path(dockerfile)).unwrap().map(|file| file.name.display())
    }

    #[test]
    fn the_one_beside_the_dockerfile_counts_alone() {
        let tree = MemoryTree::default().file(".dockerignore", "a").file("Dockerfile.dockerignore", "b").file("ci/x.dockerignore", "");
        assert_eq!(name(&tree, "Dockerfile").as_deref(), Some("Dockerfile.dockerignore"));
        assert_eq!(name(&tree, "ci/x").as_deref(), Some("ci/x.dockerignore"), "an empty one too");
        assert_eq!(name(&tree, "ci/Dockerfile").as_deref(), Some(".dockerignore"));
        assert_eq!(name(&MemoryTree::default().file("ci/.dockerignore", "a"), "ci/Dockerfile"), None, "only at the root");
    }

    #[test]
    fn its_bytes_and_its_rules_are_given() {
        let tree = MemoryTree::default().file(".dockerignore", "# all\r\n*\r\n!src\r\n");
        let found = find(&tree, &path("Dockerfile")).unwrap().unwrap();
        assert_eq!(found.raw, b"# all\r\n*\r\n!src\r\n");
        assert!(found.matcher.matches_or_parent_matches(b"secret") && !found.matcher.matches_or_parent_matches(b"src/a"));
    }

    #[test]
    fn one_that_cannot_be_used_is_never_passed_over() {
        let table = [
            (MemoryTree::default().file(".dockerignore", "ok\n[z-a]\n"), "line 2"),
            (MemoryTree::default().symlink(".dockerignore", "rules"), "symbolic link"),
            (MemoryTree::default().directory("Dockerfile.dockerignore"), "directory"),
            (MemoryTree::default().file(".dockerignore", vec![b'#'; (1 << 20) + 1]), "limit of 1048576"),
        ];
        for (tree, says) in table {
            let error = find(&tree, &path("Dockerfile")).err().unwrap();
            assert_eq!(error.reason(), Reason::SourceRefused);
            let text = format!("{error}: {}", std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default());
            assert!(text.contains(says) && text.contains("dockerignore"), "{text}");
        }
    }
}
