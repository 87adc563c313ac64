//! git over http and https: exactly the commit that was asked for (promise 4), or a failure that says why.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::directory::destination;
use crate::faults::Faulty;
use crate::harness::prelude::*;

const PLAIN: [&str; 2] = ["--allow", "plain-http"];

#[test]
fn a_branch_a_tag_and_a_commit_are_built_as_a_clone_has_them() {
    promise!(4);
    let server = GitServer::start(&GitDemands::default());
    let repository = server.repository("web");
    let dockerfile = format!("FROM {}\nCOPY . /src\n", base());
    repository.write("Dockerfile", &dockerfile).write("text", "old").write("run.sh", "#!/bin/sh\n");
    fs::set_permissions(repository.dir.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    let old = repository.commit("old");
    repository.git(&["tag", "-a", "v1", "-m", "v1"]);
    repository.write("text", "new");
    let new = repository.commit("new");

    let url = server.url(&repository);
    for (number, (reference, commit, text)) in
        [("main", &new, "new"), ("v1", &old, "old"), ("refs/heads/main", &new, "new")].iter().enumerate()
    {
        let (destination, _) = destination(&format!("git-{number}"));
        let run = Agent::build().args(&["--git", &url, "--ref", reference, "-d", &destination]).args(&PLAIN).run().ok();
        assert_eq!(run.document()["source"]["commit"], **commit);
        let image = Image::in_registry(Registry::shared(), run.digest());
        assert!(image.holds("src/text", text.as_bytes()), "{reference}");
        let files = image.below("src");
        assert_eq!(files[&b"run.sh"[..]].mode, 0o755);
        assert!(!files.contains_key(&b".git"[..]), "the repository's own files are in the context");
        assert_eq!(image.label("org.opencontainers.image.revision"), Some(commit.as_str()));
    }
}

#[test]
fn what_is_not_there_is_said_by_its_own_reason() {
    promise!(4);
    let server = GitServer::start(&GitDemands::default());
    let repository = server.repository("web");
    repository.write("Dockerfile", "FROM scratch\nCOPY . /\n");
    repository.commit("first");
    let url = server.url(&repository);
    let build = |url: &str, reference: &str| Agent::build().args(&["--no-push", "--git", url, "--ref", reference]).args(&PLAIN).run();
    build(&url, "no-such-branch").failed(22, "RevisionNotFound", "fetch");
    build(&url.replace("/web/", "/wob/"), "main").failed(20, "SourceNotFound", "fetch");
    let nobody = format!("http://127.0.0.1:{}/x.git", crate::harness::process::new_port());
    build(&nobody, "main").failed(23, "SourceUnavailable", "fetch");
    Agent::build().args(&["--no-push", "--git", &url]).run().failed(13, "NotPermitted", "prepare");
}

#[test]
fn a_login_goes_to_its_server_over_tls_and_nowhere_else() {
    promise!(6);
    let canary = Canary::new("password");
    let server = GitServer::start(&GitDemands { login: Some(("ada", &canary.value)), tls: true });
    let repository = server.repository("web");
    repository.write("Dockerfile", "FROM scratch\nCOPY . /\n").write("text", "private");
    repository.commit("first");
    let ca = fs::read_to_string(&server.tls.as_ref().unwrap().ca).unwrap();
    let url = server.url(&repository);
    let secret = |password: &str| {
        let agent = Agent::build().args(&["--no-push", "--git", &url]).canary(&canary);
        agent.secret_dir("--source-secret", "/secrets/git", &[("username", "ada"), ("password", password), ("ca.crt", &ca)])
    };
    secret(&canary.value).run().ok();
    secret("something else").run().failed(21, "SourceAuth", "fetch");
    let untrusted = Agent::build().args(&["--no-push", "--git", &url]).canary(&canary);
    let run = untrusted.secret_dir("--source-secret", "/secrets/git", &[("username", "ada"), ("password", &canary.value)]).run();
    assert_ne!(run.code, 0, "an unknown authority was trusted");
    let requests = server.requests();
    let refused = requests.iter().filter(|line| line.contains(" 401 ")).count();
    assert!(refused <= 6, "a refused login is tried without end: {requests:#?}");
}

#[test]
fn a_redirect_to_another_host_takes_no_credentials_along() {
    promise!(6);
    let canary = Canary::token("password");
    let target = Faulty::alone();
    target.relay.answer(usize::MAX, "GET", "/*", 404, "");
    let server = Faulty::alone();
    let location = format!("http://127.0.0.1:{}/stolen/info/refs?service=git-upload-pack", target.port);
    server.relay.answer_with(usize::MAX, "GET", "/web.git/*", 302, &[("location", &location)], "");
    let url = format!("http://{}/web.git", server.host());
    let agent = Agent::build().args(&["--no-push", "--git", &url]).args(&PLAIN).canary(&canary);
    let run = agent.secret_dir("--source-secret", "/secrets/git", &[("username", "ada"), ("password", &canary.value)]).run();
    assert_ne!(run.code, 0);
    for call in target.relay.calls().iter().chain(&server.relay.calls()) {
        assert_eq!(call.header("authorization"), None, "credentials over plain http, to {}", call.path);
    }
}

#[test]
fn a_server_that_breaks_off_is_tried_again_and_a_bounded_number_of_times() {
    let server = GitServer::start(&GitDemands::default());
    let repository = server.repository("web");
    repository.write("Dockerfile", "FROM scratch\nCOPY . /\n");
    repository.commit("first");
    let faulty = Faulty::before(server.port());
    faulty.unavailable(usize::MAX, "GET", "/git/web/.git/info/refs");
    let url = format!("http://{}/git/web/.git", faulty.host());
    let run = Agent::build().args(&["--no-push", "--git", &url]).args(&PLAIN).run();
    run.failed(23, "SourceUnavailable", "fetch");
    let attempts = faulty.relay.count("GET", "/git/web/.git/info/refs");
    assert!((1..=10).contains(&attempts), "{attempts} attempts");
}
