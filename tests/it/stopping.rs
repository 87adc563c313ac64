//! Promise 10 and 2: a run stops when it is told to, and however it ends, a tag is the old image or the whole new one.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::directory::{BUILDERS, destination};
use crate::faults::Faulty;
use crate::harness::closed_list::{OWN, named_by};
use crate::harness::prelude::*;

fn is_running(engine: &Engine, line: &str) -> bool {
    engine.processes().iter().any(|process| process.trim() == line)
}

#[test]
fn a_signal_stops_the_daemons_build_within_five_seconds() {
    promise!(5, 8, 10);
    for builder in BUILDERS {
        for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
            let seconds = format!("sleep {}", 40_000 + code);
            let context = Context::with(&format!("FROM BASE\nRUN echo begun && {seconds}\n"));
            let (reference, _) = destination("signalled");
            let mut running =
                Agent::build().directory(context.path()).args(&["-d", &reference, "--builder", builder, "--no-cache"]).start();
            running.event(|event| event.name == "build.log" && event.data["text"].as_str().is_some_and(|text| text.contains("begun")));
            let told = Instant::now();
            running.signal(signal);
            let run = running.finish().failed(code, "Cancelled", "build");
            assert!(told.elapsed() < Duration::from_secs(5), "it took {:?}", told.elapsed());
            assert_eq!(run.events_named("run.cancelling").len(), 1);
            assert!(run.result.is_some(), "no result file");
            eventually("the step outlived the run", || !is_running(Engine::shared(), &seconds));
        }
    }
}

#[test]
fn the_deadline_is_kept_to_five_seconds() {
    promise!(8, 10);
    for builder in BUILDERS {
        let seconds = format!("sleep 5{}", builder.len());
        let context = Context::with(&format!("FROM BASE\nRUN echo begun && {seconds}\n"));
        let run =
            Agent::build().directory(context.path()).args(&["--no-push", "--builder", builder, "--deadline", "3s", "--no-cache"]).run();
        let run = run.failed(70, "DeadlineExceeded", "build");
        assert!((3..=8).contains(&run.elapsed.as_secs()), "{:?}", run.elapsed);
        eventually("the step outlived the run", || !is_running(Engine::shared(), &seconds));
    }
}

/// The events after which a run is killed, and which of that name.
const DEATHS: [(&str, usize); 9] = [
    ("run.started", 1),
    ("engine.connected", 1),
    ("source.resolved", 1),
    ("build.step", 1),
    ("build.step", 4),
    ("image.built", 1),
    ("push.progress", 1),
    ("push.progress", 2),
    ("image.pushed", 1),
];

#[test]
fn a_killed_run_leaves_the_old_tag_or_the_whole_new_one() {
    promise!(2, 3);
    let (registry, engine) = (Registry::shared(), Engine::shared());
    let (reference, repository) = destination("killed");
    let context = |text: &str| Context::with("FROM BASE\nCOPY text /\nRUN cat /text > /copy\n").file("text", text);
    let mut old = Agent::build().directory(context("old").path()).args(&["-d", &reference]).run().ok();
    for (event, nth) in DEATHS {
        let text = format!("new after {nth} {event}");
        let new = context(&text);
        let mut running = Agent::build().directory(new.path()).args(&["-d", &reference]).start();
        (0..nth).for_each(|_| drop(running.event_named(event)));
        let killed = running.kill_and_wait();
        let digest = registry.tag(&repository, "1").expect("the old tag is gone");
        let image = Image::in_registry(registry, &digest);
        let whole = image.holds("text", text.as_bytes()) && image.holds("copy", text.as_bytes());
        assert!(whole || digest == old.digest(), "after {nth} {event}: {digest} is neither old nor whole");
        let made = named_by(&killed.calls);
        for name in &made {
            assert!(name.starts_with(OWN) || *name == reference, "{name} is neither ours nor asked for");
        }

        old = Agent::build().directory(new.path()).args(&["-d", &reference]).run().ok();
        assert!(Image::in_registry(registry, old.digest()).holds("copy", text.as_bytes()));
        assert_eq!(engine.image_id(&reference), None, "after {nth} {event}: the dead run's local name outlived the next run");
        for name in made.iter().filter(|name| name.starts_with(OWN)) {
            // What a sweep would do.
            let _ = engine.docker(&["rmi", "--no-prune", name]).output();
        }
    }
}

/// A repository behind a server that falls silent at this call.
fn stalled_git(method: &str, path: &str, after: u64) -> (GitServer, Faulty, String) {
    let server = GitServer::start(&GitDemands::default());
    let repository = server.repository("web");
    repository.write("Dockerfile", "FROM scratch\nCOPY . /\n").write("big", vec![7; 100_000]);
    repository.commit("first");
    let faulty = Faulty::before(server.port());
    faulty.stall(method, path, after);
    let url = format!("http://{}/git/web/.git", faulty.host());
    (server, faulty, url)
}

