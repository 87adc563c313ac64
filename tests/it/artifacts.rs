//! OCI artifacts from a real registry: each form that is in use, several layers, and those that are not what they say.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::archives::{hostile, random_file};
use crate::directory::destination;
use crate::failures::docker_config;
use crate::faults::Faulty;
use crate::harness::artifact::{DOCKER_LAYER, FLUX_LAYER, IMAGE_LAYER, Shelf};
use crate::harness::prelude::*;
use crate::harness::rule::Act;
use crate::harness::run::Run;

fn context() -> Context {
    let context = Context::with("FROM BASE\nCOPY . /src\n").file("text", "an artifact").file("run.sh", "#!/bin/sh\n");
    random_file(&context.path().join("noise"), 50_000);
    context.file("a/b/deep", "below").mode("run.sh", 0o755).link("link", "a/b").link("dangling", Engine::shared().outside())
}

fn tar(context: &Context) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    builder.follow_symlinks(false);
    builder.append_dir_all(".", context.path()).unwrap();
    builder.into_inner().unwrap()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// KiB that a refused layer may cost.
const LITTLE: u64 = 100 << 10;

fn shelf(repository: &str) -> Shelf<'_> {
    Shelf { registry: Registry::shared(), repository, login: None }
}

fn none() -> Value {
    json!({})
}

/// Whether somebody was told that the source's name may come to mean another.
fn moves(run: &Run) -> bool {
    run.events_named("notice").iter().any(|event| event.data.to_string().contains("a tag may be moved"))
}

#[test]
fn every_form_of_artifact_comes_to_the_image_of_its_tree() {
    promise!(1, 4);
    let context = context();
    let tar = tar(&context);
    let unpack = json!({"org.opencontainers.image.title": "web", "io.deis.oras.content.unpack": "true"});
    let forms = [
        (IMAGE_LAYER, none(), tar.clone()),
        (FLUX_LAYER, none(), gzip(&tar)),
        ("application/vnd.oci.image.layer.v1.tar+zstd", none(), zstd::encode_all(&tar[..], 3).unwrap()),
        (DOCKER_LAYER, none(), gzip(&tar)),
        ("application/octet-stream", unpack, gzip(&tar)),
    ];
    let shelf = shelf("src/forms");
    for (number, (media_type, annotations, bytes)) in forms.into_iter().enumerate() {
        let said = json!({
            "org.opencontainers.image.source": "https://me:hush@git.example/web",
            "org.opencontainers.image.revision": "main@sha1:0123",
        });
        let digest = shelf.artifact("forms", &[shelf.layer(media_type, &annotations, &bytes)], &said);
        for builder in builders() {
            let (reference, _) = destination(&format!("artifact-{number}-{builder}"));
            let agent = Agent::build().args(&["-d", &reference, "--builder", builder]);
            let agent = match number {
                0 => agent.args(&[&format!("oci://{}", shelf.pinned(&digest))]),
                _ => agent.args(&["--artifact", &shelf.pinned(&digest)]),
            };
            let run = agent.run().ok();
            let image = Image::in_registry(Registry::shared(), run.digest());
            assert_same(&image.below("src"), &on_disk(context.path()), &format!("{media_type} {builder}"));
            let source = &run.document()["source"];
            assert_eq!((source["kind"].as_str(), source["digest"].as_str()), (Some("artifact"), Some(&*digest)), "{source}");
            assert_eq!(source["url"], format!("oci://{}", shelf.pinned(&digest)));
            assert_eq!((&source["origin"], &source["origin_revision"]), (&json!("https://git.example/web"), &json!("main@sha1:0123")));
            assert!(!moves(&run), "{}", run.story());
        }
    }
}

