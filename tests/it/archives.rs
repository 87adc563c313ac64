//! Archives by path, URL and standard input: checked before a byte reaches the daemon, and never unpacked.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256, Sha512};

use crate::directory::destination;
use crate::faults::Faulty;
use crate::harness::prelude::*;

/// A directory as an archive, below a directory of its own as release tarballs are.
pub fn tarball(context: &Context, gzip: bool) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    builder.follow_symlinks(false);
    builder.append_dir_all("web-1.0", context.path()).unwrap();
    let tar = builder.into_inner().unwrap();
    if !gzip {
        return tar;
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&tar).unwrap();
    encoder.finish().unwrap()
}

fn context() -> Context {
    let context = Context::with("FROM BASE\nCOPY . /src\n").file("text", "archived").file("run.sh", "#!/bin/sh\n");
    random_file(&context.path().join("noise"), 20_000);
    context.mode("run.sh", 0o755).link("link", "text")
}

fn on_this_machine(name: &str, bytes: &[u8]) -> PathBuf {
    let path = Engine::shared().new_dir("t").join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn sha256(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

#[test]
fn a_path_a_url_and_standard_input_come_to_the_same_image() {
    promise!(1, 4);
    let context = context();
    let server = GitServer::start(&GitDemands::default());
    for gzip in [false, true] {
        let bytes = tarball(&context, gzip);
        let url = server.file(&format!("web-{gzip}.tar"), &bytes);
        let path = on_this_machine("web.tar", &bytes);
        for (number, builder) in builders().into_iter().cycle().take(3).enumerate() {
            let (reference, _) = destination(&format!("archive-{number}-{gzip}"));
            let agent =
                Agent::build().args(&["-d", &reference, "--builder", builder, "--strip-components", "1", "--sha256", &sha256(&bytes)]);
            let agent = match number {
                0 => agent.readable(&path, "/in/web.tar").args(&["--archive", "/in/web.tar"]),
                1 => agent.args(&["--archive", &url, "--allow", "plain-http"]),
                _ => agent.stdin(&bytes).args(&["--archive", "-"]),
            };
            let run = agent.run().ok();
            let image = Image::in_registry(Registry::shared(), run.digest());
            assert_same(&image.below("src"), &on_disk(context.path()), &format!("{number} {builder}"));
        }
    }
}

#[test]
fn a_wrong_digest_ships_nothing() {
    promise!(4);
    let bytes = tarball(&context(), true);
    let agent = Agent::build().args(&["--no-push", "--strip-components", "1", "--archive", "-", "--sha256", &sha256(b"another")]);
    let run = agent.stdin(&bytes).run().failed(24, "SourceIntegrity", "fetch");
    assert_eq!(run.count("POST", "/build"), 0, "the daemon was given something");
}

#[test]
fn an_archive_that_breaks_off_is_no_archive() {
    promise!(4);
    let bytes = tarball(&context(), true);
    let run = Agent::build().args(&["--no-push", "--archive", "-"]).stdin(&bytes[..bytes.len() / 2]).run();
    let run = run.failed(24, "SourceIntegrity", "fetch");
    assert!(run.words().contains("ends in the middle"), "{}", run.words());
    assert_eq!(run.count("POST", "/build"), 0);

    let server = GitServer::start(&GitDemands::default());
    server.file("web.tgz", &bytes);
    let faulty = Faulty::before(server.port());
    faulty.relay.rule(usize::MAX, "GET", "/files/web.tgz", crate::harness::rule::Act::CutAnswer { after: 600 });
    let url = format!("http://{}/files/web.tgz", faulty.host());
    let run = Agent::build().args(&["--no-push", "--archive", &url, "--allow", "plain-http"]).run();
    let run = run.failed(23, "SourceUnavailable", "fetch");
    // Three times from the start, and each time taken up again three times.
    assert_eq!(faulty.relay.count("GET", "/files/web.tgz"), 12, "{}", run.story());
    assert_eq!(run.count("POST", "/build"), 0);
}

#[test]
fn a_token_in_a_url_stays_in_the_request() {
    promise!(6);
    let canary = Canary::token("token in a query");
    let bytes = tarball(&context(), true);
    let server = GitServer::start(&GitDemands::default());
    let url = server.file("web.tgz", &bytes);
    let (reference, _) = destination("archive-token");
    for builder in builders() {
        let signed = format!("{url}?X-Amz-Signature={}", canary.value);
        let agent = Agent::build().args(&["-d", &reference, "--builder", builder, "--archive", &signed, "--strip-components", "1"]);
        agent.args(&["--allow", "plain-http"]).canary(&canary).run().ok();
    }
    let missing = format!("{}?X-Amz-Signature={}", url.replace("web.tgz", "wob.tgz"), canary.value);
    let run = Agent::build().args(&["--no-push", "--archive", &missing, "--allow", "plain-http"]).canary(&canary).run();
    let run = run.failed(20, "SourceNotFound", "fetch");
    assert!(run.words().contains("wob.tgz"), "{}", run.words());
    let requests = server.requests();
    assert!(requests.iter().all(|line| line.contains(&canary.value)), "{requests:#?}");
}

#[test]
fn a_download_that_was_cut_once_is_taken_up_again() {
    let bytes = tarball(&context(), true);
    let server = GitServer::start(&GitDemands::default());
    server.file("web.tgz", &bytes);
    let faulty = Faulty::before(server.port());
    faulty.cut_answer("GET", "/files/web.tgz", 600);
    let url = format!("http://{}/files/web.tgz", faulty.host());
    let agent = Agent::build().args(&["--no-push", "--archive", &url, "--strip-components", "1", "--allow", "plain-http"]);
    let run = agent.run().ok();
    assert_eq!(faulty.relay.count("GET", "/files/web.tgz"), 2);
    // From where it was cut: nobody was told that the first try failed.
    assert!(!run.words().contains("try 1"), "{}", run.words());
}

#[test]
fn a8_what_the_server_says_that_it_sends_has_to_come() {
    promise!(4);
    let bytes = tarball(&context(), true);
    let right = [
        format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(&bytes))),
        format!("sha-512=:{}:", STANDARD.encode(Sha512::digest(&bytes))),
    ];
    let wrong = [
        format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(b"another"))),
        format!("{}, sha-512=:{}:", right[0], STANDARD.encode([7; 64])),
    ];
    for (field, right, value) in
        right.iter().map(|value| ("Repr-Digest", true, value)).chain(wrong.iter().map(|value| ("Content-Digest", false, value)))
    {
        let more = format!("setenv.add-response-header = (\"{field}\" => \"{value}\")\n");
        let server = GitServer::start(&GitDemands { more, ..GitDemands::default() });
        let url = server.file("web.tgz", &bytes);
        let agent = Agent::build().args(&["--no-push", "--archive", &url, "--strip-components", "1", "--allow", "plain-http"]);
        if right {
            agent.run().ok();
            continue;
        }
        let run = agent.run().failed(24, "SourceIntegrity", "fetch");
        assert!(run.words().contains("the server says it sent"), "{}", run.words());
        assert_eq!(run.count("POST", "/build"), 0, "the daemon was given something");
    }
}

