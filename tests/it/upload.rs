//! A source that is brought to the waiting agent: over HTTP by curl, and by `podwright receive`; the threats of uploads (A9)
//! against the shipped program. Most runs are `podwright fetch`, whose whole work this is.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::process::Signal;
use sha2::{Digest, Sha256, Sha512};

use crate::archives::random_file;
use crate::directory::destination;
use crate::harness::prelude::*;
use crate::harness::tls::Tls;
use crate::waiting::{Waiting, answer, archive, assert_receipt, curl, fetch, listening, text};

#[test]
fn what_was_put_is_built_and_nobody_can_put_another() {
    promise!(1, 4, 6);
    let (path, bytes) = archive(3 << 20);
    let (reference, _) = destination("upload");
    let agent = Agent::build().args(&["--upload-listen", "127.0.0.1:0", "--strip-components", "1", "-d", &reference]);
    let gate = agent.relay.hold("POST", "/build");
    let waiting = Waiting::start(agent);
    assert_eq!(waiting.ready(), 200);
    let (status, receipt) = waiting.put(&["-T", text(&path)]);
    assert_eq!(status, 201, "{receipt}");
    assert_receipt(&receipt, &bytes);
    gate.arrived();
    // A second one, and the probe, while the first is built.
    assert_eq!((waiting.put(&["-T", text(&path)]).0, waiting.ready()), (409, 503));
    gate.open();
    let run = waiting.finish().ok();
    let image = Image::in_registry(Registry::shared(), run.digest());
    assert!(image.holds("src/text", b"uploaded"));
    assert_eq!(run.document()["source"]["digest"], format!("sha256:{}", receipt["sha256"].as_str().unwrap()));
}

#[test]
fn every_way_to_send_is_one_source() {
    let (path, bytes) = archive(2 << 20);
    let sha256 = format!("Content-Digest: sha-256=:{}:", STANDARD.encode(Sha256::digest(&bytes)));
    let sha512 = format!("Repr-Digest: sha-512=:{}:", STANDARD.encode(Sha512::digest(&bytes)));
    let binary = format!("@{}", text(&path));
    let ways: [&[&str]; 5] = [
        &["--http1.1", "-T", text(&path), "-H", "Expect: 100-continue"],
        &["-T", text(&path), "-H", "Transfer-Encoding: chunked"],
        &["-X", "PUT", "--data-binary", &binary, "-H", "Expect:"],
        &["-T", text(&path), "-H", &sha256, "-H", &sha512],
        &["--http1.0", "-T", text(&path)],
    ];
    for way in ways {
        let waiting = Waiting::start(listening(&[]));
        let (status, receipt) = waiting.put(way);
        assert_eq!(status, 201, "{way:?}: {receipt}");
        assert_receipt(&receipt, &bytes);
        waiting.finish().ok();
    }
}

#[test]
fn tls_shows_the_certificate_that_was_given() {
    promise!(6);
    let dir = Engine::shared().new_dir("t");
    let tls = Tls::new_in(&dir);
    let (path, bytes) = archive(1000);
    let canary = Canary::token("upload token");
    let (certificate, key) = (fs::read_to_string(&tls.certificate).unwrap(), fs::read_to_string(&tls.key).unwrap());
    let files = [("token", canary.value.as_str()), ("tls.crt", &certificate), ("tls.key", &key)];
    let agent = fetch(&["--upload-listen", "0.0.0.0:0"]).canary(&canary).secret_dir("--upload-secret", "/secrets/upload", &files);
    let mut running = agent.start();
    let url = running.event(|event| event.name == "source.waiting").data["url"].as_str().unwrap().replace("0.0.0.0", "localhost");
    assert!(url.starts_with("https://"), "{url}");
    let bearer = format!("Authorization: Bearer {}", canary.value);
    let put = |options: &[&str]| curl(&[options, &["-H", &bearer, "-T", text(&path), &url]].concat());
    assert_eq!(put(&[]).0, 0, "a client that does not know the authority gets nowhere");
    assert_eq!(put(&["--cacert", text(&tls.ca), "--tls-max", "1.1"]).0, 0);
    let (status, receipt) = put(&["--cacert", text(&tls.ca), "--tls-max", "1.2"]);
    assert_eq!(status, 201, "{receipt}");
    assert_receipt(&receipt, &bytes);
    running.finish().ok();
}

