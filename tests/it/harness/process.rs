//! Peers as real processes on ports of their own, ended when a test lets go of them.

use std::fs::{self, File};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A port of 127.0.0.1 that nobody else is given. The network is the engine's alone, so only this process takes any.
pub fn new_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(20_000);
    loop {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(port < 32_000, "the tests' ports are used up");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A listener on a port of its own.
pub fn new_listener() -> (TcpListener, u16) {
    let port = new_port();
    (TcpListener::bind(("127.0.0.1", port)).unwrap(), port)
}

pub fn signal(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, signal);
    }
}

/// A server that runs as a child process.
#[derive(Debug)]
pub struct Peer {
    child: Child,
    pub port: u16,
    log: PathBuf,
}

impl Peer {
    /// Starts it and returns once it takes connections on the port. What it prints goes to a log in `dir`.
    pub fn start(command: &mut Command, port: u16, dir: &Path) -> Self {
        let log = dir.join("log");
        let out = File::create(&log).unwrap();
        command.stdin(Stdio::null()).stdout(out.try_clone().unwrap()).stderr(out);
        let child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}: tests/run.sh installs what the tests need"));
        let mut peer = Self { child, port, log };
        peer.await_port(command);
        peer
    }

    fn await_port(&mut self, command: &Command) {
        let until = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = self.child.try_wait().unwrap();
            assert!(
                ended.is_none() && Instant::now() < until,
                "{command:?} does not serve on {} ({ended:?}): {}",
                self.port,
                String::from_utf8_lossy(&self.log())
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn log(&self) -> Vec<u8> {
        fs::read(&self.log).unwrap_or_default()
    }
}

impl Peer {
    /// Tells it to go, and waits until it has.
    pub fn stop(&mut self) {
        signal(i32::try_from(self.child.id()).unwrap(), Signal::TERM);
        self.child.wait().unwrap();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
