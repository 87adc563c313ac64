//! A daemon that hangs, at each call: every wait has its end. Where that is minutes away, time is paused.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::engine::BuildOptions;
use crate::event::{ContextSent, Event};
use crate::model::Reason;

/// Hears no event and has no credential.
pub(super) struct Nothing;

impl EventSink for Nothing {
    fn emit(&self, _: Event) {}
}

impl Keychain for Nothing {
    type Error = EngineError;

    fn resolve(&self, _: &Reference) -> Result<Option<Credential>, EngineError> {
        Ok(None)
    }

    fn for_host(&self, _: &str) -> Result<Option<Credential>, EngineError> {
        Ok(None)
    }

    fn hosts(&self) -> Result<Vec<String>, EngineError> {
        Ok(Vec::new())
    }
}

/// A daemon that answers every call but this one, of which it says no more than `says`.
struct Hanging {
    endpoint: Endpoint,
    /// From when on it answers no ping either.
    dead: Arc<AtomicBool>,
    _dir: tempfile::TempDir,
    _task: AbortOnDropHandle<()>,
}

const PONG: &str = "HTTP/1.1 200 OK\r\napi-version: 1.41\r\nostype: linux\r\ncontent-length: 2\r\n\r\nOK";
const EMPTY: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";

impl Hanging {
    fn at(path: &'static str, says: &'static str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("s");
        let listener = UnixListener::bind(&socket).unwrap();
        let dead = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&dead);
        let task = tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                open.push(AbortOnDropHandle::new(tokio::spawn(answer(stream, path, says, Arc::clone(&asked)))));
            }
        });
        Self { endpoint: Endpoint::Unix(socket), dead, _dir: dir, _task: AbortOnDropHandle::new(task) }
    }

    async fn connect(&self) -> Result<Docker<Nothing>, EngineError> {
        let options = ConnectOptions { endpoint: self.endpoint.clone(), api_version: None };
        Docker::connect(&options, Some(Builder::Classic), Arc::new(Nothing), Arc::new(Nothing)).await
    }
}

async fn answer(mut stream: UnixStream, hangs: &str, says: &str, dead: Arc<AtomicBool>) {
    let mut head = vec![0; 1 << 16];
    while let Ok(read @ 1..) = stream.read(&mut head).await {
        let line = String::from_utf8_lossy(&head[..read]).lines().next().unwrap_or_default().to_owned();
        let pings = line.contains("/_ping");
        if line.contains(hangs) || pings && dead.load(Ordering::SeqCst) {
            stream.write_all(says.as_bytes()).await.unwrap();
            return std::future::pending().await;
        }
        let text = if pings { PONG } else { EMPTY };
        stream.write_all(text.as_bytes()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_hangs_at_the_start_does_not_answer_within_a_bound() {
    for (path, says, most) in
        [("/_ping", "", 10), ("/_ping", "HTTP/1.1 200 OK\r\n", 10), ("/version", "", 60), ("/info", "HTTP/1.1 200", 60)]
    {
        let daemon = Hanging::at(path, says);
        let begun = Instant::now();
        let Err(error) = daemon.connect().await else { panic!("{path}: connected") };
        assert!(error.is_absence() && error.reason() == Reason::EngineUnavailable, "{path}: {error}");
        let took = begun.elapsed();
        assert!(took >= Duration::from_secs(most) && took < Duration::from_secs(most + 5), "{path}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_hangs_at_a_small_call_is_silent_after_a_minute() {
    let daemon = Hanging::at("/images/", "HTTP/1.1 200 OK\r\n");
    let engine = daemon.connect().await.unwrap();
    let id = ImageId::parse(&format!("sha256:{}", "a".repeat(64))).unwrap();
    let begun = Instant::now();
    for error in [
        engine.inspect("a").await.unwrap_err(),
        engine.names("a").await.unwrap_err(),
        engine.tag(&id, "a:b").await.unwrap_err(),
        engine.untag("a").await.unwrap_err(),
    ] {
        assert!(matches!(error, EngineError::Silent { .. }) && error.is_loss(), "{error}");
    }
    assert!(begun.elapsed() < SMALL_CALL * 4 + Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_build_may_be_silent_for_hours_while_the_daemon_lives_and_minutes_when_it_does_not() {
    let words = "HTTP/1.1 200 OK\r\n\r\n{\"stream\":\"Step 1/1 : RUN sleep inf";
    for says in ["", "HTTP/1.1 2", "HTTP/1.1 200 OK\r\n\r\n", words] {
        let daemon = Hanging::at("/build", says);
        let engine = daemon.connect().await.unwrap();
        let spec =
            BuildSpec { reference: "podwright-tmp/1-a:latest".into(), options: BuildOptions::default(), base_hosts: Some(Vec::new()) };
        let tar = Box::new(|_: &mut dyn std::io::Write| Ok(ContextSent::default()));
        let mut build = Box::pin(engine.build(&spec, Context::Told { tar, name: "Dockerfile".into() }));
        assert!(timeout(Duration::from_hours(10), &mut build).await.is_err(), "{says:?}: a daemon that answers pings was given up");
        daemon.dead.store(true, Ordering::SeqCst);
        let begun = Instant::now();
        let error = build.await.outcome.unwrap_err();
        assert!(matches!(error, EngineError::Silent { .. }), "{says:?}: {error}");
        assert!(begun.elapsed() < Duration::from_mins(5), "{says:?}: {:?}", begun.elapsed());
    }
}
