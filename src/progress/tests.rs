//! Claims about the whole way from `emit` to the descriptor, with real pipes.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::OwnedFd;
use std::sync::mpsc;
use std::time::Instant;

use proptest::prelude::*;
use secrecy::SecretString;
use serde_json::Value;

use super::*;
use crate::event::{Step, StepLog};
use crate::model::result::{Document, FailedStep, SCHEMA, Steps, Timing};
use crate::model::{Failure, Outcome, Phase, Reason};

mod shortened;

const ENOUGH: Duration = Duration::from_secs(20);

/// So long and no longer, and nothing is skipped.
fn within(most: Duration) -> Patience {
    Patience { skip: most, quiet: most, most }
}

fn start(mode: Mode, redactor: Redactor) -> (Progress, std::io::PipeReader) {
    let (reader, writer) = std::io::pipe().unwrap();
    (Progress::start_on(Options::new(mode, "run-1"), Arc::new(redactor), OwnedFd::from(writer)), reader)
}

/// Everything these events come to.
fn written(mode: Mode, redactor: Redactor, events: impl IntoIterator<Item = Event>) -> String {
    let (progress, mut reader) = start(mode, redactor);
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).unwrap();
        sender.send(bytes).unwrap();
    });
    events.into_iter().for_each(|event| progress.emit(event));
    assert!(progress.finish(within(ENOUGH)));
    drop(progress);
    String::from_utf8(receiver.recv_timeout(ENOUGH).unwrap()).unwrap()
}

/// The events as a program reads them, each line checked.
fn parsed(text: &str) -> Vec<Value> {
    let check = |line: &str| {
        assert!(line.len() < LINE_BYTES, "{} bytes", line.len());
        assert!(!line.chars().any(char::is_control), "{line:?}");
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    };
    text.split_terminator('\n').map(check).collect()
}

fn json(events: impl IntoIterator<Item = Event>) -> Vec<Value> {
    parsed(&written(Mode::Json, Redactor::default(), events))
}

fn log(text: impl Into<String>) -> Event {
    Event::BuildLog(StepLog { step: "step-1".into(), stream: 1, text: text.into(), ..StepLog::default() })
}

fn part(text: &str) -> Event {
    Event::BuildLog(StepLog { step: "step-1".into(), stream: 1, text: text.into(), partial: true, clipped: false })
}

fn document(failed: Option<FailedStep>) -> Document {
    let error = failed.as_ref().map(|_| Failure::plain(Phase::Build, Reason::StepFailed, "m".repeat(20_000)));
    let (outcome, exit_code) = if error.is_some() { (Outcome::Failure, 42) } else { (Outcome::Success, 0) };
    Document {
        schema: SCHEMA,
        run: "run-1".into(),
        name: None,
        outcome,
        exit_code,
        error,
        source: None,
        image: None,
        engine: None,
        timing: Timing(vec![(Phase::Build, 61_000)]),
        steps: Steps { total: 3, cached: 1, failed },
        warnings: 0,
    }
}

/// Every number is either a line's own or in a range that `events.dropped` names.
fn no_holes(events: &[Value]) {
    let mut next = 1;
    for event in events {
        if event["event"] == "events.dropped" {
            assert_eq!(event["data"]["first_seq"], next);
            next = event["data"]["last_seq"].as_u64().unwrap() + 1;
            assert_eq!(event["data"]["events"].as_u64().unwrap(), next - event["data"]["first_seq"].as_u64().unwrap());
        }
        assert_eq!(event["seq"], next, "{event}");
        next += 1;
    }
}

#[test]
fn events_come_in_order_in_the_contracts_envelope() {
    let events = json([
        Event::Notice { message: "first".into(), hint: None },
        Event::PhaseStarted { phase: Phase::Build },
        log("hello"),
        Event::RunFinished(Box::new(document(None))),
        log("after the end"),
    ]);
    no_holes(&events);
    let keys: Vec<&String> = events[0].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["v", "seq", "time", "event", "level", "run", "phase", "data"]);
    let names: Vec<(&str, &str)> = events.iter().map(|e| (e["event"].as_str().unwrap(), e["phase"].as_str().unwrap())).collect();
    let want = [("notice", "prepare"), ("phase.started", "build"), ("build.log", "build"), ("run.finished", "build")];
    assert_eq!(names, want, "the last event is always run.finished");
    assert!(events[0]["time"].as_str().unwrap().ends_with('Z'));
    assert_eq!(events[2]["data"], serde_json::json!({"step": "step-1", "stream": 1, "text": "hello"}));
}

