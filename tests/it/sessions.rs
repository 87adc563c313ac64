//! The session with BuildKit: what it costs the daemon over many builds, whether a change can be missed, and credentials that are
//! replaced while a build is under way.

use std::fs;
use std::time::Duration;

use rustix::process::Signal;

use crate::failures::docker_config;
use crate::faults::Faulty;
use crate::harness::prelude::*;
use crate::harness::run::Run;

/// How often the daemon goes through a build of each end: 50 make 200 builds, in a minute or three.
fn rounds() -> usize {
    std::env::var("PODWRIGHT_TEST_ROUNDS").map_or(6, |text| text.parse().unwrap())
}

/// Open descriptors and goroutines of the daemon, by its own count.
fn held(engine: &Engine) -> (u64, u64) {
    let info = engine.get("/info");
    (info["NFd"].as_u64().unwrap(), info["NGoroutines"].as_u64().unwrap())
}

/// One build of each end: success, a failure of the daemon's, one of ours, and a session that no build ever used.
fn each_end(engine: &'static Engine, good: &Context, bad: &Context, ours: &Context) {
    let agent = |context: &Context| Agent::build_on(engine).directory(context.path()).args(&["--no-push", "--builder", "buildkit"]);
    agent(good).run().ok();
    agent(bad).run().ended(42, "StepFailed");
    agent(ours).run().ended(25, "SourceRefused");
    let stopped = agent(good);
    let gate = stopped.relay.hold("POST", "/build");
    let running = stopped.start();
    gate.arrived();
    running.signal(Signal::TERM);
    running.finish().failed(143, "Cancelled", "build");
}

#[test]
fn the_daemon_holds_nothing_of_sessions_that_are_over() {
    promise!(8, 9);
    if Engine::shared().podman {
        return;
    }
    let own = OwnEngine::up(&[]);
    let dockerfile = |copied: &str| Context::new().file("Dockerfile", format!("FROM scratch\nCOPY {copied} /\n")).file("text", "text");
    let (good, bad, ours) = (dockerfile("text"), dockerfile("missing"), dockerfile("."));
    // No image holds a socket, and no session may announce one.
    let _socket = std::os::unix::net::UnixListener::bind(ours.path().join("socket")).unwrap();
    for _ in 0..2 {
        each_end(own.0, &good, &bad, &ours);
    }
    let (descriptors, goroutines) = held(own.0);
    for _ in 0..rounds() {
        each_end(own.0, &good, &bad, &ours);
    }
    // Fewer than there were rounds: one that is kept of each is too many.
    within(Duration::from_secs(30), "the daemon holds what its builds are done with", || {
        let now = held(own.0);
        now.0 <= descriptors + 4 && now.1 <= goroutines + 5
    });
    let log = String::from_utf8_lossy(&own.0.log()).into_owned();
    assert!(!log.contains("healthcheck failed"), "{log}");
}

#[test]
fn a_commit_that_changes_neither_size_nor_second_is_sent_whole() {
    promise!(4);
    let server = GitServer::start(&GitDemands::default());
    let repository = server.repository("equal");
    repository.write("Dockerfile", "FROM scratch\nCOPY . /\n").write("kept", "kept");
    // Every commit of the harness is of one second.
    let commits = ["one", "two"].map(|text| {
        repository.write("text", text);
        (text, repository.commit(text))
    });
    let url = server.url(&repository);
    let sent = |run: &Run| run.events_named("context.sent")[0].data["files"].as_u64().unwrap();
    for (round, (text, commit)) in commits.iter().chain(&commits).enumerate() {
        let tag = format!("equal:{round}");
        let run = Agent::build().args(&["--git", &url, "--commit", commit, "--allow", "plain-http", "--no-cache", "-t", &tag]).run().ok();
        assert!(sent(&run) >= 3, "{}", run.story());
        assert!(Image::on_engine(Engine::shared(), &tag).holds("text", text.as_bytes()), "{round}: not {text}");
        Engine::shared().docker_ok(&["rmi", &tag]);
    }
}

#[test]
fn a_login_that_is_replaced_during_a_build_is_used_by_the_rest_of_it() {
    promise!(6);
    if Engine::shared().podman {
        return;
    }
    let [old, new] = ["old password", "new password"].map(Canary::new);
    let registry = Registry::start(&Demands { login: Some(("ada", &old.value)), tls: false });
    let front = Faulty::before(registry.port());
    let config = |password: &Canary| docker_config(&front.host(), "ada", &password.value);
    let with = |agent: Agent| agent.secret_dir("--registry-secret", "/secrets/registry", &[("config.json", &config(&old))]);
    let [one, two] = ["one", "two"].map(|name| format!("{}/private/{name}:1", front.host()));
    for (base, name) in [(&one, "one"), (&two, "two")] {
        let context = Context::new().file("Dockerfile", format!("FROM scratch\nCOPY {name} /\n")).file(name, name);
        with(Agent::build().directory(context.path()).args(&["-d", base])).run().ok();
    }
    let gate = front.relay.hold("HEAD", "/v2/private/two/manifests/1");
    let context = Context::new().file("Dockerfile", format!("FROM {one} AS one\nFROM {two}\nCOPY --from=one /one /\n"));
    let agent = with(Agent::build().directory(context.path()).args(&["--no-push", "--builder", "buildkit", "--pull"])).canary(&new);
    let secret = agent.dir.join("secrets-registry/config.json");
    let running = agent.start();
    gate.arrived();
    let pulled = || front.relay.calls().iter().any(|call| call.is("GET", "/v2/private/one/*") && call.status == Some(200));
    eventually("the first base was never pulled", pulled);
    registry.replace_login("ada", &new.value);
    fs::write(secret, config(&new)).unwrap();
    gate.open();
    running.finish().ok();
}
