//! git over ssh and git://: hosts that are known and no others, keys of every kind (promises 4 and 6; G5, G7).

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::directory::destination;
use crate::harness::agent::UID;
use crate::harness::git::{Repository, git};
use crate::harness::prelude::*;
use crate::harness::run::Run;
use crate::harness::ssh::{Key, SshServer, git_daemon};

const SECRET: &str = "/secrets/git";

/// A repository that is served by nobody yet.
fn repository() -> (GitServer, Repository) {
    let server = GitServer::start(&GitDemands::default());
    let repository = server.repository("it's-a-web!");
    repository.write("Dockerfile", "FROM scratch\nCOPY . /\n").write("text", "over ssh");
    repository.commit("first");
    (server, repository)
}

fn keys() -> PathBuf {
    Engine::shared().new_dir("keys")
}

fn built(agent: Agent) -> Run {
    let (reference, _) = destination("ssh");
    agent.args(&["-d", &reference]).run()
}

#[test]
fn keys_of_every_kind_open_a_host_that_is_known() {
    promise!(4, 6);
    let (_files, repository) = repository();
    let dir = keys();
    let ecdsa = ["-b", "384"];
    let locked = ["-N", "open sesame 7"];
    let table = [
        ("ssh-privatekey", Key::new_in(&dir, "a", "ed25519", &[]), None),
        ("identity", Key::new_in(&dir, "b", "rsa", &["-b", "2048"]), None),
        ("ssh", Key::new_in(&dir, "c", "ecdsa", &ecdsa), None),
        ("ssh-privatekey", Key::new_in(&dir, "d", "rsa", &["-b", "2048", "-m", "PEM"]), None),
        ("ssh-privatekey", Key::new_in(&dir, "e", "ed25519", &locked), Some("passphrase")),
        ("identity", Key::new_in(&dir, "f", "ecdsa", &locked), Some("password")),
    ];
    let all: Vec<&Key> = table.iter().map(|(_, key, _)| key).collect();
    let server = SshServer::start(&all, "");
    let url = server.url(&repository.dir);
    for (name, key, passphrase) in &table {
        let (private, known) = (key.private(), server.known());
        let mut files = vec![(*name, private.as_str()), ("known_hosts", &known)];
        files.extend(passphrase.map(|name| (name, "open sesame 7")));
        let run = built(Agent::build().args(&["--git", &url]).secret_dir("--source-secret", SECRET, &files)).ok();
        let image = Image::in_registry(Registry::shared(), run.digest());
        assert!(image.holds("text", b"over ssh"), "{name}");
        assert_eq!(run.document()["source"]["commit"], repository.git(&["rev-parse", "HEAD"]).as_str());
    }
    // As `git clone` is told, with the path from the root.
    let like_scp = format!("root@localhost:{}", repository.dir.display());
    let known = server.known();
    let private = all[0].private();
    let run = Agent::build().args(&["--no-push", "--git", &like_scp]).secret_dir(
        "--source-secret",
        SECRET,
        &[("ssh-privatekey", &private), ("known_hosts", &known)],
    );
    // Nobody serves on port 22 here.
    run.run().failed(23, "SourceUnavailable", "fetch");
}

#[test]
fn g5_a_host_that_is_not_known_is_not_talked_to() {
    promise!(6);
    let (_files, repository) = repository();
    let dir = keys();
    let (key, other) = (Key::new_in(&dir, "a", "ed25519", &[]), Key::new_in(&dir, "b", "ed25519", &[]));
    let server = SshServer::start(&[&key], "");
    let url = server.url(&repository.dir);
    let port = server.port();
    let hashed = dir.join("hashed");
    fs::write(&hashed, server.known()).unwrap();
    succeeded(Command::new("ssh-keygen").args(["-H", "-f"]).arg(&hashed));
    let hashed = fs::read_to_string(hashed).unwrap();
    assert!(hashed.starts_with("|1|"), "{hashed}");
    let build = |known: &str| {
        let private = key.private();
        let files = [("ssh-privatekey", private.as_str()), ("known_hosts", known)];
        built(Agent::build().args(&["--git", &url]).secret_dir("--source-secret", SECRET, &files))
    };
    build(&hashed).ok();
    build(&format!("127.0.0.1 {}", server.key.public())).ok();
    for (known, what) in [
        (format!("git.example.com {}", server.key.public()), "does not list it"),
        (format!("[127.0.0.1]:{port} {}", other.public()), "lists another key"),
        (format!("[127.0.0.1]:{port} {0}\n@revoked * {0}", server.key.public()), "revoked"),
        (format!("@cert-authority * {}", server.key.public()), "does not list it"),
    ] {
        let run = build(&known).failed(25, "SourceRefused", "fetch");
        assert!(run.words().contains(what) && run.words().contains(&server.key.fingerprint()), "{what}: {}", run.words());
    }
    assert!(!server.log().contains("publickey for root from 127.0.0.1") || server.log().matches("Accepted publickey").count() == 2);
    // Without any list nobody is asked.
    let private = key.private();
    let alone = Agent::build().args(&["--no-push", "--git", &url]).secret_dir("--source-secret", SECRET, &[("ssh-privatekey", &private)]);
    let run = alone.run().failed(11, "SecretInvalid", "fetch");
    assert!(run.words().contains("known_hosts"), "{}", run.words());
}