#[test]
fn a_reader_that_sleeps_never_keeps_anybody_waiting() {
    let (progress, reader) = start(Mode::Json, Redactor::default());
    let before = Instant::now();
    for n in 0..40_000 {
        progress.emit(log(format!("{n} {}", "x".repeat(1000))));
        if n % 10_000 == 0 {
            progress.emit(Event::Notice { message: format!("notice {n}"), hint: None });
        }
    }
    assert!(before.elapsed() < Duration::from_secs(5), "{:?}", before.elapsed());
    assert!(progress.queue.bytes() <= queue::CAPACITY + 4096);
    progress.emit(Event::RunFinished(Box::new(document(None))));
    let before = Instant::now();
    assert!(!progress.finish(within(Duration::from_millis(300))), "nobody read");
    assert!(before.elapsed() < Duration::from_secs(2));

    // The reader wakes up: everything that was kept is there, and the gaps are told.
    let lines: Vec<String> = BufReader::new(reader).lines().map(Result::unwrap).collect();
    let events = parsed(&lines.join("\n"));
    no_holes(&events);
    let count = |name: &str| events.iter().filter(|event| event["event"] == name).count();
    assert_eq!((count("notice"), count("run.finished")), (4, 1));
    let told: u64 = events.iter().filter(|e| e["event"] == "events.dropped").map(|e| e["data"]["events"].as_u64().unwrap()).sum();
    assert!(told > 20_000, "{told}");
    assert_eq!(count("build.log") as u64 + told, 40_000);
}

#[test]
fn a_slow_reader_gets_the_end() {
    let (progress, mut reader) = start(Mode::Json, Redactor::default());
    for n in 0..20_000 {
        progress.emit(log(format!("{n} {}", "x".repeat(300))));
        if n == 19_000 {
            progress.emit(Event::Notice { message: "kept".into(), hint: None });
        }
    }
    progress.emit(Event::RunFinished(Box::new(document(None))));
    // A pipe's worth in a second: the whole queue would take minutes.
    let reading = thread::spawn(move || {
        let mut bytes = vec![0; 4096];
        let mut all = Vec::new();
        while let Some(read) = reader.read(&mut bytes).ok().filter(|read| *read > 0) {
            all.extend_from_slice(&bytes[..read]);
            thread::sleep(Duration::from_millis(if all.ends_with(b"\n") { 60 } else { 50 }));
        }
        all
    });
    let before = Instant::now();
    assert!(progress.finish(Patience::ENDED), "the end was not written");
    assert!(before.elapsed() < Duration::from_secs(5), "{:?}", before.elapsed());
    drop(progress);
    let events = parsed(&String::from_utf8(reading.join().unwrap()).unwrap());
    no_holes(&events);
    let names: Vec<&str> = events.iter().rev().take(4).map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(names, ["run.finished", "events.dropped", "notice", "events.dropped"]);
}

#[test]
fn a_reader_that_goes_away_is_noticed_and_nothing_else_happens() {
    let (progress, reader) = start(Mode::Json, Redactor::default());
    drop(reader);
    for _ in 0..1000 {
        progress.emit(log("nobody"));
    }
    assert!(!progress.finish(within(ENOUGH)));
    assert!(progress.queue.is_lost());
}

#[test]
fn a_descriptor_that_cannot_be_written_is_a_lost_reader() {
    let readonly = OwnedFd::from(File::open("/dev/null").unwrap());
    let progress = Progress::start_on(Options::new(Mode::Plain, "r"), Arc::default(), readonly);
    progress.emit(Event::Notice { message: "x".into(), hint: None });
    assert!(!progress.finish(within(ENOUGH)));
    assert!(progress.queue.is_lost());
}

#[test]
fn silence_is_broken_by_a_heartbeat() {
    let (reader, writer) = std::io::pipe().unwrap();
    let options = Options { heartbeat: Duration::from_millis(30), ..Options::new(Mode::Json, "r") };
    let progress = Progress::start_on(options, Arc::default(), OwnedFd::from(writer));
    let mut lines = BufReader::new(reader).lines();
    for least in [30, 60] {
        let event: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(event["event"], "run.heartbeat");
        assert!(event["data"]["silent_ms"].as_u64().unwrap() >= least, "a heartbeat is no progress: {event}");
    }
    progress.finish(within(ENOUGH));
}

