//! A run that has ended: what it said, what it did, and the rules that hold of every run, whatever it was about.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::agent::Agent;
use super::canary::Sinks;
use super::closed_list::{OWN, is_over, named_by};
use super::engine::Engine;
use super::events::{self, Event};
use super::image::Image;
use super::ledger;
use super::registry::Storage;
use super::rule::Call;

/// Everything that can be known of a run from outside.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: Vec<u8>,
    pub stderr: String,
    pub events: Vec<Event>,
    /// The result file.
    pub result: Option<Value>,
    pub termination: Option<String>,
    /// Peak resident memory, KiB; never below the 10 MiB or so that making the pod takes.
    pub rss_kib: u64,
    pub elapsed: Duration,
    /// What it asked of the engine.
    pub calls: Vec<Call>,
    pub trace: Option<String>,
    json: bool,
    reports: bool,
}

impl Run {
    pub(super) fn gather(agent: &Agent, status: ExitStatus, stdout: Vec<u8>, stderr: &[u8], elapsed: Duration) -> Self {
        let stderr = String::from_utf8_lossy(stderr).into_owned();
        let read = |name: &str| fs::read_to_string(agent.dir.join(name)).ok();
        let json = agent.tells_events();
        let events = if json { events::parse_all(&stdout).unwrap_or_else(|why| panic!("{why}\n{stderr}")) } else { Vec::new() };
        let result = read("out/result.json")
            .map(|text| serde_json::from_str(&text).unwrap_or_else(|e| panic!("the result file is not a JSON document ({e}): {text}")));
        Self {
            code: status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default()),
            stdout,
            stderr,
            events,
            result,
            termination: read("out/termination"),
            rss_kib: read("rss").and_then(|text| text.trim().parse().ok()).unwrap_or_default(),
            elapsed,
            calls: agent.relay.calls(),
            trace: read("trace"),
            json,
            reports: agent.reports(),
        }
    }

    /// The result document, from the last event; from the result file where the events were not read.
    pub fn document(&self) -> &Value {
        let last = self.events.last().map(|event| &event.data);
        last.or(self.result.as_ref()).unwrap_or_else(|| panic!("neither events nor a result\n{}", self.stderr))
    }

    /// The run's own name for itself, from its first line.
    pub fn id(&self) -> String {
        let line = self.stdout.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let envelope: Value = serde_json::from_slice(line).unwrap_or_else(|e| panic!("{e}\n{}", self.story()));
        envelope["run"].as_str().unwrap().to_owned()
    }

    pub fn events_named(&self, name: &str) -> Vec<&Event> {
        self.events.iter().filter(|event| event.name == name).collect()
    }

    /// Exit 0.
    #[track_caller]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{}", self.story());
        self
    }

    /// This end and no other.
    #[track_caller]
    pub fn failed(self, code: i32, reason: &str, phase: &str) -> Self {
        let error = &self.document()["error"];
        let have = (self.code, error["reason"].as_str(), error["phase"].as_str());
        assert_eq!(have, (code, Some(reason), Some(phase)), "{}", self.story());
        let message = error["message"].as_str().unwrap_or_default();
        assert!(!message.is_empty(), "an error without a message");
        self
    }

    /// This end, in whatever phase it is found.
    #[track_caller]
    pub fn ended(self, code: i32, reason: &str) -> Self {
        let phase = self.document()["error"]["phase"].as_str().unwrap_or_default().to_owned();
        self.failed(code, reason, &phase)
    }

    /// The error's message, causes and hint, as a person would read them.
    pub fn words(&self) -> String {
        let error = &self.document()["error"];
        format!("{} {} {}", error["message"], error["causes"], error["hint"])
    }

    /// The digest that the result says was pushed.
    #[track_caller]
    pub fn digest(&self) -> &str {
        self.document()["image"]["digest"].as_str().unwrap_or_else(|| panic!("no digest\n{}", self.story()))
    }

    /// What a developer needs to see when it went otherwise.
    pub fn story(&self) -> String {
        let calls = self.calls.iter().map(|call| format!("{} {} -> {:?}\n", call.method, call.path, call.status));
        format!(
            "exit code {} after {:?}\n{}\n{}\n{}",
            self.code,
            self.elapsed,
            String::from_utf8_lossy(&self.stdout),
            self.stderr,
            calls.collect::<String>()
        )
    }

    /// It ended so soon after this moment of its life; what is checked after its end takes no part in that.
    #[track_caller]
    pub fn ended_within(self, most: Duration, since: Duration) -> Self {
        let took = self.elapsed.saturating_sub(since);
        assert!(took <= most, "it took {took:?}\n{}", self.story());
        self
    }

    /// How many calls to the engine were of this kind.
    pub fn count(&self, method: &str, path: &str) -> usize {
        self.calls.iter().filter(|call| call.is(method, path)).count()
    }

    /// The step with this command line is gone with the run that was stopped. Podman goes on with it, which the run has to say.
    #[track_caller]
    pub fn assert_step_stopped(&self, line: &str) {
        let engine = Engine::shared();
        if engine.podman {
            let told = |event: &&Event| event.data["message"].as_str().is_some_and(|text| text.contains("may go on with its step"));
            assert!(self.events.is_empty() || self.events_named("notice").iter().any(told), "{}", self.story());
            engine.end(line);
        }
        eventually("the step outlived the run", || !engine.runs(line));
    }

    /// Promise 9: from its start on, the program started no other.
    pub fn assert_no_children(&self) {
        let trace = self.trace.as_deref().expect("the run was not traced");
        let own = trace.lines().skip_while(|line| !line.contains("execve(\"/podwright\"")).skip(1);
        for line in own {
            let thread = line.contains("CLONE_THREAD") || line.contains("exited with") || line.contains("resumed>") || line.contains("---");
            assert!(thread, "the agent started a process: {line}");
        }
        assert!(trace.contains("execve(\"/podwright\""), "the trace does not show the agent:\n{trace}");
    }

    /// Everything this run could have leaked into.
    pub fn sinks(&self, agent: &Agent) -> Sinks {
        let mut sinks = Sinks::default();
        sinks.add("standard output", self.stdout.clone()).add("standard error", self.stderr.as_bytes());
        sinks.add_dir(&agent.dir.join("out")).add_dir(&agent.dir.join("workspace"));
        sinks.add("the daemon's log", agent.engine.log());
        for call in self.calls.iter().filter(|call| call.method != "GET") {
            sinks.add(format!("the query of {}", call.path), format!("{:?}", call.query));
        }
        sinks
    }

    pub(super) fn check_calls(&self, agent: &Agent) {
        let violations = agent.relay.violations();
        assert!(violations.is_empty(), "forbidden calls to the daemon: {violations:#?}\n{}", self.story());
        // Podman gives steps the node's network where nobody says otherwise.
        let of_podman =
            |call: &Call| agent.engine.podman && !call.parameter("nsoptions").is_some_and(|text| text.contains("\"Host\":false"));
        let builds = || self.calls.iter().filter(|call| call.is("POST", "/build"));
        let host = builds().any(|call| call.parameter("networkmode") == Some("host") || of_podman(call));
        assert!(!host || agent.allows("host-network"), "the host's network was not allowed by anybody\n{}", self.story());
        let prunes = self.calls.iter().any(|call| call.is("POST", "/build/prune") || call.is("POST", "/images/prune"));
        assert!(!prunes || agent.allows("prune"), "nobody allowed to make room\n{}", self.story());
        let own = format!("/images/{OWN}");
        let id = self.result.as_ref().or(self.events.last().map(|event| &event.data)).and_then(|document| document["run"].as_str());
        for call in self.calls.iter().filter(|call| call.method == "DELETE" && call.path.starts_with(&own)) {
            assert!(id.is_none_or(|id| call.path.contains(id)) || is_over(&call.path), "{} is another run's\n{}", call.path, self.story());
        }
    }

    /// Promises 5, 6, 7 and 9's "nothing left", of every run that ended by itself.
    pub(super) fn check_always(&self, agent: &Agent) {
        self.check_calls(agent);
        if self.json && !(self.code == 2 && self.events.is_empty()) {
            events::check(&self.events, self.code).unwrap_or_else(|why| panic!("{why}\n{}", self.story()));
        }
        self.check_agreement();
        self.check_leftovers(agent);
        self.check_secrets(agent);
        if self.json {
            let error = self.events.last().map(|event| &event.data["error"]);
            let word = |name: &str| error.and_then(|error| error[name].as_str());
            ledger::record_run(self.code, word("reason"), word("phase"));
        }
    }

    /// One truth: the last event, the result file and the termination message.
    fn check_agreement(&self) {
        // Without a command line that is understood there is nobody to tell; and a report may be what failed.
        if self.reports && !matches!(self.code, 2 | 60) {
            assert!(self.result.is_some(), "no result file\n{}", self.story());
            assert!(self.termination.is_some(), "no termination message\n{}", self.story());
        }
        if let Some(result) = &self.result {
            self.check_same(result);
            assert_eq!(result["exit_code"], self.code, "the result file and the exit code differ");
        }
        if let Some(text) = &self.termination {
            assert!(text.len() <= 1_000, "a termination message of {} bytes", text.len());
            let message: Value = serde_json::from_str(text).unwrap_or_else(|e| panic!("termination message ({e}): {text}"));
            assert_eq!(message["exit_code"], self.code, "the termination message and the exit code differ: {text}");
        }
    }

    /// The last event is the result file's document; of one that is too long for a line, what a machine goes by.
    fn check_same(&self, result: &Value) {
        let said = self.document();
        if result.to_string().len() < 7_000 {
            return assert_eq!(result, said, "the result file and run.finished differ");
        }
        for pointer in ["/run", "/outcome", "/exit_code", "/error/reason", "/error/phase", "/image/digest"] {
            assert_eq!(result.pointer(pointer), said.pointer(pointer), "the result file and run.finished differ in {pointer}");
        }
    }

    /// Promise 6: no secret of this run is in anything that it said or made, the images that it pushed among them.
    fn check_secrets(&self, agent: &Agent) {
        let leaks = self.sinks(agent).leaks(&agent.canaries);
        assert!(leaks.is_empty(), "leaked: {leaks:#?}");
        let Some(digest) = self.result.as_ref().and_then(|result| result["image"]["digest"].as_str()) else { return };
        if agent.canaries.is_empty() {
            return;
        }
        let storage = Storage::holding(digest).unwrap_or_else(|| panic!("no registry holds {digest}\n{}", self.story()));
        Image::in_registry(&storage, digest).assert_holds_no(&agent.canaries);
    }

    /// No name of this run's making, and no connection to the engine. A dead run's name, which a sweep that this run's end cut short
    /// may have moved, is the next sweep's.
    fn check_leftovers(&self, agent: &Agent) {
        let named = named_by(&self.calls);
        let own: Vec<&String> = named.iter().filter(|name| name.starts_with(OWN) && !is_over(name)).collect();
        eventually("connections to the engine stayed open after the run", || agent.relay.open() == 0);
        if own.is_empty() || !agent.engine.lives() {
            return;
        }
        let tags = agent.engine.own_tags();
        let bare = |tag: &str| tag.trim_start_matches("docker.io/").to_owned();
        for name in own {
            let name = if name.contains(':') { name.clone() } else { format!("{name}:latest") };
            assert!(!tags.iter().any(|tag| bare(tag) == name), "{name} was left on the engine\n{}", self.story());
        }
    }
}

/// With nobody else under way, there is no container at all.
pub(super) fn check_strays(engine: &Engine) {
    if engine.lives() {
        eventually("containers were left on the engine", || engine.containers().is_empty());
    }
}

/// Looks again for a while: what another process does after ours has ended takes a moment.
pub fn eventually(what: &str, holds: impl Fn() -> bool) {
    within(Duration::from_secs(5), what, holds);
}

/// The same, for what takes longer.
pub fn within(time: Duration, what: &str, holds: impl Fn() -> bool) {
    let until = Instant::now() + time;
    while !holds() {
        assert!(Instant::now() < until, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}
