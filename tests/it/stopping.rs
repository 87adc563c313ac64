//! Promise 10 and 2: a run stops when it is told to, and however it ends, a tag is the old image or the whole new one.

use std::collections::BTreeSet;
use std::time::Duration;

use rustix::process::Signal;

use crate::directory::destination;
use crate::faults::Faulty;
use crate::harness::closed_list::{OWN, named_by};
use crate::harness::prelude::*;
use crate::harness::run::Run;
use crate::harness::running::Running;

/// From a signal or the deadline to the end.
const PROMISED: Duration = Duration::from_secs(5);

#[test]
fn a_signal_stops_the_daemons_build_within_five_seconds() {
    promise!(5, 8, 10);
    for builder in builders() {
        for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
            let seconds = format!("sleep {}", 40_000 + code);
            let context = Context::with(&format!("FROM BASE\nRUN echo begun && {seconds}\n"));
            let (reference, _) = destination("signalled");
            let mut running =
                Agent::build().directory(context.path()).args(&["-d", &reference, "--builder", builder, "--no-cache"]).start();
            running.event(|event| event.name == "build.log" && event.data["text"].as_str().is_some_and(|text| text.contains("begun")));
            let told = running.signal(signal);
            let run = running.finish().failed(code, "Cancelled", "build").ended_within(PROMISED, told);
            assert_eq!(run.events_named("run.cancelling").len(), 1);
            run.assert_step_stopped(&seconds);
        }
    }
}

/// BuildKit's, for no other builder knows a build by an id.
#[test]
fn a_build_is_stopped_though_something_between_keeps_the_daemons_side_open() {
    promise!(7, 8, 10);
    if builder() != "buildkit" {
        return;
    }
    let seconds = "sleep 40444";
    let context = Context::with(&format!("FROM BASE\nRUN echo begun && {seconds}\n"));
    let agent = Agent::build().directory(context.path()).args(&["--no-push", "--builder", "buildkit", "--no-cache"]);
    agent.relay.deafen();
    let mut running = agent.start();
    running.event(|event| event.name == "build.log" && event.data["text"].as_str().is_some_and(|text| text.contains("begun")));
    let told = running.signal(Signal::TERM);
    let run = running.finish().failed(143, "Cancelled", "build").ended_within(PROMISED, told);
    let id = |path: &str, name: &str| run.calls.iter().find(|call| call.path == path).and_then(|call| call.parameter(name));
    assert_eq!(id("/build/cancel", "id"), id("/build", "buildid"), "{}", run.story());
    run.assert_step_stopped(seconds);
}

#[test]
fn the_kernel_that_closes_a_killed_agents_connections_stops_its_build() {
    promise!(8, 10);
    for builder in builders() {
        let seconds = format!("sleep 4055{}", builder.len());
        let context = Context::with(&format!("FROM BASE\nRUN echo begun && {seconds}\n"));
        let mut running = Agent::build().directory(context.path()).args(&["--no-push", "--builder", builder, "--no-cache"]).start();
        running.event(|event| event.name == "build.log" && event.data["text"].as_str().is_some_and(|text| text.contains("begun")));
        let run = running.kill_and_wait();
        if Engine::shared().podman {
            // Nobody is left who could say that it goes on.
            Engine::shared().end(&seconds);
        }
        eventually("the step outlived its agent", || !Engine::shared().runs(&seconds));
        for name in named_by(&run.calls) {
            eventually("the dead run's build gave its name", || Engine::shared().image_id(&name).is_none());
        }
    }
}

#[test]
fn the_deadline_is_kept_to_five_seconds() {
    promise!(8, 10);
    let deadline = Duration::from_secs(8);
    for builder in builders() {
        let seconds = format!("sleep 5{}", builder.len());
        let build = |more: &str| {
            let context = Context::with(&format!("FROM BASE\nRUN echo begun\n{more}"));
            Agent::build().directory(context.path()).args(&["--no-push", "--builder", builder, "--deadline", "8s"]).run()
        };
        // So that all but the last step is there already, and the deadline is sure to find the run in its build.
        build("").ok();
        let run = build(&format!("RUN {seconds}\n")).failed(70, "DeadlineExceeded", "build");
        let run = run.ended_within(PROMISED, deadline);
        assert!(run.elapsed >= deadline, "{:?}", run.elapsed);
        run.assert_step_stopped(&seconds);
    }
}

