//! LFS servers that fail, and those that mean no good: what a run ends with, and who is never told a secret.

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::checkout::came_out;
use super::lfs::{hand_written, pointer};
use crate::model::digest::hex;
use crate::model::{Classified, Reason};
use crate::net::trial::{Asked, Pki, Server, answer, redirect};
use crate::source::git::trial::{PASSWORD, Repo, Trial, challenge, knows};
use crate::source::git::trial_lfs::{LfsHost, is_batch, is_object, say};

const OBJECT: &[u8] = b"the object";

fn one() -> LfsHost {
    hand_written(&[("dir/a.bin", OBJECT)])
}

fn ends(trial: &Trial, reason: Reason, said: &str) {
    let error = trial.run().err().unwrap_or_else(|| panic!("nothing failed, and {said:?} was to be said"));
    assert_eq!(error.reason(), reason, "{error}");
    let (mut whole, mut cause) = (error.to_string(), error.source());
    while let Some(below) = cause {
        whole = format!("{whole}: {below}");
        cause = below.source();
    }
    assert!(whole.contains(said), "{said:?} is not in: {whole}");
    assert!(trial.left().is_empty(), "the workspace is as it was");
}

fn counted(server: &Server, which: fn(&Asked) -> bool) -> usize {
    server.asked().iter().filter(|asked| which(asked)).count()
}

#[test]
fn every_way_to_say_no_has_its_reason() {
    for (code, reason) in [
        (404, Reason::SourceNotFound),
        (410, Reason::SourceNotFound),
        (422, Reason::SourceNotFound),
        (401, Reason::SourceAuth),
        (403, Reason::SourceAuth),
        (409, Reason::SourceRefused),
    ] {
        let problem = json!({"code": code, "message": "no\u{1b}[31m object"});
        let server = one().serve_changed(move |_, said| {
            let object = said["objects"][0].as_object_mut().unwrap();
            object.remove("actions");
            object.insert("error".to_owned(), problem.clone());
        });
        ends(&Trial::new(&server), reason, "dir/a.bin");
        ends(&Trial::new(&server), reason, "no[31m object");
        assert_eq!(counted(&server, is_object), 0);
    }
    for (status, reason, batches) in [
        (401, Reason::SourceAuth, 1),
        (403, Reason::SourceAuth, 1),
        (404, Reason::SourceNotFound, 1),
        (413, Reason::SourceRefused, 1),
        (429, Reason::SourceUnavailable, 3),
        (500, Reason::SourceUnavailable, 3),
        (507, Reason::SourceUnavailable, 3),
        (509, Reason::SourceUnavailable, 3),
    ] {
        let host = one();
        let server = Server::plain(move |asked, out| {
            let said = br#"{"message": "the words of the server"}"#;
            if is_batch(asked) { answer(out, status, &[("Retry-After", "0")], said) } else { host.answer(asked, out) }
        });
        ends(&Trial::new(&server), reason, "the words of the server");
        assert_eq!(counted(&server, is_batch), batches, "{status}");
    }
}

#[test]
fn what_comes_is_held_against_the_pointer() {
    for (sent, said) in [
        (&b"The object"[..], "its SHA-256 is"),
        (b"the objec", "9 bytes come"),
        (b"the object and more", "19 bytes come"),
        (b"", "0 bytes come"),
    ] {
        let host = one();
        let server = Server::plain(move |asked, out| if is_object(asked) { answer(out, 200, &[], sent) } else { host.answer(asked, out) });
        ends(&Trial::new(&server), Reason::SourceIntegrity, said);
        assert_eq!(counted(&server, is_object), 1, "it is not asked for again");
    }
    // Without a length there is only what comes.
    for (sent, said) in [(&b"the objec"[..], "ended after 9 of 10"), (b"the object and more", "more bytes come than the 10")] {
        let host = one();
        let server = Server::plain(move |asked, out| {
            if !is_object(asked) {
                return host.answer(asked, out);
            }
            write!(out, "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n", sent.len())?;
            out.write_all(sent)?;
            out.write_all(b"\r\n0\r\n\r\n")
        });
        ends(&Trial::new(&server), Reason::SourceIntegrity, said);
    }
}

