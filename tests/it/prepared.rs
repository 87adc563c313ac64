//! `podwright fetch` and `--prepared`: the source in one container, the build in another, and the same image as in one.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::archives::tarball;
use crate::directory::destination;
use crate::harness::artifact::{FLUX_LAYER, Shelf};
use crate::harness::prelude::*;
use crate::harness::run::Run;

/// `podwright fetch` in an init container: no socket, and the volume at /out/prepared.
fn fetch(arguments: &[&str]) -> Agent {
    let agent = Agent::command(&["fetch", "--progress", "json", "--workspace", "/workspace", "--output", "/out/prepared"]);
    agent.args(&["--result-file", "/out/result.json", "--termination-message", "/out/termination"]).args(arguments).without_socket()
}

/// Where this agent's volume is on this machine, kept when its pod is gone.
fn volume(agent: &Agent) -> PathBuf {
    agent.dir.join("out/prepared")
}

fn fetched(agent: Agent) -> (PathBuf, Run) {
    let volume = volume(&agent);
    (volume, agent.run().ok())
}

fn build(volume: &Path) -> Agent {
    Agent::build().readable(volume, "/prepared").args(&["--prepared", "/prepared"])
}

fn source_json(volume: &Path) -> Value {
    serde_json::from_slice(&fs::read(volume.join("source.json")).unwrap()).unwrap()
}

