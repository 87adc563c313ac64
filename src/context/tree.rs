//! The context of a build: a source under its ignore rules, with its Dockerfile, and the two ways in which it goes out.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::canonical_tar::TarWriter;
use super::dockerfile::{self, Dockerfile};
use super::{ContextError, ignore};
use crate::event::ContextSent;
use crate::model::digest::hex;
use crate::model::memory::MemoryTree;
use crate::model::tree::{Kind, Revision, SourceTree, TreeError};
use crate::model::{Digest, TreePath, visible};
use crate::support::limits::IGNORE_BYTES;
use crate::support::patterns::Matcher;
use crate::support::selection::Selection;

const IGNORE_FILE: &[u8] = b".dockerignore";

/// Everything a build reads.
pub struct ContextTree {
    source: Arc<dyn SourceTree>,
    dockerfile: Dockerfile,
    /// Whether the Dockerfile came with the request and is in no source.
    inline: bool,
    /// The ignore file that counts.
    ignore_file: Option<(TreePath, Vec<u8>)>,
    visible: Selection,
}

/// For the builder that asks.
pub struct Asked {
    pub context: Arc<dyn SourceTree>,
    pub dockerfile: Arc<dyn SourceTree>,
    pub name: String,
    pub shared_key: String,
}

/// For the builder that is told.
pub struct Told {
    pub name: String,
    context: ContextTree,
    plan: Plan,
}

/// Which files go into the tar beside the visible ones, so that the daemon finds the Dockerfile and no COPY does.
struct Plan {
    /// The Dockerfile under another name.
    alias: Option<TreePath>,
    /// An ignore file of ours, which makes the daemon take both away before the first step.
    hiding: Option<Vec<u8>>,
}

impl ContextTree {
    /// Lays the ignore rules and the Dockerfile over a source.
    pub fn lay(source: Arc<dyn SourceTree>, name: &TreePath, inline: Option<&str>) -> Result<Self, ContextError> {
        let dockerfile = match inline {
            Some(text) => Dockerfile { asked: name.clone(), path: name.clone(), raw: text.as_bytes().to_vec() },
            None => dockerfile::locate(source.as_ref(), &name.display())?,
        };
        let (ignore_file, matcher) = match ignore::find(source.as_ref(), &dockerfile.asked)? {
            Some(found) => (Some((found.name, found.raw)), found.matcher),
            None => (None, Matcher::default()),
        };
        Ok(Self { source, dockerfile, inline: inline.is_some(), ignore_file, visible: Selection::without(matcher) })
    }

    /// What the Dockerfile says.
    pub fn dockerfile(&self) -> &[u8] {
        &self.dockerfile.raw
    }

    pub fn revision(&self) -> &Revision {
        self.source.revision()
    }

    /// The context goes as it is: the daemon reads the ignore file, and applies it by asking for less.
    pub fn asked(self) -> Result<Asked, ContextError> {
        let name = self.dockerfile.asked;
        let shared_key = hex(&Sha256::digest(self.source.identity()));
        let mut files = vec![(name.clone(), self.dockerfile.raw)];
        files.extend(self.ignore_file.filter(|(path, _)| path.as_bytes() != IGNORE_FILE));
        Ok(Asked {
            shared_key,
            dockerfile: Arc::new(MemoryTree::new(self.source.revision().clone(), files)),
            context: self.source,
            name: name.display(),
        })
    }

    /// The visible part goes, and what the daemon must see but no COPY may.
    pub fn told(self) -> Result<Told, ContextError> {
        let plan = self.plan()?;
        let name = plan.alias.as_ref().unwrap_or(&self.dockerfile.path).display();
        Ok(Told { name, context: self, plan })
    }