#[test]
fn one_object_that_will_not_come_ends_the_fetch_at_once() {
    let names: Vec<String> = (10..60).map(|n| format!("{n}.bin")).collect();
    let paths: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), name.as_bytes())).collect();
    for bad in [b"wrong!".as_slice(), b""] {
        let host = hand_written(&paths);
        let wrong = hex(&Sha256::digest(b"11.bin"));
        let server = Server::plain(move |asked, out| match asked.path() {
            path if path.ends_with(&wrong) => answer(out, 200, &[], bad),
            // Slower than it takes to know better.
            _ if is_object(asked) => {
                std::thread::sleep(Duration::from_secs(5));
                host.answer(asked, out)
            }
            _ => host.answer(asked, out),
        });
        let began = Instant::now();
        ends(&Trial::new(&server), Reason::SourceIntegrity, "11.bin");
        assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
        assert!(counted(&server, is_object) < 10, "{}", counted(&server, is_object));
    }
}

#[test]
fn what_passes_is_tried_again_and_not_without_end() {
    let failing = |times: usize, status: u16| {
        let (host, count) = (one(), AtomicUsize::new(0));
        Server::plain(move |asked, out| {
            if is_object(asked) && count.fetch_add(1, Ordering::SeqCst) < times {
                return answer(out, status, &[("Retry-After", "0")], b"");
            }
            host.answer(asked, out)
        })
    };
    // Leave that has run out is asked for anew.
    for status in [503, 403] {
        let server = failing(2, status);
        assert_eq!(came_out(&Trial::new(&server))["dir/a.bin"].as_deref(), Ok(OBJECT));
        assert_eq!((counted(&server, is_batch), counted(&server, is_object)), (3, 3));
    }
    let server = failing(usize::MAX, 503);
    ends(&Trial::new(&server), Reason::SourceUnavailable, "503");
    assert_eq!((counted(&server, is_batch), counted(&server, is_object)), (3, 3));
    ends(&Trial::new(&failing(usize::MAX, 403)), Reason::SourceAuth, "403");
    // A body that breaks off.
    let (host, count) = (one(), AtomicUsize::new(0));
    let server = Server::plain(move |asked, out| {
        if is_object(asked) && count.fetch_add(1, Ordering::SeqCst) == 0 {
            return out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nthe");
        }
        host.answer(asked, out)
    });
    assert_eq!(came_out(&Trial::new(&server))["dir/a.bin"].as_deref(), Ok(OBJECT));
}

#[test]
fn g11_an_answer_is_no_larger_and_no_other_than_the_question() {
    type Change = Box<dyn Fn(&mut Value) + Send + Sync>;
    let object = |change: fn(&mut Value)| -> Change { Box::new(move |said| change(&mut said["objects"][0])) };
    let table: Vec<(Change, Reason, &str)> = vec![
        (object(|object| object["size"] = json!(11)), Reason::SourceIntegrity, "says that it has 11 bytes"),
        (object(|object| object["size"] = json!(-1)), Reason::SourceRefused, "not understood"),
        (object(|object| object["oid"] = json!("ab".repeat(32))), Reason::SourceRefused, "does not answer for"),
        (object(|object| drop(object.as_object_mut().unwrap().remove("actions"))), Reason::SourceRefused, "neither sends"),
        (Box::new(|said| said["objects"] = json!([])), Reason::SourceRefused, "does not answer for"),
        (Box::new(|said| said["objects"] = json!(vec![said["objects"][0].clone(); 5000])), Reason::SourceRefused, "answers for 5000"),
        (Box::new(|said| said["transfer"] = json!("tus")), Reason::SourceRefused, "\"tus\""),
        (Box::new(|said| said["hash_algo"] = json!("md5")), Reason::SourceRefused, "\"md5\""),
        (Box::new(|said| said["more"] = json!("x".repeat(5 << 20))), Reason::SourceRefused, "more than 4194304 bytes"),
        (Box::new(|said| *said = json!("[[[[")), Reason::SourceRefused, "not understood"),
    ];
    for (change, reason, said) in table {
        let server = one().serve_changed(move |_, said| change(said));
        ends(&Trial::new(&server), reason, said);
        assert_eq!(counted(&server, is_object), 0, "{said}");
    }
}

