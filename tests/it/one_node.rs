//! What one node keeps of a source is for that source alone, and spares it what was sent before.

use std::fs;
use std::process::Command;

use crate::contexts::{COPY_ALL, ours};
use crate::harness::prelude::*;
use crate::harness::run::Run;

/// Gives everything below a directory one time, so that nothing but the bytes tells two trees apart.
pub fn at_one_time(context: &Context) {
    succeeded(Command::new("find").arg(context.path()).args(["-exec", "touch", "-h", "-d", "2024-02-29T12:00:00Z", "{}", "+"]));
}

#[test]
fn two_sources_that_look_alike_never_mix_on_one_node() {
    promise!(3);
    let trees = ["one", "two"].map(|text| {
        let tree = Context::with(COPY_ALL).file("a", text).file("dir/b", text);
        at_one_time(&tree);
        (tree, text)
    });
    // In turns, so that each finds the other's files on the node.
    for (number, (tree, text)) in trees.iter().chain(&trees).enumerate() {
        let (_, files) = ours(Agent::build().directory(tree.path()), &format!("alike-{number}"), builder());
        assert_same(&files, &on_disk(tree.path()), text);
        let tar = Command::new("tar").arg("-cf-").arg("-C").arg(tree.path()).arg(".").output().unwrap().stdout;
        let (_, files) = ours(Agent::build().stdin(&tar).args(&["--archive", "-"]), &format!("alike-tar-{number}"), builder());
        assert_same(&files, &on_disk(tree.path()), &format!("{text}, archived"));
    }
}

#[test]
fn a_volume_that_is_made_anew_is_another_source() {
    promise!(3);
    let tree = Context::with(COPY_ALL);
    for (number, text) in ["one", "two"].iter().enumerate() {
        // File systems give the number of a removed directory to the next one.
        let dockerfile = fs::read(tree.path().join("Dockerfile")).unwrap();
        fs::remove_dir_all(tree.path()).unwrap();
        fs::create_dir(tree.path()).unwrap();
        let anew = Context(tree.path().to_owned()).file("Dockerfile", dockerfile).file("a", text);
        at_one_time(&anew);
        let (_, files) = ours(Agent::build().directory(anew.path()), &format!("anew-{number}"), builder());
        assert_same(&files, &on_disk(anew.path()), text);
    }
}

#[test]
fn of_a_source_that_is_built_again_only_what_changed_is_sent() {
    let tree =
        (0..60).fold(Context::with(COPY_ALL), |tree, number| tree.file(format!("dir{}/file{number}", number % 7), number.to_string()));
    let sent = |run: &Run| run.events_named("context.sent")[0].data["files"].as_u64().unwrap();
    let (first, _) = ours(Agent::build().directory(tree.path()), "again-1", builder());
    assert!(sent(&first) >= 60, "{}", first.story());
    let tree = tree.file("dir3/file3", "changed");
    let (second, files) = ours(Agent::build().directory(tree.path()), "again-2", builder());
    assert_same(&files, &on_disk(tree.path()), "the second");
    // The file, and the Dockerfile, which is asked for by itself; the classic builder is told everything each time.
    assert_eq!(sent(&second) <= 3, builder() == "buildkit", "{} files were sent again", sent(&second));
}
