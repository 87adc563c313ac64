//! The Dockerfile: where it lies in the source, and the little that must be known of it before a daemon reads it: which
//! frontend it would start, and which registries its base images come from.
//!
//! It is not parsed for its meaning: what a step does, and whether it is right, the daemon says.

pub mod bases;
pub mod directives;
mod expand;
pub mod frontend;
mod lines;

use crate::model::TreePath;
use crate::model::path::BadPath;
use crate::model::tree::{Entry, Kind, SourceTree};
use crate::support::limits::DOCKERFILE_BYTES;

use super::ContextError;

/// A Dockerfile that was found and read.
#[derive(Debug, PartialEq, Eq)]
pub struct Dockerfile {
    /// The name that was asked for: the ignore file beside it is named after this one.
    pub asked: TreePath,
    /// The name it has in the tree.
    pub path: TreePath,
    /// At most `limits::DOCKERFILE_BYTES`.
    pub raw: Vec<u8>,
}

/// Finds the Dockerfile by its name, relative to the root of the tree. As with BuildKit (frontend/dockerui/config.go),
/// `dockerfile` serves where `Dockerfile` is asked for and missing.
pub fn locate(tree: &dyn SourceTree, name: &str) -> Result<Dockerfile, ContextError> {
    let asked = parse(name)?;
    no_link_above(tree, &asked)?;
    if let Some(entry) = tree.lookup(&asked)? {
        return read(tree, asked, &entry);
    }
    let found = case_variants(&asked).find_map(|path| tree.lookup(&path).transpose()).transpose()?;
    match found {
        Some(entry) if asked.name() == b"Dockerfile" && entry.path.name() == b"dockerfile" => read(tree, asked, &entry),
        found => Err(ContextError::DockerfileMissing { name: asked.display(), found: found.map(|entry| entry.path.display()) }),
    }
}

fn parse(name: &str) -> Result<TreePath, ContextError> {
    let refused = |rule: String| ContextError::DockerfileRefused { name: name.chars().take(256).collect(), rule };
    match TreePath::parse(name.as_bytes()) {
        Ok(path) if path.is_root() => Err(refused("it names the source's own directory".into())),
        Ok(path) => Ok(path),
        Err(rule @ (BadPath::Absolute | BadPath::Parent)) => {
            Err(refused(format!("{rule}, and a Dockerfile must lie inside the source: give a path relative to its subdir")))
        }
        Err(rule) => Err(refused(rule.to_string())),
    }
}

fn no_link_above(tree: &dyn SourceTree, path: &TreePath) -> Result<(), ContextError> {
    let mut above = path.parent();
    while let Some(directory) = above.filter(|directory| !directory.is_root()) {
        if let Some(Entry { kind: Kind::Symlink { .. }, .. }) = tree.lookup(&directory)? {
            let rule = format!("{:?} is a symbolic link: name the file by the path it really has in the source", directory.display());
            return Err(ContextError::DockerfileRefused { name: path.display(), rule });
        }
        above = directory.parent();
    }
    Ok(())
}

/// `dockerfile`, `DOCKERFILE`, `Dockerfile` beside the one that was asked for.
fn case_variants(asked: &TreePath) -> impl Iterator<Item = TreePath> {
    let lower = asked.name().to_ascii_lowercase();
    let upper = asked.name().to_ascii_uppercase();
    let title = [&upper[..1], &lower[1..]].concat();
    let directory = asked.parent().unwrap_or_default();
    [lower, title, upper].into_iter().filter_map(move |name| directory.clone().checked_join(&name).ok())
}

fn read(tree: &dyn SourceTree, asked: TreePath, entry: &Entry) -> Result<Dockerfile, ContextError> {
    let path = entry.path.clone();
    let refused = |rule: &str| ContextError::DockerfileRefused { name: path.display(), rule: rule.to_owned() };
    match &entry.kind {
        Kind::Directory => Err(refused("it is a directory")),
        Kind::Other(what) => Err(refused(&format!("it is a {what}"))),
        Kind::Symlink { target } => {
            let target = String::from_utf8_lossy(&target[..target.len().min(256)]).into_owned();
            Err(refused(&format!("it is a symbolic link to {target:?}: name the file itself")))
        }
        Kind::File { size, .. } if *size > DOCKERFILE_BYTES => Err(ContextError::DockerfileTooLong { name: path.display() }),
        Kind::File { .. } => {
            let raw = tree.read(&path, DOCKERFILE_BYTES)?.unwrap_or_default();
            Ok(Dockerfile { asked, path, raw })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::testing::{MemoryTree, path};
    use crate::model::{Classified, Reason};

    #[test]
    fn it_is_found_by_its_name() {
        let tree = MemoryTree::default().file("Dockerfile", "FROM a").file("ci/build.df", "FROM b");
        for (name, want) in [("Dockerfile", "Dockerfile"), ("./Dockerfile", "Dockerfile"), ("ci//build.df", "ci/build.df")] {
            let found = locate(&tree, name).unwrap();
            assert_eq!((found.path, found.asked), (path(want), path(want)), "{name}");
        }
        assert_eq!(locate(&tree, "ci/build.df").unwrap().raw, b"FROM b");
    }

    #[test]
    fn the_lower_case_name_serves_for_the_default_one_only() {
        let tree = MemoryTree::default().file("dockerfile", "FROM a").file("ci/dockerfile", "FROM b").file("x/web.df", "");
        let found = locate(&tree, "Dockerfile").unwrap();
        assert_eq!((found.path, found.asked, found.raw), (path("dockerfile"), path("Dockerfile"), b"FROM a".to_vec()));
        assert_eq!(locate(&tree, "ci/Dockerfile").unwrap().path, path("ci/dockerfile"));
        let error = locate(&tree, "x/Web.df").unwrap_err().to_string();
        assert_eq!(error, "the source has no Dockerfile \"x/Web.df\", but it has \"x/web.df\": the case of a name counts");
        let upper = MemoryTree::default().file("DOCKERFILE", "");
        assert!(locate(&upper, "Dockerfile").unwrap_err().to_string().contains("but it has \"DOCKERFILE\""));
    }

    #[test]
    fn one_outside_behind_a_link_or_too_long_is_dockerfile_invalid() {
        let tree = MemoryTree::default()
            .symlink("link", "ci")
            .symlink("Dockerfile", "/etc/passwd")
            .file("ci/Dockerfile", "FROM a")
            .directory("d")
            .file("big", vec![b' '; (1 << 20) + 1]);
        let table = [
            ("../Dockerfile", "`..`"),
            ("ci/../Dockerfile", "inside the source"),
            ("/etc/passwd", "absolute"),
            ("", "empty"),
            (".", "own directory"),
            ("a\0b", "NUL"),
            ("link/Dockerfile", "\"link\" is a symbolic link"),
            ("Dockerfile", "symbolic link to \"/etc/passwd\""),
            ("d", "it is a directory"),
            ("big", "limit of 1048576"),
            ("none", "the source has no Dockerfile \"none\""),
            ("ci/Dockerfile/x", "has no Dockerfile"),
        ];
        for (name, says) in table {
            let error = locate(&tree, name).unwrap_err();
            assert_eq!(error.reason(), Reason::DockerfileInvalid, "{name}");
            assert!(error.to_string().contains(says), "{name}: {error}");
        }
    }
}
