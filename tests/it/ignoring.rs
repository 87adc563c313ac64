//! What a source has and the image does not get: ignore rules, and Dockerfiles that no `COPY` sees.

use crate::contexts::{COPY_ALL, assert_as_docker, by_each, of_directory, ours, reference};
use crate::harness::prelude::*;

/// A tree for rules to choose from.
fn chosen_from(dockerfile: &str, rules: &str) -> Context {
    let paths = [
        "keep",
        "keeper",
        "other",
        "a.o",
        "sub/b.o",
        "sub/deep/c.o",
        "sub/c",
        "dir/x",
        "dir/y",
        "dir/below/z",
        "rooted",
        "sub/rooted",
        "trailing",
        "gone/back",
        "gone/away",
        "docs/a.md",
        "docs/b.txt",
        "x1.txt",
        "x2.txt",
        "x10.txt",
        "#hash",
        "only/me.o",
        "ü/naïve",
    ];
    let tree =
        Context::new().file(dockerfile, COPY_ALL.replace("BASE", base())).file(".dockerignore", rules).dir("hollow").dir("keeping/hollow");
    paths.into_iter().fold(tree, |tree, path| tree.file(path, path))
}

#[test]
fn ignore_rules_mean_what_they_mean_to_dockers_own_command() {
    // The rules, and what must and what must not be there: so that the oracle is held to something too.
    let table: &[(&str, &str, &[&str], &[&str])] = &[
        (
            "mixed",
            "# a comment\n\n  # and one more\n**/*.o\ndir/*\n!dir/x\n/rooted\ntrailing   \n  docs/../docs/*.md\ngone\n!gone/back\nx?.txt\n./sub/deep\n",
            &["Dockerfile", ".dockerignore", "dir/x", "sub/rooted", "gone/back", "x10.txt", "#hash", "only", "docs/b.txt"],
            &["a.o", "sub/b.o", "dir/y", "dir/below", "rooted", "trailing", "gone/away", "x1.txt", "docs/a.md", "sub/deep"],
        ),
        ("one", "*\n!keep\n", &["keep"], &["keeper", "Dockerfile", ".dockerignore", "sub"]),
        ("some", "*\n!keep*\n!dir\ndir/below\n", &["keep", "keeper", "dir/y", "keeping/hollow"], &["dir/below", "docs"]),
        (
            "last",
            "!keep\nkeep\nsub\n!sub/deep\nsub/deep/c.o\n**/z\nhollow/\n",
            &["sub/deep", "dir/below", "keeping/hollow"],
            &["keep", "sub/c", "sub/deep/c.o", "hollow"],
        ),
        ("itself", ".dockerignore\nDockerfile\n", &["keep"], &[".dockerignore", "Dockerfile"]),
        ("dockerfile", "Dockerfile\nü\n[x]1.txt\n\\#hash\n", &["keep", ".dockerignore"], &["Dockerfile", "ü", "x1.txt", "#hash"]),
        ("all", "**\n!only\n", &["only/me.o"], &["keep", "Dockerfile"]),
        ("windows", "\u{feff}*.o\r\nkeep\r\n", &["keeper", "sub/b.o"], &["a.o", "keep"]),
    ];
    for (name, rules, there, gone) in table {
        let files = assert_as_docker(&chosen_from("Dockerfile", rules), &format!("ignore-{name}"), &[], &[]);
        for path in *there {
            assert!(files.contains_key(path.as_bytes()), "{name}: {path} is missing");
        }
        for path in *gone {
            assert!(!files.contains_key(path.as_bytes()), "{name}: {path} is there");
        }
    }
}

/// Docker's command, of 20.10 and for the classic builder, does not look into an ignored directory that no pattern names.
#[test]
fn what_a_pattern_brings_back_from_an_ignored_directory_is_there_with_both_builders() {
    let tree = chosen_from("Dockerfile", "*\n!**/*.md\n!*/deep\n");
    let made = by_each(&tree, "brought-back", &[]).pop().unwrap();
    if Engine::shared().is_docker_from(23) {
        let wanted = reference(tree.path(), "brought-back", "buildkit", &[]);
        assert_same(&made, &wanted, "ours | docker's");
    }
    assert!(made.contains_key(&b"docs/a.md"[..]) && made.contains_key(&b"sub/deep/c.o"[..]) && !made.contains_key(&b"sub/c"[..]));
}

#[test]
fn a_dockerfile_in_a_directory_that_is_ignored_is_used_and_not_seen() {
    for (name, rules) in [("seen", "docker\n*.o\n"), ("unseen", "docker\n.dockerignore\n")] {
        let tree = chosen_from("docker/Dockerfile", rules);
        let file = tree.path().join("docker/Dockerfile");
        let name = format!("docker-dir-{name}");
        for builder in builders() {
            let mut wanted = reference(tree.path(), &name, builder, &["-f", file.to_str().unwrap()]);
            let (_, mut made) = ours(of_directory(tree.path()).args(&["-f", "docker/Dockerfile"]), &name, builder);
            if builder == "classic" {
                // This daemon takes the Dockerfile away and leaves its directory, which has to be there for the daemon to find it.
                for files in [&mut wanted, &mut made] {
                    files.remove(&b"docker"[..]);
                }
            }
            assert_same(&made, &wanted, &format!("{name}, {builder}: ours | docker's"));
            assert!(!made.keys().any(|path| path.starts_with(b"docker")), "{made:?}");
        }
    }
}

#[test]
fn the_ignore_file_beside_the_dockerfile_beats_the_one_at_the_root() {
    let tree = chosen_from("Dockerfile", "keep\n").file("Dockerfile.dockerignore", "dir\n");
    // Docker's command knows this file with BuildKit only: the classic builder is held to the same image.
    let wanted = (builder() == "buildkit").then(|| reference(tree.path(), "beside", "buildkit", &[]));
    for builder in builders() {
        let (_, made) = ours(of_directory(tree.path()), "beside", builder);
        assert!(made.contains_key(&b"keep"[..]) && !made.contains_key(&b"dir"[..]), "{builder}");
        if let Some(wanted) = &wanted {
            assert_same(&made, wanted, builder);
        }
    }
}

#[test]
fn an_inline_dockerfile_is_never_seen_by_copy() {
    let text = COPY_ALL.replace("BASE", base());
    // Where the source has a Dockerfile of its own, that one is a file like any other.
    let plain = Context::new().file("a/b", "1").file("Dockerfile", "FROM no-such-image\n");
    let ignoring =
        Context::new().file("a/b", "1").file("secret", "2").file("Dockerfile", "x").file(".dockerignore", "secret\n.dockerignore\n");
    let elsewhere = Context::new().file("asked-for", &text);
    let file = elsewhere.path().join("asked-for");
    for (name, tree, want) in [("inline", &plain, 3), ("inline-ignoring", &ignoring, 3)] {
        let files = assert_as_docker(tree, name, &["--inline-dockerfile", &text], &["-f", file.to_str().unwrap()]);
        assert_eq!(files.len(), want, "{files:?}");
    }
}

#[test]
fn an_inline_dockerfile_alone_has_an_empty_context() {
    let text = COPY_ALL.replace("BASE", base());
    for builder in builders() {
        let (_, files) = ours(Agent::build().args(&["--inline-dockerfile", &text]), "inline-alone", builder);
        assert!(files.is_empty(), "{builder}: {files:?}");
    }
}
