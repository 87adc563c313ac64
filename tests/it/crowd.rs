//! Many agents at once on one daemon: each gets what it asked for, none sees another's, and nothing is left of any of them.
//!
//! `PODWRIGHT_TEST_AGENTS` says how many; with 32, run it alone.

use std::collections::BTreeSet;
use std::thread;

use crate::directory::destination;
use crate::harness::prelude::*;
use crate::harness::rule::Gate;
use crate::harness::run::Run;
use crate::one_node::at_one_time;

const DOCKERFILE: &str = "FROM BASE\nCOPY . /src\nRUN cat /src/text > /made\nCMD cat /made /src/dir/text\n";

/// One of them: where it pushes to, and what its image prints.
struct Member {
    builder: &'static str,
    context: Context,
    reference: String,
    text: String,
}

impl Member {
    /// All sources look alike: of another's files on the node nothing but the bytes tells theirs.
    fn new(number: usize, builders: &[&'static str]) -> Self {
        let builder = builders[number % builders.len()];
        let text = format!("member {number:04} of the crowd {:016x}\n", getrandom::u64().unwrap());
        let context = Context::with(DOCKERFILE).file("text", &text).file("dir/text", &text);
        at_one_time(&context);
        Self { builder, context, reference: destination(&format!("crowd-{number}")).0, text }
    }

    fn agent(&self) -> Agent {
        Agent::build().directory(self.context.path()).args(&["-d", &self.reference, "--builder", self.builder])
    }

    /// What the registry has under the digest that the run told is this member's own, and the node has none of its names.
    fn check(&self, run: &Run) {
        let (engine, registry) = (Engine::shared(), Registry::shared());
        let document = run.document();
        assert_eq!(registry.tag(self.reference.split_once('/').unwrap().1.trim_end_matches(":1"), "1").as_deref(), Some(run.digest()));
        assert_eq!((&document["engine"]["builder"], &document["image"]["tags"][0]["digest"]), (&self.builder.into(), &run.digest().into()));
        let image = Image::in_registry(registry, run.digest());
        assert_same(&image.below("src"), &on_disk(self.context.path()), &self.text);
        assert!(image.holds("made", self.text.as_bytes()), "{}", self.text);
        assert_eq!(engine.image_id(&self.reference), None, "a local name was left");
        let by_digest = format!("{}@{}", self.reference.trim_end_matches(":1"), run.digest());
        engine.docker_ok(&["pull", "-q", &by_digest]);
    }

    /// The image that was pulled runs, and prints what this member alone has.
    fn check_running(&self, run: &Run) {
        let by_digest = format!("{}@{}", self.reference.trim_end_matches(":1"), run.digest());
        assert_eq!(Engine::shared().docker_ok(&["run", "--rm", &by_digest]), self.text.repeat(2));
    }
}

#[test]
fn d4_a_crowd_of_agents_builds_and_pushes_at_once_and_each_gets_its_own() {
    promise!(1, 3, 5, 9);
    let count = std::env::var("PODWRIGHT_TEST_AGENTS").map_or(8, |text| text.parse().unwrap());
    let builders = builders();
    let members: Vec<Member> = (0..count).map(|number| Member::new(number, &builders)).collect();
    let agents: Vec<Agent> = members.iter().map(Member::agent).collect();
    let gates: Vec<_> = agents.iter().map(|agent| agent.relay.hold("POST", "/build")).collect();
    let container = UnderWay::enter();
    let runs: Vec<Run> = thread::scope(|scope| {
        let running: Vec<_> = agents.into_iter().map(|agent| scope.spawn(|| agent.start().finish())).collect();
        // None begins its build before all of them can.
        gates.iter().for_each(Gate::arrived);
        gates.iter().for_each(Gate::open);
        running.into_iter().map(|thread| thread.join().expect("a run went wrong")).collect()
    });
    let failed: Vec<String> = runs.iter().filter(|run| run.code != 0).map(Run::story).collect();
    let again = |method: &str, path: &str| runs.iter().map(|run| run.count(method, path)).sum::<usize>().saturating_sub(count);
    println!(
        "{count} agents: the slowest took {:?}, {} failed, {} builds and {} pushes were asked for again",
        runs.iter().map(|run| run.elapsed).max().unwrap_or_default(),
        failed.len(),
        again("POST", "/build"),
        again("POST", "/images/*/push")
    );
    assert!(failed.is_empty(), "{} of {count} failed\n{}", failed.len(), failed.join("\n\n"));
    members.iter().zip(&runs).for_each(|(member, run)| member.check(run));
    members.iter().zip(&runs).take(builders.len()).for_each(|(member, run)| member.check_running(run));
    assert_eq!(runs.iter().map(Run::digest).collect::<BTreeSet<_>>().len(), count, "two sources have one digest");
    let built = |run: &Run| run.calls.iter().find(|call| call.is("POST", "/build")).and_then(|call| call.parameter("t")).map(str::to_owned);
    assert_eq!(runs.iter().filter_map(built).collect::<BTreeSet<_>>().len(), count, "two builds have one name");
    // By their ids: other tests are under way beside this one.
    let ids: Vec<String> = runs.iter().map(Run::id).collect();
    let left: Vec<String> = Engine::shared().tags().into_iter().filter(|tag| ids.iter().any(|id| tag.contains(id.as_str()))).collect();
    assert_eq!(left, [""; 0], "names were left");
    drop(container);
}