#[test]
fn layers_and_whiteouts_come_to_the_tree_that_unpacking_leaves() {
    promise!(1);
    let low = Context::with("FROM BASE\nCOPY . /src\n").file("gone", "1").file("dir/old", "1").file("dir/both", "1");
    let low = low.file("over", "1").file("under/a", "1").file("kind/x", "1");
    let high = Context::new().file(".wh.gone", "").file("dir/.wh..wh..opq", "").file("dir/both", "2").file("over", "2");
    let high = high.file("under/b", "2").file(".wh.kind", "").file("kind", "2");
    let want = Context::with("FROM BASE\nCOPY . /src\n").file("dir/both", "2").file("over", "2").file("under/a", "1");
    let want = want.file("under/b", "2").file("kind", "2").file("docs/single.txt", "one file");
    let shelf = shelf("src/layers");
    let title = json!({"org.opencontainers.image.title": "docs/single.txt"});
    let layers = [
        shelf.layer(IMAGE_LAYER, &none(), &tar(&low)),
        shelf.layer(DOCKER_LAYER, &none(), &gzip(&tar(&high))),
        shelf.layer(IMAGE_LAYER, &title, b"one file"),
    ];
    shelf.artifact("1", &layers, &none());
    for builder in builders() {
        let (reference, _) = destination(&format!("artifact-layers-{builder}"));
        let name = format!("{}/src/layers:1", Registry::shared().host());
        let run = Agent::build().args(&["-d", &reference, "--builder", builder, "--artifact", &name]).run().ok();
        let image = Image::in_registry(Registry::shared(), run.digest());
        let (mut got, mut wanted) = (image.below("src"), on_disk(want.path()));
        // A directory that only a title implies has a mode of its own making.
        got.remove(&b"docs"[..]);
        wanted.remove(&b"docs"[..]);
        assert_same(&got, &wanted, builder);
        // Found by its tag, which is said, and what it stood for.
        let source = &run.document()["source"];
        assert_eq!((source["ref"].as_str(), source["digest"].as_str()), (Some("1"), Registry::shared().tag("src/layers", "1").as_deref()));
        assert!(moves(&run), "{}", run.story());
    }
}

#[test]
fn a_pushed_image_is_a_source_too_and_an_index_only_of_one() {
    let context = context();
    let shelf = shelf("src/index");
    let digest = shelf.artifact("one", &[shelf.layer(IMAGE_LAYER, &none(), &tar(&context))], &none());
    let other = shelf.artifact("other", &[shelf.layer(IMAGE_LAYER, &none(), b"")], &none());
    let attests = json!({"vnd.docker.reference.type": "attestation-manifest"});
    let one = shelf.index("index", &[(&digest, none()), (&other, attests)]);
    let (reference, _) = destination("artifact-index");
    let run = Agent::build().args(&["-d", &reference, "--artifact", &shelf.pinned(&one)]).run().ok();
    assert_same(&Image::in_registry(Registry::shared(), run.digest()).below("src"), &on_disk(context.path()), "index");
    assert_eq!(run.document()["source"]["digest"], *one);
    let two = shelf.index("two", &[(&digest, none()), (&other, none())]);
    let run = Agent::build().args(&["--no-push", "--artifact", &shelf.pinned(&two)]).run().failed(25, "SourceRefused", "fetch");
    assert!(run.words().contains("an index of 2 manifests"), "{}", run.words());
}

#[test]
fn a8_what_is_not_what_its_digest_says_ships_nothing() {
    promise!(4);
    let shelf = shelf("src/damaged");
    let bytes = gzip(&tar(&context()));
    let layer = shelf.layer(FLUX_LAYER, &none(), &bytes);
    let digest = shelf.artifact("1", std::slice::from_ref(&layer), &none());
    let blob = Registry::shared().path(layer["digest"].as_str().unwrap());
    let build = || Agent::build().args(&["--no-push", "--artifact", &shelf.pinned(&digest)]).run();
    let mut damaged = bytes.clone();
    damaged[bytes.len() / 2] ^= 1;
    for wrong in [damaged, bytes[..bytes.len() - 1].to_vec(), [&bytes[..], b"\0"].concat()] {
        std::fs::write(&blob, wrong).unwrap();
        let run = build().failed(24, "SourceIntegrity", "fetch");
        assert!(run.words().contains("the manifest names"), "{}", run.words());
        assert_eq!(run.count("POST", "/build"), 0);
    }
    std::fs::remove_file(&blob).unwrap();
    let run = build().failed(20, "SourceNotFound", "fetch");
    assert!(run.words().contains(layer["digest"].as_str().unwrap()), "{}", run.words());
    // The manifest itself, and one that never was.
    std::fs::write(Registry::shared().path(&digest), b"{\"schemaVersion\": 2}").unwrap();
    let run = build();
    assert!([20, 24].contains(&run.code), "{}", run.story());
    let never = shelf.pinned(&format!("sha256:{}", "0".repeat(64)));
    Agent::build().args(&["--no-push", "--artifact", &never]).run().failed(20, "SourceNotFound", "fetch");
}