#[test]
fn g5_a_host_is_known_by_the_authority_that_vouches_for_it() {
    promise!(6);
    let (_files, repository) = repository();
    let dir = Engine::shared().new_dir("ssh");
    let (authority, host) = (Key::new_in(&dir, "ca", "ed25519", &[]), Key::new_in(&dir, "host", "ecdsa", &[]));
    let key = Key::new_in(&dir, "user", "ed25519", &[]);
    let sign = |principals: &str, validity: &str| {
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-h", "-I", "host", "-n", principals, "-V", validity, "-s"]).arg(authority.path());
        succeeded(command.arg(host.path().with_extension("pub")));
    };
    sign("127.0.0.1,git.example.com", "-1d:+1d");
    let certificate = format!("HostCertificate {}-cert.pub", host.path().display());
    let server = SshServer::start_in(&dir, host, &[&key], &certificate);
    let url = server.url(&repository.dir);
    let build = |known: &str| {
        let private = key.private();
        let files = [("ssh-privatekey", private.as_str()), ("known_hosts", known)];
        built(Agent::build().args(&["--git", &url]).secret_dir("--source-secret", SECRET, &files))
    };
    let vouched = format!("@cert-authority 127.0.0.*,[127.0.0.*]:* {}\n", authority.public());
    build(&vouched).ok();
    let refused = |known: &str, what: &str| {
        let run = build(known).failed(25, "SourceRefused", "fetch");
        assert!(run.words().contains(what), "{what}: {}", run.words());
    };
    refused(&format!("{vouched}@revoked * {}\n", authority.public()), "revoked");
    refused(&format!("@cert-authority * {}\n", key.public()), "authority that known_hosts does not list");
    for (principals, validity, what) in [("git.example.com", "-1d:+1d", "for another host"), ("127.0.0.1", "-2d:-1d", "not valid now")] {
        let dir = Engine::shared().new_dir("ssh");
        let host = Key::new_in(&dir, "host", "ed25519", &[]);
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-h", "-I", "host", "-n", principals, "-V", validity, "-s"]).arg(authority.path());
        succeeded(command.arg(host.path().with_extension("pub")));
        let certificate = format!("HostCertificate {}-cert.pub", host.path().display());
        let server = SshServer::start_in(&dir, host, &[&key], &certificate);
        let private = key.private();
        let files = [("ssh-privatekey", private.as_str()), ("known_hosts", &vouched)];
        let agent = Agent::build().args(&["--git", &server.url(&repository.dir)]).secret_dir("--source-secret", SECRET, &files);
        let run = built(agent).failed(25, "SourceRefused", "fetch");
        assert!(run.words().contains(what), "{what}: {}", run.words());
    }
}

/// An agent that holds one key; it ends with this.
struct KeyAgent(Child);