const SILENCES: [(&str, &str, u64); 3] =
    [("GET", "/git/web/.git/info/refs", 0), ("GET", "/git/web/.git/info/refs", 60), ("POST", "/git/web/.git/git-upload-pack", 300)];

#[test]
fn a_git_server_that_falls_silent_ends_with_the_deadline() {
    promise!(5, 8);
    for (method, path, after) in SILENCES {
        let (_server, faulty, url) = stalled_git(method, path, after);
        let run = Agent::build().args(&["--git", &url, "--allow", "plain-http", "--no-push", "--deadline", "3s"]).run();
        let run = run.failed(70, "DeadlineExceeded", "fetch");
        assert!((3..=8).contains(&run.elapsed.as_secs()), "{:?}", run.elapsed);
        assert!(run.result.is_some(), "no result file");
        assert!(faulty.relay.count(method, path) > 0);
    }
}

#[test]
fn a_signal_stops_a_fetch_within_five_seconds() {
    promise!(5, 8, 10);
    for (method, path, after) in SILENCES {
        let (_server, faulty, url) = stalled_git(method, path, after);
        let running = Agent::build().args(&["--git", &url, "--allow", "plain-http", "--no-push"]).start();
        within(Duration::from_secs(20), "the server was never asked", || faulty.relay.count(method, path) > 0);
        let told = Instant::now();
        running.signal(Signal::TERM);
        let run = running.finish().failed(143, "Cancelled", "fetch");
        assert!(told.elapsed() < Duration::from_secs(5), "it took {:?}", told.elapsed());
        assert!(run.result.is_some(), "no result file");
        assert_eq!(run.events_named("run.cancelling").len(), 1);
    }
}

#[test]
fn a_signal_stops_a_push_within_five_seconds_and_the_tag_stays_old() {
    promise!(2, 5, 8, 10);
    let registry = Registry::start(&Demands::default());
    let faulty = Faulty::before(registry.port());
    let reference = format!("{}/team/web:1", faulty.host());
    let context = |text: &str| Context::with("FROM BASE\nCOPY text /\n").file("text", text);
    Agent::build().directory(context("old").path()).args(&["-d", &reference]).run().ok();
    for (number, (method, path)) in
        [("PUT", "/v2/team/web/manifests/*"), (Engine::shared().upload(), "/v2/team/web/blobs/*")].iter().enumerate()
    {
        faulty.stall(method, path, 0);
        let (before, tag_before) = (faulty.relay.count(method, path), registry.tag("team/web", "1"));
        let agent = Agent::build().directory(context(&format!("new {number}")).path()).args(&["-d", &reference]);
        let running = agent.start();
        within(Duration::from_mins(1), "nothing was pushed", || faulty.relay.count(method, path) > before);
        let told = Instant::now();
        running.signal(Signal::TERM);
        let run = running.finish().failed(143, "Cancelled", "push");
        assert!(told.elapsed() < Duration::from_secs(5), "it took {:?}", told.elapsed());
        assert!(run.result.is_some(), "no result file");
        assert_eq!(run.document()["image"]["tags"][0]["digest"], serde_json::Value::Null);
        assert_eq!(Engine::shared().image_id(&reference), None, "a local name was left");
        let tag = registry.tag("team/web", "1");
        let whole = || Image::in_registry(&registry, tag.as_deref().unwrap()).holds("text", format!("new {number}").as_bytes());
        assert!(tag == tag_before || whole(), "the tag is neither old nor whole");
    }
}

#[test]
fn two_runs_of_one_request_at_once_both_succeed() {
    promise!(3);
    let (reference, repository) = destination("twice");
    let context = Context::with("FROM BASE\nCOPY text /\n").file("text", "one");
    let other = Context::with("FROM BASE\nCOPY text /\n").file("text", "two");
    let first = Agent::build().directory(context.path()).args(&["-d", &reference]);
    // After the first has tagged and before it pushes, the second does its whole job on the same tag.
    let gate = first.relay.hold("POST", "/images/*/push");
    let first = first.start();
    gate.arrived();
    let second = Agent::build().directory(other.path()).args(&["-d", &reference]).run().ok();
    assert!(Image::in_registry(Registry::shared(), second.digest()).holds("text", b"two"));
    gate.open();
    let first = first.finish();
    // The first may have lost its tag to the second meanwhile; what it must never do is call the second's image its own.
    let tag = Registry::shared().tag(&repository, "1").unwrap();
    let held = Image::in_registry(Registry::shared(), &tag);
    match first.code {
        0 => assert!(tag == first.digest() && held.holds("text", b"one"), "{}", first.story()),
        54 => assert!(held.holds("text", b"two"), "{}", first.story()),
        _ => panic!("{}", first.story()),
    }
}
