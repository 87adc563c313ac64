//! What judges a run: the closed list, the grammar of events, the sweep for secrets.

use std::os::unix::net::UnixStream;

use serde_json::json;

use crate::harness::canary::{holds, in_secret_file};
use crate::harness::closed_list::CLOSED_LIST;
use crate::harness::events::{check, parse, parse_all};
use crate::harness::http;
use crate::harness::prelude::*;

#[test]
fn d1_the_closed_list_catches_forbidden_calls_and_lets_no_one_through() {
    let engine = Engine::shared();
    let dir = engine.new_dir("p");
    let relay = Relay::unix(&dir.join("sock"), &engine.socket(), Some(CLOSED_LIST));
    let ask = |method: &str, target: &str| http::ask(UnixStream::connect(dir.join("sock")).unwrap(), method, target, &[]).unwrap();

    for (method, target) in [("GET", "/_ping"), ("GET", "/v1.41/version"), ("GET", "/images/none/json")] {
        assert_ne!(ask(method, target).head.status(), 403, "{target}");
    }
    assert!(relay.violations().is_empty());
    let forbidden = [
        ("POST", "/containers/create"),
        ("POST", "/v1.41/containers/create?name=x"),
        ("GET", "/containers/json"),
        ("POST", "/exec/1/start"),
        ("PUT", "/containers/1/archive?path=/"),
        ("POST", "/commit?container=1"),
        ("POST", "/plugins/x/enable"),
        ("POST", "/volumes/create"),
        ("POST", "/images/create?fromImage=x"),
        ("POST", "/containers/prune"),
        ("GET", "/swarm"),
        ("POST", "/build?remote=http://example.com/x.git"),
        ("DELETE", "/images/somebody-elses:1?noprune=1"),
        ("DELETE", "/images/podwright-tmp/1-2"),
    ];
    for (method, target) in forbidden {
        assert_eq!(ask(method, target).head.status(), 403, "{method} {target}");
    }
    assert_eq!(relay.violations().len(), forbidden.len(), "{:#?}", relay.violations());
    assert!(relay.calls().iter().all(|call| !call.path.starts_with("/containers")), "a forbidden call was passed on");
}

#[test]
fn d1_the_program_does_not_even_know_the_other_calls() {
    let program = std::fs::read(Agent::program()).unwrap();
    let knows = |text: &str| holds(&program, text.as_bytes());
    assert!(
        ["/images/", "/build/prune", "/session", "/distribution/"].into_iter().all(knows),
        "its calls are not where they are looked for"
    );
    for other in [
        "/containers/create",
        "/containers/json",
        "/containers/prune",
        "/volumes/create",
        "/networks/create",
        "/swarm/init",
        "/plugins/pull",
        "/images/create",
        "/images/load",
    ] {
        assert!(!knows(other), "{other}");
    }
}

/// What a judged socket answers a build with this query and these headers: 403 where the judge stops it.
fn judged(headers: &[(&str, &str)], query: &[(&str, &str)], body: &[u8]) -> u16 {
    let engine = Engine::shared();
    let socket = engine.new_dir("p").join("sock");
    let relay = Relay::unix(&socket, &engine.socket(), Some(CLOSED_LIST));
    relay.answer(1, "POST", "/build", 200, "");
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    let answer = http::send(UnixStream::connect(&socket).unwrap(), "POST", &format!("/v1.41/build?{query}"), headers, body).unwrap();
    assert_eq!(relay.violations().len(), usize::from(answer.head.status() == 403), "{:?}", relay.violations());
    answer.head.status()
}

#[test]
fn d2_a_build_that_asks_for_more_than_is_listed_is_caught() {
    for (key, value) in [("memory", "1"), ("t", "a:1"), ("remote", "client-session"), ("labels", "{\"team\":\"a\"}")] {
        assert_eq!(judged(&[], &[(key, value)], b""), 200, "{key}");
    }
    let outputs = r#"[{"Type":"local","Attrs":{"dest":"/"}}]"#;
    for (key, value) in
        [("securityopt", "seccomp=unconfined"), ("outputs", outputs), ("cpusetcpus", "0"), ("squash", "1"), ("volume", "/:/x")]
    {
        assert_eq!(judged(&[], &[("t", "a:1"), (key, value)], b""), 403, "{key}");
    }
}

#[test]
fn d7_a_body_whose_length_is_declared_is_caught() {
    let chunked = ("transfer-encoding", "chunked");
    assert_eq!(judged(&[chunked], &[], b"1\r\nx\r\n0\r\n\r\n"), 200);
    assert_eq!(judged(&[("content-length", "0")], &[], b""), 200, "no body, and so it is said");
    for headers in [&[("content-length", "1")][..], &[("content-length", "1048577")], &[chunked, ("content-length", "0")]] {
        assert_eq!(judged(headers, &[], b""), 403, "{headers:?}");
    }
}

#[test]
fn d8_a_label_that_what_runs_containers_would_act_on_is_caught() {
    for label in ["containerd.io/restart.status", "IO.containerd.x", "io.kubernetes.cri.container-type", "com.docker.compose.project"] {
        assert_eq!(judged(&[], &[("labels", &json!({"team": "a", label: "running"}).to_string())], b""), 403, "{label}");
    }
}

