//! Promise 10 and 2: a run stops when it is told to, and however it ends, a tag is the old image or the whole new one.

use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::directory::{BUILDERS, destination};
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

#[test]
fn a_killed_run_leaves_the_old_tag_or_the_whole_new_one() {
    promise!(2, 3);
    let registry = Registry::shared();
    let (reference, repository) = destination("killed");
    let context = |text: &str| Context::with("FROM BASE\nCOPY text /\nRUN cat /text > /copy\n").file("text", text);
    let old = Agent::build().directory(context("old").path()).args(&["-d", &reference]).run().ok();
    for (number, event) in ["engine.connected", "build.step", "image.built", "push.progress", "image.pushed"].iter().enumerate() {
        let text = format!("new {number}");
        let new = context(&text);
        let mut running = Agent::build().directory(new.path()).args(&["-d", &reference]).start();
        running.event_named(event);
        running.kill_and_wait();
        let digest = registry.tag(&repository, "1").expect("the old tag is gone");
        let image = Image::in_registry(registry, &digest);
        let whole = image.holds("text", text.as_bytes()) && image.holds("copy", text.as_bytes());
        let before = digest == old.digest() || (0..number).any(|n| image.holds("text", format!("new {n}").as_bytes()));
        assert!(whole || before, "after {event}: {digest} is neither old nor whole");

        let again = Agent::build().directory(new.path()).args(&["-d", &reference]).run().ok();
        assert!(Image::in_registry(registry, again.digest()).holds("copy", text.as_bytes()));
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
