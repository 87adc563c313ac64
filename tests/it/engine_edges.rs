//! The edges of what a daemon says and is told: words that are encoded, lists that are long, and what it keeps between runs.

use std::fmt::Write as _;

use crate::directory::{BUILDERS, destination};
use crate::harness::prelude::*;

#[test]
fn names_with_spaces_and_letters_that_are_not_ascii_are_found_and_ignored() {
    promise!(1);
    for builder in BUILDERS {
        let (reference, _) = destination(&format!("spaces-{builder}"));
        let context = Context::with("FROM BASE\nCOPY [\"Größe 1.txt\", \"a+b ü.txt\", \"/\"]\nCOPY . /src\n")
            .file(".dockerignore", "Übung 1/\nnicht+das ü\n")
            .file("Größe 1.txt", "1")
            .file("a+b ü.txt", "2")
            .file("nicht+das ü", "ignored")
            .file("nicht das ü", "kept")
            .file("Übung 1/geheim", "ignored")
            .file("Übung+1/offen", "kept");
        let run = Agent::build().directory(context.path()).args(&["-d", &reference, "--builder", builder]).run().ok();
        let image = Image::in_registry(Registry::shared(), run.digest());
        assert!(image.holds("Größe 1.txt", b"1") && image.holds("a+b ü.txt", b"2"), "{builder}");
        let names: Vec<String> = image.below("src").keys().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        assert!(!names.iter().any(|name| name.starts_with("Übung 1") || name == "nicht+das ü"), "{builder}: {names:?}");
        for kept in ["nicht das ü", "Übung+1/offen"] {
            assert!(names.iter().any(|name| name == kept), "{builder}: {names:?}");
        }
    }
}

#[test]
fn an_ignore_file_of_a_thousand_lines_is_obeyed() {
    promise!(1);
    let rules = (0..1_000).fold(String::new(), |mut rules, number| {
        let _ = writeln!(rules, "generated/module-{number:04}/**/*.class");
        rules
    });
    for builder in BUILDERS {
        let (reference, _) = destination(&format!("many-rules-{builder}"));
        let context = Context::with("FROM BASE\nCOPY . /src\n")
            .file(".dockerignore", &rules)
            .file("generated/module-0999/deep/a.class", "ignored")
            .file("generated/module-0999/deep/a.java", "kept");
        let run = Agent::build().directory(context.path()).args(&["-d", &reference, "--builder", builder]).run().ok();
        let files = Image::in_registry(Registry::shared(), run.digest()).below("src");
        let below: Vec<_> = files.keys().filter(|name| name.ends_with(b"class") || name.ends_with(b"java")).collect();
        assert_eq!(below, [b"generated/module-0999/deep/a.java"], "{builder}");
    }
}