#[test]
fn g3_g4_an_object_comes_from_no_forbidden_place() {
    for (href, said) in [
        ("file:///etc/passwd", "file://"),
        ("/etc/passwd", "path"),
        ("ssh://git@a.example/x", "no http"),
        ("ftp://a.example/x", "ftp://"),
        ("https://me:hush@127.0.0.1:1/x", "user name or password"),
        ("http://127.0.0.1:1/a%0d%0aHost: x", "control character"),
        ("-oProxyCommand=x", "hyphen"),
    ] {
        let server = one().serve_changed(move |_, said| said["objects"][0]["actions"]["download"]["href"] = json!(href));
        ends(&Trial::new(&server), Reason::SourceRefused, said);
        ends(&Trial::new(&server), Reason::SourceRefused, "dir/a.bin");
    }
    for href in ["http://169.254.169.254/latest/meta-data", "http://[::ffff:169.254.169.254]/x", "http://metadata.google.internal/x"] {
        let server = one().serve_changed(move |_, said| said["objects"][0]["actions"]["download"]["href"] = json!(href));
        ends(&Trial::new(&server), Reason::SourceRefused, "only this node can see");
    }
    // The user's own address is out in the world, as far as the fetch knows; what it leads to is not.
    let server = one().serve_changed(|asked, said| {
        let port = asked.header("host").unwrap().split(':').next_back().unwrap().to_owned();
        said["objects"][0]["actions"]["download"]["href"] = json!(format!("http://localhost:{port}/objects/x"));
    });
    let mut trial = Trial::new(&server);
    trial.loopback = false;
    ends(&trial, Reason::SourceRefused, "this pod itself");
    assert_eq!(counted(&server, is_object), 0);
    for headers in [
        json!({"Host": "other.example"}),
        json!({"content-length": "0"}),
        json!({"Proxy-Authorization": "x"}),
        json!({"a b": "x"}),
        json!({"x": "a\r\nHost: other"}),
        json!({"x": "y".repeat(20_000)}),
    ] {
        let server = one().serve_changed(move |_, said| said["objects"][0]["actions"]["download"]["header"] = headers.clone());
        ends(&Trial::new(&server), Reason::SourceRefused, "header");
        assert_eq!(counted(&server, is_object), 0);
    }
}

#[test]
fn plain_http_is_for_where_it_is_allowed_and_never_below_https() {
    let pki = Pki::new();
    let trap = Server::plain(|_, out| answer(out, 200, &[], OBJECT));
    let (host, href) = (one().over_tls(), trap.at("/x").to_string());
    let server = Server::tls(&pki, move |asked, out| {
        if !is_batch(asked) {
            return host.answer(asked, out);
        }
        let mut said = host.batch(asked);
        said["objects"][0]["actions"]["download"]["href"] = json!(href);
        say(out, 200, &said)
    });
    ends(&Trial::new(&server).trusting(&pki), Reason::SourceRefused, "https to plain http");
    assert!(trap.asked().is_empty());
    let server = one().serve();
    let mut trial = Trial::new(&server);
    trial.options.plain_http = false;
    ends(&trial, Reason::SourceRefused, "operator");
}

/// A private repository over TLS whose objects are elsewhere; what the answer to a batch request is.
fn private(pki: &Pki, host: LfsHost, change: impl Fn(&mut Value) + Send + Sync + 'static) -> Server {
    let host = host.over_tls();
    Server::tls(pki, move |asked, out| {
        if !knows(asked) {
            return challenge(out);
        }
        if !is_batch(asked) {
            return host.answer(asked, out);
        }
        let mut said = host.batch(asked);
        change(&mut said);
        say(out, 200, &said)
    })
}

