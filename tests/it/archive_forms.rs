//! Every form an archive may have, made by its own tool, comes to the image that its unpacked tree would come to.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use sha2::{Digest, Sha512};

use crate::directory::destination;
use crate::harness::prelude::*;
use crate::harness::run::Run;

fn context() -> Context {
    let context = Context::with("FROM BASE\nCOPY . /src\n").file("text", "of any form").file("run.sh", "#!/bin/sh\n");
    let context = context.file("a/b/c/deep", "below").file("empty", "").file("with blank", "ü");
    crate::archives::random_file(&context.path().join("noise"), 300_000);
    let holes = File::create(context.path().join("holes")).unwrap();
    holes.write_all_at(b"in the midst", 3 << 20).unwrap();
    holes.set_len(5 << 20).unwrap();
    context.mode("run.sh", 0o755).link("link", "a/b/c").link("dangling", Engine::shared().outside())
}

/// By the tools of the machine, `$1` the directory: what they write to standard output.
fn made_by(script: &str, context: &Context) -> Vec<u8> {
    let output = Command::new("sh").args(["-euc", script, "sh"]).arg(context.path()).output().unwrap();
    assert!(output.status.success() && !output.stdout.is_empty(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn same_as_on_disk(run: &Run, disk: &Path, what: &str) {
    let image = Image::in_registry(Registry::shared(), run.digest());
    assert_same(&image.below("src"), &on_disk(disk), what);
}

#[test]
fn every_form_of_archive_comes_to_the_same_image() {
    promise!(1, 4);
    let context = context();
    let server = GitServer::start(&GitDemands::default());
    let forms = [
        ("tar", "tar -C \"$1\" -cf - ."),
        ("tar.gz", "tar -C \"$1\" --sparse -cf - . | gzip -9"),
        ("tar.zst", "tar -C \"$1\" -cf - . | zstd -q -19 -c"),
        ("tar.xz", "tar -C \"$1\" --sparse --format=posix -cf - . | xz -9e -c"),
        ("tar.bz2", "tar -C \"$1\" -cf - . | bzip2 -c"),
        ("zip", "cd \"$1\"; zip -qry9 \"$1.zip\" .; cat \"$1.zip\"; rm \"$1.zip\""),
    ];
    for (number, (format, script)) in forms.into_iter().enumerate() {
        let bytes = made_by(script, &context);
        // The name says nothing: the first bytes do. It is another one each time, as lighttpd remembers a file's size for a second.
        let url = server.file(&format!("source-{number}"), &bytes);
        let (reference, _) = destination(&format!("form-{number}"));
        let agent = Agent::build().args(&["-d", &reference, "--builder", builders()[number % builders().len()]]);
        let agent = agent.args(&["--archive", &url, "--allow", "plain-http"]);
        let agent = if number % 2 == 0 { agent.args(&["--archive-format", format]) } else { agent };
        same_as_on_disk(&agent.run().ok(), context.path(), format);
        // Half of it is no archive, and a form that is another's name is refused.
        let cut = Agent::build().args(&["--no-push", "--archive", "-"]).stdin(&bytes[..bytes.len() / 2]).run();
        assert_eq!(cut.failed(24, "SourceIntegrity", "fetch").count("POST", "/build"), 0);
        let other = forms[(number + 1) % forms.len()].0;
        let run = Agent::build().args(&["--no-push", "--archive", "-", "--archive-format", other]).stdin(&bytes).run();
        let run = run.failed(25, "SourceRefused", "fetch");
        assert!(run.words().contains(&format!("it is a {format}, ")), "{}", run.words());
        assert_eq!(run.count("POST", "/build"), 0);
    }
}

/// The threat A4: memory is bounded before it is taken.
#[test]
fn a4_a_window_of_gigabytes_is_refused_by_the_bounds_name() {
    promise!(8);
    let context = Context::with("FROM scratch\n");
    for script in ["tar -C \"$1\" -cf - . | zstd -q --ultra --long=31 -c", "tar -C \"$1\" -cf - . | xz --lzma2=preset=0,dict=1536MiB -c"] {
        let bytes = made_by(script, &context);
        let run = Agent::build().args(&["--no-push", "--archive", "-"]).stdin(&bytes).run().failed(25, "SourceRefused", "fetch");
        assert!(run.words().contains("bytes of the window"), "{}", run.words());
        assert_eq!(run.count("POST", "/build"), 0);
    }
}

#[test]
fn a_single_file_and_an_inline_dockerfile_are_a_build() {
    promise!(1, 4);
    let server = GitServer::start(&GitDemands::default());
    // A jar is a zip, and is not looked into.
    let jar = made_by("cd \"$1\"; zip -qr9 \"$1.jar\" .; cat \"$1.jar\"; rm \"$1.jar\"", &context());
    let url = server.file("app.jar", &jar);
    let directory = Engine::shared().new_dir("t");
    std::fs::create_dir(directory.join("lib")).unwrap();
    std::fs::write(directory.join("lib/app.jar"), &jar).unwrap();
    let sum = format!("{:x}", Sha512::digest(&jar));
    for builder in builders() {
        let (reference, _) = destination("one-file");
        let agent = Agent::build().args(&["-d", &reference, "--builder", builder, "--archive", &url, "--allow", "plain-http"]);
        let agent = agent.args(&["--archive-format", "file", "--archive-name", "lib/app.jar", "--sha512", &sum]);
        let dockerfile = Context::with("FROM BASE\nCOPY . /src\n").path().join("Dockerfile");
        let text = std::fs::read_to_string(dockerfile).unwrap();
        same_as_on_disk(&agent.args(&["--inline-dockerfile", &text]).run().ok(), &directory, builder);
    }
    let agent = Agent::build().args(&["--no-push", "--archive", "-", "--archive-format", "file", "--archive-name", "x", "--sha512", &sum]);
    let run = agent.args(&["--inline-dockerfile", "FROM scratch\nCOPY x /\n"]).stdin(b"another").run();
    assert_eq!(run.failed(24, "SourceIntegrity", "fetch").count("POST", "/build"), 0);
}