impl Drop for KeyAgent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn an_agents_key_is_as_good_as_ones_own() {
    promise!(4);
    let (_files, repository) = repository();
    let dir = keys();
    let (key, other) = (Key::new_in(&dir, "a", "rsa", &["-b", "2048"]), Key::new_in(&dir, "b", "ed25519", &[]));
    let server = SshServer::start(&[&key], "");
    // An agent lets its own user in, and root.
    let sockets = tempfile::tempdir().unwrap();
    fs::set_permissions(sockets.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let socket = sockets.path().join("socket");
    let mut command = Command::new("ssh-agent");
    command.arg("-D").arg("-a").arg(&socket).uid(UID).gid(UID).stdout(Stdio::null());
    let _agent = KeyAgent(command.spawn().unwrap());
    eventually("the agent of the test does not begin", || socket.exists());
    succeeded(Command::new("ssh-add").arg("-q").arg(key.path()).env("SSH_AUTH_SOCK", &socket));
    let (known, private) = (server.known(), other.private());
    let agent = Agent::build().args(&["--git", &server.url(&repository.dir)]).env("SSH_AUTH_SOCK", "/agent/socket");
    let files = [("ssh-privatekey", private.as_str()), ("known_hosts", &known)];
    built(agent.readable(sockets.path(), "/agent").secret_dir("--source-secret", SECRET, &files)).ok();
}

#[test]
fn what_ssh_cannot_have_is_said_by_its_own_reason() {
    promise!(4);
    let (_files, repository) = repository();
    let dir = keys();
    let (key, other) = (Key::new_in(&dir, "a", "ed25519", &[]), Key::new_in(&dir, "b", "ed25519", &[]));
    let locked = Key::new_in(&dir, "c", "ed25519", &["-N", "open sesame 7"]);
    let server = SshServer::start(&[&key, &locked], "");
    let url = server.url(&repository.dir);
    let known = server.known();
    let build = |url: &str, files: &[(&str, &str)]| {
        let files: Vec<(&str, &str)> = files.iter().copied().chain([("known_hosts", known.as_str())]).collect();
        Agent::build().args(&["--no-push", "--git", url]).secret_dir("--source-secret", SECRET, &files).run()
    };
    let named = |run: Run, part: &str| assert!(run.words().contains(part), "{part} is not in: {}", run.words());
    named(build(&url, &[("ssh-privatekey", &other.private())]).failed(21, "SourceAuth", "fetch"), &other.fingerprint());
    let nowhere = format!("{url}/nowhere");
    named(
        build(&nowhere, &[("ssh-privatekey", &key.private())]).failed(20, "SourceNotFound", "fetch"),
        "does not appear to be a git repository",
    );
    named(build(&url, &[("ssh-privatekey", &locked.private())]).failed(11, "SecretInvalid", "fetch"), "encrypted");
    let wrong = [("ssh-privatekey", locked.private()), ("passphrase", "close sesame 8".to_owned())];
    let wrong: Vec<(&str, &str)> = wrong.iter().map(|(name, text)| (*name, text.as_str())).collect();
    named(build(&url, &wrong).failed(11, "SecretInvalid", "fetch"), "passphrase");
    named(build(&url, &[("ssh-privatekey", "no key\n")]).failed(11, "SecretInvalid", "fetch"), "no private key");
    named(build(&url, &[]).failed(11, "SecretInvalid", "fetch"), "ssh-privatekey");
    let refused = format!("ssh://root@127.0.0.1:{}/x", crate::harness::process::new_port());
    named(build(&refused, &[("ssh-privatekey", &key.private())]).failed(23, "SourceUnavailable", "fetch"), "connect");
}

#[test]
fn version_2_is_spoken_where_the_host_lets_it_be_asked_for() {
    promise!(4);
    let (_files, repository) = repository();
    let head = repository.git(&["rev-parse", "HEAD"]);
    // No ref leads to it: version 0 cannot ask for it.
    let apart = repository.git(&["commit-tree", "-m", "in no branch", "HEAD^{tree}"]);
    let key = Key::new_in(&keys(), "a", "ed25519", &[]);
    for more in ["AcceptEnv GIT_PROTOCOL", ""] {
        let server = SshServer::start(&[&key], more);
        let (private, known) = (key.private(), server.known());
        let build = |commit: &str| {
            let agent = Agent::build().args(&["--no-push", "--git", &server.url(&repository.dir), "--commit", commit.trim()]);
            agent.secret_dir("--source-secret", SECRET, &[("ssh-privatekey", &private), ("known_hosts", &known)]).run()
        };
        assert_eq!(build(&head).ok().document()["source"]["commit"], head.trim());
        if more.is_empty() {
            build(&apart).failed(22, "RevisionNotFound", "fetch");
        } else {
            assert_eq!(build(&apart).ok().document()["source"]["commit"], apart.trim());
        }
    }
}

#[test]
fn gits_own_daemon_is_asked_only_where_the_operator_allows_it() {
    promise!(4);
    let (_files, repository) = repository();
    let dir = Engine::shared().new_dir("daemon");
    let root = dir.join("root");
    fs::create_dir(&root).unwrap();
    git(&root, &["clone", "-q", "--bare", &repository.dir.display().to_string(), "web.git"]);
    let daemon = git_daemon(&root, &dir);
    let url = format!("git://127.0.0.1:{}/web.git", daemon.port);
    let run = Agent::build().args(&["--no-push", "--git", &url]).run().failed(13, "NotPermitted", "prepare");
    assert!(run.words().contains("git-protocol"), "{}", run.words());
    let run = built(Agent::build().args(&["--git", &url, "--allow", "git-protocol"])).ok();
    assert!(Image::in_registry(Registry::shared(), run.digest()).holds("text", b"over ssh"));
    let nowhere = url.replace("web.git", "wob.git");
    let run = Agent::build().args(&["--no-push", "--git", &nowhere, "--allow", "git-protocol"]).run();
    run.failed(20, "SourceNotFound", "fetch");
}
