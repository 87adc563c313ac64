//! Which commit is fetched, and what is said when it cannot be.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::model::tree::SourceTree;
use crate::model::{Classified, Reason};
use crate::net::trial::Server;
use crate::source::git::trial::{Repo, Trial, backend, noise, serve, serve_old};
use crate::source::git::{GitError, GitTree};

fn commit_of(tree: &GitTree) -> (String, Option<String>) {
    (tree.revision().commit.clone().unwrap(), tree.revision().r#ref.clone())
}

fn fails(trial: &Trial, reason: Reason, said: &str) -> GitError {
    let error = trial.run().err().unwrap();
    assert_eq!(error.reason(), reason, "{error}");
    assert!(error.to_string().contains(said), "{error}");
    assert!(trial.left().is_empty(), "the workspace is as it was");
    error
}

/// `main` with three commits, a branch, tags of both kinds, a pull request's ref, and a name that is branch and tag.
fn history() -> (Repo, Vec<String>) {
    let repo = Repo::new();
    let mut commits: Vec<String> = Vec::new();
    for n in 0..3 {
        repo.write("file", format!("{n}"));
        commits.push(repo.commit(&format!("commit {n}")));
    }
    repo.git(&["branch", "feature/x", &commits[1]]);
    repo.git(&["tag", "light", &commits[0]]);
    repo.git(&["tag", "-a", "-m", "signed off", "annotated", &commits[0]]);
    repo.git(&["tag", "-a", "-m", "a tag of a tag", "twice", "annotated"]);
    repo.git(&["branch", "both", &commits[1]]);
    repo.git(&["tag", "both", &commits[0]]);
    repo.git(&["update-ref", "refs/pull/7/head", &commits[1]]);
    (repo, commits)
}

#[test]
fn every_kind_of_name_gives_its_commit() {
    let (repo, commits) = history();
    let server = serve(&repo);
    for (name, commit, reference) in [
        ("HEAD", 2, Some("refs/heads/main")),
        ("main", 2, Some("refs/heads/main")),
        ("feature/x", 1, Some("refs/heads/feature/x")),
        ("light", 0, Some("refs/tags/light")),
        ("annotated", 0, Some("refs/tags/annotated")),
        ("twice", 0, Some("refs/tags/twice")),
        ("refs/pull/7/head", 1, Some("refs/pull/7/head")),
        ("both", 1, Some("refs/heads/both")),
    ] {
        let tree = Trial::new(&server).reference(name).run().unwrap();
        assert_eq!(commit_of(&tree), (commits[commit].clone(), reference.map(str::to_owned)), "{name}");
        assert_eq!(tree.notices().len(), usize::from(name == "both"));
    }
    let trial = Trial::new(&server);
    let tree = trial.run().unwrap();
    assert_eq!(commit_of(&tree).0, commits[2]);
    assert_eq!(trial.left().len(), 1);
    drop(tree);
    assert!(trial.left().is_empty());
    fails(&Trial::new(&server).reference("no-such-ref"), Reason::RevisionNotFound, "no-such-ref");
}

#[test]
fn a_commit_is_found_by_its_id_alone() {
    let (repo, commits) = history();
    let server = serve_old(&repo);
    repo.git(&["update-ref", "refs/heads/gone", &commits[2]]);
    let orphan = repo.git(&["commit-tree", "-m", "in no branch", "HEAD^{tree}"]);
    // Pointed at by a ref; below one, with nothing but the whole history to find it; below none.
    assert_eq!(commit_of(&Trial::new(&server).commit(&commits[1]).run().unwrap()), (commits[1].clone(), None));
    repo.git(&["reset", "-q", "--hard", &commits[2]]);
    let inner = repo.commit("inner");
    repo.commit("outer");
    assert_eq!(commit_of(&Trial::new(&server).commit(&inner).run().unwrap()).0, inner);
    let error = fails(&Trial::new(&server).commit(&orphan), Reason::RevisionNotFound, &orphan);
    assert!(error.hint().unwrap().contains("allowReachableSHA1InWant"), "{:?}", error.hint());
    repo.git(&["config", "uploadpack.allowReachableSHA1InWant", "true"]);
    assert_eq!(commit_of(&Trial::new(&server).commit(&inner).run().unwrap()).0, inner);
    fails(&Trial::new(&server).commit(&orphan), Reason::RevisionNotFound, &orphan);
    repo.git(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
    assert_eq!(commit_of(&Trial::new(&server).commit(&orphan).run().unwrap()).0, orphan);
    fails(&Trial::new(&server).commit(&"1".repeat(40)), Reason::RevisionNotFound, "1111");
    let tree = repo.git(&["rev-parse", "HEAD^{tree}"]);
    fails(&Trial::new(&server).commit(&tree), Reason::RevisionNotFound, "no commit");
}

#[test]
fn g13_a_moved_ref_with_a_pinned_commit_is_refused_with_both_ids() {
    let (repo, commits) = history();
    let server = serve(&repo);
    let error = fails(&Trial::new(&server).reference("main").commit(&commits[1]), Reason::RevisionNotFound, &commits[1]);
    assert!(error.to_string().contains(&commits[2]), "{error}");
    let tree = Trial::new(&server).reference("main").commit(&commits[2]).run().unwrap();
    assert_eq!(commit_of(&tree).0, commits[2]);
    let tree = Trial::new(&server).reference("twice").commit(&commits[0]).run().unwrap();
    assert_eq!(commit_of(&tree).0, commits[0]);
}

/// Rewrites the branch between the list and the pack, so many times.
fn moving(repo: &Repo, times: usize) -> (Server, Arc<AtomicUsize>) {
    let (repo, count) = (repo.clone(), Arc::new(AtomicUsize::new(0)));
    let moved = Arc::clone(&count);
    let server = Server::plain(move |asked, out| {
        if asked.method == "POST" && moved.fetch_add(1, Ordering::SeqCst) < times {
            let commit = repo.git(&["commit-tree", "-m", &format!("rewritten {:?}", std::time::Instant::now()), "HEAD^{tree}"]);
            repo.git(&["update-ref", "refs/heads/main", &commit]);
        }
        backend(&repo, &asked.without("git-protocol"), out)
    });
    (server, count)
}

#[test]
fn g13_a_ref_that_moves_meanwhile_is_asked_for_once_more() {
    let repo = Repo::new();
    repo.write("file", "x");
    repo.commit("first");
    let (server, _) = moving(&repo, 1);
    let tree = Trial::new(&server).reference("main").run().unwrap();
    assert_eq!(commit_of(&tree).0, repo.git(&["rev-parse", "main"]));
    let (server, count) = moving(&repo, usize::MAX);
    fails(&Trial::new(&server).reference("main"), Reason::SourceUnavailable, "moved its refs");
    assert_eq!(count.load(Ordering::SeqCst), 2);
}

#[test]
fn repositories_that_hold_nothing_to_build_are_told_apart() {
    fails(&Trial::new(&serve(&Repo::new())), Reason::RevisionNotFound, "no commit at all");
    let repo = Repo::new();
    repo.write("x", "x");
    repo.commit("x");
    repo.git(&["symbolic-ref", "HEAD", "refs/heads/unborn"]);
    fails(&Trial::new(&serve(&repo)), Reason::RevisionNotFound, "HEAD points at no branch");
    let repo = Repo::init(&["--object-format=sha256"]);
    repo.write("x", "x");
    repo.commit("x");
    fails(&Trial::new(&serve(&repo)), Reason::Unsupported, "SHA-256");
}

#[test]
fn without_a_workspace_nobody_is_asked() {
    let (repo, _) = history();
    let server = serve(&repo);
    let mut trial = Trial::new(&server);
    trial.options.workspace = "/nonexistent/workspace".into();
    assert!(matches!(trial.run(), Err(GitError::Workspace { .. })));
    assert!(server.asked().is_empty());
}

#[test]
fn limits_name_themselves() {
    let repo = Repo::new();
    repo.write("large", noise(300_000));
    repo.write("other", "x");
    repo.commit("x");
    let server = serve(&repo);
    let mut trial = Trial::new(&server);
    trial.options.limits.source_bytes = 100_000;
    fails(&trial, Reason::SourceRefused, "limits.sourceBytes (--limit-source-bytes)");
    trial.options.limits.source_bytes = 350_000;
    trial.options.limits.object_bytes = 1000;
    let tree = trial.run().unwrap();
    let error = tree.walk(&mut |_| Ok(crate::model::tree::Walk::Enter)).unwrap_err();
    assert!(error.to_string().contains("--limit-object-bytes") && error.to_string().contains("large"), "{error}");
    drop(tree);
    trial.options.limits.object_bytes = 1 << 30;
    trial.options.limits.source_entries = 1;
    let tree = trial.run().unwrap();
    let error = tree.walk(&mut |_| Ok(crate::model::tree::Walk::Enter)).unwrap_err();
    assert!(error.to_string().contains("--limit-source-entries"), "{error}");
    drop(tree);
    for n in 0..50 {
        repo.write(format!("many/{n}"), format!("{n}"));
    }
    repo.commit("many");
    fails(&trial, Reason::SourceRefused, "four for each of limits.sourceEntries (--limit-source-entries) of 4");
}

#[test]
fn progress_can_stop_a_fetch() {
    let repo = Repo::new();
    for n in 0..500 {
        repo.write(format!("file-{n}"), format!("{n}").repeat(100));
    }
    repo.commit("x");
    let server = serve(&repo);
    let trial = Trial::new(&server);
    let mut told = 0;
    let error = trial.run_telling(&mut |_| {
        told += 1;
        false
    });
    assert!(matches!(error, Err(GitError::Cancelled)));
    assert_eq!((told, trial.left().len()), (1, 0));
    let mut last = None;
    trial
        .run_telling(&mut |progress| {
            last = Some(progress);
            true
        })
        .unwrap();
    assert!(last.unwrap().total_objects.unwrap() > 500);
    trial.cancel.cancel();
    assert!(matches!(trial.run(), Err(GitError::Cancelled)));
}
