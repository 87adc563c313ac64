//! The client against real sockets.

use std::io::{Read, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use secrecy::SecretString;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::trial::{Asked, Pki, Server, answer, redirect};
use super::*;

const SECRET: &str = "canary-6b1f0c";

fn client(trust: &[&Pki]) -> Client {
    client_with(trust, |_| {})
}

fn client_with(trust: &[&Pki], change: impl FnOnce(&mut Settings)) -> Client {
    let extra = trust.iter().map(|pki| pki.ca_pem.clone()).collect();
    let mut settings = Settings { trust: Trust { extra }, loopback: true, ..Settings::default() };
    settings.timeouts =
        Timeouts { connect: Duration::from_secs(2), first_byte: Duration::from_millis(1500), idle: Duration::from_millis(700) };
    change(&mut settings);
    Client::new(&settings).unwrap()
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap().block_on(future)
}

fn with_credential(url: Url) -> Request {
    let credential = Credential::basic(Origin::of(&url).unwrap(), "me", SecretString::from(SECRET)).unwrap();
    Request { credential: Some(credential), ..Request::get(url) }
}

fn carries_secret(asked: &Asked) -> bool {
    asked.header("authorization").is_some() || asked.header("cookie").is_some() || format!("{asked:?}").contains(SECRET)
}

#[test]
fn g4_no_redirect_takes_a_credential_to_another_origin() {
    let pki = Pki::new();
    for status in [301, 302, 303, 307, 308] {
        let trap = Server::tls(&pki, |_, out| answer(out, 401, &[("WWW-Authenticate", "Basic realm=x")], b""));
        let to = trap.at("/x").to_string();
        let server = Server::tls(&pki, move |_, out| redirect(out, status, &to));
        let response = run(client(&[&pki]).send(with_credential(server.at("/a")))).unwrap();
        assert_eq!((response.status().as_u16(), response.is_foreign()), (401, true));
        assert!(carries_secret(&server.asked()[0]), "the origin itself is shown the credential");
        let caught = trap.asked();
        assert_eq!(caught.len(), 1);
        assert!(!carries_secret(&caught[0]), "{status} {caught:?}");
    }
}

#[test]
fn g4_a_credential_does_not_come_back_by_a_detour() {
    let pki = Pki::new();
    let home = Arc::new(std::sync::OnceLock::<String>::new());
    let back = Arc::clone(&home);
    let trap = Server::tls(&pki, move |_, out| redirect(out, 302, back.get().unwrap()));
    let to = trap.at("/x").to_string();
    let server = Server::tls(&pki, move |asked, out| match asked.path() {
        "/a" => redirect(out, 302, &to),
        _ => answer(out, 200, &[], b""),
    });
    home.set(server.at("/chosen-by-the-trap").to_string()).unwrap();
    run(client(&[&pki]).send(with_credential(server.at("/a")))).unwrap();
    assert!(carries_secret(&server.asked()[0]));
    assert!(!carries_secret(&server.asked()[1]));
}

#[test]
fn a_redirect_within_the_origin_keeps_the_credential() {
    let pki = Pki::new();
    let server = Server::tls(&pki, |asked, out| match asked.path() {
        "/a" => redirect(out, 301, "/b"),
        _ => answer(out, 200, &[], b"here"),
    });
    let response = run(client(&[&pki]).send(with_credential(server.at("/a")))).unwrap();
    assert_eq!((response.url().path(), response.is_foreign()), ("/b", false));
    assert!(server.asked().iter().all(carries_secret));
}

#[test]
fn g4_refused_redirects() {
    let pki = Pki::new();
    let plain = Server::plain(|_, out| answer(out, 200, &[], b""));
    let table = [
        (plain.at("/x").to_string(), "plain http"),
        ("ftp://a.b/x".to_owned(), "another scheme"),
        ("file:///etc/passwd".to_owned(), "another scheme"),
        ("https://u:p@127.0.0.1/x".to_owned(), "user name"),
        ("https://169.254.169.254/latest/meta-data".to_owned(), "only this node"),
        ("https://[::ffff:a9fe:a9fe]/latest".to_owned(), "only this node"),
        ("/again".to_owned(), "more than 5"),
        ("https://[".to_owned(), "no URL"),
    ];
    for (to, rule) in table {
        let location = to.clone();
        let server = Server::tls(&pki, move |_, out| redirect(out, 302, &location));
        let error = run(client(&[&pki]).send(with_credential(server.at("/a?token=canary")))).unwrap_err();
        assert!(matches!(&error, NetError::Redirect { rule: said, .. } if said.contains(rule)), "{to}: {error}");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
    assert!(plain.asked().is_empty());
    let server = Server::tls(&pki, |_, out| redirect(out, 307, "/elsewhere"));
    let error = run(client(&[&pki]).send(Request::post(server.at("/a"), "body".into()))).unwrap_err();
    assert!(matches!(error, NetError::Redirect { .. }), "{error}");
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn g3_g4_nobody_but_the_user_leads_to_this_pods_own_loopback() {
    let sidecar = Server::plain(|_, out| answer(out, 200, &[], b"for this pod alone"));
    let port = sidecar.url.port().unwrap();
    let far = || client_with(&[], |settings| settings.loopback = false);
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "2130706433"] {
        let to = format!("http://{host}:{port}/x");
        let (url, location) = (Url::parse(&to).unwrap(), to.clone());
        let server = Server::plain(move |_, out| redirect(out, 302, &location));
        for request in [
            Request::get(server.at("/a")),
            Request { foreign: true, ..Request::get(url.clone()) },
            Request { checked: true, ..Request::get(url.clone()) },
        ] {
            let error = run(far().send(request)).unwrap_err();
            assert!(matches!(&error, NetError::Redirect { rule, .. } if rule.contains("this pod itself")), "{host}: {error}");
        }
    }
    let runtime = Runtime::new().unwrap();
    let blocking = BlockingClient::new(far(), runtime.handle().clone(), CancellationToken::new());
    let error = blocking.tcp(&sidecar.url, 80, true).unwrap_err();
    assert!(matches!(&error, NetError::Address { rule, .. } if rule.contains("this pod itself")), "{error}");
    assert!(sidecar.asked().is_empty());
    // The user's own word is enough.
    assert_eq!(run(far().send(Request::get(sidecar.at("/x")))).unwrap().status().as_u16(), 200);
    blocking.tcp(&sidecar.url, 80, false).unwrap();
}

#[test]
fn what_a_host_named_is_checked_and_gets_no_credential() {
    let request = Request { foreign: true, ..Request::get(Url::parse("http://169.254.0.1.:1/").unwrap()) };
    let error = run(client(&[]).send(request)).unwrap_err();
    assert!(matches!(error, NetError::Redirect { .. }), "{error:?}");
    let pki = Pki::new();
    let server = Server::tls(&pki, |_, out| answer(out, 200, &[], b""));
    run(client(&[&pki]).send(Request { foreign: true, ..with_credential(server.at("/")) })).unwrap();
    assert!(!carries_secret(&server.asked()[0]));
    let loopback = Server::plain(|_, out| answer(out, 200, &[], b""));
    let url = Url::parse(&format!("http://localhost:{}/", loopback.url.port().unwrap())).unwrap();
    run(client(&[]).send(Request { foreign: true, ..Request::get(url) })).unwrap();
}

#[test]
fn what_a_host_named_and_may_have_the_credential_is_checked_all_the_same() {
    let request = Request { checked: true, ..with_credential(Url::parse("https://169.254.0.1.:1/").unwrap()) };
    let error = run(client(&[]).send(request)).unwrap_err();
    assert!(matches!(error, NetError::Redirect { .. }), "{error:?}");
    let pki = Pki::new();
    let server = Server::tls(&pki, |_, out| answer(out, 200, &[], b""));
    run(client(&[&pki]).send(Request { checked: true, ..with_credential(server.at("/")) })).unwrap();
    assert!(carries_secret(&server.asked()[0]));
}

#[test]
fn a_redirect_that_nobody_wants_followed_is_an_answer() {
    let server = Server::plain(|_, out| redirect(out, 307, "file:///etc/passwd"));
    let response = run(client(&[]).send(Request { follow: false, ..Request::get(server.at("/a")) })).unwrap();
    assert_eq!((response.status().as_u16(), server.asked().len()), (307, 1));
}

#[test]
fn plain_http_behind_https_is_told_from_a_bad_certificate() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = Url::parse(&format!("https://{}/", listener.local_addr().unwrap())).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let hello = stream.read(&mut [0; 4096]).unwrap();
        stream.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n").unwrap();
        hello
    });
    let error = run(client(&[]).send(Request::get(url))).unwrap_err();
    assert!(matches!(error, NetError::NotTls { .. }) && error.hint().is_some(), "{error:?}");
}

