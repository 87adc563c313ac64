//! The table of exit codes, row by row: those that need a surrounding of their own to happen. `tests/ledger` sees to it that
//! every row that is built was really seen.

use std::fs;

use crate::faults::Faulty;
use crate::harness::prelude::*;
use crate::harness::process::new_port;

/// Needs no base image, so that it builds on any engine.
pub fn standalone(more: &str) -> Context {
    let busybox = fs::read("/bin/busybox").unwrap();
    Context::new()
        .file("Dockerfile", format!("FROM scratch\nCOPY busybox /busybox\n{more}"))
        .file("busybox", busybox)
        .mode("busybox", 0o755)
}

#[test]
fn a_flag_that_nobody_knows_is_usage() {
    let run = Agent::build().args(&["--no-such-flag"]).run();
    assert_eq!(run.code, 2, "{}", run.story());
    assert!(run.stderr.contains("--no-such-flag"), "{}", run.stderr);
    assert!(run.calls.is_empty());
}

#[test]
fn a_damaged_secret_is_named_and_never_shown() {
    promise!(6);
    let canary = Canary::token("password");
    let damaged = format!("{{\"auths\": {{\"127.0.0.1:5000\": {{\"auth\": \"{}\"", canary.value);
    let agent = Agent::build().directory(standalone("").path()).args(&["-d", "127.0.0.1:5000/a/b:1"]).canary(&canary);
    let run = agent.secret_dir("--registry-secret", "/secrets/registry", &[("config.json", &damaged)]).run();
    let run = run.ended(11, "SecretInvalid");
    assert!(run.words().contains("/secrets/registry"), "{}", run.words());
    assert_eq!(run.count("POST", "/build"), 0, "a build was begun that could not be pushed");
}

#[test]
fn an_engine_without_buildkit_is_asked_for_none() {
    let agent = Agent::build().directory(standalone("").path()).args(&["--no-push", "--builder", "buildkit"]);
    let podman = r#"{"Version": "4.3.1", "ApiVersion": "1.41", "MinAPIVersion": "1.24", "Os": "linux", "Arch": "amd64",
        "Components": [{"Name": "Podman Engine", "Version": "4.3.1"}]}"#;
    agent.relay.answer_with(1, "GET", "/version", 200, &[("content-type", "application/json")], podman);
    agent.run().failed(12, "Unsupported", "prepare");
}

#[test]
fn an_engine_that_is_too_old_is_incompatible() {
    let agent = Agent::build().directory(standalone("").path()).args(&["--no-push"]);
    for method in ["GET", "HEAD"] {
        agent.relay.answer_with(usize::MAX, method, "/_ping", 200, &[("api-version", "1.24"), ("ostype", "linux")], "OK");
    }
    let run = agent.run().failed(32, "EngineIncompatible", "prepare");
    assert!(run.words().contains("1.24"), "{}", run.words());
}

#[test]
fn a_daemon_killed_in_mid_build_is_lost() {
    promise!(5, 8);
    for builder in builders() {
        let own = OwnEngine::up(&[]);
        let context = standalone("RUN [\"/busybox\", \"sh\", \"-c\", \"echo begun; exec /busybox sleep 1000\"]\n");
        let mut running = Agent::build_on(own.0)
            .directory(context.path())
            .args(&["--no-push", "--builder", builder, "--limit-engine-wait", "1s"])
            .start();
        running.event(|event| event.name == "build.log" && event.data["text"].as_str().is_some_and(|text| text.contains("begun")));
        own.kill();
        running.finish().failed(33, "EngineLost", "build");
    }
}

#[test]
fn a_full_disk_of_the_node_is_the_nodes() {
    promise!(5);
    for builder in builders() {
        let own = OwnEngine::up(&["--data-size", "24m"]);
        let context = standalone("COPY big /\n").file("big", vec![7; 30 << 20]);
        let run = Agent::build_on(own.0).directory(context.path()).args(&["--no-push", "--builder", builder]).run();
        if own.0.podman {
            // It fails without a word.
            let run = run.failed(33, "EngineLost", "build");
            assert!(run.words().contains("a full disk looks like this"), "{}", run.words());
        } else {
            run.failed(34, "EngineDiskFull", "build");
        }
    }
}

#[test]
fn room_is_made_on_a_full_disk_where_the_operator_allows_it() {
    promise!(7);
    let own = OwnEngine::up(&[]);
    let build = |byte: u8, full: usize, more: &[&str]| {
        let context = standalone("COPY big /\n").file("big", vec![byte; 8 << 20]);
        let agent = Agent::build_on(own.0).directory(context.path()).args(&["--no-push", "--builder", builder()]).args(more);
        // A disk that is really full may be so for the daemon's own notes, too, and then no prune helps.
        let told = "{\"errorDetail\":{\"message\":\"write /x: no space left on device\"},\"error\":\"x\"}\n";
        agent.relay.answer(full, "POST", "/build", 200, told);
        agent.run()
    };
    build(1, 0, &[]).ok();
    let run = build(2, 1, &[]).failed(34, "EngineDiskFull", "build");
    assert!(run.words().contains("--allow prune"), "{}", run.words());
    let run = build(3, 1, &["--allow", "prune"]);
    if own.0.podman {
        // It keeps nothing that could be taken away.
        run.failed(34, "EngineDiskFull", "build");
        return;
    }
    let run = run.ok();
    assert_eq!((run.count("POST", "/build"), run.count("POST", "/build/prune")), (2, 1), "{}", run.story());
    assert!(run.events_named("notice")[0].data["message"].as_str().unwrap().contains("were freed"), "{}", run.story());
    // Where that is not enough, it is tried once.
    let run = build(4, usize::MAX, &["--allow", "prune"]).failed(34, "EngineDiskFull", "build");
    assert_eq!((run.count("POST", "/build"), run.count("POST", "/build/prune")), (2, 1), "{}", run.story());
}

