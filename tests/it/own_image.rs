//! Podwright's own image: small, whole, and made by either builder, with a prebuilt program and without.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::directory::destination;
use crate::harness::engine::SCRIPT;
use crate::harness::prelude::*;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// By images/build.sh, from the release build; the image's name.
fn built_with(builder: &str) -> String {
    let engine = Engine::shared();
    let tag = format!("{}/podwright:{builder}", Registry::shared().host());
    let mut build = Command::new(Path::new(ROOT).join("images/build.sh"));
    build.arg(&tag).env("DOCKER", format!("{SCRIPT} docker {}", engine.dir.display()));
    succeeded(build.env("DOCKER_BUILDKIT", if builder == "buildkit" { "1" } else { "0" }));
    tag
}

#[test]
fn the_image_is_one_static_program_of_at_most_eight_mebibytes() {
    let (engine, registry) = (Engine::shared(), Registry::shared());
    let container = UnderWay::enter();
    for builder in builders() {
        let tag = built_with(builder);
        engine.docker_ok(&["push", &tag]);
        let digest = registry.tag("podwright", builder).unwrap();
        let image = Image::in_registry(registry, &digest);

        let files = image.flattened();
        let names: Vec<String> = files.keys().map(|path| String::from_utf8(path.clone()).unwrap()).collect();
        assert_eq!(names, ["etc", "etc/ssl", "etc/ssl/certs", "etc/ssl/certs/ca-certificates.crt", "podwright"]);
        assert_eq!(files[&b"podwright"[..]].mode, 0o755);
        let config = &image.config["config"];
        assert_eq!((&config["User"], &config["Entrypoint"]), (&json!("65532:65532"), &json!(["/podwright"])));
        for label in ["title", "description", "licenses", "version", "revision"] {
            let value = image.label(&format!("org.opencontainers.image.{label}"));
            assert!(value.is_some_and(|value| !value.is_empty()), "no label {label}");
        }
        let manifest = registry.manifest(&digest);
        let size: u64 = manifest["layers"].as_array().unwrap().iter().map(|layer| layer["size"].as_u64().unwrap()).sum();
        assert!(size <= 8 << 20, "{size} bytes compressed");
        let said = engine.docker_ok(&["run", "--rm", "--read-only", "--cap-drop", "ALL", "--network", "none", &tag, "version"]);
        assert!(said.contains(env!("CARGO_PKG_VERSION")), "{said}");
    }
    drop(container);
}

#[test]
fn the_image_does_the_whole_job_as_a_container() {
    promise!(1, 9);
    let engine = Engine::shared();
    let image = built_with(builder());
    let context = Context::with("FROM BASE\nCOPY text /\n").file("text", "built in a container");
    let (reference, repository) = destination("container");
    let group = std::os::unix::fs::MetadataExt::gid(&fs::metadata(engine.socket()).unwrap()).to_string();
    let socket = format!("{}:/var/run/docker.sock", engine.socket().display());
    let source = format!("{}:/src:ro", context.path().display());
    let pod = ["run", "--rm", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--network", "host"];
    let mounts = ["--group-add", &group, "-v", &socket, "-v", &source, "--tmpfs", "/workspace:mode=1777"];
    let job = [&image, "build", "--directory", "/src", "-d", &reference, "--workspace", "/workspace", "--progress", "plain"];
    let container = UnderWay::enter();
    engine.docker_ok(&[&pod[..], &mounts, &job].concat());
    drop(container);
    let digest = Registry::shared().tag(&repository, "1").expect("the tag is there");
    assert!(Image::in_registry(Registry::shared(), &digest).holds("text", b"built in a container"));
}

/// The compile stage needs a Rust image, which no test can pull: here is one whose `cargo` makes a program in no time.
#[test]
fn without_a_prebuilt_program_the_image_is_compiled_in_its_first_stage() {
    let engine = Engine::shared();
    let fake = format!(
        "FROM {}\nCOPY program /bin/program\nCOPY cargo /bin/cargo\nRUN busybox --install -s /bin && mkdir -p /etc/ssl/certs && echo roots > /etc/ssl/certs/ca-certificates.crt\n",
        base()
    );
    let program = "#!/bin/sh\necho \"compiled, and asked for $1\"\n";
    let cargo = "#!/bin/sh\nset -e\ntest \"$*\" = 'build --release --locked'\ntest -f src/main.rs && test -f Cargo.lock && test -f .cargo/config.toml\n\
        test ! -e tests\nmkdir -p target/some-target/release\ncp /bin/program target/some-target/release/podwright\n";
    let context = Context::new().file("Dockerfile", fake).file("cargo", cargo).mode("cargo", 0o755);
    let context = context.file("program", program).mode("program", 0o755);
    let checkout = Context::new();
    for path in [".cargo", ".dockerignore", "Cargo.lock", "Cargo.toml", "Dockerfile.builder", "images", "src", "tests"] {
        succeeded(Command::new("cp").arg("-a").arg(Path::new(ROOT).join(path)).arg(checkout.path()));
    }
    let file = checkout.path().join("Dockerfile.builder");
    let container = UnderWay::enter();
    engine.docker_ok(&["build", "-q", "-t", "fake-rust:1", context.path().to_str().unwrap()]);
    for builder in builders() {
        let more = ["--build-arg", "RUST=fake-rust:1", "-f", file.to_str().unwrap()];
        engine.reference_build(checkout.path(), "compiled:1", builder, &more);
        let image = Image::on_engine(engine, "compiled:1");
        assert!(image.holds("podwright", program.as_bytes()), "{builder}");
        assert!(image.holds("etc/ssl/certs/ca-certificates.crt", b"roots\n"), "{builder}");
        engine.docker_ok(&["rmi", "compiled:1"]);
    }
    engine.docker_ok(&["rmi", "-f", "fake-rust:1"]);
    drop(container);
}