#[test]
fn g6_the_roots_are_where_they_are_said_to_be() {
    let pki = Pki::new();
    let server = Server::tls(&pki, |_, out| answer(out, 200, &[], b"ok"));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("bundle.pem");
    std::fs::write(&file, &pki.ca_pem).unwrap();
    let read = |file, directories| {
        let client = client_with(&[], |settings| settings.roots = SystemRoots::At { file, directories });
        run(client.send(Request::get(server.at("/"))))
    };
    assert!(read(Some(file), Vec::new()).is_ok());
    assert!(read(None, vec!["/nowhere".into(), directory.path().to_owned()]).is_ok());
    let missing = SystemRoots::At { file: Some("/nowhere/ca.pem".into()), directories: Vec::new() };
    let error = Client::new(&Settings { roots: missing, ..Settings::default() }).err().unwrap();
    assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
    assert!(matches!(SystemRoots::named(None, Vec::new()), SystemRoots::Usual));
    let SystemRoots::At { file, directories } = SystemRoots::named(Some("/x".into()), Vec::new()) else { panic!() };
    assert!(file == Some("/x".into()) && directories.contains(&"/etc/ssl/certs".into()), "each replaces its own default alone");
    let SystemRoots::At { directories, .. } = SystemRoots::named(None, vec!["/y".into()]) else { panic!() };
    assert_eq!(directories, [std::path::PathBuf::from("/y")]);
    let error = read(None, Vec::new()).unwrap_err();
    assert!(matches!(error, NetError::Tls { no_roots: true, .. }) && error.hint().unwrap().contains("no CA certificates"), "{error:?}");
}

