//! The edges of what a daemon says and is told: words that are encoded, lists that are long, and what it keeps between runs.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use crate::directory::destination;
use crate::harness::closed_list::{OWN, named_by};
use crate::harness::prelude::*;

#[test]
fn names_with_spaces_and_letters_that_are_not_ascii_are_found_and_ignored() {
    promise!(1);
    for builder in builders() {
        let (reference, _) = destination(&format!("spaces-{builder}"));
        let context = Context::with("FROM BASE\nCOPY [\"Größe 1.txt\", \"a+b ü.txt\", \"/\"]\nCOPY . /src\n")
            .file(".dockerignore", "Übung 1/\nnicht+das ü\n")
            .file("Größe 1.txt", "1")
            .file("a+b ü.txt", "2")
            .file("nicht+das ü", "ignored")
            .file("nicht das ü", "kept")
            .file("Übung 1/geheim", "ignored")
            .file("Übung+1/offen", "kept");
        let run = Agent::build().directory(context.path()).args(&["-d", &reference, "--builder", builder]).run().ok();
        let image = Image::in_registry(Registry::shared(), run.digest());
        assert!(image.holds("Größe 1.txt", b"1") && image.holds("a+b ü.txt", b"2"), "{builder}");
        let names: Vec<String> = image.below("src").keys().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        assert!(!names.iter().any(|name| name.starts_with("Übung 1") || name == "nicht+das ü"), "{builder}: {names:?}");
        for kept in ["nicht das ü", "Übung+1/offen"] {
            assert!(names.iter().any(|name| name == kept), "{builder}: {names:?}");
        }
    }
}

#[test]
fn an_ignore_file_of_a_thousand_lines_is_obeyed() {
    promise!(1);
    let rules = (0..1_000).fold(String::new(), |mut rules, number| {
        let _ = writeln!(rules, "generated/module-{number:04}/**/*.class");
        rules
    });
    for builder in builders() {
        let (reference, _) = destination(&format!("many-rules-{builder}"));
        let context = Context::with("FROM BASE\nCOPY . /src\n")
            .file(".dockerignore", &rules)
            .file("generated/module-0999/deep/a.class", "ignored")
            .file("generated/module-0999/deep/a.java", "kept");
        let run = Agent::build().directory(context.path()).args(&["-d", &reference, "--builder", builder]).run().ok();
        let files = Image::in_registry(Registry::shared(), run.digest()).below("src");
        let below: Vec<_> = files.keys().filter(|name| name.ends_with(b"class") || name.ends_with(b"java")).collect();
        assert_eq!(below, [b"generated/module-0999/deep/a.java"], "{builder}");
    }
}

/// Images without a name that carry this label: what a prune would take.
fn dangling(label: &str) -> usize {
    let filter = format!("filters=%7B%22dangling%22%3A%5B%22true%22%5D%2C%22label%22%3A%5B%22{label}%22%5D%7D");
    Engine::shared().get(&format!("/images/json?{filter}")).as_array().map_or(0, Vec::len)
}

#[test]
fn the_same_source_gets_the_same_digest_each_time_and_leaves_no_more_each_time() {
    promise!(3, 9);
    // A last step that makes a layer, one that makes none, and no step at all.
    let dockerfiles = ["FROM BASE\nRUN date +%N > /when\n", "FROM BASE\nCOPY text /\nENV A=b\n", "FROM BASE\n"];
    for builder in builders() {
        for (number, dockerfile) in dockerfiles.iter().enumerate() {
            let label = format!("again-{builder}-{number}");
            let (reference, _) = destination(&label);
            let context = Context::with(dockerfile).file("text", format!("again {builder}"));
            let agent = || Agent::build().directory(context.path()).args(&["-d", &reference, "--builder", builder]);
            let run = || agent().args(&["--label", &format!("{label}=1")]).run().ok().digest().to_owned();
            let first = run();
            let left = dangling(&label);
            let again: Vec<String> = (0..3).map(|_| run()).collect();
            // Podman takes the cache away with the last name of an image, and dates the next one anew.
            let same = Engine::shared().podman || again.iter().all(|digest| *digest == first);
            assert!(same, "{label}: {first}, then {again:?}");
            assert_eq!(dangling(&label), left, "{label}: images without a name after four runs and after one");
        }
    }
}

#[test]
fn a_slow_daemon_is_waited_for_when_a_run_that_succeeded_tidies_up() {
    promise!(9);
    let context = Context::with("FROM BASE\nRUN true\n");
    let agent = Agent::build().directory(context.path()).args(&["--no-push"]);
    let slow = agent.relay.hold("DELETE", "/images/*");
    let running = agent.start();
    slow.arrived();
    std::thread::sleep(Duration::from_secs(4));
    slow.open();
    let run = running.finish().ok();
    assert!(run.events_named("notice").is_empty(), "{}", run.story());
}

#[test]
fn a_name_that_could_not_be_taken_away_is_told() {
    promise!(5);
    let context = Context::with("FROM BASE\nRUN true\n");
    let agent = Agent::build().directory(context.path()).args(&["--no-push"]);
    agent.relay.answer(usize::MAX, "DELETE", "/images/*", 500, "{\"message\":\"the store is busy\"}");
    let mut running = agent.start();
    let notice = running.event(|event| event.name == "notice");
    assert!(notice.data["message"].as_str().unwrap().contains("the store is busy"), "{}", notice.data);
    assert!(notice.data["hint"].as_str().unwrap().contains(&format!("{OWN} and hold this run's id")), "{}", notice.data);
    assert_eq!(running.event(|event| event.name == "run.finished").data["outcome"], "success");
    let run = running.kill_and_wait();
    let names: BTreeSet<String> = named_by(&run.calls).into_iter().filter(|name| name.starts_with(OWN)).collect();
    for name in &names {
        Engine::shared().docker_ok(&["rmi", "--no-prune", name]);
    }
}