#[test]
fn a4_a_size_over_the_limit_is_refused_before_it_comes() {
    promise!(8);
    let server = GitServer::start(&GitDemands::default());
    server.file("web.tgz", &tarball(&context(), true));
    let faulty = Faulty::before(server.port());
    // Whoever waits for what does not come waits for a minute.
    faulty.stall("GET", "/files/web.tgz", 600);
    let url = format!("http://{}/files/web.tgz", faulty.host());
    let agent = Agent::build().args(&["--no-push", "--archive", &url, "--limit-source-bytes", "10000", "--allow", "plain-http"]);
    let run = agent.run().failed(25, "SourceRefused", "fetch").ended_within(Duration::from_secs(20), Duration::ZERO);
    assert!(run.words().contains("limits.sourceBytes"), "{}", run.words());
    assert_eq!(faulty.relay.count("GET", "/files/web.tgz"), 1);
}

/// A tar with one hostile entry after an honest Dockerfile.
pub fn hostile(name: &str, kind: tar::EntryType, target: &str) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    let dockerfile = b"FROM scratch\nCOPY . /\n";
    header.set_size(dockerfile.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    builder.append_data(&mut header, "Dockerfile", &dockerfile[..]).unwrap();
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(0);
    header.set_mode(0o644);
    // Past the library's own checks: straight into the field.
    header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
    header.as_gnu_mut().unwrap().linkname[..target.len()].copy_from_slice(target.as_bytes());
    header.set_cksum();
    builder.append(&header, std::io::empty()).unwrap();
    builder.into_inner().unwrap()
}

#[test]
fn traversal_and_devices_are_refused_by_name_and_rule() {
    use tar::EntryType;
    let cases = [
        ("../evil", EntryType::Regular, ""),
        ("a/../../evil", EntryType::Regular, ""),
        ("/etc/evil", EntryType::Regular, ""),
        ("device", EntryType::Char, ""),
        ("fifo", EntryType::Fifo, ""),
        ("hard", EntryType::Link, "../../etc/passwd"),
    ];
    for (name, kind, target) in cases {
        let run = Agent::build().args(&["--no-push", "--archive", "-"]).stdin(&hostile(name, kind, target)).run();
        let run = run.failed(25, "SourceRefused", "fetch");
        assert!(run.words().contains(name.trim_start_matches('/')), "{name} is not named in: {}", run.words());
        assert_eq!(run.count("POST", "/build"), 0);
    }
}

#[test]
fn a_bomb_meets_the_limit_that_names_itself() {
    promise!(8);
    let path = Engine::shared().new_dir("t").join("bomb.tgz");
    let mut builder = tar::Builder::new(GzEncoder::new(File::create(&path).unwrap(), Compression::best()));
    let mut header = tar::Header::new_gnu();
    header.set_size(1 << 30);
    header.set_mode(0o644);
    header.set_cksum();
    builder.append_data(&mut header, "zeros", std::io::Read::take(std::io::repeat(0), 1 << 30)).unwrap();
    builder.into_inner().unwrap().finish().unwrap();
    let run = Agent::build().args(&["--no-push", "--archive", "/in/bomb.tgz"]).readable(&path, "/in/bomb.tgz").run();
    let run = run.failed(25, "SourceRefused", "fetch");
    assert!(run.words().contains("compressionRatio"), "{}", run.words());
}

/// Bytes that no compression makes small.
pub fn random_file(path: &Path, size: u64) {
    let source = File::open("/dev/urandom").unwrap();
    std::io::copy(&mut std::io::Read::take(source, size), &mut File::create(path).unwrap()).unwrap();
}
