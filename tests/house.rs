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

/// How the daemon's calls begin (the closed list of `tests/it/harness/closed_list.rs`, against the source), and what else begins with
/// a slash in the engine's room: the socket, prefixes, and what the session serves to the daemon.
const CALLS: [&str; 9] =
    ["/_ping", "/build?", "/build/cancel?", "/build/prune?", "/session", "/images/", "/distribution/{", "/events?", "/v{version}"];
const NO_CALLS: [&str; 4] = ["/var/run/docker.sock", "/{v}", "/moby.", "/grpc.health.v1."];

/// The methods of the client library that make a call.
const METHODS: [&str; 4] = ["version(", "info(", "tag_image(", "remove_image("];

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

/// The literals of this text that begin with a slash, and the methods of the client library that it calls.
fn calls(text: &str) -> (Vec<String>, Vec<String>) {
    let paths = text.split("\"/").skip(1).map(|rest| format!("/{}", rest.split('"').next().unwrap()));
    let method = |rest: &str| format!("{}(", rest.split('(').next().unwrap());
    let methods = ["self.api.", " api.", "(api."].into_iter().flat_map(|at| text.split(at).skip(1)).map(method);
    (paths.filter(|path| path.len() > 1).collect(), methods.collect())
}

#[test]
fn d1_the_engine_makes_the_calls_of_the_closed_list_and_no_others() {
    let (mut paths, mut methods) = (Vec::new(), Vec::new());
    let own = |path: &Path| path.starts_with("engine") && path.file_name() != Some("tests.rs".as_ref());
    for (path, text) in files("src").into_iter().filter(|(path, _)| own(path)) {
        let (named, called) = calls(&code(&text));
        paths.extend(named);
        methods.extend(called);
        assert!(!text.contains("bollard::container") && !text.contains("bollard::exec"), "{}", path.display());
    }
    for call in CALLS {
        assert!(paths.iter().any(|path| path.starts_with(call)), "{call} is not where it is looked for, or is made no more");
    }
    assert!(METHODS.iter().all(|method| methods.iter().any(|called| called == method)), "{methods:?}");
    paths.retain(|path| !CALLS.iter().chain(&NO_CALLS).any(|known| path.starts_with(known)) || path.starts_with("/images/create"));
    methods.retain(|method| !METHODS.contains(&method.as_str()));
    assert_eq!((paths, methods), (Vec::new(), Vec::new()), "on no list");
}

#[test]
fn d1_the_rule_of_calls_can_fail() {
    let text = "client.request(Method::POST, \"/containers/create\"); self.api.create_exec(x);";
    assert_eq!(calls(text), (vec!["/containers/create".to_owned()], vec!["create_exec(".to_owned()]));
}