#[test]
fn a_target_that_is_not_there_is_rejected() {
    for builder in builders() {
        let agent = Agent::build().directory(standalone("").path()).args(&["--no-push", "--builder", builder, "--target", "nowhere"]);
        agent.run().failed(40, "BuildRejected", "build");
    }
}

#[test]
fn a_base_image_that_is_not_there_is_denied_and_one_out_of_reach_unavailable() {
    for builder in builders() {
        let build = |base: String| {
            let context = Context::new().file("Dockerfile", format!("FROM {base}\nCOPY Dockerfile /\n"));
            Agent::build().directory(context.path()).args(&["--no-push", "--builder", builder]).run()
        };
        build(format!("{}/no/such:1", Registry::shared().host())).failed(43, "BaseImageDenied", "build");
        build(format!("127.0.0.1:{}/base/busybox:1", new_port())).failed(44, "BaseImageUnavailable", "build");
    }
}

/// A push of a small image to a registry whose answer to the manifest is this, with the words that the distribution
/// specification has for the code (newer daemons pass on nothing but the words); how often it was asked, too.
fn push_answered(status: u16, code: &str, message: &str) -> (crate::harness::run::Run, usize) {
    let registry = Registry::start(&Demands::default());
    let faulty = Faulty::before(registry.port());
    let body = format!(r#"{{"errors": [{{"code": "{code}", "message": "{message}"}}]}}"#);
    faulty.relay.answer_with(usize::MAX, "PUT", "/v2/team/web/manifests/*", status, &[("content-type", "application/json")], &body);
    let reference = format!("{}/team/web:1", faulty.host());
    let run = Agent::build().directory(standalone("").path()).args(&["-d", &reference]).run();
    assert_eq!(registry.tags("team/web"), [""; 0]);
    (run, faulty.relay.count("PUT", "/v2/team/web/manifests/*"))
}

#[test]
fn a_push_that_the_registry_refuses_is_not_tried_again() {
    promise!(1, 5);
    let (run, attempts) = push_answered(403, "DENIED", "requested access to the resource is denied");
    run.failed(52, "PushDenied", "push");
    assert_eq!(attempts, 1);
    let (run, attempts) = push_answered(400, "MANIFEST_INVALID", "manifest invalid");
    let run = run.failed(50, "PushRejected", "push");
    assert_eq!(attempts, Engine::shared().push_attempts());
    assert!(run.document()["image"]["tags"][0]["status"] == "failed", "{}", run.document());
}

#[test]
fn a_tag_that_is_another_image_is_a_mismatch() {
    promise!(1);
    let registry = Registry::start(&Demands::default());
    let faulty = Faulty::before(registry.port());
    let shared = Registry::shared();
    let other = {
        let repository = base().trim_start_matches(&shared.host()).trim_start_matches('/').trim_end_matches(":1").to_owned();
        shared.tag(&repository, "1").unwrap()
    };
    let manifest = String::from_utf8(shared.blob(&other)).unwrap();
    let kind = shared.json(&other)["mediaType"].as_str().unwrap_or("application/vnd.docker.distribution.manifest.v2+json").to_owned();
    let length = manifest.len().to_string();
    let headers = [("content-type", kind.as_str()), ("docker-content-digest", other.as_str()), ("content-length", length.as_str())];
    for method in ["GET", "HEAD"] {
        faulty.relay.answer_with(usize::MAX, method, "/v2/team/web/manifests/1", 200, &headers, &manifest);
    }
    let reference = format!("{}/team/web:1", faulty.host());
    let run = Agent::build().directory(standalone("").path()).args(&["-d", &reference, "--push-retries", "0"]).run();
    run.failed(54, "DigestMismatch", "push");
}

#[test]
fn a_result_that_cannot_be_written_fails_a_run_whose_image_is_there() {
    promise!(1, 5);
    let (reference, repository) = crate::directory::destination("unreported");
    let agent = Agent::command(&["build", "--progress", "json", "--workspace", "/workspace", "--result-file", "/src/result.json"]);
    let run = agent.directory(standalone("").path()).args(&["-d", &reference]).run().failed(60, "ReportFailed", "report");
    assert_eq!(Registry::shared().tag(&repository, "1").as_deref(), Some(run.digest()));
    assert!(run.words().contains("/src/result.json"), "{}", run.words());
}