#[test]
fn g6_certificates_are_checked() {
    let good = Pki::new();
    let own = Pki::self_signed();
    let other_ip = Pki::with(&["127.0.0.2", "localhost"], |_| {});
    let expired = Pki::with(&["127.0.0.1"], |leaf| leaf.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let early = Pki::with(&["127.0.0.1"], |leaf| leaf.not_before = rcgen::date_time_ymd(2090, 1, 1));
    let own_other_name = Pki::self_signed();
    let table: [(&Pki, Vec<&Pki>, Option<&str>); 8] = [
        (&good, vec![&good], None),
        (&good, vec![], Some("does not know who issued")),
        (&good, vec![&own], Some("does not know who issued")),
        (&other_ip, vec![&other_ip], Some("another name")),
        (&expired, vec![&expired], Some("expired")),
        (&early, vec![&early], Some("not valid yet")),
        (&own, vec![&own], None),
        (&own, vec![&good], Some("signed its certificate itself")),
    ];
    for (pki, trust, want) in table {
        let server = Server::tls(pki, |_, out| answer(out, 200, &[], b"ok"));
        let got = run(client(&trust).send(Request::get(server.at("/"))));
        match want {
            None => assert!(got.is_ok(), "{got:?}"),
            Some(problem) => {
                let error = got.unwrap_err();
                assert!(matches!(&error, NetError::Tls { problem: said, .. } if said.contains(problem)), "{problem}: {error:?}");
                assert!(error.hint().is_some());
                assert!(server.asked().is_empty());
            }
        }
    }
    let server = Server::tls(&own_other_name, |_, out| answer(out, 200, &[], b"ok"));
    let mut url = server.url.clone();
    url.set_host(Some("localhost")).unwrap();
    let error = run(client(&[&own_other_name]).send(Request::get(url))).unwrap_err();
    assert!(matches!(&error, NetError::Tls { problem, .. } if problem.contains("another name")), "{error:?}");
    let plain = Server::plain(|_, out| answer(out, 200, &[], b""));
    let mut url = plain.url.clone();
    url.set_scheme("https").unwrap();
    let error = run(client(&[]).send(Request::get(url))).unwrap_err();
    assert!(matches!(&error, NetError::Tls { .. } | NetError::Connect { .. }), "{error:?}");
    for nonsense in [&b"nonsense"[..], b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        assert!(Client::new(&Settings { trust: Trust { extra: vec![nonsense.to_vec()] }, ..Settings::default() }).is_err());
    }
}

#[test]
fn failures_are_told_apart() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let error = run(client(&[]).send(Request::get(Url::parse(&format!("http://127.0.0.1:{free}/")).unwrap()))).unwrap_err();
    assert!(matches!(&error, NetError::Connect { cause, .. } if cause.0.contains("refused")), "{error:?}");
    let error = run(client(&[]).send(Request::get(Url::parse("http://no-such-host.invalid/").unwrap()))).unwrap_err();
    assert!(matches!(error, NetError::Dns { .. }), "{error:?}");
    let silent = Server::plain(|asked, _| {
        asked.silence();
        Ok(())
    });
    let quick = |settings: &mut Settings| settings.timeouts.connect = Duration::from_millis(300);
    let error = run(client_with(&[], quick).send(Request::get(silent.at("/")))).unwrap_err();
    assert!(matches!(error, NetError::Timeout { wait: Wait::FirstByte, .. }), "{error:?}");
    let stalls = Server::plain(|asked, out| {
        out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome")?;
        out.flush()?;
        asked.silence();
        Ok(())
    });
    let error = run(async { client(&[]).send(Request::get(stalls.at("/"))).await.unwrap().bytes(1000).await }).unwrap_err();
    assert!(matches!(error, NetError::Timeout { wait: Wait::Idle, .. }), "{error:?}");
    let cut = Server::plain(|_, out| out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome"));
    let error = run(async { client(&[]).send(Request::get(cut.at("/"))).await.unwrap().bytes(1000).await }).unwrap_err();
    assert!(matches!(error, NetError::Io { .. }), "{error:?}");
    let large = Server::plain(|_, out| answer(out, 200, &[], &[b'x'; 2000]));
    let error = run(async { client(&[]).send(Request::get(large.at("/"))).await.unwrap().bytes(1000).await }).unwrap_err();
    assert!(matches!(error, NetError::TooLarge { limit: 1000, .. }), "{error:?}");
    let announced = Server::plain(|_, out| out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n"));
    let error = run(async { client(&[]).send(Request::get(announced.at("/"))).await.unwrap().bytes(1000).await }).unwrap_err();
    assert!(matches!(error, NetError::TooLarge { limit: 1000, .. }), "{error:?}");
}

#[test]
fn a_proxy_is_used_with_its_own_credential_and_named_when_it_refuses() {
    let proxy = Server::plain(|asked, out| match (asked.method.as_str(), asked.header("proxy-authorization")) {
        ("CONNECT", _) => answer(out, 403, &[], b""),
        (_, Some(_)) => answer(out, 200, &[], b"from the proxy"),
        _ => answer(out, 407, &[], b""),
    });
    let address = proxy.url.as_str().replace("http://", "http://user:pass@");
    let settings = |settings: &mut Settings| settings.proxy = ProxySettings::new(Some(&address), Some(&address), Some("not.here")).unwrap();
    let client = client_with(&[], settings);
    let response = run(client.send(Request::get(Url::parse("http://git.invalid/x").unwrap()))).unwrap();
    assert_eq!(response.status().as_u16(), 200);
    assert_eq!(proxy.asked()[0].target, "http://git.invalid/x");
    let error = run(client.send(with_credential(Url::parse("https://git.invalid/x").unwrap()))).unwrap_err();
    assert!(matches!(error, NetError::Proxy { .. }), "{error:?}");
    assert!(!format!("{error:?} {error}").contains("pass"), "{error:?}");
    assert!(!proxy.asked().iter().any(|asked| asked.header("authorization").is_some()));
    let error = run(client.send(Request::get(Url::parse("http://not.here/").unwrap()))).unwrap_err();
    assert!(matches!(error, NetError::Dns { .. }), "{error:?}");
    let nameless = client_with(&[], |settings| settings.proxy = ProxySettings::new(Some(proxy.url.as_str()), None, None).unwrap());
    let error = run(nameless.send(Request::get(Url::parse("http://git.invalid/x").unwrap()))).unwrap_err();
    assert!(matches!(&error, NetError::ProxyAuth { shown: false, .. }) && error.to_string().contains("wants a user"), "{error:?}");
}

#[test]
fn a_redirect_is_judged_behind_a_proxy_too() {
    let target = Arc::new(Mutex::new(String::new()));
    let location = Arc::clone(&target);
    let proxy = Server::plain(move |asked, out| match asked.target.as_str() {
        "http://git.invalid/x" => redirect(out, 302, &location.lock().unwrap()),
        _ => answer(out, 200, &[], b"what only this node can see"),
    });
    let client = client_with(&[], |settings| settings.proxy = ProxySettings::new(Some(proxy.url.as_str()), None, None).unwrap());
    let ask = |to: &str| {
        to.clone_into(&mut target.lock().unwrap());
        run(client.send(Request::get(Url::parse("http://git.invalid/x").unwrap())))
    };
    for to in ["http://169.254.169.254/latest", "http://[fd00:ec2::254]/", "http://metadata.google.internal/", "http://instance-data/"] {
        let before = proxy.asked().len();
        let error = ask(to).unwrap_err();
        assert!(matches!(error, NetError::Redirect { .. }), "{to}: {error:?}");
        assert_eq!(proxy.asked().len(), before + 1, "{to} was asked for");
    }
    // Only the proxy can resolve it.
    assert_eq!(ask("http://other.invalid/y").unwrap().status().as_u16(), 200);
}

#[test]
fn a_blocking_body_is_whole_or_an_error() {
    let runtime = Runtime::new().unwrap();
    let body: Vec<u8> = (0..3_000_000u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    let sent = body.clone();
    let server = Server::plain(move |asked, out| match asked.path() {
        "/cut" => out.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n"),
        "/stall" => {
            out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nsome")?;
            out.flush()?;
            asked.silence();
            Ok(())
        }
        _ => answer(out, 200, &[], &sent),
    });
    let cancel = CancellationToken::new();
    let patient = client_with(&[], |settings| settings.timeouts.idle = Duration::from_mins(1));
    let client = BlockingClient::new(patient, runtime.handle().clone(), cancel.clone());
    let mut got = Vec::new();
    client.send(Request::get(server.at("/"))).unwrap().body.read_to_end(&mut got).unwrap();
    assert!(got == body);
    let error = client.send(Request::get(server.at("/cut"))).unwrap().body.read_to_end(&mut got).unwrap_err();
    assert!(matches!(net(&error), NetError::Io { .. }), "{error:?}");
    let mut stalled = client.send(Request::get(server.at("/stall"))).unwrap().body;
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        cancel.cancel();
    });
    let error = stalled.read_to_end(&mut got).unwrap_err();
    assert!(matches!(net(&error), NetError::Cancelled), "{error:?}");
    assert!(matches!(client.send(Request::get(server.at("/"))).unwrap_err(), NetError::Cancelled));
}

fn net(error: &std::io::Error) -> &NetError {
    error.get_ref().unwrap().downcast_ref().unwrap()
}
