//! The main job on a mounted directory, with each builder: what exit 0 means, and that it means it every time.

use crate::harness::prelude::*;

/// A destination in the shared registry that no other test uses.
pub fn destination(test: &str) -> (String, String) {
    let repository = format!("team/{test}");
    (format!("{}/{repository}:1", Registry::shared().host()), repository)
}

#[test]
fn a_directory_is_built_and_pushed_and_exit_0_means_that_it_is_there() {
    promise!(1, 5, 7, 9);
    for builder in builders() {
        let context =
            Context::with("FROM BASE\nCOPY . /src\nRUN echo made > /made\nCMD cat /src/hello\n").file("hello", format!("hello {builder}"));
        let (reference, repository) = destination(&format!("directory-{builder}"));
        let run = Agent::build().directory(context.path()).args(&["-d", &reference, "--builder", builder]).run().ok();

        let registry = Registry::shared();
        assert_eq!(registry.tag(&repository, "1").as_deref(), Some(run.digest()));
        let image = Image::in_registry(registry, run.digest());
        assert_same(&image.below("src"), &on_disk(context.path()), builder);
        assert!(image.holds("made", b"made\n"));

        let by_digest = format!("{}@{}", reference.rsplit_once(':').unwrap().0, run.digest());
        let container = UnderWay::enter();
        let engine = Engine::shared();
        engine.docker_ok(&["pull", "-q", &by_digest]);
        assert_eq!(engine.docker_ok(&["run", "--rm", &by_digest]), format!("hello {builder}"));
        drop(container);

        let document = run.document();
        assert_eq!(document["image"]["tags"][0]["status"], "pushed", "{document}");
        assert_eq!(document["image"]["tags"][0]["verified_by"], "pod", "{document}");
        assert_eq!(document["engine"]["builder"], builder);
        let config = registry.manifest(run.digest())["config"]["digest"].clone();
        assert_eq!(document["image"]["config_digest"], config);
    }
}

#[test]
fn the_agent_has_one_user_one_group_and_nothing_else() {
    promise!(9);
    let context = Context::with("FROM BASE\nCOPY . /src\n");
    let (reference, _) = destination("cage");
    let agent = Agent::build().directory(context.path()).args(&["-d", &reference]);
    let gate = agent.relay.hold("POST", "/build");
    let running = agent.start();
    gate.arrived();
    let proc = format!("/proc/{}", running.pid().expect("the agent is under way"));
    let read = |name: &str| std::fs::read_to_string(format!("{proc}/{name}")).unwrap();
    let status = read("status");
    let mounts = read("mounts");
    let socket_group = std::os::unix::fs::MetadataExt::gid(&std::fs::metadata(Engine::shared().socket()).unwrap()).to_string();
    gate.open();
    running.finish().ok();

    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {status}"));
        line[name.len() + 1..].split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(field("Uid"), ["65532"; 4]);
    assert_eq!(field("Gid"), ["65532"; 4]);
    assert_eq!(field("Groups"), [socket_group]);
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(field(set), ["0000000000000000"], "{set}");
    }
    assert_eq!(field("NoNewPrivs"), ["1"]);
    assert_eq!(field("NSpid").last().unwrap(), "1");
    let root = mounts.lines().find(|line| line.split(' ').nth(1) == Some("/")).expect("a root");
    assert!(root.split(' ').nth(3).unwrap().starts_with("ro"), "{root}");
}

#[test]
fn no_process_is_started() {
    promise!(9);
    for builder in builders() {
        let context = Context::with("FROM BASE\nRUN true\n");
        let (reference, _) = destination("children");
        let run = Agent::build().directory(context.path()).args(&["-d", &reference, "--builder", builder]).traced().run().ok();
        run.assert_no_children();
    }
}

#[test]
fn no_push_means_no_registry_is_touched() {
    promise!(5, 7);
    let context = Context::with("FROM BASE\nRUN true\n");
    let run = Agent::build().directory(context.path()).args(&["--no-push"]).run().ok();
    assert_eq!(run.count("POST", "/images/*/push"), 0);
    assert_eq!(run.document()["image"]["tags"].as_array().map(Vec::len), Some(0));
}

#[test]
fn a_kept_name_stays_on_the_node_and_nothing_else_does() {
    promise!(9);
    let context = Context::with("FROM BASE\nRUN echo kept > /kept\n");
    let name = "kept-by-podwright:1";
    let run = Agent::build().directory(context.path()).args(&["-t", name]).run().ok();
    let engine = Engine::shared();
    assert_eq!(engine.image_id(name).as_deref(), run.document()["image"]["image_id"].as_str());
    engine.docker_ok(&["rmi", "--no-prune", name]);
}
