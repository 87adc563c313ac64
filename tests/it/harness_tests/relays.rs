//! A relay changes nothing it was not told to change, and everything it was.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::faults::Faulty;
use crate::harness::http;
use crate::harness::prelude::*;

fn get(port: u16, target: &str) -> std::io::Result<http::Answer> {
    http::ask(TcpStream::connect(("127.0.0.1", port)).unwrap(), "GET", target, &[])
}

#[test]
fn a_relay_fails_as_often_as_it_was_told_and_then_is_well() {
    let server = GitServer::start(&GitDemands::default());
    server.file("page", b"a page");
    let faulty = Faulty::before(server.port());
    faulty.unavailable(2, "GET", "/files/*");
    let statuses: Vec<u16> = (0..3).map(|_| get(faulty.port, "/files/page").unwrap().head.status()).collect();
    assert_eq!(statuses, [503, 503, 200]);
    assert_eq!(faulty.relay.count("GET", "/files/page"), 3);
    assert_eq!(get(faulty.port, "/files/page").unwrap().body, b"a page");
}

#[test]
fn an_answer_is_cut_where_it_was_told() {
    let server = GitServer::start(&GitDemands::default());
    server.file("big", &vec![b'x'; 100_000]);
    let faulty = Faulty::before(server.port());
    faulty.cut_answer("GET", "/files/big", 5_000);
    assert!(get(faulty.port, "/files/big").is_err(), "a cut answer passed for a whole one");
    assert_eq!(faulty.relay.calls()[0].response_bytes, 5_000);
    assert_eq!(get(faulty.port, "/files/big").unwrap().body.len(), 100_000);
}

#[test]
fn a_request_is_cut_where_it_was_told() {
    let server = GitServer::start(&GitDemands::default());
    let faulty = Faulty::before(server.port());
    faulty.cut_request("POST", "/files/*", 1_000);
    let mut stream = TcpStream::connect(("127.0.0.1", faulty.port)).unwrap();
    stream.write_all(b"POST /files/x HTTP/1.1\r\nhost: x\r\ncontent-length: 5000\r\n\r\n").unwrap();
    // The relay may hang up on any of these bytes.
    let _ = stream.write_all(&[b'x'; 5_000]);
    // The server may answer before it has the whole body; what counts is that it never gets it.
    let _ = stream.read_to_end(&mut Vec::new());
    assert_eq!(faulty.relay.calls()[0].request_bytes, 1_000);
}

#[test]
fn a_stalled_answer_stays_open_and_silent() {
    let server = GitServer::start(&GitDemands::default());
    server.file("big", &vec![b'x'; 100_000]);
    let faulty = Faulty::before(server.port());
    faulty.stall("GET", "/files/big", 1_000);
    let mut stream = TcpStream::connect(("127.0.0.1", faulty.port)).unwrap();
    stream.write_all(b"GET /files/big HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.read_exact(&mut [0; 1_000]).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let silence = stream.read(&mut [0]).expect_err("the connection was closed, or more was sent");
    assert!(matches!(silence.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{silence}");
}

#[test]
fn a_script_answers_without_anybody_behind_it() {
    let faulty = Faulty::alone();
    faulty.relay.answer_with(1, "GET", "/a", 302, &[("location", "http://127.0.0.1:1/b")], "");
    let answer = get(faulty.port, "/a").unwrap();
    assert_eq!((answer.head.status(), answer.head.header("location")), (302, Some("http://127.0.0.1:1/b")));
    assert!(get(faulty.port, "/a").is_err());
}

#[test]
fn a_push_through_a_relay_waits_at_its_gate() {
    let (engine, registry) = (Engine::shared(), Registry::start(&Demands::default()));
    let faulty = Faulty::before(registry.port());
    let gate = faulty.relay.hold("PUT", "/v2/team/web/manifests/1");
    let reference = format!("{}/team/web:1", faulty.host());
    engine.docker_ok(&["tag", base(), &reference]);
    let push = engine.docker(&["push", &reference]).stdout(std::process::Stdio::null()).spawn();
    gate.arrived();
    assert_eq!(registry.tag("team/web", "1"), None, "the tag was there before the gate was open");
    gate.open();
    assert!(push.unwrap().wait().unwrap().success());
    assert!(registry.tag("team/web", "1").is_some());
    engine.docker_ok(&["rmi", "--no-prune", &reference]);
}

#[test]
fn buildkits_session_passes_through_a_relay_and_a_client_that_leaves_stops_the_build() {
    let engine = Engine::shared();
    let container = UnderWay::enter();
    for builder in if engine.podman { &["0"][..] } else { &["0", "1"] } {
        let dir = engine.new_dir("p");
        let relay = Relay::unix(&dir.join("sock"), &engine.socket(), None);
        let context = Context::with("FROM BASE\nCOPY mark /\nRUN echo begun && sleep 1000\n").file("mark", builder);
        let mut build = engine.docker_at(&dir.join("sock"), &["build", "--no-cache", context.path().to_str().unwrap()]);
        let mut child = build.env("DOCKER_BUILDKIT", builder).spawn().unwrap();
        let begun = Instant::now();
        while !engine.runs("sleep 1000") {
            assert!(begun.elapsed() < Duration::from_mins(1), "the step never ran through the relay");
            std::thread::sleep(Duration::from_millis(50));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        if engine.podman {
            engine.end("sleep 1000");
        }
        eventually("the build went on after its client had left", || !engine.runs("sleep 1000"));
        // Newer clients drive BuildKit through /grpc.
        assert!(relay.count("POST", "/build") + relay.count("POST", "/grpc") > 0, "{:?}", relay.calls());
        eventually("the relay kept a connection", || relay.open() == 0);
    }
    drop(container);
}