    /// The daemon takes the Dockerfile and `.dockerignore` out of a context after it has read them, where the patterns in
    /// that `.dockerignore` match them (moby, daemon/builder/remotecontext/detect.go, `removeDockerfile`).
    fn plan(&self) -> Result<Plan, ContextError> {
        let ignore_path = TreePath::parse(IGNORE_FILE).unwrap_or_default();
        let ignored = |path: &TreePath| self.visible.leaves_out(path.as_bytes());
        let hide_dockerfile = self.inline || ignored(&self.dockerfile.path);
        let shown = self.source.lookup(&ignore_path)?.filter(|_| !ignored(&ignore_path));
        let Some(theirs) = shown else {
            // Nobody can see an ignore file, so it may say what it takes.
            let alias = if hide_dockerfile { Some(self.alias()?) } else { None };
            let hiding = alias.as_ref().map(|alias| [b"/.dockerignore\n/", alias.as_bytes(), b"\n"].concat());
            return Ok(Plan { alias, hiding });
        };
        // The daemon reads whatever has this name, and fails where it is no file.
        let Kind::File { .. } = theirs.kind else { return Err(ContextError::ClassicCannotHide) };
        let rules = self.source.read(&ignore_path, IGNORE_BYTES)?.unwrap_or_default();
        let daemon = Matcher::from_ignore_file(&rules).unwrap_or_default();
        let hidden = daemon.matches_or_parent_matches(self.dockerfile.path.as_bytes());
        let ignore_file_stays = !daemon.matches_or_parent_matches(IGNORE_FILE);
        if ignore_file_stays && hidden == hide_dockerfile && (!self.inline || self.is_free(&self.dockerfile.path)?) {
            return Ok(Plan { alias: None, hiding: None });
        }
        Err(ContextError::ClassicCannotHide)
    }

    /// A name nobody uses; equal Dockerfiles give equal contexts.
    fn alias(&self) -> Result<TreePath, ContextError> {
        let name = format!(".podwright-{}", &Digest::sha256(Sha256::digest(&self.dockerfile.raw)).hex()[..16]);
        // A source that was written for this Dockerfile may have the name, and must not lose what it has there.
        for more in ["", "-1", "-2", "-3"] {
            let alias = TreePath::parse(format!("{name}{more}").as_bytes()).unwrap_or_default();
            if self.is_free(&alias)? {
                return Ok(alias);
            }
        }
        Err(ContextError::ClassicCannotHide)
    }

    /// Whether nothing of the source has this name. Below a link or a file of the source there is no place for anything: the
    /// daemon would write through it.
    fn is_free(&self, path: &TreePath) -> Result<bool, TreeError> {
        let mut above = path.parent().filter(|above| !above.is_root());
        while let Some(at) = above {
            match self.source.lookup(&at)?.map(|entry| entry.kind) {
                Some(Kind::Directory) => break,
                Some(_) => {
                    let rule = format!("the request's Dockerfile would be below it, at {:?}, and it is no directory", path.display());
                    return Err(TreeError::refused(&at, rule));
                }
                None => above = at.parent().filter(|above| !above.is_root()),
            }
        }
        Ok(self.source.lookup(path)?.is_none())
    }
}

impl Told {
    /// That no link that is shown leads out of the context, as the text of its target goes: an engine that unpacks the tar without a
    /// root of its own refuses the whole of it (containers/storage, pkg/archive/archive.go, `breakoutError`).
    pub fn links_stay_inside(&self) -> Result<(), ContextError> {
        let mut leads_out = None;
        visible::walk(self.context.source.as_ref(), &self.context.visible, &mut |entry| {
            if let Kind::Symlink { target } = &entry.kind
                && leads_out.is_none()
                && climbs_out(entry.path.as_bytes(), target)
            {
                leads_out = Some((entry.path.display(), String::from_utf8_lossy(target).into_owned()));
            }
            Ok(())
        })?;
        leads_out.map_or(Ok(()), |(path, target)| Err(ContextError::LinkLeadsOut { path, target }))
    }

    /// Writes the tar.
    pub fn write(self, out: &mut dyn std::io::Write) -> Result<ContextSent, TreeError> {
        let mut tar = TarWriter::new(out);
        let ContextTree { source, dockerfile: Dockerfile { path, raw, .. }, visible, .. } = &self.context;
        let mut seen = false;
        let counted = visible::walk(source.as_ref(), visible, &mut |entry| {
            seen |= entry.path == *path;
            tar.entry(source.as_ref(), entry)
        })?;
        match &self.plan.alias {
            Some(alias) => tar.file(alias, raw)?,
            None if !seen => tar.file(path, raw)?,
            None => {}
        }
        if let Some(hiding) = &self.plan.hiding {
            tar.file(&TreePath::parse(IGNORE_FILE).unwrap_or_default(), hiding)?;
        }
        tar.finish(counted.left_out)
    }
}

