//! `podwright receive`: an archive on its standard input goes to the agent that waits in the same pod. It may be cut or killed
//! anywhere on the way, and is then no upload.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::harness::agent::UID;
use crate::harness::prelude::*;
use crate::waiting::{Waiting, archive, assert_receipt};

const SOCKET: &str = "podwright-receive.sock";

/// An agent that waits at the socket in its workspace.
fn waiting(arguments: &[&str]) -> Waiting {
    let agent =
        Agent::command(&["fetch", "--progress", "json", "--workspace", "/workspace", "--output", "/out/prepared", "--upload-socket"]);
    let agent = agent.args(&["--result-file", "/out/result.json", "--termination-message", "/out/termination"]).args(arguments);
    Waiting::start(agent.without_socket())
}

/// `podwright receive` as root, who has to name the socket of an agent that is not.
fn receive(workspace: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_podwright"));
    command.arg("receive").arg("--socket").arg(workspace.join(SOCKET)).args(arguments).env_clear();
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it with this as its whole standard input.
fn send(workspace: &Path, arguments: &[&str], bytes: &[u8]) -> (i32, Value) {
    let mut child = receive(workspace, arguments).spawn().unwrap();
    // It may be refused before it is read.
    let _ = child.stdin.take().unwrap().write_all(bytes);
    ended(&child.wait_with_output().unwrap())
}

fn ended(output: &Output) -> (i32, Value) {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(text.lines().count(), 1, "{text}{}", String::from_utf8_lossy(&output.stderr));
    (output.status.code().unwrap(), serde_json::from_str(&text).unwrap())
}

/// One that has sent a part and goes on to hold its standard input open.
fn held(workspace: &Path, part: &[u8]) -> Child {
    let mut child = receive(workspace, &[]).spawn().unwrap();
    child.stdin.as_mut().unwrap().write_all(part).unwrap();
    child
}

fn hex(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

#[test]
fn what_is_piped_in_is_the_source_and_the_receipt_says_what_was_taken() {
    promise!(4, 9);
    let (_, bytes) = archive(3 << 20);
    let waiting = waiting(&[]);
    let socket = fs::symlink_metadata(waiting.workspace.join(SOCKET)).unwrap();
    assert_eq!((socket.permissions().mode() & 0o777, socket.uid()), (0o600, UID), "the socket is its user's alone");
    let (code, receipt) = send(&waiting.workspace, &["--sha256", &hex(&bytes), "--bytes", &bytes.len().to_string()], &bytes);
    assert_eq!(code, 0, "{receipt}");
    assert_receipt(&receipt, &bytes);
    let run = waiting.finish().ok();
    assert_eq!(run.document()["source"]["digest"], format!("sha256:{}", hex(&bytes)));
    assert!(run.rss_kib <= 48 << 10, "{} KiB", run.rss_kib);
}

/// A7, A9: a `kubectl exec -i` that is killed closes standard input as its end would.
#[test]
fn a9_standard_input_that_is_cut_is_no_upload() {
    promise!(4);
    let (_, bytes) = archive(60_000);
    let waiting = waiting(&[]);
    for sixteenth in 0..16 {
        let (code, refusal) = send(&waiting.workspace, &[], &bytes[..bytes.len() * sixteenth / 16]);
        assert_eq!((code, refusal["error"]["reason"].as_str()), (24, Some("SourceIntegrity")), "{sixteenth}: {refusal}");
    }
    // What the sender knows beforehand is checked before a byte counts.
    for promise in [["--sha256", &hex(b"another")], ["--bytes", "7"]] {
        let (code, refusal) = send(&waiting.workspace, &promise, &bytes);
        assert_eq!((code, refusal["error"]["reason"].as_str()), (24, Some("SourceIntegrity")), "{refusal}");
    }
    let (code, receipt) = send(&waiting.workspace, &[], &bytes);
    assert_eq!(code, 0, "{receipt}");
    waiting.finish().ok();
}

/// A9: state is given back on disconnect.
#[test]
fn a9_a_sender_that_is_killed_frees_the_place_for_the_next() {
    let (_, bytes) = archive(60_000);
    // Its probe says when the place is taken.
    let waiting = Waiting::start(crate::waiting::listening(&["--upload-socket"]));
    let mut first = held(&waiting.workspace, &bytes[..40_000]);
    eventually("the first is not taken", || waiting.ready() == 503);
    let (code, refusal) = send(&waiting.workspace, &[], &bytes);
    assert_eq!(code, 25, "{refusal}");
    assert!(refusal["error"]["message"].as_str().unwrap().contains("another upload"), "{refusal}");
    first.kill().unwrap();
    first.wait().unwrap();
    eventually("the place is not free", || waiting.ready() == 200);
    let (code, receipt) = send(&waiting.workspace, &[], &bytes);
    assert_eq!(code, 0, "{receipt}");
    assert_receipt(&receipt, &bytes);
    waiting.finish().ok();
}

/// As `kubectl exec` runs it: the agent's own user, nothing writable, nothing in its environment.
#[test]
fn it_runs_in_the_pod_it_is_for() {
    promise!(9);
    let (_, bytes) = archive(100_000);
    let waiting = waiting(&[]);
    let sender = Agent::command(&["receive"]).env("PODWRIGHT_WORKSPACE", "/pod").without_socket();
    let sent = sender.readable(&waiting.workspace, "/pod").stdin(&bytes).traced().run();
    assert_eq!(sent.code, 0, "{}", sent.story());
    assert_receipt(&serde_json::from_slice(&sent.stdout).unwrap(), &bytes);
    sent.assert_no_children();
    waiting.finish().ok();
}

/// A9: who is found by looking may be anybody, and root would be trusted by all of them.
#[test]
fn a9_root_hands_nothing_to_another_user_that_it_does_not_name() {
    let (_, bytes) = archive(1000);
    let waiting = waiting(&[]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_podwright"));
    command.arg("receive").env_clear().env("PODWRIGHT_WORKSPACE", &waiting.workspace).stdout(Stdio::piped());
    let (code, error) = ended(&command.stdin(Stdio::null()).output().unwrap());
    assert_eq!((code, error["error"]["reason"].as_str()), (25, Some("SourceRefused")), "{error}");
    assert!(error["error"]["hint"].as_str().unwrap().contains("--socket"), "{error}");
    assert_eq!(send(&waiting.workspace, &[], &bytes).0, 0);
    waiting.finish().ok();
}

/// A8, A9: the request knows the archive, and what is cut is still no upload.
#[test]
fn a9_a_cut_standard_input_is_no_upload_where_the_request_has_the_digest() {
    promise!(4);
    let (_, bytes) = archive(60_000);
    let waiting = waiting(&["--sha256", &hex(&bytes)]);
    for part in [&bytes[..0], &bytes[..30_000]] {
        let (code, refusal) = send(&waiting.workspace, &[], part);
        assert_eq!((code, refusal["error"]["reason"].as_str()), (24, Some("SourceIntegrity")), "{refusal}");
    }
    assert_eq!(send(&waiting.workspace, &[], &bytes).0, 0);
    waiting.finish().ok();
}

#[test]
fn both_doors_lead_to_one_desk() {
    let (path, bytes) = archive(1000);
    let waiting = Waiting::start(crate::waiting::listening(&["--upload-socket"]));
    let mut first = held(&waiting.workspace, &bytes[..500]);
    eventually("the first is not taken", || waiting.ready() == 503);
    assert_eq!(waiting.put(&["-T", path.to_str().unwrap()]).0, 409);
    first.stdin.take().unwrap().write_all(&bytes[500..]).unwrap();
    assert_eq!(ended(&first.wait_with_output().unwrap()).0, 0);
    waiting.finish().ok();
}

#[test]
fn silence_ends_both_sides_in_time() {
    promise!(5, 8);
    let waiting = waiting(&["--limit-upload-idle", "1s"]);
    let mut child = held(&waiting.workspace, b"\x1f\x8b");
    let stdin = child.stdin.take();
    let (code, refusal) = ended(&child.wait_with_output().unwrap());
    assert_eq!((code, refusal["error"]["reason"].as_str()), (26, Some("UploadTimeout")), "{refusal}");
    drop(stdin);
    waiting.finish().failed(26, "UploadTimeout", "fetch");
}

#[test]
fn where_nobody_waits_it_is_said() {
    let dir = Engine::shared().new_dir("t");
    let (code, error) = send(&dir, &[], b"x");
    assert_eq!((code, error["error"]["reason"].as_str()), (23, Some("SourceUnavailable")), "{error}");
    assert!(error["error"]["message"].as_str().unwrap().contains(SOCKET), "{error}");
    // What a killed run left is nobody, either, and no link is followed to somebody.
    drop(UnixListener::bind(dir.join(SOCKET)).unwrap());
    assert_eq!(send(&dir, &[], b"x").0, 23);
    fs::rename(dir.join(SOCKET), dir.join("other")).unwrap();
    symlink("other", dir.join(SOCKET)).unwrap();
    assert_eq!(send(&dir, &[], b"x").0, 23);
    let output = receive(&dir, &["--sha256", "nonsense"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_name_that_is_taken_is_not_taken_away_but_from_the_dead() {
    let (_, bytes) = archive(1000);
    let prepared = |plant: &dyn Fn(&Path)| {
        let agent =
            Agent::command(&["fetch", "--progress", "json", "--workspace", "/workspace", "--output", "/out/prepared", "--upload-socket"]);
        plant(&agent.dir.join("workspace").join(SOCKET));
        agent.without_socket()
    };
    let agent = prepared(&|path| {
        File::create(path).unwrap();
    });
    let run = agent.run().failed(10, "RequestInvalid", "fetch");
    assert!(run.words().contains("no socket"), "{}", run.words());
    let run = prepared(&|path| drop(UnixListener::bind(path).unwrap())).run().failed(10, "RequestInvalid", "fetch");
    assert!(run.words().contains("another user"), "{}", run.words());
    let agent = prepared(&|path| {
        drop(UnixListener::bind(path).unwrap());
        std::os::unix::fs::lchown(path, Some(UID), Some(UID)).unwrap();
    });
    let waiting = Waiting::start(agent);
    assert_eq!(send(&waiting.workspace, &[], &bytes).0, 0);
    waiting.finish().ok();
}
