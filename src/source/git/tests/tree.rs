//! A fetched tree is what `git clone` would have written.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use tempfile::TempDir;

use crate::model::TreePath;
use crate::model::tree::{Entry, Kind, SourceTree, TreeError, Walk};
use crate::source::git::trial::{Repo, Trial, git, serve};
use crate::source::git::{GitError, GitTree};

pub fn entries(tree: &GitTree) -> Vec<Entry> {
    let mut found = Vec::new();
    tree.walk(&mut |entry| {
        found.push(entry);
        Ok(Walk::Enter)
    })
    .unwrap();
    found
}

pub fn body(tree: &GitTree, entry: &Entry) -> Result<Vec<u8>, TreeError> {
    let mut body = Vec::new();
    tree.open(&entry.path, &entry.key)?.read_to_end(&mut body).unwrap();
    Ok(body)
}

/// Path, mode as an image would have it, and the body or the link's target.
type Line = (TreePath, u32, Vec<u8>);

fn as_lines(tree: &GitTree) -> Vec<Line> {
    entries(tree)
        .iter()
        .map(|entry| {
            let body = match &entry.kind {
                Kind::Other(what) => panic!("a repository holds no {what}"),
                Kind::Directory => Vec::new(),
                Kind::Symlink { target } => target.clone(),
                Kind::File { size, link } => {
                    let body = body(tree, entry).unwrap();
                    assert_eq!((body.len() as u64, *link), (*size, 0));
                    body
                }
            };
            (entry.path.clone(), entry.mode, body)
        })
        .collect()
}

fn on_disk(root: &Path, at: &Path, lines: &mut Vec<Line>) {
    for entry in std::fs::read_dir(at).unwrap() {
        let path = entry.unwrap().path();
        let relative = path.strip_prefix(root).unwrap();
        if relative.starts_with(".git") {
            continue;
        }
        let meta = path.symlink_metadata().unwrap();
        let name = TreePath::parse(relative.as_os_str().as_bytes()).unwrap();
        if meta.is_symlink() {
            lines.push((name, 0o777, path.read_link().unwrap().into_os_string().as_bytes().to_owned()));
        } else if meta.is_dir() {
            lines.push((name, 0o755, Vec::new()));
            on_disk(root, &path, lines);
        } else {
            lines.push((name, meta.permissions().mode() & 0o777 & !0o022, std::fs::read(&path).unwrap()));
        }
    }
}

fn nasty() -> Repo {
    let repo = Repo::new();
    for name in ["foo", "foo-a", "foo.txt", "foo0"] {
        repo.write(format!("order/{name}"), name);
    }
    repo.write("sorted/foo/a", "in a directory");
    repo.write("sorted/foo-a", "before it for git");
    repo.write("sorted/foo.txt", "");
    repo.write(OsStr::from_bytes(b"names/\xff\xfe not utf-8"), "bytes");
    repo.write("names/ leading and trailing ", "x");
    repo.write("names/line\nend\t\"quote\"\\", "x");
    repo.write("deep/a/b/c/d/e/f/g/h/i/j", vec![7; 100_000]);
    repo.write("bin/run", "#!/bin/sh\n");
    repo.write("binary", (0..=255u8).collect::<Vec<_>>());
    repo.write("crlf", "a\r\nb\r\n");
    repo.write(".gitattributes", "* text=auto\n*.x -text\n");
    std::fs::set_permissions(repo.path().join("bin/run"), std::fs::Permissions::from_mode(0o755)).unwrap();
    symlink("bin/run", repo.path().join("link")).unwrap();
    symlink("/etc/passwd", repo.path().join("absolute")).unwrap();
    symlink("nowhere/at/all", repo.path().join("dangling")).unwrap();
    symlink(".", repo.path().join("loop")).unwrap();
    repo
}

#[test]
fn a_tree_is_what_git_clone_writes() {
    let repo = nasty();
    repo.commit("everything");
    let server = serve(&repo);
    let tree = Trial::new(&server).run().unwrap();
    let clone = TempDir::new().unwrap();
    let done = git(clone.path()).args(["clone", "-q", "--depth=1", server.at("/repo.git").as_str(), "clone"]).status().unwrap();
    assert!(done.success());
    let root = clone.path().join("clone");
    let (mut want, got) = (Vec::new(), as_lines(&tree));
    on_disk(&root, &root, &mut want);
    want.sort();
    assert!(got.is_sorted(), "TreePath's order");
    let short = |lines: &[Line]| lines.iter().map(|(path, mode, body)| (path.clone(), *mode, body.len())).collect::<Vec<_>>();
    assert_eq!(short(&got), short(&want));
    assert!(got == want);
    for entry in entries(&tree) {
        assert_eq!(tree.lookup(&entry.path).unwrap().unwrap(), entry);
    }
}