#[test]
fn a_private_registry_is_read_with_the_artifacts_own_secret_which_goes_nowhere_else() {
    promise!(6);
    let canary = Canary::token("password");
    let registry = Registry::start(&Demands { login: Some(("ada", &canary.value)), tls: false });
    let shelf = Shelf { registry: &registry, repository: "src/private", login: Some(("ada", &canary.value)) };
    let context = context();
    let digest = shelf.artifact("1", &[shelf.layer(FLUX_LAYER, &none(), &gzip(&tar(&context)))], &none());
    let config = docker_config(&registry.host(), "ada", &canary.value);
    for files in [&[(".dockerconfigjson", config.as_str())][..], &[("username", "ada"), ("password", &canary.value)]] {
        let (reference, _) = destination("artifact-private");
        let agent = Agent::build().args(&["-d", &reference, "--artifact", &shelf.pinned(&digest)]);
        let run = agent.secret_dir("--source-secret", "/secrets/source", files).canary(&canary).run().ok();
        assert_same(&Image::in_registry(Registry::shared(), run.digest()).below("src"), &on_disk(context.path()), "private");
    }
    let build = || Agent::build().args(&["--no-push", "--artifact", &shelf.pinned(&digest)]);
    let run = build().run().failed(21, "SourceAuth", "fetch");
    assert!(run.words().contains("source.artifact.secret"), "{}", run.words());
    let wrong = [("username", "ada"), ("password", "not-the-password-of-ada")];
    build().secret_dir("--source-secret", "/secrets/source", &wrong).run().failed(21, "SourceAuth", "fetch");

    // The registry sends on for the blob: there nobody is shown anything.
    let elsewhere = Faulty::alone();
    elsewhere.relay.answer(usize::MAX, "GET", "/blob", 403, "no");
    let front = Faulty::before(registry.port());
    let to = format!("http://{}/blob", elsewhere.host());
    let headers = [("location".to_owned(), to)];
    front.relay.rule(
        usize::MAX,
        "GET",
        "/v2/src/private/blobs/*",
        Act::Answer { status: 307, headers: headers.to_vec(), body: Vec::new() },
    );
    let name = format!("{}/src/private@{digest}", front.host());
    let config = docker_config(&front.host(), "ada", &canary.value);
    let agent = Agent::build().args(&["--no-push", "--artifact", &name]);
    agent.secret_dir("--source-secret", "/secrets/source", &[("config.json", &config)]).run().failed(21, "SourceAuth", "fetch");
    let heads: Vec<String> = elsewhere.relay.calls().iter().map(|call| format!("{call:?}").to_ascii_lowercase()).collect();
    assert!(!heads.is_empty() && heads.iter().all(|head| !head.contains("authorization")), "{heads:?}");
}

#[test]
fn a_layer_that_breaks_off_is_asked_for_again() {
    let shelf = shelf("src/cut");
    let context = context();
    let digest = shelf.artifact("1", &[shelf.layer(FLUX_LAYER, &none(), &gzip(&tar(&context)))], &none());
    let front = Faulty::before(Registry::shared().port());
    front.cut_answer("GET", "/v2/src/cut/blobs/*", 600);
    let name = format!("{}/src/cut@{digest}", front.host());
    let run = Agent::build().args(&["--no-push", "--artifact", &name]).run().ok();
    assert_eq!(front.relay.count("GET", "/v2/src/cut/blobs/*"), 2, "{}", run.story());
    front.relay.answer(usize::MAX, "GET", "/v2/src/cut/blobs/*", 503, "later");
    let run = Agent::build().args(&["--no-push", "--artifact", &name]).run().failed(23, "SourceUnavailable", "fetch");
    assert_eq!((front.relay.count("GET", "/v2/src/cut/blobs/*"), run.count("POST", "/build")), (5, 0));
}

