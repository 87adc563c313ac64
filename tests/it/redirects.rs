//! Where a source's host may send this pod on to, and what goes along: nothing (promise 6; G4, A5, R10).

use crate::doors::{Sources, fetch, fetch_with};
use crate::harness::prelude::*;

/// A server that sends everybody on, by lighttpd's own way to write where to.
fn sending_to(place: &str) -> Sources {
    let more = format!("url.redirect = (\"^/(git|files)/\" => \"{place}\")\n");
    Sources::served(&GitDemands { tls: true, more, ..GitDemands::default() })
}

#[test]
fn g4_a_login_for_an_archive_does_not_go_where_a_redirect_leads() {
    promise!(6);
    let canary = Canary::new("password");
    let trap = Sources::tls();
    let demands = GitDemands { login: Some(("ada", &canary.value)), tls: true, sends_on_to: Some(&trap.server), ..GitDemands::default() };
    let sources = Sources::served(&demands);
    let both = format!("{}{}", sources.server.ca(), trap.server.ca());
    let [_, archive] = sources.here();
    fetch_with(&archive, &[("username", "ada"), ("password", &canary.value), ("ca.crt", &both)]).run().ok();
    let sent_on = sources.server.requests();
    assert!(sent_on.iter().any(|line| line.contains(" 301 ada Basic ")), "the login never reached its own server: {sent_on:#?}");
    let trapped = trap.server.requests();
    assert!(trapped.iter().any(|line| line.starts_with("GET /files/web.tgz 200")), "nobody came: {trapped:#?}");
    assert!(trapped.iter().all(|line| line.ends_with(" - -")), "a credential came along: {trapped:#?}");
}

#[test]
fn g4_no_redirect_leads_from_https_to_http() {
    let beyond = Sources::served(&GitDemands::default());
    let sources = sending_to(&format!("http://127.0.0.1:{}${{url.path}}${{qsa}}", beyond.server.port()));
    for source in sources.here() {
        let run = fetch(&source, &sources.server.ca()).run().failed(25, "SourceRefused", "fetch");
        assert!(run.words().contains("from https to plain http"), "{}", run.words());
    }
    assert_eq!(beyond.server.requests(), Vec::<String>::new());
}

#[test]
fn r10_no_redirect_leads_to_what_only_this_node_sees() {
    for place in
        ["https://169.254.169.254/latest", "https://[::ffff:a9fe:a9fe]/latest", "https://2852039166/", "https://metadata.google.internal/"]
    {
        let sources = sending_to(place);
        for source in sources.here() {
            let run = fetch(&source, &sources.server.ca()).run().failed(25, "SourceRefused", "fetch");
            assert!(run.words().contains("only this node can see"), "{place}: {}", run.words());
        }
    }
}

#[test]
fn a_redirect_in_a_circle_has_an_end() {
    promise!(8);
    let sources = sending_to("${url.path}${qsa}");
    for source in sources.here() {
        let run = fetch(&source, &sources.server.ca()).run().failed(25, "SourceRefused", "fetch");
        assert!(run.words().contains("5 redirects"), "{}", run.words());
    }
}