#[test]
fn times_differ_between_commits_of_one_second() {
    let repo = nasty();
    let first = repo.commit("one");
    repo.write("more", "x");
    let second = repo.commit("two");
    let server = serve(&repo);
    repo.git(&["config", "uploadpack.allowReachableSHA1InWant", "true"]);
    let times: Vec<_> = [&first, &second]
        .map(|commit| {
            let entries = entries(&Trial::new(&server).commit(commit).run().unwrap());
            assert!(entries.iter().all(|entry| entry.modified == entries[0].modified));
            entries[0].modified
        })
        .into();
    assert_eq!((times[0].seconds, times[1].seconds), (1_700_000_100, 1_700_000_100));
    assert!(times.iter().all(|time| (1..1_000_000_000).contains(&time.nanos)) && times[0].nanos != times[1].nanos);
}

#[test]
fn a_revision_says_what_it_is() {
    let repo = nasty();
    let long = "ß".repeat(100);
    let commit = repo.commit(&format!("{long}\n\nand a body"));
    let tree = Trial::new(&serve(&repo)).subdir("./sorted//foo/").run().unwrap();
    let revision = tree.revision();
    assert_eq!((revision.kind.as_str(), revision.commit.as_deref()), ("git", Some(commit.as_str())));
    assert_eq!(revision.r#ref.as_deref(), Some("refs/heads/main"));
    assert_eq!(revision.author.as_deref(), Some("Ada <ada@example.org>"));
    assert_eq!(revision.committer.as_deref(), Some("Bob <bob@example.org>"));
    assert_eq!(revision.date.as_deref(), Some("2023-11-14T22:15:00Z"));
    assert_eq!(revision.subject.as_deref(), Some("ß".repeat(80).as_str()));
    assert_eq!(revision.subdir.as_deref(), Some("sorted/foo"));
    assert!(revision.size.unwrap() > 100);
    assert!(tree.identity().ends_with("/repo.git sorted/foo"));
}

#[test]
fn g10_a_subdir_is_made_of_directories_only() {
    let repo = nasty();
    symlink("sorted", repo.path().join("alias")).unwrap();
    repo.commit("x");
    let server = serve(&repo);
    let tree = Trial::new(&server).subdir("sorted").run().unwrap();
    let names: Vec<String> = entries(&tree).iter().map(|entry| entry.path.display()).collect();
    assert_eq!(names, ["foo", "foo/a", "foo-a", "foo.txt"]);
    assert_eq!(tree.read(&TreePath::parse(b"foo/a").unwrap(), 100).unwrap().unwrap(), b"in a directory");
    for path in ["alias", "alias/foo", "loop/sorted", "foo", "order/foo", "nowhere", "sorted/foo/a"] {
        let error = Trial::new(&server).subdir(path).run().err().unwrap();
        assert!(matches!(error, GitError::Subdir { .. }), "{path}: {error}");
    }
}

#[test]
fn no_link_is_followed_on_the_way() {
    let repo = nasty();
    repo.commit("x");
    let tree = Trial::new(&serve(&repo)).run().unwrap();
    for path in ["loop/bin/run", "link/x", "nowhere", "bin/run/x", "absolute/x"] {
        assert_eq!(tree.lookup(&TreePath::parse(path.as_bytes()).unwrap()).unwrap(), None, "{path}");
    }
    assert!(tree.read(&TreePath::parse(b"link").unwrap(), 100).is_err());
    assert!(tree.read(&TreePath::parse(b"bin").unwrap(), 100).is_err());
    assert!(tree.lookup(&TreePath::root()).unwrap().unwrap().is_directory());
}

#[test]
fn a_skipped_directory_is_not_entered_and_a_visitor_can_stop() {
    let repo = nasty();
    repo.commit("x");
    let tree = Trial::new(&serve(&repo)).run().unwrap();
    let mut seen = Vec::new();
    tree.walk(&mut |entry| {
        seen.push(entry.path.display());
        Ok(if entry.path.as_bytes() == b"deep" { Walk::Skip } else { Walk::Enter })
    })
    .unwrap();
    assert!(seen.contains(&"deep".to_owned()) && !seen.iter().any(|path| path.starts_with("deep/")));
    assert!(matches!(tree.walk(&mut |_| Err(TreeError::Abandoned)), Err(TreeError::Abandoned)));
}

#[test]
fn many_threads_read_one_tree() {
    let repo = nasty();
    for n in 0..200 {
        repo.write(format!("many/{n}"), format!("{n}").repeat(n + 1));
    }
    repo.commit("x");
    let tree = Trial::new(&serve(&repo)).run().unwrap();
    let (entries, want) = (entries(&tree), as_lines(&tree));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for (entry, line) in entries.iter().zip(&want).filter(|(entry, _)| matches!(entry.kind, Kind::File { .. })) {
                    assert_eq!(body(&tree, entry).unwrap(), line.2);
                }
            });
        }
    });
}