#[test]
fn the_repositorys_credential_is_shown_to_its_own_host_that_asks_for_it() {
    let pki = Pki::new();
    let server = private(&pki, one(), |_| {});
    let ours = came_out(&Trial::new(&server).trusting(&pki).knowing(PASSWORD));
    assert_eq!(ours["dir/a.bin"].as_deref(), Ok(OBJECT));
    assert_eq!((counted(&server, is_batch), counted(&server, is_object)), (2, 1), "asked once without it, then with it");
    ends(&Trial::new(&server).trusting(&pki).knowing("wrong"), Reason::SourceAuth, "refused the credential");
    // The objects alone are private.
    let host = one().over_tls();
    let server = Server::tls(
        &pki,
        move |asked, out| {
            if asked.path().contains("lfs") && !knows(asked) { challenge(out) } else { host.answer(asked, out) }
        },
    );
    ends(&Trial::new(&server).trusting(&pki), Reason::SourceAuth, "wants a credential");
    assert!(came_out(&Trial::new(&server).trusting(&pki).knowing(PASSWORD))["dir/a.bin"].is_ok());
    let shown = |asked: &Asked| asked.header("authorization").is_some();
    assert!(server.asked().iter().filter(|asked| shown(asked)).all(|asked| is_batch(asked) || is_object(asked)));
}

#[test]
fn g4_an_actions_headers_go_to_its_own_place_and_the_credential_does_not() {
    let pki = Pki::new();
    let far = Server::tls(&pki, |_, out| answer(out, 200, &[], OBJECT));
    let to = far.at("/far").to_string();
    let near = Server::tls(&pki, move |_, out| redirect(out, 302, &to));
    let href = near.at("/near").to_string();
    let server = private(&pki, one(), move |said| {
        let action = json!({"href": href, "header": {"Authorization": "RemoteAuth hush", "X-Key": "hush"}});
        said["objects"][0]["actions"]["download"] = action;
    });
    let ours = came_out(&Trial::new(&server).trusting(&pki).knowing(PASSWORD));
    assert_eq!(ours["dir/a.bin"].as_deref(), Ok(OBJECT));
    let (near, far) = (near.asked(), far.asked());
    assert_eq!((near.len(), far.len()), (1, 1));
    assert_eq!((near[0].header("authorization"), near[0].header("x-key")), (Some("RemoteAuth hush"), Some("hush")));
    assert_eq!((far[0].header("authorization"), far[0].header("x-key")), (None, None));
}

#[test]
fn g4_a_server_that_the_repository_names_gets_no_credential() {
    let pki = Pki::new();
    let host = one().over_tls();
    let objects = host.clone();
    let trap =
        Server::tls(&pki, move |asked, out| if is_batch(asked) || is_object(asked) { objects.answer(asked, out) } else { challenge(out) });
    host.repo.write(".lfsconfig", format!("[lfs]\n\turl = {}\n", trap.at("/any/info/lfs")));
    host.repo.commit("a server of its own");
    let server = private(&pki, host, |_| panic!("the other server was to be asked"));
    let trial = Trial::new(&server).trusting(&pki).knowing(PASSWORD);
    assert_eq!(came_out(&trial)["dir/a.bin"].as_deref(), Ok(OBJECT));
    let asked = trap.asked();
    assert_eq!((asked.len(), asked.iter().filter(|asked| asked.header("authorization").is_some()).count()), (2, 0));
    // One that wants a credential gets none, either.
    let greedy = Server::tls(&pki, |_, out| challenge(out));
    let host = one().over_tls();
    host.repo.write(".lfsconfig", format!("[lfs]\n\turl = {}\n", greedy.url));
    host.repo.commit("x");
    let server = private(&pki, host, |_| {});
    ends(&Trial::new(&server).trusting(&pki).knowing(PASSWORD), Reason::SourceAuth, "wants a credential");
    assert!(greedy.asked().iter().all(|asked| asked.header("authorization").is_none()) && !greedy.asked().is_empty());
}

