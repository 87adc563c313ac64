//! A daemon that misbehaves: what it does, and the exit code and reason that a run ends with. One table for all of it; what a daemon
//! refuses with a status is in `engine_edges`, and silences of minutes are tested where time can be paused (`src/engine/docker`).

use std::io::{self, Write};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use crate::directory::destination;
use crate::harness::prelude::*;
use crate::harness::rule::{Act, Script};
use crate::harness::run::Run;
use crate::memory::PEAK;

/// What it does, how the run ends, and what its words hold.
type Row = (&'static str, Act, i32, &'static str, &'static str);

const NOBODYS: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const DISK: &str = "write /var/lib/docker/x: no space left on device";

/// What a run may hold, KiB: what any run may, and the longest line of a daemon's.
const MOST: u64 = PEAK + (16 << 10);

/// An answer that ends as it should.
fn answer(status: &str, body: &str) -> Script {
    Script::bytes(format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len()))
}

/// A good head, and a body that goes on when the connection ends.
fn cut(body: &str) -> Script {
    Script::bytes(format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n", body.len()))
}

/// Writes this again and again.
fn endless(begin: &'static [u8], more: &'static [u8]) -> Script {
    Script::new(move |out: &mut dyn Write| -> io::Result<()> {
        out.write_all(begin)?;
        loop {
            out.write_all(more)?;
        }
    })
}

fn fault(message: &str) -> String {
    format!("{{\"errorDetail\":{{\"message\":{message:?}}},\"error\":{message:?}}}\r\n")
}

/// What either builder may be answered to `POST /build`.
fn builds() -> Vec<Row> {
    let image = format!("{{\"id\":\"moby.image.id\",\"aux\":{{\"ID\":\"{NOBODYS}\"}}}}\r\n");
    let script = |script: Script| Act::Script(script);
    let ok = |body: &str| Act::Script(answer("200 OK", body));
    let failed = "{\"errorDetail\":{\"code\":7,\"message\":\"The command '/bin/sh -c x' returned a non-zero code: 7\"},\"error\":\"x\"}\n";
    let garbled_trace = "{\"id\":\"moby.buildkit.trace\",\"aux\":\"%%\"}\n";
    vec![
        ("hangs up before its head", script(Script::bytes("")), 33, "EngineLost", "went away"),
        ("hangs up within its head", script(Script::bytes("HTTP/1.1 200 O")), 33, "EngineLost", "went away"),
        ("never ends its head", script(endless(b"HTTP/1.1 200 OK\r\n", b"x-more: and more\r\n")), 33, "EngineLost", "went away"),
        ("never ends a line of its head", script(endless(b"HTTP/1.1 200 OK\r\nx: ", &[b'x'; 4096])), 33, "EngineLost", "went away"),
        ("speaks something else", script(Script::bytes("SSH-2.0-OpenSSH_9.2\r\n")), 33, "EngineLost", "went away"),
        ("hangs up after its head", script(cut("")), 33, "EngineLost", "went away"),
        ("hangs up in the middle of JSON", script(cut("{\"stream\":\"Step 1/")), 33, "EngineLost", "went away"),
        ("hangs up after an image id", script(cut(&image)), 33, "EngineLost", "went away"),
        ("ends in the middle of JSON", ok("{\"stream\":\"Step 1/"), 33, "EngineLost", "not JSON"),
        ("ends without an image id", ok("{\"stream\":\"Successfully built 0123456789ab\\n\"}\n"), 33, "EngineLost", "without an image id"),
        ("says nothing", ok(""), 33, "EngineLost", "without an image id"),
        ("has not the image that it names", ok(&image), 33, "EngineLost", "no image sha256:0123"),
        ("names no digest", ok("{\"aux\":{\"ID\":\"sha256:01\"}}\n"), 33, "EngineLost", "without an image id"),
        ("is another kind of server", ok("<html>It works!</html>\n"), 33, "EngineLost", "not JSON"),
        ("garbles its trace", ok(garbled_trace), 33, "EngineLost", "trace"),
        ("never ends a line", script(endless(b"HTTP/1.1 200 OK\r\n\r\n{\"stream\":\"", &[b'x'; 65536])), 33, "EngineLost", "longer than"),
        ("fails in a 200", ok(failed), 42, "StepFailed", "non-zero code: 7"),
        ("fails without a detail", ok("{\"error\":\"the moon is in the wrong house\"}\n"), 40, "BuildRejected", "the moon"),
        ("fails after an image id", ok(&(image.clone() + &fault("the moon"))), 40, "BuildRejected", "the moon"),
        ("fails twice", ok(&(fault(DISK) + &fault("unexpected EOF"))), 34, "EngineDiskFull", "no space left"),
        ("fails twice on a line", ok(&format!("{{\"error\":{DISK:?}}}{{\"error\":\"x\"}}\n")), 34, "EngineDiskFull", "no space left"),
        ("fails before it reads", script(answer("400 Bad Request", EARLY).early()), 41, "DockerfileInvalid", "unknown instruction"),
        ("fails in a 200 before it reads", script(answer("200 OK", &fault(DISK)).early()), 34, "EngineDiskFull", "no space left"),
        ("hangs up before it reads", script(Script::bytes("").early()), 33, "EngineLost", "went away"),
        ("sends us elsewhere", script(Script::bytes(ELSEWHERE)), 40, "BuildRejected", "307"),
    ]
}

const EARLY: &str = "{\"message\":\"dockerfile parse error line 1: unknown instruction: FORM\"}";
const ELSEWHERE: &str = "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n";

fn assert_row(run: Run, (what, _, code, reason, words): &Row, phase: &str) {
    let run = run.failed(*code, reason, phase);
    assert!(run.words().contains(words), "{what}: {}", run.words());
    assert!(run.rss_kib <= MOST, "{what}: {} KiB", run.rss_kib);
}

#[test]
fn a_build_that_a_daemon_answers_badly_never_succeeds_and_is_told_for_what_it_is() {
    promise!(1, 5, 8);
    // Longer than what is on its way, so that the daemon may answer while it is still being sent to.
    let context = Context::with("FROM BASE\nCOPY big /\n").file("big", vec![7; 16 << 20]);
    let rows = builders().into_iter().flat_map(|builder| builds().into_iter().map(move |row| (builder, row)));
    let rows = Mutex::new(rows.collect::<Vec<_>>());
    let next = || rows.lock().unwrap().pop();
    // A run that lost its build waits for most of its time.
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((builder, row)) = next() {
                    let agent = Agent::build().directory(context.path());
                    let agent = agent.args(&["--no-push", "--builder", builder, "--limit-engine-wait", "0"]);
                    agent.relay.rule(usize::MAX, "POST", "/build", row.1.clone());
                    assert_row(agent.run(), &row, "build");
                }
            });
        }
    });
}

