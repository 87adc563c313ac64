//! Objects of Git LFS whose server a host of ssh names by `git-lfs-authenticate`: asked as git-lfs asks, and told to nobody else.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::directory::destination;
use crate::harness::git::Repository;
use crate::harness::lfs::LfsServer;
use crate::harness::prelude::*;
use crate::harness::run::Run;
use crate::harness::ssh::{Key, SshServer};

const OBJECT: &str = "the object\n";

/// A host of ssh with a repository that points to an object, and the LFS server that has it.
struct Host {
    _files: GitServer,
    repository: Repository,
    lfs: LfsServer,
    ssh: SshServer,
    key: Key,
    dir: PathBuf,
}

impl Host {
    fn start() -> Self {
        let (files, lfs) = (GitServer::start(&GitDemands::default()), LfsServer::start());
        let repository = files.repository("web");
        let dir = Engine::shared().new_dir("authenticate");
        fs::write(dir.join("object"), OBJECT).unwrap();
        let pointer = lfs.take(&dir.join("object"));
        repository.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n").write("a.bin", pointer);
        repository.write("Dockerfile", "FROM scratch\nCOPY . /\n");
        repository.commit("first");
        script(&dir.join("shell"), &format!("PATH={}:$PATH exec sh -c \"$SSH_ORIGINAL_COMMAND\"", dir.display()));
        let key = Key::new_in(&dir, "key", "ed25519", &[]);
        let ssh = SshServer::start(&[&key], &format!("ForceCommand {}/shell", dir.display()));
        Self { _files: files, repository, lfs, ssh, key, dir }
    }

    /// What the command does from now on, in the shell's words.
    fn authenticates(&self, by: &str) -> &Self {
        script(&self.dir.join("git-lfs-authenticate"), &format!("echo \"$@\" >> {}/asked\n{by}", self.dir.display()));
        let _ = fs::remove_file(self.dir.join("asked"));
        self
    }

    fn answers(&self, answer: &serde_json::Value) -> &Self {
        self.authenticates(&format!("cat <<'END'\n{answer}\nEND"))
    }

    /// The arguments of every time it was asked.
    fn asked(&self) -> Vec<String> {
        fs::read_to_string(self.dir.join("asked")).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    fn url(&self) -> String {
        self.ssh.url(&self.repository.dir)
    }

    fn agent(&self) -> Agent {
        let (private, known) = (self.key.private(), self.ssh.known());
        let files = [("ssh-privatekey", private.as_str()), ("known_hosts", &known)];
        Agent::build().args(&["--git", &self.url()]).secret_dir("--source-secret", "/secrets/git", &files)
    }

    fn build(&self) -> Run {
        self.agent().args(&["--no-push", "--allow", "plain-http"]).run()
    }
}

fn script(path: &Path, text: &str) {
    fs::write(path, format!("#!/bin/sh\n{text}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// What git clones by ssh with git-lfs at work.
fn clone(host: &Host) -> PathBuf {
    let dir = Engine::shared().new_dir("clone");
    fs::write(dir.join("known"), host.ssh.known()).unwrap();
    let ssh = format!("ssh -F none -i {} -o UserKnownHostsFile={}/known", host.key.path().display(), dir.display());
    let mut command = Command::new("git");
    command.args(["-c", "filter.lfs.process=git-lfs filter-process", "-c", "filter.lfs.required=true", "clone", "-q", &host.url()]);
    succeeded(command.arg(dir.join("clone")).env("GIT_SSH_COMMAND", ssh));
    dir.join("clone")
}

#[test]
fn the_host_is_asked_where_the_objects_are_as_git_lfs_asks_it() {
    promise!(1, 4, 6);
    let (host, canary) = (Host::start(), Canary::token("what git-lfs-authenticate gave"));
    let authorization = format!("RemoteAuth {}", canary.value);
    host.lfs.demand(&authorization);
    host.answers(&json!({"href": host.lfs.url(), "header": {"Authorization": authorization}, "expires_in": 3600}));
    assert_eq!(fs::read_to_string(clone(&host).join("a.bin")).unwrap(), OBJECT);
    let (theirs, told) = (host.asked(), host.lfs.requests());
    let _ = fs::remove_file(host.dir.join("asked"));
    let (reference, _) = destination("lfs-ssh");
    let run = host.agent().args(&["-d", &reference, "--allow", "plain-http"]).canary(&canary).run().ok();
    assert!(Image::in_registry(Registry::shared(), run.digest()).holds("a.bin", OBJECT.as_bytes()));
    assert_eq!(host.asked(), theirs, "ours | git-lfs's");
    assert_eq!(host.lfs.requests()[told.len()..], told, "ours | git-lfs's");
}

#[test]
fn leave_that_is_over_is_asked_for_anew() {
    promise!(4);
    let host = Host::start();
    // Another word each time, of which the second is the right one.
    let counting = |more: &str| {
        let authorization = format!("RemoteAuth word-'$(wc -l < {}/asked)'", host.dir.display());
        format!("echo '{{\"href\": \"{}\", \"header\": {{\"Authorization\": \"{authorization}\"}}{more}}}'", host.lfs.url())
    };
    host.authenticates(&counting("")).lfs.demand("RemoteAuth word-2");
    host.build().ok();
    assert_eq!(host.asked().len(), 2);
    // Eleven seconds are six that it can be relied on, and the server wants more.
    host.lfs.refuse("503 Busy\r\nRetry-After: 7");
    host.authenticates(&counting(", \"expires_in\": 11")).build().ok();
    assert_eq!(host.asked().len(), 2);
    host.lfs.demand("RemoteAuth another");
    let run = host.authenticates(&counting("")).build().failed(21, "SourceAuth", "fetch");
    assert!(run.words().contains("refused the credential") && host.asked().len() == 3, "{}", run.words());
}

#[test]
fn g3_g4_a_host_that_says_no_or_something_else_is_named_with_its_words() {
    promise!(4);
    let host = Host::start();
    let ends = |code: i32, reason: &str, said: &str| {
        let run = host.build().failed(code, reason, "fetch");
        assert!(run.words().contains(said), "{said:?} is not in: {}", run.words());
        run
    };
    // No such command.
    let run = ends(12, "Unsupported", "exit status 127");
    for said in ["git-lfs-authenticate: not found", "lfs.url", "source.git.lfs"] {
        assert!(run.words().contains(said), "{said:?} is not in: {}", run.words());
    }
    host.authenticates("echo 'access denied: no LFS for you' >&2; exit 1");
    ends(21, "SourceAuth", "no LFS for you");
    host.authenticates("echo welcome");
    ends(25, "SourceRefused", "not what git-lfs documents");
    host.authenticates("yes | head -c 70000");
    ends(25, "SourceRefused", "more than 65536 bytes");
    for (href, said) in [
        ("http://169.254.169.254/latest", "only this node can see"),
        ("https://me:hush-hush@127.0.0.1/x", "user name or password"),
        ("file:///etc/passwd", "file://"),
    ] {
        host.answers(&json!({"href": href}));
        ends(25, "SourceRefused", said);
    }
    host.answers(&json!({"href": host.lfs.url()}));
    let run = host.agent().args(&["--no-push"]).run().failed(25, "SourceRefused", "fetch");
    assert!(run.words().contains("plain http"), "{}", run.words());
    assert!(host.lfs.requests().is_empty(), "{:?}", host.lfs.requests());
    host.agent().args(&["--no-push", "--lfs", "keep"]).run().ok();
}