#[test]
fn g12_what_lfsconfig_names_is_judged_like_everything_that_a_repository_says() {
    for (url, reason, said) in [
        ("http://169.254.169.254/lfs", Reason::SourceRefused, "only this node can see"),
        ("file:///srv/lfs", Reason::SourceRefused, "file://"),
        ("ssh://git@a.example/x", Reason::Unsupported, "git-lfs-authenticate"),
    ] {
        let host = one();
        host.repo.write(".lfsconfig", format!("[lfs]\n\turl = {url}\n[filter \"lfs\"]\n\tprocess = touch /tmp/x\n"));
        host.repo.commit("x");
        let server = host.serve();
        ends(&Trial::new(&server), reason, said);
    }
}

#[test]
fn a_batch_request_is_sent_on_within_its_own_host_only() {
    let host = one();
    let server = Server::plain(move |asked, out| match asked.path() {
        "/repo.git/info/lfs/objects/batch" => redirect(out, 307, "/renamed.git/info/lfs/objects/batch"),
        _ => host.answer(asked, out),
    });
    assert_eq!(came_out(&Trial::new(&server))["dir/a.bin"].as_deref(), Ok(OBJECT));
    let trap = Arc::new(Server::plain(|_, out| answer(out, 200, &[], b"{}")));
    let (host, to) = (one(), trap.at("/x").to_string());
    let server = Server::plain(move |asked, out| if is_batch(asked) { redirect(out, 307, &to) } else { host.answer(asked, out) });
    ends(&Trial::new(&server), Reason::SourceRefused, "another host");
    assert!(trap.asked().is_empty());
    let host = one();
    let server = Server::plain(move |asked, out| if is_batch(asked) { redirect(out, 307, &asked.target) } else { host.answer(asked, out) });
    ends(&Trial::new(&server), Reason::SourceRefused, "without end");
}

#[test]
fn g11_pointers_to_more_than_there_may_be_are_refused_before_anybody_is_asked() {
    let repo = Repo::new();
    let huge = pointer(b"x").replace("size 1", "size 9223372036854775807");
    repo.write("a.bin", huge);
    repo.write(".gitattributes", "*.bin filter=lfs\n");
    repo.git(&["config", "filter.lfs.clean", "cat"]);
    repo.commit("x");
    let server = LfsHost::new(&repo).serve();
    ends(&Trial::new(&server), Reason::SourceRefused, "limits.objectBytes (--limit-object-bytes)");
    assert_eq!(counted(&server, is_batch), 0);
    let bodies: Vec<Vec<u8>> = (0..10).map(|n| vec![n; 1000]).collect();
    let names: Vec<String> = (0..10).map(|n| format!("{n}.bin")).collect();
    let paths: Vec<(&str, &[u8])> = names.iter().zip(&bodies).map(|(name, body)| (name.as_str(), body.as_slice())).collect();
    let server = hand_written(&paths).serve();
    let mut trial = Trial::new(&server);
    trial.options.limits.source_bytes = 9_500;
    ends(&trial, Reason::SourceRefused, "limits.sourceBytes (--limit-source-bytes)");
    assert_eq!(counted(&server, is_batch), 0);
    // One object, two sizes.
    let host = one();
    host.repo.write("dir/b.bin", pointer(OBJECT).replace("size 10", "size 11"));
    host.repo.commit("x");
    let server = host.serve();
    ends(&Trial::new(&server), Reason::SourceIntegrity, "dir/b.bin");
}

#[test]
fn g14_a_signed_place_is_not_shown() {
    let server = one().serve_changed(|_, said| {
        let href = said["objects"][0]["actions"]["download"]["href"].as_str().unwrap().replace("/objects/", "/gone/");
        said["objects"][0]["actions"]["download"]["href"] = json!(format!("{href}?X-Amz-Signature=hush-hush"));
    });
    let error = Trial::new(&server).run().err().unwrap();
    let shown = format!("{error} {error:?}");
    assert!(shown.contains("/gone/") && !shown.contains("hush-hush"), "{shown}");
}
