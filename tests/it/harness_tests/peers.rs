//! The peers are real: a push arrives, a clone is a clone, an image holds what was built into it.

use std::fs;
use std::net::TcpStream;
use std::process::Command;

use crate::harness::http;
use crate::harness::prelude::*;

const USER: &str = "ada";

#[test]
fn a_registry_takes_a_push_and_is_read_from_its_storage() {
    let canary = Canary::token("password");
    for (login, tls) in [(None, false), (Some((USER, canary.value.as_str())), false), (Some((USER, canary.value.as_str())), true)] {
        let registry = Registry::start(&Demands { login, tls });
        let engine = Engine::shared();
        let reference = format!("{}/team/web:1", registry.host());
        engine.docker_ok(&["tag", base(), &reference]);
        if login.is_some() {
            let refused = engine.docker(&["push", &reference]).output().unwrap();
            assert!(!refused.status.success(), "a push without a login was taken");
            engine.login(&registry.host(), USER, &canary.value);
        }
        engine.docker_ok(&["push", &reference]);
        engine.docker_ok(&["rmi", "--no-prune", &reference]);
        let digest = registry.tag("team/web", "1").expect("the tag is not there");
        assert_eq!(registry.tags("team/web"), ["1"]);
        let image = Image::in_registry(&registry, &digest);
        assert!(image.holds("bin/busybox", &fs::read("/bin/busybox").unwrap()));
        assert_eq!(image.flattened()[&b"bin/sh"[..]].kind, "link");
        assert_eq!(registry.tag("team/web", "2"), None);
    }
}

#[test]
fn the_oracle_sees_what_each_builder_of_docker_built() {
    let engine = Engine::shared();
    let dockerfile = "FROM BASE\nCOPY . /src\nRUN rm /src/gone && echo -n new > /src/made\n";
    let context = Context::with(dockerfile)
        .file("kept", "kept")
        .file("gone", "gone")
        .file("deep/er/run.sh", "#!/bin/sh\n")
        .mode("deep/er/run.sh", 0o755)
        .link("link", "deep/er");
    let container = UnderWay::enter();
    for builder in builders() {
        let tag = format!("oracle-{builder}:1");
        engine.reference_build(context.path(), &tag, builder, &[]);
        let image = Image::on_engine(engine, &tag);
        engine.docker_ok(&["rmi", &tag]);
        let mut expected = on_disk(context.path());
        expected.remove(&b"gone"[..]).unwrap();
        let mut found = image.below("src");
        let made = found.remove(&b"made"[..]).unwrap();
        assert_same(&found, &expected, builder);
        assert_eq!((made.kind.as_str(), made.mode), ("file", 0o644));
        assert!(image.holds("src/made", b"new") && !image.holds("src/kept", b"other"));
        assert!(image.holds("bin/busybox", &fs::read("/bin/busybox").unwrap()), "the base's layer is missing");
    }
    drop(container);
}

#[test]
fn the_oracle_tells_two_trees_apart() {
    let one = Context::new().file("a", "1").file("b", "1");
    let others = [
        Context::new().file("a", "2").file("b", "1"),
        Context::new().file("a", "1"),
        Context::new().file("a", "1").file("b", "1").file("c", ""),
        Context::new().file("a", "1").file("b", "1").mode("b", 0o755),
        Context::new().file("a", "1").link("b", "a"),
    ];
    for other in &others {
        let caught = std::panic::catch_unwind(|| assert_same(&on_disk(one.path()), &on_disk(other.path()), "trees"));
        assert!(caught.is_err(), "{} passed for {}", other.path().display(), one.path().display());
    }
    assert_same(&on_disk(one.path()), &on_disk(one.path()), "itself");
}

fn clone(url: &str, more: &[&str]) -> std::process::Output {
    let target = Engine::shared().new_dir("k");
    let mut command = Command::new("git");
    command.args(more).args(["clone", "-q", url]).arg(target.join("clone")).env_clear();
    command.env("PATH", "/usr/bin:/bin").env("GIT_TERMINAL_PROMPT", "0").env("GIT_CONFIG_GLOBAL", "/dev/null");
    let output = command.output().unwrap();
    if output.status.success() {
        assert_eq!(fs::read_to_string(target.join("clone/hello")).unwrap(), "hello");
    }
    output
}

#[test]
fn a_git_server_serves_a_real_clone() {
    let plain = GitServer::start(&GitDemands::default());
    let repository = plain.repository("web");
    repository.write("hello", "hello");
    let commit = repository.commit("first");
    assert_eq!(commit.len(), 40);
    assert!(clone(&plain.url(&repository), &[]).status.success());
    let url = plain.file("page.txt", b"a page");
    let path = url.rsplit_once(&plain.port().to_string()).unwrap().1;
    let answer = http::ask(TcpStream::connect(("127.0.0.1", plain.port())).unwrap(), "GET", path, &[]).unwrap();
    assert_eq!((answer.head.status(), answer.body.as_slice()), (200, &b"a page"[..]));
    let requests = plain.requests();
    assert!(requests.iter().any(|line| line.starts_with("POST /git/web/.git/git-upload-pack 200")), "{requests:?}");
    assert!(requests.iter().any(|line| line.starts_with("GET /files/page.txt 200")), "{requests:?}");
}

#[test]
fn a_git_server_asks_for_a_login_and_speaks_tls() {
    let canary = Canary::token("password");
    let server = GitServer::start(&GitDemands { login: Some((USER, &canary.value)), tls: true, ..GitDemands::default() });
    let repository = server.repository("web");
    repository.write("hello", "hello");
    repository.commit("first");
    let url = server.url(&repository);
    let with_login = url.replace("https://", &format!("https://{USER}:{}@", canary.value));
    let trust = format!("http.sslCAInfo={}", server.tls.as_ref().unwrap().ca.display());
    assert!(!clone(&with_login, &[]).status.success(), "an unknown authority was trusted");
    assert!(!clone(&url, &["-c", &trust]).status.success(), "no login was needed");
    let output = clone(&with_login, &["-c", &trust]);
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn an_engine_of_ones_own_can_be_killed_and_filled() {
    let own = OwnEngine::up(&["--data-size", "24m"]);
    assert_eq!(own.0.version, Engine::shared().version);
    let context = Context::new().file("Dockerfile", "FROM scratch\nCOPY big /\n").file("big", vec![7; 30 << 20]);
    let inside = own.0.new_dir("c");
    succeeded(Command::new("cp").arg("-a").arg(context.path().join(".")).arg(&inside));
    let output = own.0.docker(&["build", "-q", inside.to_str().unwrap()]).env("DOCKER_BUILDKIT", "0").output().unwrap();
    // Podman's service says no more than that it failed.
    let word = if own.0.podman { "Internal Server Error" } else { "no space left on device" };
    assert!(String::from_utf8_lossy(&output.stderr).contains(word), "{output:?}");
    own.kill();
    eventually("the engine outlived its kill", || std::os::unix::net::UnixStream::connect(own.0.socket()).is_err());
}
