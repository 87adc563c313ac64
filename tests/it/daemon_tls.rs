//! `DOCKER_HOST` over TCP with TLS, as the Docker client reads its variables: a daemon that is verified, and one that verifies.

use std::fs;
use std::path::Path;

use crate::harness::engine::OwnEngine;
use crate::harness::prelude::*;
use crate::harness::process::new_listener;
use crate::harness::run::Run;
use crate::harness::tls::Tls;

/// By the names of `DOCKER_CERT_PATH`.
fn certificates(files: &[(&str, &str)]) -> std::path::PathBuf {
    let dir = Engine::shared().new_dir("c");
    for (name, text) in files {
        fs::write(dir.join(name), text).unwrap();
    }
    dir
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

/// A run by TCP with these certificates.
fn by_tls(agent: Agent, host: &str, certificates: &Path, more: &[&str]) -> Run {
    let context = Context::new().file("Dockerfile", "FROM scratch\nCOPY text /\n").file("text", "by TLS");
    let agent = agent.without_socket().readable(certificates, "/certs").directory(context.path()).args(&["--no-push"]).args(more);
    agent.env("DOCKER_HOST", host).env("DOCKER_TLS_VERIFY", "1").env("DOCKER_CERT_PATH", "/certs").run()
}

#[test]
fn a_daemon_is_spoken_to_by_tls_and_by_nothing_else() {
    promise!(6, 8);
    if Engine::shared().podman {
        return;
    }
    let tls = Tls::new_in(&Engine::shared().new_dir("t"));
    let (ca, [certificate, key]) = (text(&tls.ca), &tls.client);
    let servers = certificates(&[("ca.pem", &ca), ("cert.pem", &text(&tls.certificate)), ("key.pem", &text(&tls.key))]);
    let own = OwnEngine::up(&["--tls", servers.to_str().unwrap()]);
    let run = |host: &str, files: &[(&str, &str)], more: &[&str]| {
        by_tls(Agent::build_on(own.0).beside_its_engine(), host, &certificates(files), more)
    };
    let (here, good) = ("tcp://127.0.0.1", [("ca.pem", &*ca), ("cert.pem", certificate), ("key.pem", key)]);
    for builder in builders() {
        let name = format!("by-tls-{builder}:1");
        let run = run(here, &good, &["-t", &name, "--builder", builder]).ok();
        assert_eq!(own.0.image_id(&name).as_deref(), run.document()["image"]["image_id"].as_str(), "{builder}");
    }

    let refused = |files: &[(&str, &str)], code: i32, reason: &str, word: &str| {
        let run = run(here, files, &[]).failed(code, reason, "prepare");
        assert!(run.words().contains(word), "{reason}: {}", run.words());
    };
    let other = Tls::new_in(&Engine::shared().new_dir("t"));
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n";
    refused(&[("ca.pem", &ca)], 31, "EnginePermission", "wants a client certificate");
    let [others, others_key] = &other.client;
    refused(&[("ca.pem", &ca), ("cert.pem", others), ("key.pem", others_key)], 31, "EnginePermission", "refuses the client certificate");
    refused(&[("ca.pem", &text(&other.ca)), good[1], good[2]], 31, "EnginePermission", "does not know who issued");
    refused(&[good[1], good[2]], 11, "SecretInvalid", "no ca.pem");
    refused(&[good[0], good[1]], 11, "SecretInvalid", "without its key.pem");
    refused(&[good[0], good[1], ("key.pem", encrypted)], 11, "SecretInvalid", "key.pem");
    refused(&[good[0], good[1], ("key.pem", others_key)], 11, "SecretInvalid", "used together");
    refused(&[("ca.pem", "no certificate"), good[1], good[2]], 11, "SecretInvalid", "ca.pem");
    let named = run("tcp://127.0.0.2:2376", &good, &[]).failed(31, "EnginePermission", "prepare");
    assert!(named.words().contains("another name"), "{}", named.words());
}

#[test]
fn what_speaks_no_tls_is_told_so_and_what_says_nothing_is_not_waited_for() {
    promise!(8);
    let tls = Tls::new_in(&Engine::shared().new_dir("t"));
    let certificates = certificates(&[("ca.pem", &text(&tls.ca))]);
    let plain = crate::faults::Faulty::alone();
    let run = by_tls(Agent::build(), &format!("tcp://{}", plain.host()), &certificates, &[]).failed(32, "EngineIncompatible", "prepare");
    assert!(run.words().contains("does not speak TLS"), "{}", run.words());
    let (silent, port) = new_listener();
    let run = by_tls(Agent::build(), &format!("tcp://127.0.0.1:{port}"), &certificates, &["--limit-engine-wait", "0"]).failed(
        30,
        "EngineUnavailable",
        "prepare",
    );
    assert!(run.elapsed.as_secs() < 20, "{:?}", run.elapsed);
    drop(silent);
}