#[test]
fn a_reference_may_be_removed_by_the_run_that_made_it() {
    let engine = Engine::shared();
    let dir = engine.new_dir("p");
    let relay = Relay::unix(&dir.join("sock"), &engine.socket(), Some(CLOSED_LIST));
    let ask = |method: &str, target: &str| http::ask(UnixStream::connect(dir.join("sock")).unwrap(), method, target, &[]).unwrap();
    let name = format!("podwright-tmp/1-{}", std::process::id());
    let target = format!("/images/{}/tag?repo={name}&tag=x", base().replace('/', "%2F"));
    assert_eq!(ask("POST", &target).head.status(), 201);
    assert_eq!(ask("DELETE", &format!("/images/{name}:x?noprune=1")).head.status(), 200);
    assert!(relay.violations().is_empty(), "{:?}", relay.violations());
}

#[test]
fn a_planted_leak_is_caught_in_every_form() {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};

    let canary = Canary::new("password");
    let value = &canary.value;
    let mut planted = vec![
        value.clone(),
        serde_json::to_string(&json!({"a": format!("x{value}y")})).unwrap(),
        percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC).to_string(),
        url::form_urlencoded::Serializer::new(String::new()).append_pair("p", value).finish(),
        value.replace('%', "%25").replace('"', "%22").replace('>', "%3e").replace('ä', "%c3%a4").replace('+', "%2b").replace('/', "%2f"),
        serde_json::to_string(value).unwrap().replace('ä', "\\u00e4"),
        serde_json::to_string(value).unwrap().replace('>', "\\u003e").replace('ä', "\\u00e4"),
    ];
    for around in ["", "u", "us", "user:", "a longer text before "] {
        for after in ["", "t", "ta", "tail"] {
            let text = format!("{around}{value}{after}");
            planted.extend([STANDARD.encode(&text), URL_SAFE.encode(&text), URL_SAFE_NO_PAD.encode(&text)]);
        }
    }
    for text in planted {
        let mut sinks = Sinks::default();
        sinks.add("a log", format!("before {text} after"));
        assert!(!sinks.leaks(std::slice::from_ref(&canary)).is_empty(), "not caught: {text}");
    }
    let mut clean = Sinks::default();
    clean.add("a log", format!("nothing but {}", Canary::new("another").value));
    assert_eq!(clean.leaks(&[canary]), [""; 0]);
}

#[test]
fn every_secret_of_a_secret_directory_is_watched_for() {
    let config = crate::failures::docker_config("127.0.0.1:1", "ada", "one:two");
    let found = |name: &str, content: &str| in_secret_file(name, content).into_iter().map(|canary| canary.value).collect::<Vec<_>>();
    assert_eq!(found("config.json", &config), ["one:two"]);
    assert_eq!(found("password", "one"), ["one"]);
    assert_eq!(found("ca.crt", "one"), [""; 0]);
}

#[test]
fn the_grammar_of_events_refuses_what_is_against_it() {
    let line = |seq: u64, name: &str, phase: &str, data: serde_json::Value| {
        json!({"v": 1, "seq": seq, "time": "2024-01-01T00:00:00.000Z", "event": name, "level": "info", "run": "r", "phase": phase, "data": data})
            .to_string()
    };
    let started = line(0, "run.started", "prepare", json!({}));
    let finished = |seq| line(seq, "run.finished", "report", json!({"exit_code": 0, "outcome": "success"}));
    let judge = |lines: &[String], code| parse_all(format!("{}\n", lines.join("\n")).as_bytes()).and_then(|events| check(&events, code));

    assert_eq!(judge(&[started.clone(), finished(1)], 0), Ok(()));
    let dropped = line(5, "events.dropped", "build", json!({"events": 4, "first_seq": 1, "last_seq": 4}));
    assert_eq!(judge(&[started.clone(), dropped, finished(6)], 0), Ok(()));
    let bad: &[(&str, Vec<String>, i32)] = &[
        ("a hole", vec![started.clone(), finished(2)], 0),
        ("no end", vec![started.clone()], 0),
        ("two ends", vec![started.clone(), finished(1), finished(2)], 0),
        ("something after the end", vec![finished(0), line(1, "notice", "report", json!({}))], 0),
        ("another exit code", vec![started.clone(), finished(1)], 42),
        ("an error and success", vec![line(0, "error", "build", json!({"reason": "Internal"})), finished(1)], 0),
        ("a phase that comes back", vec![line(0, "notice", "push", json!({})), line(1, "notice", "fetch", json!({})), finished(2)], 0),
        ("an unknown event", vec![line(0, "run.begun", "prepare", json!({})), finished(1)], 0),
    ];
    for (what, lines, code) in bad {
        assert!(judge(lines, *code).is_err(), "not refused: {what}");
    }
    assert!(parse_all(started.as_bytes()).is_err(), "a line without its end");
    assert!(parse(line(0, "notice", "build", json!({"message": "x".repeat(8_000)})).as_bytes()).is_err(), "a line that is too long");
    assert!(parse(b"[1]").is_err() && parse(b"plain text").is_err());
}