/// Whether a link's target, put behind the link's directory, climbs above the root on its way. An absolute one begins in that
/// directory too, for a reader that puts the two together.
fn climbs_out(path: &[u8], target: &[u8]) -> bool {
    let mut depth = path.split(|byte| *byte == b'/').count() - 1;
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." if depth == 0 => return true,
            b".." => depth -= 1,
            _ => depth += 1,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::testing::{MemoryTree, path};
    use crate::model::{Classified, Reason};

    /// Every entry of what the classic builder is told, by its name and kind.
    fn told(context: ContextTree) -> (String, Vec<(String, tar::EntryType)>) {
        let (mut tar, told) = (Vec::new(), context.told().unwrap());
        let name = told.name.clone();
        told.write(&mut tar).unwrap();
        let mut archive = tar::Archive::new(tar.as_slice());
        let entries = archive.entries().unwrap().map(Result::unwrap);
        (name, entries.map(|entry| (String::from_utf8(entry.path_bytes().into_owned()).unwrap(), entry.header().entry_type())).collect())
    }

    #[test]
    fn a10_a_file_of_the_request_is_an_entry_of_its_own_and_stands_below_no_link() {
        let text = "FROM scratch\nCOPY . /\n";
        let lay = |tree: MemoryTree, name: &str| ContextTree::lay(Arc::new(tree), &path(name), Some(text)).unwrap();
        // The source knows the name that ours would get.
        let (usual, _) = told(lay(MemoryTree::default(), "Dockerfile"));
        let hostile = || MemoryTree::default().symlink(&usual, "/etc/shadow").directory("pwn").symlink("pwn-link", "pwn");
        let (name, entries) = told(lay(hostile(), "Dockerfile"));
        assert_ne!(name, usual);
        let of = |wanted: &str| entries.iter().filter(|(name, _)| name == wanted).map(|(_, kind)| *kind).collect::<Vec<_>>();
        assert_eq!((of(&usual), of(&name)), (vec![tar::EntryType::Symlink], vec![tar::EntryType::Regular]));
        // A name of the request's own, below a link to a sibling whose name it begins with, and below a file.
        for (name, above) in [("pwn-link/Dockerfile", "pwn-link"), ("pwn-link/a/b", "pwn-link"), ("file/Dockerfile", "file")] {
            let tree = hostile().file("file", "").file(".dockerignore", name);
            let error = lay(tree, name).told().err().unwrap();
            assert!(error.reason() == Reason::SourceRefused && error.to_string().contains(above), "{name}: {error}");
            // BuildKit is shown it apart from the source, which stays as it is.
            let asked = lay(hostile(), name).asked().unwrap();
            assert_eq!(asked.dockerfile.read(&path(name), 100).unwrap().as_deref(), Some(text.as_bytes()));
            assert!(asked.context.lookup(&path(name)).unwrap().is_none());
        }
        // No directory is made for one that may stand there.
        for name in ["pwn/Dockerfile", "new/Dockerfile"] {
            let (at, entries) = told(lay(hostile().file(".dockerignore", name), name));
            assert_eq!(at, name);
            assert_eq!(entries.len(), 5, "{entries:?}");
        }
    }

    #[test]
    fn an_ignore_file_that_is_no_file_counts_only_where_it_is_shown() {
        let told = |rules: &str| {
            let tree = MemoryTree::default().file("Dockerfile", "FROM scratch").directory(".dockerignore");
            let tree = tree.file("Dockerfile.dockerignore", rules).file("a", "");
            ContextTree::lay(Arc::new(tree), &path("Dockerfile"), None).unwrap().told()
        };
        let mut tar = Vec::new();
        assert_eq!(told(".dockerignore\nDockerfile\n").unwrap().write(&mut tar).unwrap().entries, 2, "a and the rules");
        assert_eq!(told("a\n").err().unwrap().reason(), Reason::Unsupported);
    }

    #[test]
    fn a_link_that_climbs_out_of_the_context_is_known_by_its_words() {
        for (path, target, out) in [
            ("a", "..", true),
            ("a", "../context/b", true),
            ("dir/a", "..", false),
            ("dir/a", "../b/./../c", false),
            ("dir/a", "../../b", true),
            ("a", "/etc/passwd", false),
            ("a", "/../b", true),
            ("a", "b/../c", false),
            ("a", "b/../..", true),
        ] {
            assert_eq!(climbs_out(path.as_bytes(), target.as_bytes()), out, "{path} -> {target}");
        }
    }
}
