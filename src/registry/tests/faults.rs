//! What a registry may do wrong, and what comes of it.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use sha2::{Digest as _, Sha256};

use super::fake::{Fake, respond};
use crate::model::keychain::Credential;
use crate::model::{Classified, Digest, Reason, Reference};
use crate::net::{self, ProxySettings};
use crate::registry::manifest;
use crate::registry::{Client, Options, RegistryError, RemoteImage};
use crate::support::limits::MANIFEST_BYTES;

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn hex(letter: &str) -> String {
    format!("sha256:{}", letter.repeat(64))
}

fn image() -> String {
    let descriptor = |letter| format!(r#"{{"mediaType":"application/octet-stream","digest":"{}","size":2}}"#, hex(letter));
    format!(r#"{{"schemaVersion":2,"mediaType":"{OCI}","config":{},"layers":[{}]}}"#, descriptor("a"), descriptor("b"))
}

fn basic() -> Credential {
    Credential::Basic { username: "user".into(), password: SecretString::from("pass-word-1") }
}

async fn read(host: &str, credential: Option<&Credential>, options: Options) -> Result<RemoteImage, RegistryError> {
    let reference = Reference::parse(&format!("{host}/team/web:1")).unwrap();
    Client::new(&options, std::sync::Arc::default()).unwrap().read_back(&reference, credential).await
}

#[tokio::test]
async fn a_digest_that_the_bytes_do_not_have_is_not_believed() {
    let real = Digest::sha256(Sha256::digest(image()));
    for (named, good) in [(real.to_string(), true), (hex("0"), false), ("sha256:12".into(), false), ("../../etc".into(), false)] {
        let fake = Fake::start(move |_, stream| {
            respond(stream, "200 OK", &[("Content-Type", OCI), ("Docker-Content-Digest", &named)], image().as_bytes());
        });
        match read(&fake.host, None, Options::default()).await {
            Ok(found) => assert!(good && found.digest == real && found.config_digest.unwrap().as_str() == hex("a")),
            Err(error) => assert!(!good && error.reason() == Reason::DigestMismatch, "{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endless_body_is_read_to_its_bound_only() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let fake = Fake::start(move |asked, stream| {
        let kind = if asked.line.contains("/manifests/") { "200 OK" } else { "404 Not Found" };
        let _ = stream.write_all(format!("HTTP/1.1 {kind}\r\nContent-Type: {OCI}\r\n\r\n").as_bytes());
        let mut sent = 0;
        let spaces = vec![b' '; 65536];
        while stream.write_all(&spaces).is_ok() {
            sent += 65536u64;
        }
        let _ = sender.send(sent);
    });
    let error = read(&fake.host, None, Options::default()).await.unwrap_err();
    assert!(matches!(&error, RegistryError::Protocol { problem, .. } if problem.contains(&MANIFEST_BYTES.to_string())), "{error}");
    let sent = receiver.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(sent < MANIFEST_BYTES + (16 << 20), "{sent} bytes went out");
}

#[tokio::test]
async fn an_announced_size_beyond_the_bound_is_not_read_at_all() {
    let fake = Fake::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n");
    });
    assert!(matches!(read(&fake.host, None, Options::default()).await, Err(RegistryError::Protocol { .. })));
}

#[tokio::test]
async fn a_401_is_answered_once() {
    for challenge in ["Basic realm=\"r\"", "Bearer realm=\"http://REGISTRY/token\",service=\"s\""] {
        let fake = Fake::start(move |asked, stream| {
            if asked.line.contains("/token") {
                return respond(stream, "200 OK", &[], br#"{"token":"t0ken-t0ken"}"#);
            }
            let challenge = challenge.replace("REGISTRY", asked.header("host").unwrap());
            respond(stream, "401 Unauthorized", &[("WWW-Authenticate", &challenge)], b"{}");
        });
        let error = read(&fake.host, Some(&basic()), Options::default()).await.unwrap_err();
        assert_eq!(error.reason(), Reason::PushAuth, "{error}");
        let asked = fake.asked();
        assert_eq!(asked.iter().filter(|asked| asked.line.contains("/manifests/")).count(), 2, "{asked:?}");
        assert!(asked[0].header("authorization").is_none(), "nothing is shown before it is asked for");
    }
}

#[tokio::test]
async fn a_token_is_fetched_with_the_password_and_shown_to_the_registry() {
    let fake = Fake::start(|asked, stream| {
        let authorization = asked.header("authorization").unwrap_or_default();
        match asked.line.as_str() {
            line if line.contains("/token?service=s&scope=repository%3Ateam%2Fweb%3Apull") && authorization.starts_with("Basic ") => {
                respond(stream, "200 OK", &[], br#"{"access_token":"t0ken-t0ken"}"#);
            }
            _ if authorization == "Bearer t0ken-t0ken" => respond(stream, "200 OK", &[("Content-Type", OCI)], image().as_bytes()),
            _ => {
                let challenge = format!("Bearer realm=\"http://{}/token\",service=\"s\"", asked.header("host").unwrap());
                respond(stream, "401 Unauthorized", &[("WWW-Authenticate", &challenge)], b"{}");
            }
        }
    });
    assert!(read(&fake.host, Some(&basic()), Options::default()).await.is_ok());
    let bearer = Credential::Bearer(SecretString::from("t0ken-t0ken"));
    assert!(read(&fake.host, Some(&bearer), Options::default()).await.is_ok(), "a registry token needs no token server");
    assert_eq!(fake.asked().len(), 5);
}

#[tokio::test]
async fn a_password_never_goes_to_a_strange_token_server_or_along_a_redirect() {
    let trap = Fake::start(|_, stream| respond(stream, "200 OK", &[], br#"{"token":"stolen-stolen"}"#));
    let (realm, location) = (format!("Bearer realm=\"http://{}/token\"", trap.host), format!("http://{}/v2/x", trap.host));
    let hijack = Fake::start(move |_, stream| respond(stream, "401 Unauthorized", &[("WWW-Authenticate", &realm)], b""));
    let redirect = Fake::start(move |_, stream| respond(stream, "307 Temporary Redirect", &[("Location", &location)], b""));
    for host in [&hijack.host, &redirect.host] {
        let error = read(host, Some(&basic()), Options::default()).await.unwrap_err();
        assert!(matches!(error, RegistryError::CannotVerify { .. }) && error.may_ask_the_engine(), "{error}");
    }
    assert!(trap.asked().is_empty(), "{:?}", trap.asked());
}

#[tokio::test]
async fn an_identity_token_is_left_to_the_engine() {
    let fake = Fake::start(|_, stream| respond(stream, "401 Unauthorized", &[("WWW-Authenticate", "Basic realm=\"r\"")], b""));
    let identity = Credential::Identity(SecretString::from("refresh-me"));
    let error = read(&fake.host, Some(&identity), Options::default()).await.unwrap_err();
    assert!(matches!(error, RegistryError::CannotVerify { .. }), "{error}");
    assert_eq!(fake.asked().len(), 1);
}

#[tokio::test]
async fn each_status_has_its_meaning() {
    let table = [
        ("403 Forbidden", Reason::PushAuth, false),
        ("404 Not Found", Reason::DigestMismatch, false),
        ("418 Teapot", Reason::DigestMismatch, false),
        ("204 No Content", Reason::DigestMismatch, false),
        ("429 Too Many Requests", Reason::PushUnavailable, true),
        ("503 Service Unavailable", Reason::PushUnavailable, true),
    ];
    for (status, reason, transient) in table {
        let body = br#"{"errors":[{"code":"DENIED","message":"the registry's own words"}]}"#;
        let fake = Fake::start(move |_, stream| respond(stream, status, &[], if status.starts_with("204") { b"" } else { body }));
        let error = read(&fake.host, None, Options::default()).await.unwrap_err();
        assert_eq!((error.reason(), error.is_transient()), (reason, transient), "{status}: {error}");
        let told = error.to_string().contains("own words");
        assert_eq!(told, !status.starts_with("404") && !status.starts_with("204"), "{error}");
        assert_eq!(fake.asked().len(), 1, "who retries is decided elsewhere");
    }
}

#[tokio::test]
async fn nobody_there_and_nobody_answering_are_unreachable_in_time() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let options = Options { total_timeout: Duration::from_millis(400), ..Options::default() };
    for host in [silent.local_addr().unwrap().to_string(), gone, "no-such-host.invalid".into()] {
        let before = Instant::now();
        let error = read(&host, None, options.clone()).await.unwrap_err();
        assert!(matches!(error, RegistryError::Unreachable { .. }) && error.may_ask_the_engine(), "{host}: {error:?}");
        assert!(before.elapsed() < Duration::from_secs(5));
    }
}

fn behind(proxy: &str) -> Options {
    let proxy = ProxySettings::new(Some(proxy), Some(proxy), None).unwrap();
    Options { net: net::Settings { proxy, ..net::Settings::default() }, ..Options::default() }
}

#[tokio::test]
async fn plain_http_is_for_the_loopback_or_where_it_is_allowed() {
    let fake = Fake::start(|_, stream| respond(stream, "200 OK", &[("Content-Type", OCI)], image().as_bytes()));
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    assert!(read(&fake.host, None, behind(&gone)).await.is_ok(), "the loopback is never behind a proxy");

    // A proxy stands in for a network in which names outside this machine have an answer.
    let tunnel = Fake::start(|asked, stream| {
        if asked.line.starts_with("CONNECT ") {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 400 not TLS\r\n\r\n");
        } else {
            respond(stream, "200 OK", &[("Content-Type", OCI)], image().as_bytes());
        }
    });
    let options = behind(&tunnel.host);
    let error = read("registry.example.com:5000", None, options.clone()).await.unwrap_err();
    assert!(matches!(error, RegistryError::Tls { .. }) && error.may_ask_the_engine(), "{error}");
    assert!(
        read("registry.example.com:5000", None, Options { plain_http: vec!["Registry.example.com:5000".into()], ..options }).await.is_ok()
    );
    assert!(tunnel.asked().iter().any(|asked| asked.line.starts_with("CONNECT registry.example.com:5000")));
}

#[tokio::test]
async fn an_allowed_registry_is_asked_over_http_where_nobody_listens_for_https() {
    // This machine's own address outside the loopback: nobody listens on its port 443, and for its port 80 a proxy answers.
    let web = Fake::start(|_, stream| respond(stream, "200 OK", &[("Content-Type", OCI)], image().as_bytes()));
    let proxy = ProxySettings::new(Some(&web.host), None, None).unwrap();
    let options = Options { net: net::Settings { proxy, ..net::Settings::default() }, ..Options::default() };
    let error = read("0.0.0.0", None, options.clone()).await.unwrap_err();
    assert!(matches!(error, RegistryError::Unreachable { .. }), "{error}");
    assert!(read("0.0.0.0", None, Options { plain_http: vec!["0.0.0.0".into()], ..options }).await.is_ok());
}

#[test]
fn a_manifest_has_one_meaning_or_none() {
    let reference = Reference::parse("a.b/c:1").unwrap();
    let entry =
        |letter: &str, platform: &str| format!(r#"{{"mediaType":"{OCI}","digest":"{}","size":3,"platform":{platform}}}"#, hex(letter));
    let index = format!(
        r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{},{},{}]}}"#,
        entry("1", r#"{"os":"linux","architecture":"amd64"}"#),
        entry("2", r#"{"os":"linux","architecture":"arm","variant":"v7"}"#),
        entry("3", r#"{"os":"unknown","architecture":"unknown"}"#),
    );
    let read = |text: &str, header: Option<&str>| manifest::read(text.as_bytes(), header, None, &reference);
    let found = read(&index, Some(INDEX)).unwrap();
    assert_eq!((found.config_digest, found.media_type.as_str()), (None, INDEX));
    assert_eq!(read(&image(), None).unwrap().media_type, OCI);
    assert_eq!(read(&image(), Some("application/vnd.oci.image.manifest.v1+json; charset=utf-8")).unwrap().size, image().len() as u64);
    let untyped = image().replace(&format!(r#""mediaType":"{OCI}","#), "");
    assert!(read(&untyped, Some(OCI)).is_ok() && read(&untyped, None).is_err());

    let both = image().replace(r#""layers""#, r#""manifests":[],"layers""#);
    for (text, header) in [
        (both.as_str(), OCI),
        (&both.replace(OCI, INDEX), INDEX),
        (&image(), INDEX),
        (&index, OCI),
        (&image().replace(OCI, INDEX), INDEX),
        (&image().replace(r#""schemaVersion":2"#, r#""schemaVersion":1"#), OCI),
        (&image().replace(&hex("a"), "sha256:../../x"), OCI),
        (&image().replace(&hex("b"), "x"), OCI),
        (&image().replace(OCI, "text/html"), "text/html"),
        ("[]", OCI),
        ("", OCI),
        ("{", OCI),
    ] {
        assert!(read(text, Some(header)).is_err(), "{text}");
    }
    let pinned = Reference::parse(&format!("a.b/c@{}", hex("f"))).unwrap();
    assert!(manifest::read(image().as_bytes(), Some(OCI), None, &pinned).unwrap_err().contains("asked for"));
}
