//! Trees that git would not write, and what is refused in those it would.

use super::tree::entries;
use crate::model::tree::{SourceTree, TreeError, Walk};
use crate::model::{Classified, Reason};
use crate::source::git::GitError;
use crate::source::git::trial::{Repo, Trial, noise, serve};
use crate::support::limits::{self, Limits};

fn id(hex: &str) -> Vec<u8> {
    git2::Oid::from_str(hex).unwrap().as_bytes().to_owned()
}

fn line(mode: &str, name: &[u8], id: &[u8]) -> Vec<u8> {
    [mode.as_bytes(), b" ", name, b"\0", id].concat()
}

fn walk(repo: &Repo) -> Result<Vec<String>, TreeError> {
    let tree = match Trial::new(&serve(repo)).run() {
        Ok(tree) => tree,
        Err(GitError::Tree(error)) => return Err(error),
        Err(other) => panic!("{other}"),
    };
    let mut seen = Vec::new();
    tree.walk(&mut |entry| {
        seen.push(entry.path.display());
        Ok(Walk::Enter)
    })?;
    Ok(seen)
}

#[test]
fn g9_a_tree_with_a_hostile_name_is_refused() {
    let repo = Repo::new();
    let blob = id(&repo.git_in(&["hash-object", "-w", "--stdin"], b"x"));
    for name in [&b".."[..], b".", b"a/b", b".git", b".GIT", b"git~1", ".g\u{200c}it".as_bytes(), &[b'x'; 300]] {
        repo.commit_tree(&line("100644", name, &blob));
        assert!(matches!(walk(&repo), Err(TreeError::Refused { .. })), "{}", String::from_utf8_lossy(name));
    }
    repo.commit_tree(&[line("100644", b"a", &blob), line("100644", b"a", &blob)].concat());
    assert!(walk(&repo).unwrap_err().to_string().contains("twice"));
    let tree = id(&repo.git_in(&["hash-object", "-t", "tree", "-w", "--stdin", "--literally"], &line("100644", b"x", &blob)));
    repo.commit_tree(&[line("100644", b"a", &blob), line("100644", b"a.b", &blob), line("40000", b"a", &tree)].concat());
    assert!(walk(&repo).unwrap_err().to_string().contains("twice"));
    repo.commit_tree(&line("20666", b"device", &blob));
    assert!(walk(&repo).unwrap_err().to_string().contains("mode"));
    repo.commit_tree(&[line("100664", b"old", &blob), line("100644", b"b", &blob)].concat());
    assert_eq!(walk(&repo).unwrap(), ["b", "old"]);
}

#[test]
fn g11_depth_and_bombs_end_at_a_limit() {
    let repo = Repo::new();
    let blob = id(&repo.git_in(&["hash-object", "-w", "--stdin"], b"x"));
    let mut tree = line("100644", b"f", &blob);
    for _ in 0..300 {
        let below = repo.git_in(&["hash-object", "-t", "tree", "-w", "--stdin"], &tree);
        tree = line("40000", b"d", &id(&below));
    }
    repo.commit_tree(&tree);
    assert!(walk(&repo).unwrap_err().to_string().contains("deeper"));
    let mut tree = line("100644", b"f", &blob);
    for _ in 0..12 {
        let below = id(&repo.git_in(&["hash-object", "-t", "tree", "-w", "--stdin"], &tree));
        tree = (0..10).flat_map(|n| line("40000", format!("{n}").as_bytes(), &below)).collect();
    }
    repo.commit_tree(&tree);
    let server = serve(&repo);
    let mut trial = Trial::new(&server);
    trial.options.limits.source_entries = 10_000;
    let error = trial.run().unwrap().walk(&mut |_| Ok(Walk::Enter)).unwrap_err();
    assert!(error.to_string().contains("--limit-source-entries"), "{error}");
}

/// A chain of directories, each with so many files beside the next, which comes first in the order of names.
fn nested(repo: &Repo, depth: usize, beside: usize, name: &str) {
    let blob = id(&repo.git_in(&["hash-object", "-w", "--stdin"], b"x"));
    let files: Vec<u8> = (0..beside).flat_map(|n| line("100644", format!("{name}{n:06}").as_bytes(), &blob)).collect();
    let mut tree = files.clone();
    for _ in 0..depth {
        let below = repo.git_in(&["hash-object", "-t", "tree", "-w", "--stdin", "--literally"], &tree);
        tree = [line("40000", b"a", &id(&below)), files.clone()].concat();
    }
    repo.commit_tree(&tree);
}

