//! Sources that mean harm or are behind somebody: what they may take of the pod, whom they are shown, what they are called.

use std::fs;
use std::process::Command;

use crate::harness::prelude::*;

const PLAIN: [&str; 2] = ["--allow", "plain-http"];

/// KiB that a refused repository may cost: the program itself, libgit2's caches and one window of the pack.
const LITTLE: u64 = 100 << 10;

#[test]
fn a_small_repository_that_unpacks_to_more_than_a_pod_has_is_refused_within_little_memory() {
    let server = GitServer::start(&GitDemands::default());
    let commit = server.repository("commit");
    commit.write("Dockerfile", "FROM scratch\nCOPY . /\n");
    commit.commit("first");
    let message = commit.dir.join("message");
    fs::write(&message, vec![b'\n'; 200 << 20]).unwrap();
    let id = commit.git(&["commit-tree", "HEAD^{tree}", "-F", "message"]);
    fs::remove_file(&message).unwrap();
    commit.git(&["update-ref", "refs/heads/main", id.trim()]);

    let delta = server.repository("delta");
    delta.write("Dockerfile", "FROM scratch\nCOPY . /\n");
    let mut body = vec![0; 160 << 20];
    delta.write("one", &body);
    body.extend_from_slice(b"and a little more");
    delta.write("two", &body);
    delta.commit("first");

    for (repository, word) in [(&commit, "commit or tag"), (&delta, "one delta of a pack")] {
        let run = Agent::build().args(&["--no-push", "--git", &server.url(repository)]).args(&PLAIN).run();
        let run = run.failed(25, "SourceRefused", "fetch");
        assert!(run.words().contains(word), "{}", run.words());
        assert!(run.rss_kib < LITTLE, "{word}: {} KiB", run.rss_kib);
    }
}

#[test]
fn a_name_in_the_url_is_no_credential_where_there_is_a_secret_directory() {
    promise!(6);
    let canary = Canary::token("password");
    let server = GitServer::start(&GitDemands { login: Some(("contoso", &canary.value)), tls: true, ..GitDemands::default() });
    let repository = server.repository("contoso");
    repository.write("Dockerfile", "FROM scratch\nCOPY . /\n");
    repository.commit("for contoso");
    let ca = fs::read_to_string(&server.tls.as_ref().unwrap().ca).unwrap();
    let url = server.url(&repository);
    let named = url.replacen("https://", "https://contoso@", 1);
    let host = url.trim_start_matches("https://").split('/').next().unwrap();
    let line = format!("https://other:wrong-password@{host}\nhttps://contoso:{}@{host}\n", canary.value);
    for keys in
        [&[("username", "contoso"), ("password", &*canary.value), ("ca.crt", &*ca)][..], &[(".git-credentials", &*line), ("ca.crt", &*ca)]]
    {
        let agent = Agent::build().args(&["--no-push", "--git", &named]).canary(&canary);
        let run = agent.secret_dir("--source-secret", "/secrets/git", keys).run().ok();
        assert_eq!(run.document()["source"]["subject"], "for contoso", "the name was masked as if it were a secret");
    }
}

#[test]
fn a_secret_for_plain_http_is_refused_before_anything_is_asked() {
    promise!(6);
    let canary = Canary::new("password");
    let server = crate::faults::Faulty::alone();
    server.relay.answer(usize::MAX, "GET", "/*", 401, "");
    let git = format!("http://{}/web.git", server.host());
    let archive = format!("http://{}/src.tar", server.host());
    for (flag, url) in [("--git", &git), ("--archive", &archive)] {
        let agent = Agent::build().args(&["--no-push", flag, url]).args(&PLAIN).canary(&canary);
        let run = agent.secret_dir("--source-secret", "/secrets/s", &[("username", "ada"), ("password", &canary.value)]).run();
        let run = run.failed(10, "RequestInvalid", "fetch");
        assert!(run.words().contains("in the clear"), "{}", run.words());
    }
    assert!(server.relay.calls().is_empty());
}

#[test]
fn a_certificate_that_is_not_trusted_is_not_tried_again() {
    let server = GitServer::start(&GitDemands { login: None, tls: true, ..GitDemands::default() });
    let repository = server.repository("web");
    repository.write("Dockerfile", "FROM scratch\nCOPY . /\n");
    repository.commit("first");
    let run = Agent::build().args(&["--no-push", "--git", &server.url(&repository)]).run().failed(25, "SourceRefused", "fetch");
    assert!(!run.events_named("notice").iter().any(|notice| notice.data["message"].as_str().unwrap().starts_with("try 1 of")));
}

#[test]
fn a_pipe_in_an_archives_place_is_refused_and_holds_nothing_up() {
    let agent = Agent::build().args(&["--no-push", "--archive", "/in/src.tar"]);
    let directory = agent.dir.join("in");
    fs::create_dir(&directory).unwrap();
    assert!(Command::new("mkfifo").arg(directory.join("src.tar")).status().unwrap().success());
    let run = agent.readable(&directory, "/in").run().failed(25, "SourceRefused", "fetch");
    assert!(run.words().contains("regular file"), "{}", run.words());
}