/// A9: what is no upload changes nothing; the agent goes on waiting, and takes the one that is.
#[test]
fn a9_what_is_no_upload_is_refused_and_the_agent_goes_on_waiting() {
    promise!(6, 8);
    let (path, bytes) = archive(100_000);
    let waiting = Waiting::start(listening(&[]));
    let file = text(&path);
    let without = |arguments: &[&str]| curl(&[arguments, &[waiting.url.as_str()]].concat()).0;
    assert_eq!(without(&["-T", file]), 401);
    assert_eq!(without(&["-T", file, "-H", "Authorization: Bearer 0123456789abcdef0123456789abcdef"]), 401);
    assert_eq!(without(&["-T", file, "-u", &format!("x:{}", waiting.token)]), 401);
    assert_eq!(waiting.put(&["-T", file, "-H", &format!("Authorization: Bearer {}", waiting.token)]).0, 401, "two of them");
    for method in ["POST", "GET", "DELETE", "OPTIONS"] {
        assert_eq!(waiting.put(&["-X", method]).0, 405, "{method}");
    }
    for path in ["/", "/readyz/", "/source/..%2f", "/metrics", "/../etc/passwd"] {
        let url = waiting.url.replace("/source", path);
        let want = if path == "/" { 405 } else { 404 };
        assert_eq!(curl(&["--path-as-is", &url]).0, want, "{path}");
    }
    assert_eq!(waiting.put(&["-T", file, "-H", "Content-Encoding: gzip"]).0, 415);
    assert_eq!(waiting.put(&["-T", file, "-H", "Content-Range: bytes 0-9/10"]).0, 400);
    assert_eq!(waiting.put(&["-T", file, "-H", "Content-Digest: sha-256=nonsense"]).0, 400);
    let other = format!("Repr-Digest: sha-256=:{}:", STANDARD.encode(Sha256::digest(b"another")));
    assert_eq!(waiting.put(&["-T", file, "-H", &other]).0, 400, "it came whole, and is not what it says");
    // What was damaged on its way makes no sense, which is the lesser news.
    let mut damaged = bytes.clone();
    damaged[0] ^= 1;
    let torn = path.with_file_name("damaged");
    fs::write(&torn, damaged).unwrap();
    let promised = format!("Content-Digest: sha-256=:{}:", STANDARD.encode(Sha256::digest(&bytes)));
    assert_eq!(waiting.put(&["-T", text(&torn), "-H", &promised]).0, 400, "its sender promised other bytes");
    // The connection lives, and the body on it is none.
    for (body, half_closed) in [("zz\r\n", false), ("5\r\nhello\r\n", true)] {
        let mut stream = waiting.raw();
        stream.write_all(format!("{}{body}", waiting.head("Transfer-Encoding: chunked")).as_bytes()).unwrap();
        if half_closed {
            stream.shutdown(std::net::Shutdown::Write).unwrap();
        }
        let said = answer(&mut stream);
        assert!(said.starts_with("HTTP/1.1 400"), "{body:?}: {said}");
        eventually("the agent does not go on waiting", || waiting.ready() == 200);
    }
    let mut stream = waiting.raw();
    stream.write_all(waiting.head("").as_bytes()).unwrap();
    assert!(answer(&mut stream).starts_with("HTTP/1.1 411"), "no length");
    let mut stream = waiting.raw();
    stream.write_all(format!("PUT /source HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(200_000)).as_bytes()).ok();
    let said = answer(&mut stream);
    assert!(said.is_empty() || said.starts_with("HTTP/1.1 431"), "{said}");
    assert_eq!(waiting.ready(), 200);
    let (status, receipt) = waiting.put(&["-T", file]);
    assert_eq!(status, 201, "{receipt}");
    assert_receipt(&receipt, &bytes);
    waiting.finish().ok();
}

/// A7, A9: a body that is cut at any place, in either framing, is never taken for a whole one.
#[test]
fn a9_a_body_that_is_cut_is_no_upload() {
    promise!(4);
    let (path, bytes) = archive(60_000);
    let waiting = Waiting::start(listening(&[]));
    let length = format!("Content-Length: {}", bytes.len());
    for sixteenth in 0..16 {
        let part = &bytes[..bytes.len() * sixteenth / 16];
        for (fields, body) in [(length.as_str(), part.to_vec()), ("Transfer-Encoding: chunked", chunk(part))] {
            let mut stream = waiting.raw();
            // It may be turned away while the one before is still looked at.
            let _ = stream.write_all(waiting.head(fields).as_bytes()).and_then(|()| stream.write_all(&body));
            drop(stream);
            eventually("the agent does not go on waiting", || waiting.ready() == 200);
        }
    }
    // Every byte of it, but not the last chunk.
    let mut stream = waiting.raw();
    stream.write_all(waiting.head("Transfer-Encoding: chunked").as_bytes()).and_then(|()| stream.write_all(&chunk(&bytes))).unwrap();
    drop(stream);
    // What was cut may not have been looked at yet.
    eventually("the whole one is not taken", || waiting.put(&["-T", text(&path)]).0 == 201);
    let run = waiting.finish().ok();
    assert!(run.events_named("notice").iter().any(|event| event.data["message"].to_string().contains("cut")), "{}", run.story());
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    if bytes.is_empty() { Vec::new() } else { [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat() }
}

/// A9: two framings at once, and a request behind a request.
#[test]
fn a9_nothing_is_smuggled_behind_an_upload() {
    let (path, _) = archive(1000);
    let waiting = Waiting::start(listening(&[]));
    let behind = waiting.head("Content-Length: 0");
    let mut stream = waiting.raw();
    stream.write_all(format!("{}0\r\n\r\n{behind}", waiting.head("Content-Length: 5\r\nTransfer-Encoding: chunked")).as_bytes()).unwrap();
    let said = answer(&mut stream);
    assert_eq!(said.matches("HTTP/1.1 ").count(), 1, "{said}");
    // An empty body is no archive, so that this was the run's source, and the end of it.
    assert!(said.starts_with("HTTP/1.1 422"), "{said}");
    let run = waiting.finish().failed(24, "SourceIntegrity", "fetch");
    assert!(run.words().contains("empty"), "{}", run.words());

    let waiting = Waiting::start(listening(&[]));
    for bad in
        ["Content-Length: 5\r\nContent-Length: 6", "Content-Length: +5", "Transfer-Encoding: chunked, gzip", "Transfer-Encoding: xchunked"]
    {
        let mut stream = waiting.raw();
        stream.write_all(format!("{}hello", waiting.head(bad)).as_bytes()).unwrap();
        let said = answer(&mut stream);
        assert!(said.starts_with("HTTP/1.1 400"), "{bad}: {said}");
    }
    assert_eq!(waiting.put(&["-T", text(&path)]).0, 201);
    waiting.finish().ok();
}

#[test]
fn an_upload_over_the_limit_is_refused_as_soon_as_it_says_so() {
    promise!(8);
    let (path, _) = archive(3 << 20);
    for (way, said) in [(&["-H", "Expect: 100-continue"][..], true), (&["-H", "Transfer-Encoding: chunked"], false)] {
        let waiting = Waiting::start(listening(&["--limit-source-bytes", "1m"]));
        let (status, refusal) = waiting.put(&[way, &["-T", text(&path)]].concat());
        assert_eq!((status, refusal["error"]["reason"].as_str()), (413, Some("SourceRefused")), "{refusal}");
        let run = waiting.finish().failed(25, "SourceRefused", "fetch");
        assert!(run.words().contains("limits.sourceBytes") && run.words().contains("says that it has") == said, "{}", run.words());
    }
}

#[test]
fn a_whole_archive_that_is_refused_is_the_end_of_the_run_and_its_sender_knows_why() {
    promise!(4, 5);
    let (path, _) = archive(1000);
    let waiting = Waiting::start(listening(&["--sha256", &"0".repeat(64)]));
    let (status, refusal) = waiting.put(&["-T", text(&path)]);
    assert_eq!((status, refusal["error"]["exit_code"].as_u64()), (422, Some(24)), "{refusal}");
    waiting.finish().failed(24, "SourceIntegrity", "fetch");
    let junk = path.with_file_name("junk");
    random_file(&junk, 5 << 20);
    let waiting = Waiting::start(listening(&[]));
    let (status, refusal) = waiting.put(&["-T", text(&junk)]);
    assert_eq!((status, refusal["error"]["reason"].as_str()), (422, Some("SourceRefused")), "{refusal}");
    waiting.finish().failed(25, "SourceRefused", "fetch");
    // And where it is the pod that cannot.
    let waiting = Waiting::start(listening(&[]).workspace(Workspace::Small("1m")));
    let (status, refusal) = waiting.put(&["-T", text(&archive(4 << 20).0)]);
    assert_eq!((status, refusal["error"]["reason"].as_str()), (507, Some("WorkspaceFull")), "{refusal}");
    waiting.finish().failed(27, "WorkspaceFull", "fetch");
}

/// Memory is flat whatever comes, and a sender that waits to be asked is asked once it may send.
#[test]
fn a_large_body_is_asked_for_and_never_held() {
    promise!(8);
    let (path, _) = archive(128 << 20);
    let waiting = Waiting::start(listening(&[]));
    let size = fs::metadata(&path).unwrap().len();
    let expect = format!("Content-Length: {size}\r\nExpect: 100-continue");
    let mut stream = waiting.raw();
    stream.write_all(waiting.head(&expect).replace("Bearer t", "Bearer x").as_bytes()).unwrap();
    assert!(answer(&mut stream).starts_with("HTTP/1.1 401"), "nobody is asked for a body who may not send one");
    let mut stream = waiting.raw();
    stream.write_all(waiting.head(&expect).as_bytes()).unwrap();
    let mut asked = [0; 25];
    stream.read_exact(&mut asked).unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
    std::io::copy(&mut fs::File::open(&path).unwrap(), &mut stream).unwrap();
    assert!(answer(&mut stream).starts_with("HTTP/1.1 201"));
    let run = waiting.finish().ok();
    assert!(run.rss_kib > 0 && run.rss_kib <= 48 << 10, "{} KiB", run.rss_kib);
    fs::remove_file(path).unwrap();
}

#[test]
fn a_second_upload_while_one_is_under_way_is_turned_away() {
    let (path, bytes) = archive(50_000);
    let waiting = Waiting::start(listening(&[]));
    let mut first = waiting.raw();
    first.write_all(waiting.head(&format!("Content-Length: {}", bytes.len())).as_bytes()).unwrap();
    first.write_all(&bytes[..20_000]).unwrap();
    eventually("the first is not taken", || waiting.ready() == 503);
    assert_eq!(waiting.put(&["-T", text(&path)]).0, 409);
    first.write_all(&bytes[20_000..]).unwrap();
    assert!(answer(&mut first).starts_with("HTTP/1.1 201"));
    waiting.finish().ok();
}

#[test]
fn silence_before_and_within_an_upload_ends_it_in_time() {
    promise!(5, 8);
    let begun = Instant::now();
    let run = Waiting::start(listening(&["--limit-upload-first-byte", "1s"])).finish().failed(26, "UploadTimeout", "fetch");
    assert!(run.words().contains("limits.uploadFirstByte") && begun.elapsed() < Duration::from_secs(10), "{}", run.words());
    let waiting = Waiting::start(listening(&["--limit-upload-idle", "1s"]));
    let mut stream = waiting.raw();
    stream.write_all(waiting.head("Content-Length: 100000").as_bytes()).and_then(|()| stream.write_all(&[0; 1000])).unwrap();
    assert!(answer(&mut stream).starts_with("HTTP/1.1 408"));
    let run = waiting.finish().failed(26, "UploadTimeout", "fetch");
    assert!(run.words().contains("limits.uploadIdle") && run.words().contains("1000 bytes"), "{}", run.words());
}

/// A9: slow-loris. Connections that say nothing, or little, have their place for ten seconds.
#[test]
fn a9_connections_that_never_finish_a_head_do_not_keep_the_sender_out() {
    promise!(8);
    let (path, _) = archive(1000);
    let waiting = Waiting::start(listening(&[]));
    let mut slow: Vec<TcpStream> = (0..100).map(|_| waiting.raw()).collect();
    for stream in &mut slow[..50] {
        stream.write_all(b"PUT /source HTTP/1.1\r\nHost:").unwrap();
    }
    let begun = Instant::now();
    assert_eq!(waiting.put(&["-T", text(&path)]).0, 201);
    assert!(begun.elapsed() < Duration::from_secs(40), "{:?}", begun.elapsed());
    drop(slow);
    let run = waiting.finish().ok();
    assert!(run.rss_kib <= 48 << 10, "{} KiB", run.rss_kib);
}

#[test]
fn a_signal_ends_the_waiting_and_leaves_nothing() {
    promise!(10);
    let waiting = Waiting::start(listening(&["--upload-socket"]));
    assert!(waiting.workspace.join("podwright-receive.sock").exists());
    let at = waiting.running.signal(Signal::TERM);
    waiting.finish().failed(143, "Cancelled", "fetch").ended_within(Duration::from_secs(5), at);
}

#[test]
fn a_place_that_cannot_be_waited_at_is_said() {
    let short = Engine::shared().new_dir("t").join("token");
    fs::write(&short, "short").unwrap();
    let run = listening(&["--upload-token-file", "/secrets/token"]).readable(&short, "/secrets/token").run();
    run.failed(11, "SecretInvalid", "fetch");
    let run = listening(&["--upload-token-file", "/secrets/none"]).run().failed(11, "SecretInvalid", "fetch");
    assert!(run.words().contains("/secrets/none"), "{}", run.words());
    let run = fetch(&["--upload-listen", "0.0.0.0:0", "--upload-token-file", "/t"]).run().failed(13, "NotPermitted", "prepare");
    assert!(run.words().contains("plain-http"), "{}", run.words());
    let run = fetch(&["--upload-listen", "203.0.113.1:80", "--upload-token-file", "/secrets/token", "--allow", "plain-http"]);
    fs::write(&short, "0123456789abcdef").unwrap();
    let run = run.readable(&short, "/secrets/token").run().failed(10, "RequestInvalid", "fetch");
    assert!(run.words().contains("203.0.113.1:80"), "{}", run.words());
}