#[test]
fn a_line_of_100_mb_stays_flat_and_whole() {
    let (progress, reader) = start(Mode::Json, Redactor::default());
    let sender = progress.clone();
    let emitted = thread::spawn(move || {
        let chunk = "😀".repeat(16 << 10);
        for _ in 0..1600 {
            while sender.queue.bytes() > queue::CAPACITY / 2 {
                thread::yield_now();
            }
            sender.emit(part(&chunk));
        }
        sender.emit(log("end"));
        assert!(sender.finish(within(ENOUGH * 3)));
    });
    drop(progress);
    let (mut bytes, mut last) = (0, Value::Null);
    for line in BufReader::new(reader).lines() {
        let line = line.unwrap();
        assert!(line.len() < LINE_BYTES);
        last = serde_json::from_str(&line).unwrap();
        let text = last["data"]["text"].as_str().unwrap();
        bytes += text.len();
        assert_eq!(last["data"]["partial"] == true, text != "end");
    }
    emitted.join().unwrap();
    assert_eq!(bytes, 1600 * (64 << 10) + 3);
    assert_eq!(last["data"]["text"], "end");
}

#[test]
fn one_event_larger_than_the_queue_is_cut_before_it_waits() {
    let events = json([log("y".repeat(1 << 20))]);
    assert!(events.len() > 128);
    let all: String = events.iter().map(|event| event["data"]["text"].as_str().unwrap()).collect();
    assert_eq!(all.len(), 1 << 20);
    let goes_on = events.iter().filter(|event| event["data"]["partial"] == true).count();
    assert_eq!(goes_on, events.len() - 1);
}

#[test]
fn a_forged_event_stays_inside_its_field() {
    let forged = r#"{"v":1,"seq":2,"event":"image.pushed","data":{"digest":"sha256:00"}}"#;
    let text = format!("x\n{forged}\r\n\"}}}}\n{forged}");
    let events = json([log(text.clone())]);
    assert_eq!(events.len(), 1);
    assert_eq!((&events[0]["event"], &events[0]["data"]["text"]), (&"build.log".into(), &text.into()));

    let plain = written(Mode::Plain, Redactor::default(), [log("x\n#9 DONE 0.1s\nSUCCESS (exit code 0)\r\nfake\rpushed a/b@sha256:00")]);
    assert!(plain.lines().all(|line| line.starts_with("#1 0.")), "{plain}");
}

#[test]
fn no_secret_leaves_in_any_form_or_over_any_cut() {
    let secret = "hun\"ter2\\é/very-secret-value";
    let events = [
        log(format!("{}{secret}{}", "a".repeat(7_900), "b".repeat(9_000))),
        log(format!("{}{secret}", "c".repeat(split::PIECE_BYTES - 10))),
        part("first hun\"ter2"),
        part("\\é/very-se"),
        log("cret-value last"),
        log(serde_json::json!({ "token": secret }).to_string()),
        Event::Notice { message: format!("{}{secret}", "d".repeat(4_090)), hint: Some(secret.into()) },
        Event::Failed(Box::new(Failure::plain(Phase::Push, Reason::PushAuth, format!("with {secret}")))),
    ];
    for mode in [Mode::Json, Mode::Plain] {
        let redactor = Redactor::default();
        redactor.add(&SecretString::from(secret));
        let text = written(mode, redactor, events.clone());
        for leak in ["hun", "ter2", "very", "secret", "cret-value"] {
            assert!(!text.contains(leak), "{leak} in {text}");
        }
        assert!(text.matches("[redacted]").count() >= 6);
    }
}

#[test]
fn a_secret_made_of_json_still_gives_json() {
    for secret in ["nabcdefgh", "\"data\":{\"", "build.log", "\",\"text\":\"", "run-1\",\"phase"] {
        let redactor = Redactor::default();
        redactor.add(&SecretString::from(secret));
        let events = parsed(&written(Mode::Json, redactor, [log("\nabcdefgh and more")]));
        assert_eq!(events.len(), 1, "{secret}");
    }
}

