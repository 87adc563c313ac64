//! The `.git` that goes into a context, held against what git thinks of it.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::model::tree::{Kind, SourceTree, Walk};
use crate::source::git::trial::{Repo, Trial, git, serve};

/// Writes a tree out, as an image would have it.
fn write_out(tree: &dyn SourceTree, root: &Path) {
    let walked = tree.walk(&mut |entry| {
        let path = root.join(entry.path.display());
        match &entry.kind {
            Kind::Directory => fs::create_dir_all(&path).unwrap(),
            Kind::File { .. } => {
                let mut file = fs::File::create(&path).unwrap();
                std::io::copy(&mut tree.open(&entry.path, &entry.key)?, &mut file).unwrap();
                fs::set_permissions(&path, fs::Permissions::from_mode(entry.mode)).unwrap();
            }
            Kind::Symlink { target } => symlink(String::from_utf8_lossy(target).as_ref(), &path).unwrap(),
            Kind::Other(kind) => panic!("a {kind}"),
        }
        Ok(Walk::Enter)
    });
    walked.unwrap();
}

fn says(dir: &Path, arguments: &[&str]) -> Result<String, String> {
    let output = git(dir).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

fn history() -> Repo {
    let repo = Repo::new();
    repo.write("first", "1");
    repo.write("bin/run", "#!/bin/sh\n");
    fs::set_permissions(repo.path().join("bin/run"), fs::Permissions::from_mode(0o755)).unwrap();
    symlink("first", repo.path().join("link")).unwrap();
    repo.commit("one");
    repo.git(&["tag", "-a", "-m", "signed off", "v1.0"]);
    repo.git(&["tag", "light"]);
    for n in 2..5 {
        repo.write("first", n.to_string());
        repo.commit(&format!("commit {n}"));
    }
    repo
}

#[test]
fn git_finds_a_clone_with_nothing_changed() {
    let repo = history();
    let server = serve(&repo);
    let head = repo.git(&["rev-parse", "HEAD"]);
    for (depth, commits, described) in [(1, "1", None), (2, "2", None), (4, "4", Some("v1.0-3-g")), (0, "4", Some("v1.0-3-g"))] {
        let mut trial = Trial::new(&server);
        trial.options.history = depth;
        trial.options.keep_git_dir = true;
        let fetched = trial.fetch().unwrap();
        let out = tempfile::tempdir().unwrap();
        let git_dir = out.path().join(".git");
        fs::create_dir(&git_dir).unwrap();
        write_out(&fetched.tree, out.path());
        write_out(&fetched.git_dir.unwrap(), &git_dir);
        assert_eq!(says(out.path(), &["status", "--porcelain"]).unwrap(), "", "{depth}");
        assert_eq!(says(out.path(), &["fsck", "--full", "--strict"]).map(drop), Ok(()));
        assert_eq!(says(out.path(), &["rev-parse", "HEAD"]).unwrap(), head);
        assert_eq!(says(out.path(), &["branch", "--show-current"]).unwrap(), "main");
        assert_eq!(says(out.path(), &["rev-list", "--count", "HEAD"]).unwrap(), commits);
        assert_eq!(says(out.path(), &["config", "remote.origin.url"]).unwrap(), trial.options.address.shown());
        let name = says(out.path(), &["describe"]);
        match described {
            Some(begin) => assert!(name.as_ref().unwrap().starts_with(begin), "{name:?}"),
            None => assert!(name.is_err(), "{name:?}"),
        }
        // What is changed afterwards is seen.
        fs::write(out.path().join("first"), "9").unwrap();
        assert_eq!(says(out.path(), &["status", "--porcelain"]).unwrap(), "M first");
    }
}

#[test]
fn a_tag_is_described_and_a_commit_alone_is_detached() {
    let repo = history();
    let server = serve(&repo);
    let out = |trial: &mut Trial| {
        trial.options.keep_git_dir = true;
        let out = tempfile::tempdir().unwrap();
        let git_dir = out.path().join(".git");
        fs::create_dir(&git_dir).unwrap();
        let fetched = trial.fetch().unwrap();
        write_out(&fetched.tree, out.path());
        write_out(&fetched.git_dir.unwrap(), &git_dir);
        out
    };
    let tagged = out(&mut Trial::new(&server).reference("v1.0"));
    assert_eq!(says(tagged.path(), &["describe"]).unwrap(), "v1.0");
    assert_eq!(says(tagged.path(), &["describe", "--tags", "--match", "light"]).unwrap(), "light");
    assert_eq!(says(tagged.path(), &["branch", "--show-current"]).unwrap(), "");
    let light = out(&mut Trial::new(&server).reference("light"));
    assert_eq!(says(light.path(), &["describe", "--tags", "--match", "light"]).unwrap(), "light");
}

#[test]
fn it_is_the_same_in_every_pod() {
    let repo = history();
    let server = serve(&repo);
    let shown = || {
        let mut trial = Trial::new(&server);
        trial.options.keep_git_dir = true;
        let fetched = trial.fetch().unwrap();
        let mut entries = Vec::new();
        let walked = fetched.git_dir.unwrap().walk(&mut |entry| {
            entries.push((entry.path.display(), entry.mode, entry.size(), entry.modified));
            Ok(Walk::Enter)
        });
        walked.unwrap();
        entries
    };
    let first = shown();
    assert!(first.iter().any(|(name, ..)| name == "index") && first.iter().any(|(name, ..)| name == "shallow"), "{first:?}");
    assert_eq!(first, shown());
}
