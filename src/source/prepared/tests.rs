//! What stands in a directory is believed only as far as it proves itself.

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::fs::symlink;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::*;
use crate::model::digest::hex;
use crate::model::tree::{SourceTree, Time};
use tempfile::TempDir;

/// A tar with one file, whose time has a fraction, before the epoch.
fn tar() -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_pax_extensions([("mtime", &b"-1.25"[..])]).unwrap();
    let mut header = tar::Header::new_gnu();
    header.set_size(3);
    header.set_mode(0o4755);
    header.set_cksum();
    builder.append_data(&mut header, "run.sh", &b"hi\n"[..]).unwrap();
    builder.into_inner().unwrap()
}

fn source_json() -> Value {
    json!({
        "schema": SCHEMA,
        "revision": {"kind": "git", "url": "https://a.b/c", "commit": "a".repeat(40), "author": "A\tB"},
        "identity": "git https://a.b/c",
        "context": {"sha256": hex(&Sha256::digest(tar())), "size": tar().len(), "entries": 1},
    })
}

fn prepared(source: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join(CONTEXT), tar()).unwrap();
    fs::write(dir.path().join(SOURCE), source).unwrap();
    dir
}

fn opened(dir: &Path) -> Result<ArchiveTree, PreparedError> {
    open(dir, &std::env::temp_dir(), &Limits::default(), &Guard::default(), &mut |_| ControlFlow::Continue(()))
}

#[test]
fn what_fetch_said_comes_back_and_times_come_back_whole() {
    let dir = prepared(&source_json().to_string());
    let tree = opened(dir.path()).unwrap();
    let revision = serde_json::to_value(tree.revision()).unwrap();
    assert_eq!(revision, source_json()["revision"]);
    assert_eq!(tree.identity(), "prepared\ngit https://a.b/c");
    let entry = tree.lookup(&TreePath::parse(b"run.sh").unwrap()).unwrap().unwrap();
    assert_eq!((entry.modified, entry.mode), (Time { seconds: -2, nanos: 750_000_000 }, 0o4755));
}

/// A8, A10: nothing is used that its digest was not known of.
#[test]
fn a8_a_torn_or_changed_directory_is_refused() {
    let dir = prepared(&source_json().to_string());
    let context = dir.path().join(CONTEXT);
    let mut changed = tar();
    changed[1024 + 512] ^= 1;
    fs::write(&context, &changed).unwrap();
    assert!(opened(dir.path()).unwrap_err().hint().unwrap().contains("not the file"));
    assert_eq!(opened(dir.path()).unwrap_err().reason(), Reason::SourceIntegrity);
    fs::write(&context, &tar()[..1024]).unwrap();
    let torn = opened(dir.path()).unwrap_err();
    assert!(torn.reason() == Reason::SourceIntegrity && torn.to_string().contains("torn"), "{torn}");
    fs::remove_file(&context).unwrap();
    let missing = opened(dir.path()).unwrap_err();
    assert!(missing.reason() == Reason::SourceNotFound && missing.to_string().contains(CONTEXT), "{missing}");
    fs::remove_file(dir.path().join(SOURCE)).unwrap();
    let missing = opened(dir.path()).unwrap_err();
    assert!(missing.reason() == Reason::SourceNotFound && missing.to_string().contains(SOURCE), "{missing}");
}

#[test]
fn a_foreign_document_is_refused_by_what_is_wrong_with_it() {
    let with = |pointer: &str, value: Value| {
        let mut document = source_json();
        *document.pointer_mut(pointer).unwrap() = value;
        document.to_string()
    };
    let more = |pointer: &str, name: &str, value: Value| {
        let mut document = source_json();
        document.pointer_mut(pointer).unwrap()[name] = value;
        document.to_string()
    };
    let table = [
        ("{}".to_owned(), "names its schema"),
        ("not JSON".to_owned(), "names its schema"),
        ("[".repeat(100_000), "names its schema"),
        (with("/schema", json!("podwright/source/v2")), "same version"),
        (with("/revision/kind", json!("oracle")), "no kind of source"),
        (with("/revision/commit", json!("A".repeat(40))), "commit"),
        (with("/revision/url", json!("https://a.b/\u{1b}[31m")), "control character"),
        (with("/revision/author", json!("a\0b")), "NUL"),
        (with("/identity", json!("x".repeat(TEXT_BYTES + 1))), "too long"),
        (with("/context/sha256", json!("../../etc/passwd")), "digest is none"),
        (with("/context/size", json!(-1)), "invalid value"),
        (more("/revision", "digest", json!("md5:1")), "digest is none"),
        (more("", "surprise", json!(1)), "unknown field"),
        (more("/revision", "surprise", json!(1)), "unknown field"),
        (" ".repeat(usize::try_from(PREPARED_BYTES).unwrap() + 1), "more than"),
    ];
    for (text, rule) in table {
        let error = opened(prepared(&text).path()).unwrap_err();
        assert_eq!(error.reason(), Reason::SourceRefused, "{rule}");
        assert!(error.to_string().contains(rule), "{rule}: {error}");
    }
}

/// A2: no link stands in for either file, and nothing that blocks.
#[test]
fn a2_links_and_pipes_are_not_read() {
    let real = prepared(&source_json().to_string());
    for name in [SOURCE, CONTEXT] {
        let dir = prepared(&source_json().to_string());
        fs::remove_file(dir.path().join(name)).unwrap();
        symlink(real.path().join(name), dir.path().join(name)).unwrap();
        assert!(opened(dir.path()).unwrap_err().to_string().contains("symbolic link"), "{name}");
        fs::remove_file(dir.path().join(name)).unwrap();
        fs::create_dir(dir.path().join(name)).unwrap();
        assert!(opened(dir.path()).unwrap_err().to_string().contains("regular file"), "{name}");
        let inside = Guard::new([dir.path().to_owned()]);
        let refused = open(dir.path(), dir.path(), &Limits::default(), &inside, &mut |_| ControlFlow::Continue(()));
        assert_eq!(refused.unwrap_err().reason(), Reason::NotPermitted);
    }
}
