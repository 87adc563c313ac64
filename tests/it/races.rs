//! Promise 3: runs at the same time on one node, and names that somebody else cares for.

use crate::directory::destination;
use crate::harness::closed_list::{OWN, named_by};
use crate::harness::prelude::*;
use crate::harness::run::Run;

const DOCKERFILE: &str = "FROM BASE\nCOPY text /\n";

fn build(context: &Context, reference: &str, builder: &str) -> Agent {
    Agent::build().directory(context.path()).args(&["-d", reference, "--builder", builder])
}

/// What a run says that it pushed is what it built.
fn assert_own(run: &Run, text: &str) {
    assert_eq!(run.code, 0, "{}", run.story());
    assert!(Image::in_registry(Registry::shared(), run.digest()).holds("text", text.as_bytes()), "another's digest\n{}", run.story());
}

/// Where a local name points; the daemon's names of ours and of others.
fn local(reference: &str) -> Option<String> {
    Engine::shared().image_id(reference)
}

#[test]
fn two_runs_that_both_tagged_before_either_pushed_each_prove_their_own() {
    promise!(1, 3);
    for builder in builders() {
        for first_goes_first in [true, false] {
            let (reference, repository) = destination(&format!("race-{builder}-{first_goes_first}"));
            let texts = ["one", "two"].map(|text| format!("{text} {builder} {first_goes_first}"));
            let contexts = texts.clone().map(|text| Context::with(DOCKERFILE).file("text", text));
            let agents = contexts.each_ref().map(|context| build(context, &reference, builder));
            let gates = agents.each_ref().map(|agent| agent.relay.hold("POST", "/images/*/push"));
            let [first, second] = agents;
            let first = first.start();
            gates[0].arrived();
            let second = second.start();
            gates[1].arrived();
            // Both have set the name; the second's setting holds.
            let [one, two] = if first_goes_first {
                gates[0].open();
                let one = first.finish();
                gates[1].open();
                [one, second.finish()]
            } else {
                gates[1].open();
                let two = second.finish();
                gates[0].open();
                [first.finish(), two]
            };
            assert_own(&one, &texts[0]);
            assert_own(&two, &texts[1]);
            let tag = Registry::shared().tag(&repository, "1");
            assert!([one.digest(), two.digest()].contains(&tag.as_deref().unwrap()), "the tag is neither's");
            assert_eq!(local(&reference), None, "a local name was left");
        }
    }
}

#[test]
fn two_runs_of_the_very_same_image_do_not_take_the_name_from_each_other() {
    promise!(3);
    for builder in builders() {
        let (reference, _) = destination(&format!("same-{builder}"));
        let text = format!("same {builder}");
        let context = Context::with(DOCKERFILE).file("text", &text);
        // What the first run leaves in the cache gives both the same id.
        assert_own(&build(&context, &reference, builder).run(), &text);
        let (first, second) = (build(&context, &reference, builder), build(&context, &reference, builder));
        let gate = first.relay.hold("POST", "/images/*/push");
        let first = first.start();
        gate.arrived();
        assert_own(&second.run(), &text);
        gate.open();
        assert_own(&first.finish(), &text);
        assert_eq!(local(&reference), None, "a local name was left");
    }
}

#[test]
fn a_local_tag_that_was_there_before_is_put_back() {
    promise!(3);
    let engine = Engine::shared();
    for builder in builders() {
        let (reference, _) = destination(&format!("before-{builder}"));
        engine.docker_ok(&["tag", base(), &reference]);
        let before = local(&reference);
        assert!(before.is_some());
        let contexts = ["one", "two"].map(|text| Context::with(DOCKERFILE).file("text", format!("before {text} {builder}")));
        assert_own(&build(&contexts[0], &reference, builder).run(), &format!("before one {builder}"));
        assert_eq!(local(&reference), before, "after one run");

        let failing = Context::with("FROM BASE\nRUN exit 1\n");
        build(&failing, &reference, builder).run().failed(42, "StepFailed", "build");
        assert_eq!(local(&reference), before, "after a failure");

        let first = build(&contexts[0], &reference, builder);
        let gate = first.relay.hold("POST", "/images/*/push");
        let first = first.start();
        gate.arrived();
        assert_own(&build(&contexts[1], &reference, builder).run(), &format!("before two {builder}"));
        gate.open();
        assert_own(&first.finish(), &format!("before one {builder}"));
        assert_eq!(local(&reference), before, "after two runs at once");

        let agents = [0, 1].map(|n| build(&contexts[n], &reference, builder));
        let gates = agents.each_ref().map(|agent| agent.relay.hold("POST", "/images/*/push"));
        let [first, second] = agents;
        let first = first.start();
        gates[0].arrived();
        let second = second.start();
        gates[1].arrived();
        gates[0].open();
        assert_own(&first.finish(), &format!("before one {builder}"));
        gates[1].open();
        assert_own(&second.finish(), &format!("before two {builder}"));
        assert_eq!(local(&reference), before, "after two runs of which the first came first");
        engine.docker_ok(&["rmi", &reference]);
    }
}

#[test]
fn a_name_that_somebody_else_set_meanwhile_is_theirs() {
    promise!(3, 7);
    let engine = Engine::shared();
    let (reference, _) = destination("theirs");
    let context = Context::with(DOCKERFILE).file("text", "theirs");
    let agent = build(&context, &reference, "classic");
    // The read-back is over when the run asks what it has to put back.
    let gate = agent.relay.hold("POST", "/images/*/push");
    let running = agent.start();
    gate.arrived();
    engine.docker_ok(&["tag", base(), &reference]);
    let theirs = local(&reference);
    // The push goes out with somebody else's image, is found out, and tried again.
    gate.open();
    let run = running.finish();
    assert_own(&run, "theirs");
    assert!(!run.events_named("push.retry").is_empty(), "{}", run.story());
    assert_eq!(local(&reference), theirs, "a name that somebody set was taken away");
    engine.docker_ok(&["rmi", &reference]);
}

