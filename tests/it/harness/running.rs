//! An agent on its way: its events as they come, signals to it, and its end.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, ExitStatus};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::agent::{Agent, Reading};
use super::engine::Engine;
use super::events::{self, Event};
use super::process;
use super::run::{Run, check_strays};

/// Longer than any run of a test may take.
const PATIENCE: Duration = Duration::from_mins(4);

/// How many agents (and containers of tests) are under way; whoever is the last one out, however it ends, looks for containers
/// that nobody owns. So the end of the tests is never without that look, unless a test has failed.
static UNDER_WAY: Mutex<usize> = Mutex::new(0);

/// Keeps the check for stray containers away while it lives: for agents, and tests that run containers of their own.
pub struct UnderWay(());

impl UnderWay {
    pub fn enter() -> Self {
        *UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        Self(())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut count = UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner);
        *count -= 1;
        // Nobody enters while the check runs.
        if *count == 0 && !thread::panicking() {
            check_strays(Engine::shared());
        }
    }
}

/// The processes around the agent; none of them outlives this.
struct Pod(Child);

impl Pod {
    /// The agent's own process, as this namespace numbers it; none before it is in its pod or after its end.
    fn agent(&self) -> Option<i32> {
        let mut pid = i32::try_from(self.0.id()).ok()?;
        loop {
            let executable = fs::read_link(format!("/proc/{pid}/exe")).ok()?;
            if executable.file_name().is_some_and(|name| name == "podwright") {
                return Some(pid);
            }
            let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
            pid = children.split_whitespace().next()?.parse().ok()?;
        }
    }

    fn kill(&mut self) {
        if let Some(pid) = self.agent() {
            process::signal(pid, Signal::KILL);
        }
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        self.kill();
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A run that has begun.
pub struct Running {
    pub agent: Agent,
    pod: Pod,
    started: Instant,
    lines: Receiver<Vec<u8>>,
    /// Held open where nobody reads it.
    unread: Option<ChildStdout>,
    stdout: Vec<u8>,
    stderr: Option<JoinHandle<Vec<u8>>>,
    under_way: UnderWay,
    killed: bool,
}

impl Running {
    pub(super) fn new(agent: Agent, command: &mut Command) -> Self {
        let under_way = UnderWay::enter();
        let started = Instant::now();
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{}: {e}", command.get_program().display()));
        let (sender, lines) = channel();
        let mut stdout = child.stdout.take();
        let wanted = match agent.reading {
            Reading::All => usize::MAX,
            Reading::Lines(wanted) => wanted,
            Reading::Nothing => 0,
        };
        let unread = stdout.take_if(|_| agent.reading == Reading::Nothing);
        thread::spawn(move || {
            let Some(mut stdout) = stdout.map(BufReader::new) else { return };
            let mut line = Vec::new();
            for _ in 0..wanted {
                let read = stdout.read_until(b'\n', &mut line);
                if !read.is_ok_and(|read| read > 0) || sender.send(std::mem::take(&mut line)).is_err() {
                    break;
                }
            }
        });
        let mut errors = child.stderr.take().unwrap();
        let stderr = thread::spawn(move || {
            let mut text = Vec::new();
            let _ = errors.read_to_end(&mut text);
            text
        });
        Self { agent, pod: Pod(child), started, lines, unread, stdout: Vec::new(), stderr: Some(stderr), under_way, killed: false }
    }

    /// The next event that fits; those before it are kept, and an end before it fails the test.
    pub fn event(&mut self, mut fits: impl FnMut(&Event) -> bool) -> Event {
        loop {
            match self.lines.recv_timeout(PATIENCE.saturating_sub(self.started.elapsed())) {
                Ok(line) => {
                    self.stdout.extend_from_slice(&line);
                    let event = events::parse(line.trim_ascii_end()).unwrap_or_else(|why| panic!("{why}\n{}", self.story()));
                    if fits(&event) {
                        return event;
                    }
                }
                Err(e) => {
                    self.pod.kill();
                    panic!("the event never came ({e})\n{}", self.story());
                }
            }
        }
    }

    fn story(&mut self) -> String {
        let stderr = self.stderr.take().filter(JoinHandle::is_finished).and_then(|thread| thread.join().ok()).unwrap_or_default();
        format!("{}\n{}", String::from_utf8_lossy(&self.stdout), String::from_utf8_lossy(&stderr))
    }

    /// The agent's own process id, while it is in its pod.
    pub fn pid(&self) -> Option<i32> {
        self.pod.agent()
    }

    /// Sends the agent a signal, as an orchestrator does; how far into its life that was.
    pub fn signal(&self, signal: Signal) -> Duration {
        let until = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(pid) = self.pid() {
                process::signal(pid, signal);
                return self.started.elapsed();
            }
            assert!(Instant::now() < until, "there is no agent to send a signal to");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn status(&mut self) -> ExitStatus {
        loop {
            if let Some(status) = self.pod.0.try_wait().unwrap() {
                return status;
            }
            if self.started.elapsed() > PATIENCE {
                self.pod.kill();
                panic!("the run took longer than {PATIENCE:?}\n{}", self.story());
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits for the end; nothing is checked yet.
    fn end(mut self) -> (Run, Agent, UnderWay) {
        loop {
            match self.lines.recv_timeout(PATIENCE.saturating_sub(self.started.elapsed())) {
                Ok(line) => self.stdout.extend_from_slice(&line),
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    self.pod.kill();
                    panic!("the run took longer than {PATIENCE:?}\n{}", self.story());
                }
            }
        }
        let status = self.status();
        drop(self.unread.take());
        let elapsed = self.started.elapsed();
        let stderr = self.stderr.take().map(|thread| thread.join().unwrap()).unwrap_or_default();
        if self.killed {
            // It was in the middle of a line.
            let whole = self.stdout.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            self.stdout.truncate(whole);
        }
        let run = Run::gather(&self.agent, status, self.stdout, &stderr, elapsed);
        (run, self.agent, self.under_way)
    }

    /// Waits for the end and checks everything that holds of every run that ends by itself.
    pub fn finish(self) -> Run {
        let (run, agent, under_way) = self.end();
        run.check_always(&agent);
        if agent.engine.dir != Engine::shared().dir {
            // Nobody else is under way there.
            check_strays(agent.engine);
        }
        drop(under_way);
        run
    }

    /// Kills it without a warning, as a node's kernel may; only the closed list is checked.
    pub fn kill_and_wait(mut self) -> Run {
        self.pod.kill();
        self.killed = true;
        let (run, agent, _under_way) = self.end();
        run.check_calls(&agent);
        run
    }
}
