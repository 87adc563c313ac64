//! Files that are kept beside a repository by Git LFS: what git-lfs clones is what comes into the image, and a secret goes nowhere.

use std::fs;
use std::path::PathBuf;

use crate::archives::random_file;
use crate::contexts::{ours, reference};
use crate::faults::Faulty;
use crate::harness::git::{Repository, git};
use crate::harness::lfs::LfsServer;
use crate::harness::prelude::*;

const PLAIN: [&str; 2] = ["--allow", "plain-http"];

/// A repository whose `*.bin` are pointers, and that names the server.
fn repository(server: &GitServer, lfs: &str) -> Repository {
    let repository = server.repository("web");
    repository
        .write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n")
        .write(".lfsconfig", format!("[lfs]\n\turl = {lfs}\n"));
    repository.write("Dockerfile", format!("FROM {}\nCOPY . /src\n", base()));
    repository
}

/// From now on git-lfs makes pointers of files.
fn install(repository: &Repository) {
    repository.git(&["lfs", "install", "--local", "--skip-repo"]);
    repository.git(&["config", "lfs.locksverify", "false"]);
}

/// What git clones with git-lfs at work, without the repository's own files.
fn clone(url: &str) -> PathBuf {
    let dir = Engine::shared().new_dir("clone");
    let settings = ["-c", "filter.lfs.process=git-lfs filter-process", "-c", "filter.lfs.required=true"];
    git(&dir, &[&settings[..], &["clone", "-q", url, "."]].concat());
    fs::remove_dir_all(dir.join(".git")).unwrap();
    dir
}

#[test]
fn a_commit_becomes_the_image_that_a_clone_by_git_lfs_makes() {
    promise!(1, 4);
    let (server, lfs) = (GitServer::start(&GitDemands::default()), LfsServer::start());
    let repository = repository(&server, &lfs.url());
    install(&repository);
    let noise: Vec<u8> = (0..3_000_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    repository.write("large.bin", &noise).write("deep/twice.bin", &noise).write("empty.bin", "").write("text", "in git\n");
    repository.commit("first");
    repository.git(&["lfs", "push", "--all", &server.url(&repository), "main"]);
    let url = server.url(&repository);
    let cloned = clone(&url);
    assert_eq!(fs::metadata(cloned.join("large.bin")).unwrap().len(), 12_000_000, "the oracle has a pointer");
    for builder in builders() {
        let wanted = reference(&cloned, "git-lfs", builder, &[]);
        let (_, made) = ours(Agent::build().args(&["--git", &url, "--no-cache"]).args(&PLAIN), "git-lfs", builder);
        assert_same(&made, &wanted, &format!("{builder}: ours | clone's"));
    }
    let kept = Agent::build().args(&["--git", &url, "--lfs", "keep"]).args(&PLAIN);
    let (run, made) = ours(kept, "git-lfs-kept", builder());
    let told = run.events_named("notice").iter().map(|notice| notice.data["message"].to_string()).collect::<String>();
    assert!(told.contains("large.bin"), "{told}");
    assert_ne!(made[&b"large.bin"[..]], reference(&cloned, "git-lfs-kept", builder(), &[])[&b"large.bin"[..]]);
}

#[test]
fn an_object_that_cannot_be_had_ends_the_run_by_its_own_reason_and_path() {
    promise!(1, 4);
    let (server, lfs) = (GitServer::start(&GitDemands::default()), LfsServer::start());
    let repository = repository(&server, &lfs.url());
    install(&repository);
    repository.write("dir/a.bin", "the object");
    repository.commit("first");
    repository.git(&["lfs", "push", "--all", &server.url(&repository), "main"]);
    let url = server.url(&repository);
    let build = || Agent::build().args(&["--no-push", "--git", &url]).args(&PLAIN).run();
    build().ok();
    let object = fs::read_dir(&lfs.dir).unwrap().next().unwrap().unwrap().path();
    fs::write(&object, "The object").unwrap();
    let run = build().failed(24, "SourceIntegrity", "fetch");
    assert!(run.words().contains("dir/a.bin"), "{}", run.words());
    fs::remove_file(&object).unwrap();
    let run = build().failed(20, "SourceNotFound", "fetch");
    assert!(run.words().contains("dir/a.bin") && run.words().contains("Object does not exist"), "{}", run.words());
    let faulty = Faulty::alone();
    repository.write(".lfsconfig", format!("[lfs]\n\turl = http://{}/lfs\n", faulty.host()));
    repository.commit("a server that fails");
    faulty.relay.answer_with(usize::MAX, "POST", "/lfs/objects/batch", 429, &[("retry-after", "0")], "not so fast");
    let run = build().failed(23, "SourceUnavailable", "fetch");
    assert!(run.words().contains("429"), "{}", run.words());
    // By the LFS part three times in a row, and that by each of the three tries of a source.
    assert_eq!(faulty.relay.count("POST", "/lfs/objects/batch"), 9);
    repository.write(".lfsconfig", "[lfs]\n\turl = http://169.254.169.254/lfs\n");
    repository.commit("a place that only this node can see");
    build().failed(25, "SourceRefused", "fetch");
}

#[test]
fn g4_a_server_that_the_repository_names_is_never_told_the_secret() {
    promise!(6);
    let canary = Canary::new("password");
    let (server, lfs) =
        (GitServer::start(&GitDemands { login: Some(("ada", &canary.value)), tls: true, ..GitDemands::default() }), LfsServer::start());
    let repository = repository(&server, &lfs.url());
    let file = Engine::shared().new_dir("object").join("a");
    fs::write(&file, "the object").unwrap();
    repository.write("a.bin", lfs.take(&file));
    repository.commit("first");
    let (ca, url) = (server.ca(), server.url(&repository));
    let agent = Agent::build().args(&["--no-push", "--git", &url]).args(&PLAIN).canary(&canary);
    agent.secret_dir("--source-secret", "/secrets/git", &[("username", "ada"), ("password", &canary.value), ("ca.crt", &ca)]).run().ok();
    let requests = lfs.requests();
    assert!(requests.len() == 2 && requests.iter().all(|line| line.ends_with(" -")), "{requests:#?}");
}

#[test]
fn memory_does_not_grow_with_an_object_of_lfs() {
    promise!(8);
    let (server, lfs) = (GitServer::start(&GitDemands::default()), LfsServer::start());
    let repository = repository(&server, &lfs.url());
    let file = Engine::shared().new_dir("object").join("a");
    random_file(&file, 128 << 20);
    repository.write("a.bin", lfs.take(&file));
    repository.commit("first");
    for builder in builders() {
        let run = Agent::build().args(&["--no-push", "--git", &server.url(&repository), "--builder", builder]).args(&PLAIN).run().ok();
        assert!(run.rss_kib > 0 && run.rss_kib <= 48 << 10, "{builder}: {} KiB", run.rss_kib);
    }
    fs::remove_dir_all(&lfs.dir).unwrap();
}
