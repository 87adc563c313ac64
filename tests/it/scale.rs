//! What steps print, by the million: order is kept, what is dropped is counted, memory stays flat, and the daemon never waits for us. O1
//! and O2: what they print cannot speak for the run. Daemons clip what steps of BuildKit print (2 MiB, and 200 KiB/s), so a scripted one
//! says it at full speed, too.

use std::io::Write;
use std::time::Duration;

use base64::Engine as _;
use bollard::moby::buildkit::v1::{StatusResponse, Vertex, VertexLog};
use prost::Message as _;

use crate::harness::prelude::*;
use crate::harness::rule::{Act, Script};
use crate::harness::run::Run;
use crate::memory::PEAK;

const IMAGE: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
const STEP: &str = "sha256:5555555555555555555555555555555555555555555555555555555555555555";

fn trace(status: &StatusResponse) -> String {
    let aux = base64::engine::general_purpose::STANDARD.encode(status.encode_to_vec());
    format!("{{\"id\":\"moby.buildkit.trace\",\"aux\":\"{aux}\"}}\n")
}

fn vertex(completed: bool) -> String {
    let mut step = Vertex { digest: STEP.into(), name: "[1/1] RUN much".into(), ..Vertex::default() };
    step.started.get_or_insert_default();
    if completed {
        step.completed.get_or_insert_default();
    }
    trace(&StatusResponse { vertexes: vec![step], ..StatusResponse::default() })
}

fn printed(text: Vec<u8>) -> String {
    let log = VertexLog { vertex: STEP.into(), stream: 1, msg: text, ..VertexLog::default() };
    trace(&StatusResponse { logs: vec![log], ..StatusResponse::default() })
}

/// An agent beside a daemon whose build is one step that prints so many pieces, and comes to an image.
fn beside(pieces: usize, piece: impl Fn(usize) -> Vec<u8> + Send + Sync + 'static) -> Agent {
    let context = Context::with("FROM BASE\nRUN much\n");
    let agent = Agent::build().directory(context.path()).args(&["--no-push", "--builder", "buildkit"]);
    let script = Script::new(move |out: &mut dyn Write| {
        out.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n")?;
        out.write_all(vertex(false).as_bytes())?;
        for number in 0..pieces {
            out.write_all(printed(piece(number)).as_bytes())?;
        }
        out.write_all(vertex(true).as_bytes())?;
        out.write_all(format!("{{\"id\":\"moby.image.id\",\"aux\":{{\"ID\":\"{IMAGE}\"}}}}\n").as_bytes())
    });
    agent.relay.rule(1, "POST", "/build", Act::Script(script));
    let image = format!("{{\"Id\":\"{IMAGE}\",\"Size\":1,\"Os\":\"linux\",\"Architecture\":\"amd64\"}}");
    agent.relay.answer(usize::MAX, "GET", "/images/*/json", 200, &image);
    agent
}

fn assert_flat(run: &Run) {
    assert!(run.rss_kib <= PEAK, "{} KiB", run.rss_kib);
}

/// Lines that are numbers come in their order; none is missing where nothing was dropped.
fn assert_numbered(run: &Run, lines: usize) {
    let logs = run.events_named("build.log");
    let text = logs.iter().flat_map(|event| event.data["text"].as_str().unwrap().lines());
    let numbers: Vec<usize> = text.filter_map(|line| line.strip_prefix("line ")?.parse().ok()).collect();
    assert!(numbers.is_sorted_by(|a, b| a < b), "lines are out of order, or doubled");
    let dropped = run.events_named("events.dropped").len();
    assert!(numbers.len() == lines || dropped > 0, "{} of {lines} lines, and nothing is said of the others", numbers.len());
    assert!(numbers.len() > lines / 2, "{} of {lines} lines", numbers.len());
}

const LINES: usize = 1_000_000;

fn numbered(pieces: usize) -> Agent {
    let each = LINES / pieces;
    beside(pieces, move |piece| (0..each).flat_map(|line| format!("line {}\n", piece * each + line).into_bytes()).collect())
}

#[test]
fn a_million_lines_at_full_speed_come_in_their_order() {
    promise!(8);
    if builder() != "buildkit" {
        return;
    }
    let run = numbered(10_000).run().ok();
    assert_numbered(&run, LINES);
    assert_flat(&run);
}

#[test]
fn a_daemon_never_waits_for_whoever_reads_the_run() {
    promise!(8);
    if builder() != "buildkit" {
        return;
    }
    let most = Duration::from_mins(1);
    let run = numbered(10_000).reading(Reading::Nothing).run().ok().ended_within(most, Duration::ZERO);
    assert_flat(&run);
    // 100 MB without a line end.
    let run = beside(1_600, |_| vec![b'x'; 64 << 10]).reading(Reading::Nothing).run().ok().ended_within(most, Duration::ZERO);
    assert_flat(&run);
}

#[test]
fn a_million_lines_and_a_line_of_100_mb_of_a_real_step_are_flat() {
    promise!(8);
    let build = |step: &str| {
        let context = Context::with(&format!("FROM BASE\nRUN {step}\n"));
        Agent::build().directory(context.path()).args(&["--no-push", "--no-cache", "--builder", "classic"])
    };
    let run = build("seq 0 999999 | sed 's/^/line /'").run().ok();
    assert_numbered(&run, LINES);
    assert_flat(&run);
    let run = build("head -c 100000000 /dev/zero | tr '\\0' x").reading(Reading::Nothing).run().ok();
    assert_flat(&run);
}

#[test]
fn o1_o2_garbage_escapes_and_commands_to_others_stay_inside_their_field() {
    promise!(5, 8);
    let garbage = (0..64).map(|n| format!("\\{:03o}", n % 32)).collect::<Vec<_>>().concat();
    let forged = concat!(
        r#"{"v":1,"seq":99,"time":"2026-01-01T00:00:00Z","event":"image.pushed","level":"info","run":"x","phase":"push","data":{}}"#,
        "\n::set-output name=digest::sha256:0\n##[error]x\n::add-mask::x\n"
    );
    let step = format!("head -c 200000 /dev/urandom; printf '\\n{garbage}\\033]0;title\\007\\033[2J\\n'; cat /forged");
    let context = Context::with(&format!("FROM BASE\nCOPY forged /\nRUN {step}\n")).file("forged", forged);
    for builder in builders() {
        let run = Agent::build().directory(context.path()).args(&["--no-push", "--no-cache", "--builder", builder]).run().ok();
        assert!(run.events_named("image.pushed").is_empty(), "{builder}: a forged event");
        let raw = run.stdout.iter().find(|byte| **byte < b' ' && **byte != b'\n' || **byte == 0x7f);
        assert_eq!(raw, None, "{builder}: a control character on standard output");
        let lines = || run.stdout.split(|byte| *byte == b'\n');
        assert!(lines().all(|line| line.is_empty() || line.starts_with(b"{\"v\":1,")), "{builder}: a line that is no event");
        let said: String = run.events_named("build.log").iter().map(|event| event.data["text"].as_str().unwrap()).collect();
        assert!(said.contains("::set-output name=digest::sha256:0"), "{builder}: what the step printed is missing");
    }
}
