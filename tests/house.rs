//! The rules of the house, held against the source: who may import whom, who may print, how long a file may be.

// Helpers of tests may unwrap as tests may: a panic is how a test says that it failed.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The rows of `src/lib.rs`'s map, from the bottom.
const ROWS: [&[&str]; 7] = [
    &["support"],
    &["net", "model"],
    &["event"],
    &["source", "context", "engine", "registry", "progress", "report"],
    &["config"],
    &["pipeline"],
    &["cli"],
];

/// The rooms whose files may write to a terminal.
const PRINTERS: [&str; 2] = ["cli", "progress"];

/// A longer file says why in its head.
const LONGEST: usize = 400;

/// The Rust files below a directory of the package, by their paths in it.
fn files(directory: &str) -> Vec<(PathBuf, String)> {
    fn collect(directory: &Path, into: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, into);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                into.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    paths.sort();
    paths.into_iter().map(|path| (path.strip_prefix(&root).unwrap().to_owned(), fs::read_to_string(&path).unwrap())).collect()
}

fn room(path: &Path) -> String {
    path.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs").to_owned()
}

/// Code without its unit tests and comments: what the rules are about.
fn code(text: &str) -> String {
    let body = text.split("#[cfg(test)]\nmod ").next().unwrap();
    body.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The rooms that `crate::` paths of this text name, also in `use crate::{a, b}`.
fn imports(text: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for after in text.split("crate::").skip(1) {
        match after.strip_prefix('{') {
            Some(group) => {
                let (mut depth, mut word) = (0, String::new());
                for c in group.chars() {
                    match c {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => rooms.push(std::mem::take(&mut word)),
                        _ if depth == 0 => word.push(c),
                        _ => {}
                    }
                }
                rooms.push(word);
            }
            None => rooms.push(after.to_owned()),
        }
    }
    let name = |path: String| path.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    rooms.into_iter().map(name).filter(|room| !room.is_empty()).collect()
}

#[test]
fn imports_go_down_and_never_sideways() {
    let row: BTreeMap<&str, usize> =
        ROWS.iter().enumerate().flat_map(|(index, rooms)| rooms.iter().map(move |room| (*room, index))).collect();
    let mut wrong = Vec::new();
    for (path, text) in files("src") {
        let from = room(&path);
        if from == "main" || from == "lib" {
            continue;
        }
        let own =
            *row.get(from.as_str()).unwrap_or_else(|| panic!("{from} is in no row of the map: add it to src/lib.rs and to this test"));
        for to in imports(&code(&text)) {
            match row.get(to.as_str()) {
                Some(_) if to == from => {}
                Some(other) if *other < own => {}
                Some(_) => wrong.push(format!("{} imports {to}", path.display())),
                None => {}
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_import_rule_can_fail() {
    assert_eq!(imports("use crate::{model::{Digest, Phase}, event};\nlet x = crate::net::dial::tcp;"), ["model", "event", "net"]);
}

#[test]
fn only_cli_and_progress_print() {
    let marks = ["println!", "eprintln!", "print!(", "eprint!(", "stdout()", "stderr()", "dbg!"];
    let wrong: Vec<String> = files("src")
        .into_iter()
        .filter(|(path, text)| !PRINTERS.contains(&room(path).as_str()) && marks.iter().any(|mark| code(text).contains(mark)))
        .map(|(path, _)| path.display().to_string())
        .collect();
    assert!(wrong.is_empty(), "{wrong:?} print");
}

#[test]
fn unsafe_code_stands_in_one_module() {
    let wrong: Vec<String> = files("src")
        .into_iter()
        .filter(|(path, text)| code(text).contains("unsafe") && path != Path::new("source/git/ffi.rs"))
        .map(|(path, _)| path.display().to_string())
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn every_file_says_why_it_exists_and_is_short() {
    let mut wrong = Vec::new();
    for (path, text) in ["src", "tests", "benches"].into_iter().flat_map(files) {
        if !text.starts_with("//!") && path.file_name() != Some("tests.rs".as_ref()) {
            wrong.push(format!("{} has no module doc", path.display()));
        }
        let lines = text.lines().count();
        let head = text.lines().take_while(|line| line.starts_with("//!"));
        if lines > LONGEST && !head.into_iter().any(|line| line.contains("Long because")) {
            wrong.push(format!("{} has {lines} lines and does not say why", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