#[test]
fn what_is_fetched_apart_builds_to_the_same_image_and_says_the_same_of_itself() {
    promise!(1, 4, 9);
    let server = GitServer::start(&GitDemands::default());
    let repository = server.repository("web");
    repository.write("Dockerfile", "FROM scratch\nCOPY . /src/\n").write(".dockerignore", "ignored\n");
    repository.write("ignored", "by the build").write("dir/text", "kept").write("run.sh", "#!/bin/sh\n");
    std::os::unix::fs::symlink("dir/text", repository.dir.join("link")).unwrap();
    fs::set_permissions(repository.dir.join("run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    repository.commit("first");
    let context = Context::with("FROM BASE\nCOPY . /src\n").file("text", "archived");
    let archive = server.file("web.tgz", &tarball(&context, true));
    let on_disk = Context::with("FROM BASE\nCOPY . /src\n").file("text", "mounted").link("link", "text");
    let old = SystemTime::UNIX_EPOCH + Duration::new(1_500_000_000, 123_456_789);
    fs::File::open(on_disk.path().join("text")).unwrap().set_modified(old).unwrap();
    let url = server.url(&repository);
    let shelf = Shelf { registry: Registry::shared(), repository: "src/prepared", login: None };
    let artifact = shelf.artifact("1", &[shelf.layer(FLUX_LAYER, &json!({}), &tarball(&context, true))], &json!({}));
    let artifact = shelf.pinned(&artifact);
    let sources: [(&str, Vec<&str>); 4] = [
        ("git", vec!["--git", &url, "--allow", "plain-http"]),
        ("archive", vec!["--archive", &archive, "--strip-components", "1", "--allow", "plain-http"]),
        ("artifact", vec!["--artifact", &artifact, "--subdir", "web-1.0"]),
        ("directory", vec!["--directory", "/src"]),
    ];
    for (kind, source) in &sources {
        let mounted = |agent: Agent| if *kind == "directory" { agent.readable(on_disk.path(), "/src") } else { agent };
        let (volume, run) = fetched(mounted(fetch(source)));
        assert!(run.calls.is_empty() && run.document()["image"].is_null(), "{}", run.story());
        let phases: Vec<&str> = run.events_named("phase.started").iter().map(|event| event.data["phase"].as_str().unwrap()).collect();
        assert_eq!(phases, ["prepare", "fetch", "report"]);
        assert_eq!(source_json(&volume)["revision"], run.document()["source"]);
        for builder in builders() {
            let (reference, _) = destination(&format!("prepared-{kind}-{builder}"));
            let to = ["-d", &reference, "--builder", builder];
            // The daemon finds each step in its cache, by the content, unless another test has it pruned meanwhile, as Podman always does.
            let both = || (mounted(Agent::build().args(source)).args(&to).run().ok(), build(&volume).args(&to).run().ok());
            let same = (0..4).map(|_| both()).find(|(direct, apart)| Engine::shared().podman || direct.digest() == apart.digest());
            let (direct, apart) = same.unwrap_or_else(|| panic!("{kind} {builder}: never the same image"));
            // A server may pack one commit in two ways: the size is of what came.
            let said = |run: &Run| {
                let mut source = run.document()["source"].clone();
                source.as_object_mut().unwrap().remove("size");
                source
            };
            assert_eq!(said(&direct), said(&apart), "{kind}");
            assert_eq!(run.document()["source"], apart.document()["source"], "{kind}");
            let anew = build(&volume).args(&to).args(&["--no-cache"]).run().ok();
            let registry = Registry::shared();
            let (one, other) = (Image::in_registry(registry, direct.digest()), Image::in_registry(registry, anew.digest()));
            assert_same(&one.below("src"), &other.below("src"), &format!("{kind} {builder}"));
            // BuildKit makes directories anew, with a time of its own.
            let times = |image: &Image| -> Vec<_> {
                let files = image.below("src").into_iter().filter(|(_, node)| node.kind != "dir");
                files.map(|(path, node)| (path, node.mtime)).collect()
            };
            assert_eq!(times(&one), times(&other), "{kind} {builder}");
            assert!(!other.holds("src/ignored", b"by the build"));
        }
    }
}

fn labels(run: &Run) -> Value {
    let registry = Registry::shared();
    let config = registry.manifest(run.digest())["config"]["digest"].as_str().unwrap().to_owned();
    registry.json(&config)["config"]["Labels"].clone()
}

#[test]
fn one_request_serves_both_containers() {
    let context = Context::with("FROM BASE\nCOPY . /src\n").file("text", "both");
    let (reference, _) = destination("prepared-request");
    let request = json!({"source": {"directory": "/src"}, "build": {"labels": {"a": "b"}}, "push": {"destinations": [reference]}});
    let agent = fetch(&[]).env("PODWRIGHT_REQUEST", &request.to_string()).readable(context.path(), "/src");
    let (volume, _) = fetched(agent);
    let run = build(&volume).env("PODWRIGHT_REQUEST", &request.to_string()).run().ok();
    assert_eq!(labels(&run)["a"], "b");
    assert_eq!(run.document()["source"]["kind"], "directory");
}

#[test]
fn a_directory_that_no_fetch_finished_is_refused_before_the_daemon_sees_a_byte() {
    promise!(4);
    let context = Context::with("FROM BASE\nCOPY . /src\n").file("text", "whole");
    let (volume, _) = fetched(fetch(&["--directory", "/src"]).readable(context.path(), "/src"));
    let refused = |code: i32, reason: &str, word: &str| {
        let run = build(&volume).args(&["--no-push"]).run().failed(code, reason, "fetch");
        assert!(run.words().contains(word), "{word}: {}", run.words());
        assert_eq!(run.count("POST", "/build"), 0, "{}", run.story());
    };
    let tar = fs::read(volume.join("context.tar")).unwrap();
    let mut changed = tar.clone();
    let at = changed.windows(5).position(|window| window == b"whole").unwrap();
    changed[at] ^= 1;
    fs::write(volume.join("context.tar"), changed).unwrap();
    refused(24, "SourceIntegrity", "not the file");
    fs::write(volume.join("context.tar"), &tar[..tar.len() - 512]).unwrap();
    refused(24, "SourceIntegrity", "torn");
    fs::write(volume.join("source.json"), "{}").unwrap();
    refused(25, "SourceRefused", "source.json");
    fs::remove_file(volume.join("source.json")).unwrap();
    refused(20, "SourceNotFound", "source.json");
}

#[test]
fn a_fetch_that_fails_or_is_stopped_leaves_nothing_that_looks_like_a_source() {
    promise!(5, 10);
    let server = GitServer::start(&GitDemands::default());
    let repository = server.repository("web");
    repository.write("Dockerfile", "FROM scratch\n");
    repository.commit("first");
    let url = server.url(&repository);
    let agent = fetch(&["--git", &url, "--ref", "no-such", "--allow", "plain-http"]);
    let empty = volume(&agent);
    agent.run().failed(22, "RevisionNotFound", "fetch");
    assert_eq!(fs::read_dir(&empty).unwrap().count(), 0);

    // Stopped in the middle of writing: nobody reads the rest of a pipe.
    let big = Context::with("FROM scratch\n");
    fs::File::create(big.path().join("zeros")).unwrap().set_len(3 << 30).unwrap();
    let agent = fetch(&["--directory", "/src"]).readable(big.path(), "/src");
    let empty = volume(&agent);
    let mut running = agent.start();
    running.event(|event| event.name == "source.resolved");
    let at = running.signal(Signal::TERM);
    running.finish().failed(143, "Cancelled", "fetch").ended_within(Duration::from_secs(5), at);
    assert_eq!(fs::read_dir(&empty).unwrap().count(), 0);

    let run = fetch(&["--directory", "/src", "--limit-source-bytes", "1m"]).readable(big.path(), "/src").run();
    let run = run.failed(25, "SourceRefused", "fetch");
    assert!(run.words().contains("limits.sourceBytes"), "{}", run.words());
    let nowhere = Agent::command(&["fetch", "--progress", "json", "--output", "/no/such/place", "--directory", "/src"]);
    let run = nowhere.readable(big.path(), "/src").without_socket().run().failed(10, "RequestInvalid", "prepare");
    assert!(run.words().contains("/no/such/place"), "{}", run.words());
}

#[test]
fn neither_half_holds_the_source_in_memory() {
    promise!(8);
    let context = Context::with("FROM BASE\nCOPY text /\n").file("text", "small");
    fs::File::create(context.path().join("big")).unwrap().set_len(256 << 20).unwrap();
    let (volume, run) = fetched(fetch(&["--directory", "/src"]).readable(context.path(), "/src"));
    assert!(run.rss_kib > 0 && run.rss_kib <= 48 << 10, "fetch: {} KiB", run.rss_kib);
    let run = build(&volume).args(&["--no-push"]).run().ok();
    assert!(run.rss_kib > 0 && run.rss_kib <= 48 << 10, "build: {} KiB", run.rss_kib);
    fs::remove_file(volume.join("context.tar")).unwrap();
}

#[test]
fn another_user_may_read_it_and_a_second_fetch_replaces_it_whole() {
    let context = Context::with("FROM scratch\n").file("text", "one");
    let agent = fetch(&["--directory", "/src"]).readable(context.path(), "/src");
    let (volume, _) = fetched(agent);
    for name in ["context.tar", "source.json"] {
        assert_eq!(fs::metadata(volume.join(name)).unwrap().permissions().mode() & 0o777, 0o644, "{name}");
    }
    assert_eq!(source_json(&volume)["schema"], "podwright/source/v1");
    assert_eq!(source_json(&volume)["context"]["size"], fs::metadata(volume.join("context.tar")).unwrap().len());
    let names: Vec<_> = fs::read_dir(&volume).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "{names:?}");
}
