//! Promise 8: what a run holds in memory grows neither with the size of its input nor with the number of its files.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::archives::random_file;
use crate::harness::prelude::*;
use crate::harness::run::Run;

/// What a run of any input may hold at its peak, KiB.
pub const PEAK: u64 = 48 << 10;

fn assert_flat(run: Run, what: &str) {
    let run = run.ok();
    assert!(run.rss_kib > 0 && run.rss_kib <= PEAK, "{what}: {} KiB", run.rss_kib);
}

fn pack(dir: &Path, tar: &Path) {
    succeeded(Command::new("tar").arg("-cf").arg(tar).arg("-C").arg(dir).arg("."));
}

#[test]
fn memory_does_not_grow_with_the_size_of_the_input() {
    promise!(8);
    let server = GitServer::start(&GitDemands::default());
    let url = server.file("big.tar", b"");
    let context = Context::with("FROM BASE\nCOPY big /\n");
    random_file(&context.path().join("big"), 128 << 20);
    pack(context.path(), &server.files().join("big.tar"));
    for builder in builders() {
        let build = |agent: Agent| agent.args(&["--no-push", "--builder", builder]).run();
        assert_flat(build(Agent::build().directory(context.path())), &format!("{builder}, a directory"));
        let archive = Agent::build().args(&["--archive", &url, "--allow", "plain-http"]);
        assert_flat(build(archive), &format!("{builder}, an archive by URL"));
    }
    fs::remove_file(context.path().join("big")).unwrap();
    fs::remove_file(server.files().join("big.tar")).unwrap();
}

#[test]
fn memory_does_not_grow_with_the_number_of_files() {
    promise!(8);
    let context = Context::with("FROM BASE\nCOPY dir1 /\n");
    for number in 0..20_000 {
        let dir = context.path().join(format!("dir{}/with-a-name-of-some-length-{}", number % 10, number % 200));
        if number < 200 {
            fs::create_dir_all(&dir).unwrap();
        }
        fs::write(dir.join(format!("a-file-with-a-number-{number}.txt")), "x").unwrap();
    }
    let tar = Engine::shared().new_dir("t").join("many.tar");
    pack(context.path(), &tar);
    // The daemon takes its time with many files, so each source and each builder has one turn.
    let build = |agent: Agent, builder: &str| agent.args(&["--no-push", "--builder", builder]).run();
    assert_flat(build(Agent::build().directory(context.path()), builder()), "buildkit, a directory");
    let archive = Agent::build().readable(&tar, "/in/many.tar").args(&["--archive", "/in/many.tar"]);
    assert_flat(build(archive, "classic"), "classic, an archive");
}
