//! The volume between two containers, which others may write to.

use std::os::unix::fs::symlink;
use std::time::Instant;

use super::*;
use crate::event::{Event, EventSink};
use crate::model::memory::MemoryTree;
use crate::model::tree::Revision;
use crate::pipeline::cancel::Cancel;

struct Silent;

impl EventSink for Silent {
    fn emit(&self, _: Event) {}
}

fn services() -> Services {
    Services { run: "r".into(), events: Arc::new(Silent), redactor: Arc::default(), cancel: Cancel::default(), begun: Instant::now() }
}

fn source() -> Arc<dyn SourceTree> {
    Arc::new(MemoryTree::new(Revision { kind: "dockerfile".into(), ..Revision::default() }, Vec::new()))
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_link_put_in_the_place_of_the_file_is_never_written_through() {
    let home = tempfile::tempdir().unwrap();
    let (dir, victim) = (home.path().join("out"), home.path().join("victim"));
    fs::write(&victim, "precious").unwrap();
    let outbox = Outbox::claim(&dir, "one").unwrap();
    let [temporary] = &names(&dir)[..] else { panic!("one file") };
    fs::remove_file(dir.join(temporary)).unwrap();
    symlink(&victim, dir.join(temporary)).unwrap();
    fs::write(dir.join(SOURCE), "old").unwrap();
    assert!(outbox.fill(source(), 1 << 20, &services()).await.is_err());
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
    assert_eq!(fs::read(dir.join(SOURCE)).unwrap(), b"old", "what is there stays as long as nothing takes its place");
}

#[tokio::test]
async fn a_fetch_that_was_stopped_publishes_nothing() {
    let home = tempfile::tempdir().unwrap();
    let outbox = Outbox::claim(home.path(), "one").unwrap();
    let services = services();
    let sent = outbox.write(source().as_ref(), 1 << 20, &services).unwrap();
    fs::write(home.path().join(SOURCE), "old").unwrap();
    services.cancel.cancel(Reason::Terminated);
    assert!(matches!(outbox.publish(source().as_ref(), &sent, &services), Err(OutboxError::Stopped)));
    outbox.discard();
    assert_eq!(names(home.path()), [SOURCE]);
    assert_eq!(fs::read(home.path().join(SOURCE)).unwrap(), b"old");
}

#[tokio::test]
async fn what_a_killed_fetch_left_is_taken_away_and_a_living_one_is_not() {
    let home = tempfile::tempdir().unwrap();
    let kept = home.path().join(".podwright-fetch-link.tmp");
    fs::write(home.path().join(".podwright-fetch-dead.tmp"), "left").unwrap();
    fs::write(home.path().join("other.tmp"), "not ours").unwrap();
    symlink("other.tmp", &kept).unwrap();
    let living = Outbox::claim(home.path(), "living").unwrap();
    let second = Outbox::claim(home.path(), "second").unwrap();
    let expected = [".podwright-fetch-link.tmp", ".podwright-fetch-living.0.tmp", ".podwright-fetch-second.0.tmp", "other.tmp"];
    assert_eq!(names(home.path()), expected);
    second.discard();
    fs::remove_file(kept).unwrap();
    living.fill(source(), 1 << 20, &services()).await.unwrap();
    assert_eq!(names(home.path()), [CONTEXT, "other.tmp", SOURCE]);
}