/// What any daemon may do to the other calls, as often as a run tries them here.
#[test]
fn calls_that_a_daemon_answers_badly_end_by_the_table() {
    promise!(1, 5, 8);
    let html = || Act::Script(answer("200 OK", "<html>It works!</html>"));
    let table: Vec<(&str, &str, &str, Row)> = vec![
        ("GET", "/_ping", "prepare", ("hangs up", Act::CutAnswer { after: 0 }, 30, "EngineUnavailable", "unix:///var/run/docker.sock")),
        ("GET", "/_ping", "prepare", ("is no daemon", html(), 32, "EngineIncompatible", "names no API version")),
        ("GET", "/version", "prepare", ("is no daemon", html(), 30, "EngineUnavailable", "say its version")),
        ("GET", "/info", "prepare", ("hangs up", Act::CutAnswer { after: 300 }, 30, "EngineUnavailable", "describe itself")),
        ("GET", "/images/*/json", "build", ("is no daemon", html(), 33, "EngineLost", "inspect an image")),
        ("POST", "/images/*/tag", "push", ("hangs up", Act::CutAnswer { after: 0 }, 33, "EngineLost", "tag an image")),
        ("POST", "/images/*/push", "push", ("hangs up", Act::Script(cut("{\"status\":\"Pus")), 33, "EngineLost", "push")),
        ("POST", "/images/*/push", "push", ("says no digest", Act::Script(answer("200 OK", "")), 33, "EngineLost", "without a digest")),
        ("POST", "/images/*/push", "push", ("is no daemon", html(), 33, "EngineLost", "not JSON")),
    ];
    let context = Context::with("FROM BASE\nCOPY text /\n").file("text", "1");
    for (method, path, phase, row) in table {
        let (reference, _) = destination("misbehaviour");
        let agent = Agent::build().directory(context.path()).args(&["-d", &reference, "--limit-engine-wait", "0", "--push-retries", "1"]);
        agent.relay.rule(2, method, path, row.1.clone());
        assert_row(agent.run(), &row, phase);
    }
}

#[test]
fn a_push_whose_stream_was_lost_is_tried_again() {
    promise!(1);
    let (reference, repository) = destination("lost-push");
    let context = Context::with("FROM BASE\nCOPY text /\n").file("text", "lost push");
    let agent = Agent::build().directory(context.path()).args(&["-d", &reference]);
    agent.relay.rule(1, "POST", "/images/*/push", Act::Script(cut("{\"status\":\"Pus")));
    let run = agent.run().ok();
    assert_eq!(Registry::shared().tag(&repository, "1").as_deref(), Some(run.digest()));
    assert!(run.events_named("push.retry")[0].data["reason"].as_str().unwrap().starts_with("EngineLost"), "{}", run.story());
}

#[test]
fn a_daemon_that_reads_slowly_or_stops_speaking_keeps_no_run_beyond_its_deadline() {
    promise!(8);
    let context = Context::with("FROM BASE\nCOPY big /\n").file("big", vec![7; 64 << 20]);
    let deadline = Duration::from_secs(3);
    let mut table = vec![("classic", Act::SlowRequest), (builder(), Act::Stall { after: 0 })];
    table.push((builder(), Act::Stall { after: 300 }));
    for (builder, act) in table {
        let agent = Agent::build().directory(context.path()).args(&["--no-push", "--no-cache", "--builder", builder, "--deadline", "3s"]);
        agent.relay.rule(1, "POST", "/build", act);
        let run = agent.run().failed(70, "DeadlineExceeded", "build").ended_within(Duration::from_secs(5), deadline);
        assert!(run.elapsed >= deadline && run.rss_kib <= PEAK, "{:?}, {} KiB", run.elapsed, run.rss_kib);
    }
}