/// A destination whose name stands for another image on the node: the reference, the repository, and that image.
fn taken(name: &str) -> (String, String, Option<String>) {
    let (reference, repository) = destination(name);
    Engine::shared().docker_ok(&["tag", base(), &reference]);
    let before = local(&reference);
    (reference, repository, before)
}

#[test]
fn a_run_with_a_signal_while_its_name_is_set_puts_it_back_too() {
    promise!(3, 10);
    let engine = Engine::shared();
    let (reference, repository, before) = taken("signal-put-back");
    let context = Context::with(DOCKERFILE).file("text", "never pushed");
    let agent = build(&context, &reference, "classic");
    let gate = agent.relay.hold("POST", "/images/*/push");
    let running = agent.start();
    gate.arrived();
    assert_ne!(local(&reference), before, "the name was not set for the push");
    running.signal(rustix::process::Signal::TERM);
    running.finish().failed(143, "Cancelled", "push");
    assert_eq!(local(&reference), before);
    assert_eq!(Registry::shared().tags(&repository), [""; 0]);
    engine.docker_ok(&["rmi", &reference]);
}

#[test]
fn a_run_with_a_signal_while_it_puts_a_name_back_puts_it_back_all_the_same() {
    promise!(3, 10);
    let engine = Engine::shared();
    let (reference, _, before) = taken("signal-in-put-back");
    let context = Context::with(DOCKERFILE).file("text", "put back");
    let agent = build(&context, &reference, builder());
    let pushing = agent.relay.hold("POST", "/images/*/push");
    let running = agent.start();
    pushing.arrived();
    let putting_back = running.agent.relay.hold("POST", "/images/*/tag");
    pushing.open();
    putting_back.arrived();
    running.signal(rustix::process::Signal::TERM);
    running.finish().failed(143, "Cancelled", "push");
    assert_eq!(local(&reference), before);
    engine.docker_ok(&["rmi", &reference]);
}

#[test]
fn a_name_that_is_pushed_and_kept_is_moved_only_by_a_run_that_succeeds() {
    promise!(2, 3);
    let engine = Engine::shared();
    let (reference, _, before) = taken("kept-and-pushed");
    let context = Context::with(DOCKERFILE).file("text", "kept");
    let agent = || build(&context, &reference, builder()).args(&["-t", &reference]);
    agent().args(&["-d", "127.0.0.1:1/nobody/listens:1", "--push-retries", "0"]).run().ended(53, "PushUnavailable");
    assert_eq!(local(&reference), before, "a run that failed moved the name");
    let run = agent().run().ok();
    assert_eq!(local(&reference).as_deref(), run.document()["image"]["image_id"].as_str());
    engine.docker_ok(&["rmi", &reference]);
}

#[test]
fn runs_that_overlap_leave_what_was_there_before_either() {
    promise!(3);
    let engine = Engine::shared();
    for there_before in [true, false] {
        let (reference, _) = destination(&format!("overlap-{there_before}"));
        if there_before {
            engine.docker_ok(&["tag", base(), &reference]);
        }
        let before = local(&reference);
        let contexts = ["one", "two"].map(|text| Context::with(DOCKERFILE).file("text", format!("overlap {text} {there_before}")));
        let [first, second] = contexts.each_ref().map(|context| build(context, &reference, builder()));
        let pushing = first.relay.hold("POST", "/images/*/push");
        let first = first.start();
        pushing.arrived();
        // The first has pushed, and looks at the name to give it back, while the second does its whole job.
        let giving_back = first.agent.relay.hold("GET", "/images/*/json");
        pushing.open();
        giving_back.arrived();
        assert_own(&second.run(), &format!("overlap two {there_before}"));
        giving_back.open();
        assert_own(&first.finish(), &format!("overlap one {there_before}"));
        assert_eq!(local(&reference), before, "{there_before}");
        if there_before {
            engine.docker_ok(&["rmi", &reference]);
        }
    }
}

#[test]
fn what_was_there_before_a_killed_run_is_put_back_by_the_next() {
    promise!(2, 3);
    let engine = Engine::shared();
    let (reference, _) = destination("killed-put-back");
    engine.docker_ok(&["tag", base(), &reference]);
    let before = local(&reference);
    let contexts = ["one", "two"].map(|text| Context::with(DOCKERFILE).file("text", format!("killed {text}")));
    let [first, second] = contexts.each_ref().map(|context| build(context, &reference, builder()));
    let pushing = first.relay.hold("POST", "/images/*/push");
    let first = first.start();
    pushing.arrived();
    let killed = first.kill_and_wait();
    assert_ne!(local(&reference), before);
    assert_own(&second.run(), "killed two");
    assert_eq!(local(&reference), before);
    engine.docker_ok(&["rmi", &reference]);
    for name in named_by(&killed.calls).iter().filter(|name| name.starts_with(OWN)) {
        // What a sweep would do.
        let _ = engine.docker(&["rmi", "--no-prune", name]).output();
    }
}

#[test]
fn a_name_that_points_to_the_very_image_that_is_built_stays() {
    promise!(3);
    let engine = Engine::shared();
    let (reference, _) = destination("rebuilt");
    let context = Context::with(DOCKERFILE).file("text", "rebuilt");
    build(&context, &reference, builder()).args(&["-t", &reference]).run().ok();
    let before = local(&reference);
    assert!(before.is_some());
    assert_own(&build(&context, &reference, builder()).run(), "rebuilt");
    assert_eq!(local(&reference), before);
    engine.docker_ok(&["rmi", &reference]);
}
