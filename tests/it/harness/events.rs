//! The grammar of events, checked on every run (promise 5): what an orchestrator may rely on whatever else happened.

use serde_json::Value;

/// One line of standard output.
#[derive(Clone, Debug)]
pub struct Event {
    pub name: String,
    pub phase: String,
    pub seq: u64,
    pub data: Value,
}

/// Log transports cut lines at 8 or 16 KiB.
const LINE_BYTES: usize = 8_000;

const NAMES: &[&str] = &[
    "run.started",
    "run.heartbeat",
    "phase.started",
    "phase.finished",
    "source.waiting",
    "source.progress",
    "source.resolved",
    "context.sent",
    "engine.connected",
    "build.step",
    "build.progress",
    "build.log",
    "build.warning",
    "image.built",
    "push.progress",
    "push.retry",
    "image.pushed",
    "attestation.attached",
    "notice",
    "error",
    "events.dropped",
    "run.cancelling",
    "run.finished",
];

const PHASES: &[&str] = &["prepare", "fetch", "build", "push", "report"];

/// One line, with its envelope checked.
pub fn parse(line: &[u8]) -> Result<Event, String> {
    if line.len() > LINE_BYTES {
        return Err(format!("an event of {} bytes", line.len()));
    }
    let value: Value = serde_json::from_slice(line).map_err(|e| format!("not JSON ({e})"))?;
    let object = value.as_object().ok_or("not an object")?;
    let allowed = ["v", "seq", "time", "event", "level", "run", "phase", "data"];
    if let Some(other) = object.keys().find(|key| !allowed.contains(&key.as_str())) {
        return Err(format!("the envelope has an unknown member {other:?}"));
    }
    let text = |name: &str| value[name].as_str().map(str::to_owned).ok_or(format!("{name} is not a string"));
    if value["v"] != 1 {
        return Err("v is not 1".into());
    }
    let time = text("time")?;
    time::OffsetDateTime::parse(&time, &time::format_description::well_known::Rfc3339).map_err(|e| format!("time {time:?}: {e}"))?;
    if !time.ends_with('Z') {
        return Err(format!("time {time:?} is not in UTC"));
    }
    if !["debug", "info", "warn", "error"].contains(&text("level")?.as_str()) {
        return Err("an unknown level".into());
    }
    let event = Event {
        name: text("event")?,
        phase: text("phase")?,
        seq: value["seq"].as_u64().ok_or("seq is not a number")?,
        data: value["data"].clone(),
    };
    if text("run")?.is_empty() {
        return Err("an empty run".into());
    }
    if !NAMES.contains(&event.name.as_str()) || !PHASES.contains(&event.phase.as_str()) {
        return Err(format!("an unknown event {:?} or phase {:?}", event.name, event.phase));
    }
    if !event.data.is_object() {
        return Err("data is not an object".into());
    }
    Ok(event)
}

/// A whole run's lines.
pub fn parse_all(stdout: &[u8]) -> Result<Vec<Event>, String> {
    if stdout.last().is_some_and(|byte| *byte != b'\n') {
        return Err("the last line has no end".into());
    }
    stdout
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| parse(line).map_err(|why| format!("{why}: {}", String::from_utf8_lossy(&line[..line.len().min(300)]))))
        .collect()
}

/// What holds of the events of every run that came to its end.
pub fn check(events: &[Event], code: i32) -> Result<(), String> {
    let finished = events.last().filter(|event| event.name == "run.finished").ok_or("the last event is not run.finished")?;
    let count = |name: &str| events.iter().filter(|event| event.name == name).count();
    if count("run.finished") != 1 || count("run.started") > 1 {
        return Err("run.finished or run.started more than once".into());
    }
    if count("run.started") == 1 && events[0].name != "run.started" {
        return Err("run.started is not the first event".into());
    }
    check_sequence(events)?;
    if finished.data["exit_code"] != code {
        return Err(format!("the process ended with {code}, run.finished says {}", finished.data["exit_code"]));
    }
    let errors: Vec<&Event> = events.iter().filter(|event| event.name == "error").collect();
    match (code, errors.as_slice()) {
        (0, []) => {
            if finished.data["outcome"] != "success" || !finished.data["error"].is_null() {
                return Err(format!("exit 0 with {}", finished.data));
            }
        }
        (1.., [error]) => {
            if finished.data["error"]["reason"] != error.data["reason"] || error.data["exit_code"] != code {
                return Err(format!("error and run.finished disagree: {} and {}", error.data, finished.data["error"]));
            }
        }
        (_, errors) => return Err(format!("exit code {code} with {} error events", errors.len())),
    }
    let phases: Vec<usize> = events.iter().map(|event| PHASES.iter().position(|phase| *phase == event.phase).unwrap()).collect();
    if !phases.is_sorted() {
        return Err("a phase came back after a later one".into());
    }
    Ok(())
}

/// No holes, but where `events.dropped` says so.
fn check_sequence(events: &[Event]) -> Result<(), String> {
    let mut next = events[0].seq;
    if next > 1 {
        return Err(format!("the first event has seq {next}"));
    }
    for event in events {
        if event.name == "events.dropped" {
            let (first, last) = (event.data["first_seq"].as_u64(), event.data["last_seq"].as_u64());
            if first != Some(next) || last.is_none_or(|last| last < next) {
                return Err(format!("dropped events {first:?} to {last:?}, where {next} came next"));
            }
            next = last.unwrap_or_default() + 1;
        }
        if event.seq != next {
            return Err(format!("{} has seq {}, where {next} comes next", event.name, event.seq));
        }
        next += 1;
    }
    Ok(())
}