#[test]
fn a1_a2_a4_a5_a6_a_hostile_layer_is_refused_before_the_daemon_hears_of_it() {
    use tar::EntryType;
    let shelf = shelf("src/hostile");
    let mut bomb = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::best()));
    let mut header = tar::Header::new_gnu();
    header.set_size(256 << 20);
    header.set_mode(0o644);
    header.set_cksum();
    bomb.append_data(&mut header, "zeros", std::io::Read::take(std::io::repeat(0), 256 << 20)).unwrap();
    let bomb = bomb.into_inner().unwrap().finish().unwrap();
    let title = |title: &str| json!({"org.opencontainers.image.title": title});
    let plain = |bytes: Vec<u8>| vec![(IMAGE_LAYER, none(), bytes)];
    let link = || (IMAGE_LAYER, none(), hostile("door", EntryType::Symlink, "/etc"));
    let cases = [
        (plain(hostile("../evil", EntryType::Regular, "")), "evil"),
        (plain(hostile("hard", EntryType::Link, "../../etc/passwd")), "hard"),
        (plain(hostile("device", EntryType::Char, "")), "device"),
        (vec![link(), (IMAGE_LAYER, none(), hostile("door/passwd", EntryType::Regular, ""))], "a layer has entries below it"),
        (vec![("application/octet-stream", title("../evil"), b"x".to_vec())], "names no file"),
        (vec![(FLUX_LAYER, none(), bomb)], "compressionRatio"),
        (plain(b"7z\xbc\xaf\x27\x1c".repeat(200)), "7z"),
        (vec![("application/vnd.dev.cosign.simplesigning.v1+json", none(), b"{}".to_vec())], "neither a tar"),
    ];
    for (layers, words) in cases {
        let layers: Vec<Value> =
            layers.into_iter().map(|(media_type, annotations, bytes)| shelf.layer(media_type, &annotations, &bytes)).collect();
        let digest = shelf.artifact("hostile", &layers, &none());
        let run = Agent::build().args(&["--no-push", "--artifact", &shelf.pinned(&digest)]).run().failed(25, "SourceRefused", "fetch");
        assert!(run.words().contains(words), "{words} is not in {}", run.words());
        assert_eq!(run.count("POST", "/build"), 0);
        assert!(run.rss_kib < LITTLE, "{words}: {} KiB", run.rss_kib);
    }
}

#[test]
fn a_registry_with_its_own_authority_needs_no_more_than_that_in_the_secret() {
    let registry = Registry::start(&Demands { login: None, tls: true });
    let ca = registry.ca();
    let missing = format!("{}/src/none@sha256:{}", registry.host(), "0".repeat(64));
    let build = || Agent::build().args(&["--no-push", "--artifact", &missing]);
    build().run().failed(25, "SourceRefused", "fetch");
    // Let in, and told that there is none.
    build().secret_dir("--source-secret", "/secrets/source", &[("ca.crt", &ca)]).run().failed(20, "SourceNotFound", "fetch");
}

#[test]
fn a_registry_that_falls_silent_within_a_layer_is_left_at_the_deadline() {
    promise!(8);
    let shelf = shelf("src/silent");
    let digest = shelf.artifact("1", &[shelf.layer(FLUX_LAYER, &none(), &gzip(&tar(&context())))], &none());
    let front = Faulty::before(Registry::shared().port());
    front.stall("GET", "/v2/src/silent/blobs/*", 600);
    let name = format!("{}/src/silent@{digest}", front.host());
    let begun = std::time::Instant::now();
    let run = Agent::build().args(&["--no-push", "--artifact", &name, "--deadline", "3s"]).run();
    run.failed(70, "DeadlineExceeded", "fetch");
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
}