/// As Docker 26.1 says it for ever after a build was broken off at the wrong moment, which no test can find on demand.
const DAMAGE: &str =
    "failed to commit a to b during finalize: failed to stat active key during commit: snapshot a does not exist: not found";

#[test]
fn a_damaged_build_cache_is_not_the_end() {
    promise!(3);
    let context = Context::with("FROM BASE\nRUN true\n");
    let answer = format!("{{\"errorDetail\":{{\"message\":{DAMAGE:?}}},\"error\":{DAMAGE:?}}}\n");
    let agent = |times| {
        let agent = Agent::build().directory(context.path()).args(&["--no-push", "--builder", builder()]);
        agent.relay.answer(times, "POST", "/build", 200, &answer);
        agent
    };
    let run = agent(1).run().ok();
    assert_eq!(run.count("POST", "/build"), 2, "{}", run.story());
    assert!(run.events_named("notice")[0].data["message"].as_str().unwrap().contains("without the cache"), "{}", run.story());
    let run = agent(usize::MAX).run().failed(33, "EngineLost", "build");
    assert_eq!(run.count("POST", "/build"), 2, "{}", run.story());
    assert!(run.words().contains("docker builder prune"), "{}", run.words());
}

/// As BuildKit says it where a time of its own is up, which takes a node that many build on at once (tests/it/crowd.rs).
const BUSY: &str = "{\"errorDetail\":{\"message\":\"context deadline exceeded\"},\"error\":\"context deadline exceeded\"}\n";

#[test]
fn a_daemon_that_ran_out_of_its_own_time_is_asked_once_more() {
    promise!(3);
    let context = Context::with("FROM BASE\nRUN true\n");
    let run = |times| {
        let agent = Agent::build().directory(context.path()).args(&["--no-push", "--builder", builder()]);
        agent.relay.answer(times, "POST", "/build", 200, BUSY);
        agent.run()
    };
    let once = run(1).ok();
    assert_eq!(once.count("POST", "/build"), 2, "{}", once.story());
    assert!(once.events_named("notice")[0].data["message"].as_str().unwrap().contains("once more"), "{}", once.story());
    let always = run(usize::MAX).failed(33, "EngineLost", "build");
    assert_eq!(always.count("POST", "/build"), 2, "{}", always.story());
    assert!(always.words().contains("fewer builds"), "{}", always.words());
}

/// What the daemon's side may answer instead of doing it, and whose fault that is.
const REFUSALS: [(&str, &str, u16, &str, i32, &str); 7] = [
    ("POST", "/build", 500, "the moon is in the wrong house", 33, "EngineLost"),
    ("POST", "/build", 400, "the moon is in the wrong house", 40, "BuildRejected"),
    ("POST", "/build", 500, "write /x: no space left on device", 34, "EngineDiskFull"),
    ("POST", "/session", 403, "Forbidden", 31, "EnginePermission"),
    ("POST", "/images/*/tag", 500, "write /x: no space left on device", 34, "EngineDiskFull"),
    ("POST", "/images/*/push", 500, "the moon is in the wrong house", 33, "EngineLost"),
    ("GET", "/images/*/json", 500, "database is locked", 33, "EngineLost"),
];

#[test]
fn what_the_daemon_refuses_with_a_status_is_told_from_what_the_user_did() {
    promise!(6, 8);
    let context = Context::with("FROM BASE\nRUN true\n");
    for (method, path, status, message, code, reason) in REFUSALS {
        if path == "/session" && builder() == "classic" {
            continue;
        }
        let (reference, _) = destination("refusals");
        let agent = Agent::build().directory(context.path()).args(&["-d", &reference, "--builder", builder()]);
        agent.relay.answer(1, method, path, status, &format!("{{\"message\":{message:?}}}"));
        let run = agent.run().ended(code, reason);
        assert!(run.words().contains(message), "{}", run.story());
        assert!(reason != "EnginePermission" || run.words().contains("builder: classic"), "{}", run.words());
    }
}

#[test]
fn a_copy_of_what_makes_no_pattern_is_the_dockerfiles_fault() {
    promise!(6);
    let context = Context::with("FROM BASE\nCOPY [\"a[z-a]b\", \"/\"]\n").file("a", "");
    let run = Agent::build().directory(context.path()).args(&["--no-push", "--builder", builder()]).run();
    // Podman takes it for a name.
    let run = if builder() == "buildkit" { run.ended(41, "DockerfileInvalid") } else { run.failed(42, "StepFailed", "build") };
    assert!(run.words().contains("a[z-a]b"), "{}", run.words());
}

#[test]
fn a_registry_that_the_daemon_does_not_trust_is_asked_once() {
    promise!(8);
    let context = Context::with("FROM BASE\nRUN true\n");
    let agent = Agent::build().directory(context.path()).args(&["-d", "127.0.0.1:9/a/b:1"]);
    let fault = "{\"errorDetail\":{\"message\":\"x509: certificate signed by unknown authority\"},\"error\":\"x\"}\n";
    agent.relay.answer(usize::MAX, "POST", "/images/*/push", 200, fault);
    let run = agent.run().failed(53, "PushUnavailable", "push");
    assert_eq!(run.count("POST", "/images/*/push"), 1);
    assert!(run.words().contains("certs.d"), "{}", run.words());
}