/// When a run is killed.
enum Death {
    /// After so many events.
    Count(usize),
    /// After the first event of this name.
    First(&'static str),
}

impl Death {
    /// Waits for it: the last event of a run that is to be killed now; none where the run ended before.
    fn comes(&self, running: &mut Running) -> Option<String> {
        let mut count = 0;
        let last = running.event(|event| {
            count += 1;
            let dies = match self {
                Self::Count(most) => count == *most,
                Self::First(name) => event.name == *name,
            };
            dies || event.name == "run.finished"
        });
        Some(last.name).filter(|name| name != "run.finished")
    }
}

/// What the engine has of this repository or of the run with this id: every name that holds either.
fn names_of(engine: &Engine, repository: &str, run: &str) -> Vec<String> {
    engine.tags().into_iter().filter(|tag| tag.contains(repository) || tag.contains(run)).collect()
}

/// A context whose step's own words tell its process and container from those of other tests.
fn killed_context(text: &str) -> Context {
    let steps = format!("COPY text /\nRUN cat /text > /copy && echo '{text}'\n");
    Context::with(&format!("FROM BASE\n{steps}")).file("text", text)
}

/// Kills a run, looks at what is left of it, and runs the same again; which event was its last, if it did not end before.
fn kill(death: &Death, text: &str, reference: &str, repository: &str, old: &mut Run) -> Option<String> {
    let (registry, engine) = (Registry::shared(), Engine::shared());
    let new = killed_context(text);
    let mut running = Agent::build().directory(new.path()).args(&["-d", reference]).start();
    let Some(event) = death.comes(&mut running) else {
        *old = running.finish().ok();
        return None;
    };
    let killed = running.kill_and_wait();
    let after = format!("{text}, the last {event}");
    eventually(&format!("{after}: the dead run's step is still there"), || {
        !engine.processes().iter().chain(&engine.containers()).any(|line| line.contains(text))
    });
    let digest = registry.tag(repository, "1").expect("the old tag is gone");
    let image = Image::in_registry(registry, &digest);
    let whole = image.holds("text", text.as_bytes()) && image.holds("copy", text.as_bytes());
    assert!(whole || digest == old.digest(), "{after}: {digest} is neither old nor whole");

    // What it leaves on the engine is a name under our own, and the destination's if it died while it pushed.
    let made = named_by(&killed.calls);
    let is_own = |name: &str| name.starts_with(OWN) && name.contains(&killed.id());
    for name in names_of(engine, repository, &killed.id()) {
        assert!(is_own(&name) || name == reference && made.contains(&name), "{after}: {name} was left");
    }
    *old = Agent::build().directory(new.path()).args(&["-d", reference]).run().ok();
    assert!(Image::in_registry(registry, old.digest()).holds("copy", text.as_bytes()));
    let left = names_of(engine, repository, &killed.id());
    assert!(left.iter().all(|name| is_own(name)), "{after}: {left:?} outlived the next run");
    for name in left {
        // What a sweep would do.
        engine.docker_ok(&["rmi", "--no-prune", &name]);
    }
    Some(event)
}

#[test]
fn a_run_killed_after_any_event_leaves_the_old_tag_or_the_whole_new_one() {
    promise!(2, 3);
    let (reference, repository) = destination("killed");
    let mut old = Agent::build().directory(killed_context("old").path()).args(&["-d", &reference]).run().ok();
    let mut last_words = BTreeSet::new();
    for count in 1.. {
        match kill(&Death::Count(count), &format!("killed after {count} events"), &reference, &repository, &mut old) {
            Some(event) => last_words.insert(event),
            None => break,
        };
    }
    // No two runs say how far they are equally often, so that counting may miss some.
    for name in ["run.started", "engine.connected", "source.resolved", "build.step", "image.built", "push.progress", "image.pushed"] {
        // Podman does not say how far a push is.
        let never = Engine::shared().podman && name == "push.progress";
        if !never && !last_words.contains(name) {
            let event = kill(&Death::First(name), &format!("killed after {name}"), &reference, &repository, &mut old);
            assert_eq!(event.as_deref(), Some(name), "a run without this event");
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
        let deadline = Duration::from_secs(3);
        let run = run.failed(70, "DeadlineExceeded", "fetch").ended_within(PROMISED, deadline);
        assert!(run.elapsed >= deadline, "{:?}", run.elapsed);
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
        let told = running.signal(Signal::TERM);
        let run = running.finish().failed(143, "Cancelled", "fetch").ended_within(PROMISED, told);
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
        let told = running.signal(Signal::TERM);
        let run = running.finish().failed(143, "Cancelled", "push").ended_within(PROMISED, told);
        assert_eq!(run.document()["image"]["tags"][0]["digest"], serde_json::Value::Null);
        assert_eq!(Engine::shared().image_id(&reference), None, "a local name was left");
        let tag = registry.tag("team/web", "1");
        let whole = || Image::in_registry(&registry, tag.as_deref().unwrap()).holds("text", format!("new {number}").as_bytes());
        assert!(tag == tag_before || whole(), "the tag is neither old nor whole");
    }
}
