//! An agent that waits for its source, and those who bring it.

use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::archives::{random_file, tarball};
use crate::harness::prelude::*;
use crate::harness::run::Run;
use crate::harness::running::Running;

/// An agent that waits, and what a sender has to know.
pub struct Waiting {
    pub running: Running,
    pub workspace: PathBuf,
    pub url: String,
    pub token: String,
}

impl Waiting {
    /// Starts it and returns once it says that it waits.
    pub fn start(agent: Agent) -> Self {
        let canary = Canary::token("upload token");
        let file = Engine::shared().new_dir("t").join("token");
        fs::write(&file, format!("{}\n", canary.value)).unwrap();
        let listens = agent.listens();
        let agent = agent.canary(&canary);
        let agent = if listens { agent.readable(&file, "/secrets/token").args(&["--upload-token-file", "/secrets/token"]) } else { agent };
        let workspace = agent.dir.join("workspace");
        let mut running = agent.start();
        let waiting = running.event(|event| event.name == "source.waiting").data;
        let url = waiting["url"].as_str().unwrap_or_default().to_owned();
        Self { running, workspace, url, token: canary.value }
    }

    /// Sends with curl, the token among its arguments; the status and the body.
    pub fn put(&self, arguments: &[&str]) -> (u16, Value) {
        let bearer = format!("Authorization: Bearer {}", self.token);
        curl(&[&["-H", bearer.as_str()], arguments, &[self.url.as_str()]].concat())
    }

    pub fn ready(&self) -> u16 {
        curl(&[&self.url.replace("/source", "/readyz")]).0
    }

    /// A connection for what no client sends.
    pub fn raw(&self) -> TcpStream {
        let stream = TcpStream::connect(self.url.trim_start_matches("http://").trim_end_matches("/source")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream
    }

    /// The head of an upload.
    pub fn head(&self, fields: &str) -> String {
        format!("PUT /source HTTP/1.1\r\nHost: pod\r\nAuthorization: Bearer {}\r\n{fields}\r\n\r\n", self.token)
    }

    pub fn finish(self) -> Run {
        let run = self.running.finish();
        assert_eq!(fs::read_dir(&self.workspace).unwrap().count(), 0, "something is left in the workspace");
        run
    }
}

/// `podwright fetch` that waits, on loopback and at a port of its own.
pub fn fetch(arguments: &[&str]) -> Agent {
    let agent = Agent::command(&["fetch", "--progress", "json", "--workspace", "/workspace", "--output", "/out/prepared"]);
    agent.args(&["--result-file", "/out/result.json", "--termination-message", "/out/termination"]).args(arguments).without_socket()
}

pub fn listening(arguments: &[&str]) -> Agent {
    fetch(&["--upload-listen", "127.0.0.1:0"]).args(arguments)
}

pub fn curl(arguments: &[&str]) -> (u16, Value) {
    let output = Command::new("curl").args(["-sS", "--max-time", "60", "-w", "\n%{http_code}"]).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.trim_end().rsplit_once('\n').unwrap_or(("", text.trim()));
    let status = status.parse().unwrap_or_else(|_| panic!("{arguments:?}: {text} {}", String::from_utf8_lossy(&output.stderr)));
    (status, serde_json::from_str(body.lines().last().unwrap_or_default()).unwrap_or_default())
}

pub fn answer(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    text
}

pub fn archive(noise: u64) -> (PathBuf, Vec<u8>) {
    let context = Context::with("FROM BASE\nCOPY . /src\n").file("text", "uploaded").file("run.sh", "#!/bin/sh\n");
    random_file(&context.path().join("noise"), noise);
    let bytes = tarball(&context, true);
    let path = Engine::shared().new_dir("t").join("source.tgz");
    fs::write(&path, &bytes).unwrap();
    (path, bytes)
}

pub fn assert_receipt(receipt: &Value, bytes: &[u8]) {
    let sha256 = format!("{:x}", Sha256::digest(bytes));
    assert_eq!((receipt["bytes"].as_u64(), receipt["sha256"].as_str()), (Some(bytes.len() as u64), Some(sha256.as_str())), "{receipt}");
    assert_eq!(receipt["files"], 4, "{receipt}");
}

pub fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
