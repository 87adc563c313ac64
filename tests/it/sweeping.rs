//! What dead runs leave on a node, and who takes it away: the next run, or `podwright gc`. Never what may be alive, never another's.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::harness::prelude::*;

/// The mark of a run on a name that it borrowed, as a run writes it.
fn mark(owner: &str, name: &str, before: bool) -> String {
    let hash = format!("{:x}", Sha256::digest(name));
    format!("{owner}:{}-{}", if before { "before" } else { "nothing" }, &hash[..16])
}

/// Images of different bytes under these names.
fn images(engine: &Engine, names: &[&str]) {
    for name in names {
        let context = Context::new().file("Dockerfile", "FROM scratch\nCOPY text /\n").file("text", *name);
        // The shared engine's CLI sees the context, whichever engine builds.
        let build = ["build", "-q", "-t", name, context.path().to_str().unwrap()];
        succeeded(&mut Engine::shared().docker_at(&engine.socket(), &build));
    }
}

/// What a run that was killed while it pushed leaves: its image, a name it set over another image, and one where there was none.
fn dead_run(engine: &Engine, owner: &str) {
    let (over, new) = (format!("127.0.0.1:1/{owner}/over:1"), format!("127.0.0.1:1/{owner}/new:1"));
    images(engine, &[&format!("{owner}:latest"), &over]);
    let tag = |from: &str, to: &str| engine.docker_ok(&["tag", from, to]);
    tag(&over, &mark(owner, &over, true));
    tag(&format!("{owner}:latest"), &mark(owner, &new, false));
    tag(&format!("{owner}:latest"), &over);
    tag(&format!("{owner}:latest"), &new);
}

fn named(engine: &Engine, part: &str) -> Vec<String> {
    engine.tags().into_iter().filter(|tag| tag.contains(part)).collect()
}

#[test]
fn gc_and_the_next_run_take_away_what_dead_runs_left_and_nothing_else() {
    promise!(3, 7);
    let own = OwnEngine::up(&[]);
    let (dead, alive) = ("podwright-tmp/1700000000-00000000dead", "podwright-tmp/9000000000-000000a11fee");
    dead_run(own.0, dead);
    images(own.0, &[&format!("{alive}:latest"), "podwright-tmp/nobodys:latest", "127.0.0.1:1/other:1"]);
    let before = own.0.image_id(&mark(dead, &format!("127.0.0.1:1/{dead}/over:1"), true)).unwrap();
    let all = own.0.tags().len();

    let gc = |arguments: &[&str]| -> Value {
        let run = Agent::command_on(own.0, &[&["gc"], arguments].concat()).run().ok();
        serde_json::from_slice(&run.stdout).unwrap_or_else(|e| panic!("{e}: {}", run.story()))
    };
    let dry = gc(&["--dry-run"]);
    assert_eq!((dry["removed"].as_array().unwrap().len(), dry["alive"].as_u64()), (3, Some(2)), "{dry}");
    assert_eq!(own.0.tags().len(), all, "a dry run touches nothing");

    let swept = gc(&[]);
    assert_eq!(swept["removed"], dry["removed"]);
    assert_eq!(own.0.image_id(&format!("127.0.0.1:1/{dead}/over:1")).as_ref(), Some(&before), "it is again what it was");
    let left: Vec<String> = own.0.tags();
    assert!(!left.iter().any(|tag| tag.contains(&format!("{dead}:")) || tag.contains("/new:1")), "{left:?}");
    for kept in [alive, "podwright-tmp/nobodys", "127.0.0.1:1/other"] {
        assert_eq!(named(own.0, kept).len(), 1, "{kept}: {left:?}");
    }
    assert_eq!(gc(&[])["removed"].as_array().unwrap().len(), 0, "the second time there is nothing left");

    // The next run does it beside its own work, and a short one may be over before.
    let dead = "podwright-tmp/1700000001-00000000dead";
    dead_run(own.0, dead);
    let context = Context::new().file("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    eventually("what a dead run had left is still there", || {
        Agent::build_on(own.0).directory(context.path()).args(&["--no-push", "-t", "podwright-sweeping:1"]).run().ok();
        named(own.0, &format!("{dead}:")).is_empty()
    });
    assert_eq!((named(own.0, &format!("{dead}/new:1")).len(), named(own.0, &format!("{dead}/over:1")).len()), (0, 1));
}
