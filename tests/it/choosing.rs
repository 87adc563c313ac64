//! Which builder does the work when the request leaves it open, and what becomes of an engine that takes no session any more.

use crate::directory::destination;
use crate::harness::prelude::*;
use crate::harness::run::Run;

fn context(text: &str) -> Context {
    Context::with("FROM scratch\nCOPY text /\n").file("text", text)
}

/// What the first event about the engine, and the result, say of builder and transport.
fn assert_built_by(run: &Run, announced: [&str; 2], built: [&str; 2]) {
    let words = |engine: &serde_json::Value| ["builder", "transport"].map(|name| engine[name].as_str().unwrap().to_owned());
    assert_eq!(words(&run.events_named("engine.connected")[0].data), announced, "{}", run.story());
    assert_eq!(words(&run.document()["engine"]), built, "{}", run.story());
}

const SESSION: [&str; 2] = ["buildkit", "session"];
const CLASSIC: [&str; 2] = ["classic", "classic"];

#[test]
fn the_daemons_own_choice_holds_where_the_request_has_none() {
    if builder() == "classic" {
        // Podman has one.
        return;
    }
    let engine = OwnEngine::up(&["--classic"]);
    let context = context("chosen");
    for (wish, want) in [("auto", CLASSIC), ("buildkit", SESSION)] {
        let agent = Agent::build_on(engine.0).directory(context.path()).args(&["--builder", wish, "-t", "kept/chosen:1"]);
        let run = agent.run().ok();
        assert_built_by(&run, want, want);
        assert_eq!(run.count("POST", "/session"), usize::from(want == SESSION), "{}", run.story());
    }
}

#[test]
fn an_engine_without_sessions_builds_by_its_other_builder_where_that_will_do() {
    promise!(1);
    if builder() == "classic" {
        return;
    }
    let source = context("without a session");
    let build = |more: &[&str]| {
        let (reference, _) = destination("sessionless");
        let agent = Agent::build().directory(source.path()).args(&["-d", &reference]).args(more);
        agent.relay.answer(usize::MAX, "POST", "/session", 404, r#"{"message":"page not found"}"#);
        agent.run()
    };
    let run = build(&[]).ok();
    assert_built_by(&run, SESSION, CLASSIC);
    assert!(Image::in_registry(Registry::shared(), run.digest()).holds("text", b"without a session"), "{}", run.story());
    let told =
        |word: &str, run: &Run| run.events_named("notice").iter().any(|notice| notice.data["message"].as_str().unwrap().contains(word));
    assert!(told("the classic builder builds the image", &run), "{}", run.story());
    // The request insists, or has what the other builder cannot do.
    for (more, notice) in [(&["--builder", "buildkit"][..], false), (&["--build-arg", "BUILDKIT_INLINE_CACHE=1"], true)] {
        let run = build(more).failed(32, "EngineIncompatible", "build");
        assert!(run.words().contains("builder: classic") && run.words().contains("page not found"), "{}", run.words());
        assert_eq!(told("cannot take the place of BuildKit", &run), notice, "{}", run.story());
    }
}
