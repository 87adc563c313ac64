//! An engine that is not there: not yet, not just now, or never again; and what became of the build that it was at.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use crate::harness::closed_list::{CLOSED_LIST, OWN};
use crate::harness::prelude::*;
use crate::harness::rule::{Act, Gate};
use crate::harness::run::Run;
use crate::table::standalone;

/// A relay that listens from now on, as a daemon does that has come up: whoever sees its socket may open it.
fn listen(at: &Path) -> Relay {
    let real = Engine::shared().socket();
    let new = at.with_extension("new");
    let relay = Relay::unix(&new, &real, Some(CLOSED_LIST));
    chown(&new, Some(0), Some(fs::metadata(&real).unwrap().gid())).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o660)).unwrap();
    fs::rename(new, at).unwrap();
    relay
}

fn notices(run: &Run) -> Vec<&str> {
    run.events_named("notice").iter().map(|event| event.data["message"].as_str().unwrap()).collect()
}

#[test]
fn an_engine_that_comes_late_is_waited_for() {
    promise!(8);
    let context = standalone("");
    let dir = Engine::shared().new_dir("t");
    let agent = Agent::build().directory(context.path()).args(&["--no-push"]);
    let mut running = agent.without_socket().readable(&dir, "/engine").env("DOCKER_HOST", "unix:///engine/docker.sock").start();
    let notice = running.event(|event| event.name == "notice").data;
    for part in ["/engine/docker.sock", "limits.engineWait"] {
        assert!(notice["message"].as_str().unwrap().contains(part), "{notice}");
    }
    running.agent.relay = listen(&dir.join("docker.sock"));
    let run = running.finish().ok();
    assert_eq!(notices(&run).len(), 1, "{}", run.story());
}

#[test]
fn an_engine_that_is_not_well_yet_is_waited_for_and_one_that_never_is_ends_by_the_bound() {
    promise!(8);
    let context = standalone("");
    let agent = Agent::build().directory(context.path()).args(&["--no-push"]);
    agent.relay.answer(1, "GET", "/_ping", 503, "no backend");
    agent.relay.rule(1, "GET", "/_ping", Act::CutAnswer { after: 0 });
    agent.relay.rule(1, "GET", "/version", Act::CutAnswer { after: 20 });
    let run = agent.run().ok();
    assert!(notices(&run).len() == 1 && notices(&run)[0].contains("no backend"), "{}", run.story());
    assert!(run.count("GET", "/_ping") >= 4, "{}", run.story());

    let agent = Agent::build().directory(context.path()).args(&["--no-push", "--limit-engine-wait", "1s"]);
    agent.relay.answer(usize::MAX, "GET", "/_ping", 503, "no backend");
    let run = agent.run().failed(30, "EngineUnavailable", "prepare");
    for part in ["limits.engineWait (--limit-engine-wait) of 1 s", "no backend"] {
        assert!(run.words().contains(part), "{}", run.words());
    }
}

/// A build whose daemon is killed, and begun again: when `dies` says so.
fn killed(own: &OwnEngine, builder: &str, dies: Dies) -> Run {
    let busy = format!("RUN [\"/busybox\", \"sh\", \"-c\", \"echo begun; exec /busybox sleep {}\"]\n", builder.len());
    let context = standalone(if dies == Dies::AtWork { &busy } else { "COPY busybox /again\n" });
    let agent = Agent::build_on(own.0).directory(context.path()).args(&["--no-push", "--no-cache", "--builder", builder]);
    let gate = Gate::default();
    if dies == Dies::Done {
        // The words after which nothing but the name is set.
        let words = if builder == "buildkit" { "moby.image.id" } else { "Successfully built" };
        agent.relay.rule(1, "POST", "/build", Act::CutAt { words, gate: gate.clone() });
    }
    let mut running = agent.start();
    if dies == Dies::Done {
        gate.arrived();
        eventually("the image got no name", || own.0.tags().iter().any(|tag| tag.starts_with(OWN)));
    } else {
        running.event(|event| event.name == "build.log" && event.data["text"].as_str().is_some_and(|text| text.contains("begun")));
    }
    own.kill();
    eventually("the engine outlived its kill", || !own.0.lives());
    gate.open();
    own.restart();
    // What the daemon itself left of the step that it was at.
    own.0.call("POST", "/containers/prune");
    running.finish()
}

/// When a daemon dies.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Dies {
    /// In the middle of a step.
    AtWork,
    /// With the image made, and its answer not at its end.
    Done,
}

#[test]
fn a_build_counts_if_the_daemon_that_died_has_its_image_and_else_does_not() {
    promise!(1, 5, 8);
    let own = OwnEngine::up(&[]);
    for builder in builders() {
        killed(&own, builder, Dies::AtWork).failed(33, "EngineLost", "build");
        let run = killed(&own, builder, Dies::Done).ok();
        let told = notices(&run);
        assert!(told.iter().any(|text| text.contains("under this run's own name")), "{}", run.story());
        let id = run.document()["image"]["image_id"].as_str().unwrap();
        assert!(told.iter().any(|text| text.contains(id)), "{}", run.story());
    }
}
