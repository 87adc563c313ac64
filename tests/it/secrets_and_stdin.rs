//! What a request's own directories may lead to, and what a standard input that never ends may hold up.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::directory::destination;
use crate::harness::prelude::*;
use crate::harness::running::Running;

const SOURCE: &str = "FROM scratch\nCOPY Dockerfile /\n";

/// A secret directory whose keys are these links.
fn links(dir: &Path, links: &[(&str, &str)]) {
    fs::create_dir(dir).unwrap();
    for (name, target) in links {
        symlink(target, dir.join(name)).unwrap();
    }
}

#[test]
fn no_link_in_a_registrys_secret_leads_out_of_what_may_be_read() {
    promise!(6);
    let canary = Canary::token("another volume's token");
    let table = [
        (&[("config.json", "/proc/self/environ")][..], None),
        (&[("..data", "/proc/self"), ("config.json", "..data/environ")], None),
        (&[("config.json", "/other/token")], Some("/src,/secrets")),
        (&[("username", "/other/token"), ("password", "/other/token")], Some("/src,/secrets")),
    ];
    for (index, (keys, roots)) in table.into_iter().enumerate() {
        let context = Context::new().file("Dockerfile", SOURCE);
        let (reference, _) = destination("linked");
        let agent = Agent::build().directory(context.path()).args(&["-d", &reference, "--registry-secret", "/secrets/registry"]);
        let (secret, other) = (agent.dir.join("secret"), agent.dir.join("other"));
        links(&secret, keys);
        fs::create_dir(&other).unwrap();
        fs::write(other.join("token"), &canary.value).unwrap();
        let agent = agent.readable(&secret, "/secrets/registry").readable(&other, "/other").canary(&canary);
        let agent = roots.into_iter().fold(agent, |agent, roots| agent.env("PODWRIGHT_ALLOW_PATH", roots));
        let run = agent.run().failed(13, "NotPermitted", "prepare");
        assert_eq!(run.count("POST", "/build") + run.count("POST", "/session"), 0, "{index}: {}", run.story());
    }
}

/// Something to read from that never says anything and never ends, while the handle lives.
fn silence(path: &Path) -> fs::File {
    let _ = fs::remove_file(path);
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, rustix::fs::Mode::from_raw_mode(0o644), 0).unwrap();
    fs::OpenOptions::new().read(true).write(true).open(path).unwrap()
}

/// Waits until the agent has taken SIGTERM into its own hands: before, process 1 would not notice one.
fn until_it_listens(running: &Running) {
    let bit = 1u64 << (Signal::TERM.as_raw() - 1);
    eventually("the agent never listened for SIGTERM", || {
        let status = running.pid().and_then(|pid| fs::read_to_string(format!("/proc/{pid}/status")).ok()).unwrap_or_default();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
        caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & bit != 0)
    });
}

/// The three ways in which a run waits for what never comes, and the phase it waits in.
fn stalled() -> Vec<(Agent, fs::File, &'static str)> {
    let waiting = |arguments: &[&str], phase| {
        let agent = Agent::build().stdin(b"").args(arguments);
        let held = silence(&agent.dir.join("stdin"));
        (agent, held, phase)
    };
    let (fifo, held, phase) = waiting(&["--request", "/request"], "prepare");
    let path = fifo.dir.join("stdin");
    let fifo = fifo.readable(&path, "/request");
    vec![waiting(&["--archive", "-", "--no-push"], "fetch"), waiting(&["--request", "-", "--no-push"], "prepare"), (fifo, held, phase)]
}

#[test]
fn a_standard_input_that_stalls_holds_up_no_signal() {
    promise!(5, 8, 10);
    for (signal, code) in [(Signal::TERM, 143), (Signal::INT, 130)] {
        for (agent, held, phase) in stalled() {
            let mut running = agent.start();
            until_it_listens(&running);
            if phase == "fetch" {
                running.event(|event| event.name == "phase.started" && event.phase == "fetch");
            }
            let told = Instant::now();
            running.signal(signal);
            let run = running.finish().failed(code, "Cancelled", phase);
            assert!(told.elapsed() < Duration::from_secs(5), "it took {:?}", told.elapsed());
            assert_eq!(run.events_named("run.cancelling").len(), 1);
            assert!(run.result.is_some() && run.termination.is_some(), "{}", run.story());
            drop(held);
        }
    }
}

#[test]
fn a_standard_input_that_stalls_holds_up_no_deadline() {
    promise!(5, 8);
    for (agent, held, phase) in stalled() {
        let run = agent.args(&["--deadline", "2s"]).run().failed(70, "DeadlineExceeded", phase);
        assert!((2..=7).contains(&run.elapsed.as_secs()), "{:?}", run.elapsed);
        assert!(run.result.is_some(), "{}", run.story());
        drop(held);
    }
}
