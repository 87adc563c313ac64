//! Registries that refuse, break off, are out of this pod's sight, or are moved by somebody else; and bases kept behind a login.

use std::time::Duration;

use crate::directory::destination;
use crate::failures::docker_config;
use crate::faults::Faulty;
use crate::harness::prelude::*;
use crate::harness::rule::Act;

/// A password that every encoding writes differently: `~`, `?` and `>` are where base64 and base64url part.
const SYMBOLS: &str = "a~~~b?c>d\"é";

fn context(text: &str) -> Context {
    Context::with("FROM BASE\nCOPY text /\nRUN cat /text > /copy\n").file("text", text)
}

#[test]
fn a_refused_layer_is_denied_or_auth_and_not_tried_again() {
    promise!(5, 8);
    for (status, body, code, reason) in [
        (403, r#"{"errors": [{"code": "DENIED", "message": "quota"}]}"#, 52, "PushDenied"),
        (403, "", 52, "PushDenied"),
        // The code is lost on the way through Docker 28; the words are the specification's own.
        (401, r#"{"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]}"#, 51, "PushAuth"),
    ] {
        let registry = Registry::start(&Demands::default());
        let faulty = Faulty::before(registry.port());
        faulty.relay.answer_with(usize::MAX, "POST", "/v2/team/web/blobs/uploads/*", status, &[("content-type", "application/json")], body);
        let context = context(&format!("refused {status} {}", body.len()));
        let reference = format!("{}/team/web:1", faulty.host());
        let run = Agent::build().directory(context.path()).args(&["-d", &reference]).run();
        let run = run.failed(code, reason, "push");
        assert_eq!(run.count("POST", "/images/*/push"), 1, "{}", run.story());
        assert_eq!(registry.tags("team/web"), [""; 0]);
    }
}

#[test]
fn a_push_that_is_cut_off_in_the_middle_gets_there_in_the_end() {
    promise!(1, 2);
    for (method, path, after) in [
        (Engine::shared().upload(), "/v2/team/web/blobs/uploads/*", 100),
        ("PUT", "/v2/team/web/manifests/*", 100),
        ("POST", "/v2/team/web/blobs/uploads/*", 0),
    ] {
        let registry = Registry::start(&Demands::default());
        let faulty = Faulty::before(registry.port());
        let text = format!("cut at {method}");
        if after > 0 {
            faulty.cut_request(method, path, after);
        } else {
            faulty.cut_answer(method, path, 20);
        }
        let reference = format!("{}/team/web:1", faulty.host());
        let run = Agent::build().directory(context(&text).path()).args(&["-d", &reference]).run().ok();
        assert!(faulty.relay.count(method, path) > 1, "nothing was cut");
        assert_eq!(registry.tag("team/web", "1").as_deref(), Some(run.digest()));
        assert!(Image::in_registry(&registry, run.digest()).holds("copy", text.as_bytes()));
    }
}

#[test]
fn what_this_pod_cannot_read_back_the_nodes_daemon_does() {
    promise!(1);
    // The daemon is told of this authority; the pod is not.
    let registry = Registry::start(&Demands { login: None, tls: true });
    let push = |tag: &str, more: &[&str]| {
        let reference = format!("{}/team/web:{tag}", registry.host());
        Agent::build().directory(context("by the daemon").path()).args(&["-d", &reference]).args(more).run()
    };
    for (tag, more) in [("auto", &[][..]), ("engine", &["--verify", "engine"])] {
        if Engine::shared().podman {
            // It has no call for that, which can be known before the push only of a run that wants no other way.
            let (phase, words) = if more.is_empty() { ("push", "no call that reads a tag back") } else { ("prepare", "verify: pod") };
            let run = push(tag, more).failed(12, "Unsupported", phase);
            assert!(run.words().contains(words), "{}", run.words());
            continue;
        }
        let run = push(tag, more).ok();
        assert_eq!(registry.tag("team/web", tag).as_deref(), Some(run.digest()));
        let said = &run.document()["image"]["tags"][0];
        assert!(said["status"] == "pushed" && said["verified_by"] == "engine", "{said}");
    }
    let run = push("pod", &["--verify", "pod", "--push-retries", "0"]);
    let run = run.failed(53, "PushUnavailable", "push");
    assert!(run.words().contains("ca.crt"), "{}", run.words());
}

#[test]
fn without_reading_back_the_result_says_unverified() {
    promise!(1);
    let (reference, repository) = destination("unverified");
    let run = Agent::build().directory(context("unverified").path()).args(&["-d", &reference, "--verify", "off"]).run().ok();
    let said = &run.document()["image"]["tags"][0];
    assert!(said["status"] == "unverified" && said["verified_by"].is_null(), "{said}");
    assert_eq!(Registry::shared().tag(&repository, "1").as_deref(), Some(run.digest()));
}

#[test]
fn a_tag_that_somebody_moved_before_it_was_read_back_is_set_again() {
    promise!(1, 3);
    let engine = Engine::shared();
    let registry = Registry::start(&Demands::default());
    let faulty = Faulty::before(registry.port());
    let reference = format!("{}/team/web:1", faulty.host());
    let gate = faulty.relay.hold("GET", "/v2/team/web/manifests/1");
    let running = Agent::build().directory(context("moved").path()).args(&["-d", &reference]).start();
    gate.arrived();
    let direct = format!("{}/team/web:1", registry.host());
    engine.docker_ok(&["tag", base(), &direct]);
    engine.docker_ok(&["push", &direct]);
    engine.docker_ok(&["rmi", &direct]);
    let moved = registry.tag("team/web", "1").unwrap();
    gate.open();
    let run = running.finish().ok();
    let retries = run.events_named("push.retry");
    assert!(retries.len() == 1 && retries[0].data["reason"].as_str().unwrap().starts_with("DigestMismatch"), "{}", run.story());
    assert_ne!(run.digest(), moved);
    assert_eq!(registry.tag("team/web", "1").as_deref(), Some(run.digest()));
}

#[test]
fn a_stalled_registry_ends_with_the_deadline() {
    promise!(8);
    let registry = Registry::start(&Demands::default());
    let faulty = Faulty::before(registry.port());
    faulty.relay.rule(usize::MAX, "PUT", "/v2/team/web/manifests/*", Act::Stall { after: 0 });
    let reference = format!("{}/team/web:1", faulty.host());
    let context = context("stalled");
    // In the cache, so that the deadline is sure to find the run in its push.
    Agent::build().directory(context.path()).args(&["--no-push"]).run().ok();
    let run = Agent::build().directory(context.path()).args(&["-d", &reference, "--deadline", "10s"]).run();
    let deadline = Duration::from_secs(10);
    let run = run.failed(70, "DeadlineExceeded", "push").ended_within(Duration::from_secs(5), deadline);
    assert!(run.elapsed >= deadline, "{:?}", run.elapsed);
}

#[test]
fn a_private_base_image_is_pulled_with_its_own_credentials_and_denied_without() {
    promise!(6);
    let other = Canary::new("wrong password");
    let registry = Registry::start(&Demands { login: Some(("ada", SYMBOLS)), tls: false });
    let right = docker_config(&registry.host(), "ada", SYMBOLS);
    let wrong = docker_config(&registry.host(), "ada", &other.value);
    for builder in builders() {
        let private = format!("{}/private/base:{builder}", registry.host());
        let with = |agent: Agent, config: &str| agent.secret_dir("--registry-secret", "/secrets/registry", &[("config.json", config)]);
        let first = context(&format!("private {builder}"));
        with(Agent::build().directory(first.path()).args(&["-d", &private]), &right).run().ok();

        let context = Context::new().file("Dockerfile", format!("FROM {private}\nRUN cat /text > /again\n"));
        let build = || Agent::build().directory(context.path()).args(&["--no-push", "--pull", "--builder", builder]);
        build().run().failed(43, "BaseImageDenied", "build");
        with(build(), &wrong).run().failed(43, "BaseImageDenied", "build");
        let run = with(build(), &right).run().ok();
        assert_eq!(run.document()["engine"]["builder"], builder);
    }
}