#[test]
fn g11_what_is_held_of_nested_directories_is_counted_before_it_is_entered() {
    let refused = |trial: &Trial, most: usize, bound: &str| {
        let (tree, mut shown) = (trial.run().unwrap(), 0);
        let error = tree.walk(&mut |_| {
            shown += 1;
            Ok(Walk::Enter)
        });
        let error = error.unwrap_err();
        assert!(matches!(error, TreeError::Refused { .. }) && error.to_string().contains(bound), "{error}");
        assert!(shown <= most, "{shown} entries were shown, and the rest of their directories held");
    };
    let repo = Repo::new();
    nested(&repo, 20, 1000, "f");
    let server = serve(&repo);
    let mut trial = Trial::new(&server);
    trial.options.limits.source_entries = 5000;
    refused(&trial, 4, "--limit-source-entries");
    // Three of these are more bytes than may be held, though few names.
    nested(&repo, 6, 100_000, &"x".repeat(200));
    trial.options.limits = Limits::default();
    refused(&trial, 2, "down to one directory");
}

#[test]
fn links_without_a_target_are_refused() {
    let repo = Repo::new();
    for target in [&b""[..], b"a\0b", &[b'x'; 5000]] {
        let blob = id(&repo.git_in(&["hash-object", "-w", "--stdin"], target));
        repo.commit_tree(&line("120000", b"link", &blob));
        assert!(matches!(walk(&repo), Err(TreeError::Refused { .. })));
    }
}

#[test]
fn a_submodule_is_an_empty_directory_and_is_said() {
    let repo = Repo::new();
    repo.write(".gitmodules", "[submodule \"x\"]\n\tpath = lib/x\n\turl = https://example.org/x\n");
    repo.write("lib/y", "y");
    let commit = repo.commit("first");
    repo.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{commit},lib/x")]);
    repo.git(&["commit", "-q", "-m", "with a submodule"]);
    let server = serve(&repo);
    let tree = Trial::new(&server).run().unwrap();
    let names: Vec<(String, bool)> = entries(&tree).iter().map(|entry| (entry.path.display(), entry.is_directory())).collect();
    let want = [(".gitmodules", false), ("lib", true), ("lib/x", true), ("lib/y", false)];
    assert_eq!(names, want.map(|(name, directory)| (name.to_owned(), directory)));
    assert_eq!(tree.notices().len(), 1);
    assert!(tree.notices()[0].message.contains("lib/x"), "{:?}", tree.notices());
    let error = Trial::new(&server).subdir("lib/x").run().err().unwrap();
    assert!(error.to_string().contains("submodule"), "{error}");
}

/// What is refused names its bound, and nothing of it was read.
fn assert_over(trial: &Trial, bound: limits::Bound) {
    let error = trial.run().err().unwrap();
    assert!(matches!(&error, GitError::Limit { limit, .. } if *limit == bound), "{error}");
    assert_eq!(error.reason(), Reason::SourceRefused);
    assert!(trial.left().is_empty());
}

#[test]
fn g11_a_commit_and_a_tag_are_read_only_when_they_are_small() {
    let repo = Repo::new();
    repo.write("x", "x");
    let small = repo.commit("x");
    let long = "x\n".repeat(600_000);
    let commit = repo.git_in(&["commit-tree", "HEAD^{tree}", "-F", "-"], long.as_bytes());
    repo.git(&["update-ref", "refs/heads/large", &commit]);
    repo.git_in(&["tag", "-a", "long", "-F", "-", &small], long.as_bytes());
    repo.git(&["tag", "-a", "-m", "outside", "short", &commit]);
    let server = serve(&repo);
    // A tag's peeled id is advertised, so that the tag itself is not even looked at.
    for name in ["large", "short"] {
        assert_over(&Trial::new(&server).reference(name), limits::GIT_COMMIT);
    }
    let tag = repo.git(&["rev-parse", "long"]);
    assert_over(&Trial::new(&server).commit(&tag), limits::GIT_COMMIT);
    assert!(Trial::new(&server).reference("main").run().is_ok());
}

#[test]
fn g11_the_base_of_a_delta_is_held_within_a_bound() {
    let repo = Repo::new();
    let mut body = noise(3 << 20);
    repo.write("one", &body);
    body.extend_from_slice(b"and a little more");
    repo.write("two", &body);
    repo.commit("x");
    let server = serve(&repo);
    let mut trial = Trial::new(&server);
    trial.options.limits.source_entries = 100;
    trial.options.limits.object_bytes = 2 << 20;
    assert_over(&trial, limits::OBJECT_BYTES);
    trial.options.limits.object_bytes = 4 << 20;
    assert_eq!(entries(&trial.run().unwrap()).len(), 2);
    // Whole files are not held while they come in.
    repo.git(&["config", "core.bigFileThreshold", "1m"]);
    trial.options.limits.object_bytes = 2 << 20;
    assert!(trial.run().is_ok());
}