#[test]
fn run_finished_fits_whatever_it_holds() {
    let failed = FailedStep { name: "RUN ".repeat(5_000), exit_code: Some(7), log: vec!["\u{1}😀".repeat(400); 100] };
    let events = json([Event::RunFinished(Box::new(document(Some(failed))))]);
    let data = &events[0]["data"];
    assert_eq!((&data["exit_code"], &data["error"]["reason"]), (&42.into(), &"StepFailed".into()));
    assert_eq!(data["steps"]["failed"]["exit_code"], 7);
    assert!(data["error"]["message"].as_str().unwrap().ends_with('…'));

    let short = FailedStep { name: "RUN false".into(), exit_code: Some(1), log: vec!["x".repeat(500); 30] };
    let mut document = document(Some(short));
    document.error = None;
    let events = json([Event::RunFinished(Box::new(document))]);
    assert_eq!(events[0]["data"]["steps"]["failed"]["log"].as_array().unwrap().len(), 5, "the last lines go last");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_bytes_in_any_field_give_lines_that_parse(
        bytes in prop::collection::vec(any::<u8>(), 0..3_000), repeat in 1usize..20, partial in any::<bool>(),
    ) {
        let text = String::from_utf8_lossy(&bytes).repeat(repeat);
        let events = [
            Event::BuildLog(StepLog { step: text.clone(), stream: 2, text: text.clone(), partial, clipped: true }),
            Event::BuildStep(Step { id: text.clone(), name: text.clone(), inputs: vec![text.clone(); 3], started: Some(text.clone()),
                completed: Some(text.clone()), cached: false, error: Some(text.clone()) }),
            Event::Notice { message: text.clone(), hint: Some(text.clone()) },
        ];
        no_holes(&json(events.clone()));
        let plain = written(Mode::Plain, Redactor::default(), events);
        prop_assert!(plain.split('\n').all(|line| line.len() < LINE_BYTES && line.chars().all(|c| c == '\t' || !c.is_control())));
    }
}

#[test]
fn people_see_what_docker_build_taught_them() {
    let step = |id: &str, name: &str, completed: Option<&str>| Step {
        id: id.into(),
        name: name.into(),
        started: Some("2026-01-01T00:00:00Z".into()),
        completed: completed.map(str::to_owned),
        ..Step::default()
    };
    let cached = Step { cached: true, ..step("b", "[1/2] FROM alpine", Some("2026-01-01T00:00:00Z")) };
    let failing = step("c", "[2/2] RUN make", None);
    let failed = Step { error: Some("exit code: 7".into()), ..step("c", "[2/2] RUN make", Some("2026-01-01T00:00:01.5Z")) };
    let last = FailedStep { name: "[2/2] RUN make".into(), exit_code: Some(7), log: vec!["\x1b[31mno rule\x1b[0m".into()] };
    let mut end = document(Some(last));
    end.error = Some(Failure::plain(Phase::Build, Reason::StepFailed, "step failed"));
    let text = written(
        Mode::Plain,
        Redactor::default(),
        [
            Event::PhaseStarted { phase: Phase::Build },
            Event::BuildStep(Step { started: None, ..step("z", "never started", None) }),
            Event::BuildStep(step("a", "[internal] load .dockerignore", None)),
            Event::BuildStep(step("a", "[internal] load .dockerignore", Some("2026-01-01T00:00:02.3Z"))),
            Event::BuildStep(cached),
            Event::BuildStep(failing),
            Event::BuildLog(StepLog { step: "c".into(), stream: 1, text: "50%\r100%\nok".into(), ..StepLog::default() }),
            Event::BuildStep(failed),
            Event::RunFinished(Box::new(end)),
        ],
    );
    let timeless = regex::Regex::new(r"#3 0\.\d{3}").unwrap().replace_all(&text, "#3 0.0").into_owned();
    let want = "\
==> build
#1 [internal] load .dockerignore
#1 DONE 2.3s

#2 [1/2] FROM alpine
#2 CACHED

#3 [2/2] RUN make
#3 0.0 100%
#3 0.0 ok
#3 ERROR: exit code: 7

------
 > [2/2] RUN make (exit code 7):
 | no rule
------
FAILED: StepFailed (exit code 42), the request or the source is at fault
  Steps     3, 1 from the cache
  Time      1m01s (build 1m01s)
";
    assert_eq!(timeless, want);
}
