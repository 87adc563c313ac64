use super::*;
use crate::source::sample::{assert_shows, sample, write};
use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::symlink;

fn open(path: &Path) -> DirectoryTree {
    DirectoryTree::open(path, &TreePath::root(), &Limits::default(), &Guard::default()).unwrap()
}

fn path(name: &str) -> TreePath {
    TreePath::parse(name.as_bytes()).unwrap()
}

fn entries(tree: &DirectoryTree) -> Result<Vec<Entry>, TreeError> {
    let mut shown = Vec::new();
    tree.walk(&mut |entry| {
        shown.push(entry);
        Ok(Walk::Enter)
    })
    .map(|()| shown)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn a_walk_shows_what_lies_on_disk(sample in sample()) {
        let home = tempfile::tempdir().unwrap();
        write(&sample, home.path(), 1_700_000_000);
        let tree = open(home.path());
        assert_shows(&tree, &sample);
        // A second walk begins anew, and numbers links alike.
        prop_assert_eq!(entries(&tree).unwrap(), entries(&tree).unwrap());
    }
}

#[test]
fn times_are_the_files_own_to_the_nanosecond() {
    let home = tempfile::tempdir().unwrap();
    let file = File::create(home.path().join("file")).unwrap();
    file.set_modified(std::time::UNIX_EPOCH + std::time::Duration::new(12, 345_678_901)).unwrap();
    assert_eq!(entries(&open(home.path())).unwrap()[0].modified, Time { seconds: 12, nanos: 345_678_901 });
}

#[test]
fn the_root_may_be_a_link_and_is_resolved_once() {
    let home = tempfile::tempdir().unwrap();
    for (version, text) in [("v1", "one"), ("v2", "two")] {
        fs::create_dir(home.path().join(version)).unwrap();
        fs::write(home.path().join(version).join("file"), text).unwrap();
    }
    let link = home.path().join("current");
    symlink("v1", &link).unwrap();
    let tree = open(&link);
    fs::remove_file(&link).unwrap();
    symlink("v2", &link).unwrap();
    assert_eq!(tree.read(&path("file"), 10).unwrap().unwrap(), b"one");
    let after = open(&link);
    assert_eq!(after.read(&path("file"), 10).unwrap().unwrap(), b"two");
    assert_ne!(tree.identity(), after.identity());
}

#[test]
fn a_directory_that_is_made_anew_is_another_source() {
    let home = tempfile::tempdir().unwrap();
    let root = home.path().join("root");
    let mut identities: Vec<String> = (0..5)
        .map(|_| {
            fs::create_dir(&root).unwrap();
            let identity = open(&root).identity();
            assert_eq!(open(&root).identity(), identity, "the same directory is the same source");
            fs::remove_dir(&root).unwrap();
            identity
        })
        .collect();
    identities.sort();
    identities.dedup();
    assert_eq!(identities.len(), 5);
}

#[test]
fn a1_no_link_below_the_root_is_followed() {
    let home = tempfile::tempdir().unwrap();
    let root = home.path().join("root");
    fs::create_dir_all(root.join("real/deep")).unwrap();
    fs::write(root.join("real/file"), "x").unwrap();
    fs::write(home.path().join("secret"), "s").unwrap();
    symlink("..", root.join("up")).unwrap();
    symlink("real", root.join("alias")).unwrap();
    symlink("../secret", root.join("leak")).unwrap();
    let tree = open(&root);
    let shown: Vec<String> = entries(&tree).unwrap().iter().map(|entry| entry.path.display()).collect();
    assert_eq!(shown, ["alias", "leak", "real", "real/deep", "real/file", "up"]);
    for hidden in ["up/secret", "alias/file", "leak/x", "real/file/x", "none"] {
        assert_eq!(tree.lookup(&path(hidden)).unwrap(), None, "{hidden}");
    }
    assert_eq!(tree.lookup(&path("leak")).unwrap().unwrap().kind, Kind::Symlink { target: b"../secret".to_vec() });
    assert!(tree.read(&path("leak"), 10).is_err());
    assert!(tree.open(&path("leak"), &[0; 20]).is_err());
    assert!(tree.open(&path("up/secret"), &[0; 20]).is_err());
    for (subdir, reason, named) in [
        ("up", Reason::SourceRefused, "up"),
        ("alias", Reason::SourceRefused, "symbolic link"),
        ("alias/deep", Reason::SourceRefused, "symbolic link"),
        ("real/file", Reason::SourceRefused, "a file"),
        ("real/none", Reason::SourceNotFound, "none"),
    ] {
        let error = DirectoryTree::open(&root, &path(subdir), &Limits::default(), &Guard::default()).unwrap_err();
        assert_eq!(error.reason(), reason, "{subdir}: {error}");
        assert!(error.to_string().contains(named), "{error}");
    }
    let deep = DirectoryTree::open(&root, &path("real"), &Limits::default(), &Guard::default()).unwrap();
    assert_eq!(entries(&deep).unwrap().len(), 2);
    assert_eq!(deep.revision().subdir.as_deref(), Some("real"));
}

#[test]
fn a_missing_root_says_so() {
    let error =
        DirectoryTree::open(Path::new("/nonexistent/source"), &TreePath::root(), &Limits::default(), &Guard::default()).unwrap_err();
    assert_eq!(error.reason(), Reason::SourceNotFound);
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = DirectoryTree::open(file.path(), &TreePath::root(), &Limits::default(), &Guard::default()).unwrap_err();
    assert_eq!(error.reason(), Reason::SourceRefused);
}

#[test]
fn a6_sockets_and_pipes_are_shown_for_what_they_are_and_never_opened() {
    let home = tempfile::tempdir().unwrap();
    fs::create_dir(home.path().join("run")).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(home.path().join("run/agent.sock")).unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, home.path().join("run/pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
    let tree = open(home.path());
    let kinds: Vec<Kind> = entries(&tree).unwrap().into_iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds, [Kind::Directory, Kind::Other("socket"), Kind::Other("pipe")]);
    assert!(tree.read(&path("run/pipe"), 10).is_err());
    // Nobody writes to the pipe: opening it must not wait for somebody.
    assert!(matches!(tree.open(&path("run/pipe"), &[0; 20]), Err(TreeError::Refused { .. })));
    assert!(tree.open(&path("run/agent.sock"), &[0; 20]).is_err());
    let mut shown = 0;
    tree.walk(&mut |_| {
        shown += 1;
        Ok(Walk::Skip)
    })
    .unwrap();
    assert_eq!(shown, 1);
}

#[test]
fn a_file_that_changes_between_listing_and_reading_fails_by_name() {
    let home = tempfile::tempdir().unwrap();
    let name = home.path().join("log");
    fs::write(&name, "12345").unwrap();
    let tree = open(home.path());
    let entry = entries(&tree).unwrap().remove(0);
    for (text, fits) in [("1234", false), ("123456", false), ("abcde", true)] {
        fs::write(&name, text).unwrap();
        let mut body = String::new();
        let read = tree.open(&entry.path, &entry.key).unwrap().read_to_string(&mut body);
        assert_eq!(read.is_ok(), fits, "{text}");
        assert!(read.map_or_else(|error| error.to_string().contains("\"log\""), |_| body == text));
    }
    let mut reader = tree.open(&entry.path, &entry.key).unwrap();
    let mut first = [0; 2];
    reader.read_exact(&mut first).unwrap();
    fs::write(&name, "ab").unwrap();
    assert!(reader.read_to_end(&mut Vec::new()).is_err());
}

#[test]
fn limits_bind_entries_bodies_and_depth() {
    let home = tempfile::tempdir().unwrap();
    let limits = Limits { source_entries: 3, object_bytes: 4, ..Limits::default() };
    for name in ["a", "b", "c"] {
        fs::write(home.path().join(name), "12345").unwrap();
    }
    let tree = DirectoryTree::open(home.path(), &TreePath::root(), &limits, &Guard::default()).unwrap();
    let entry = entries(&tree).unwrap().remove(0);
    let refused = tree.open(&entry.path, &entry.key).err().unwrap();
    assert!(refused.to_string().contains("--limit-object-bytes"), "{refused}");
    fs::write(home.path().join("d"), "").unwrap();
    let refused = entries(&tree).unwrap_err();
    assert!(refused.to_string().contains("--limit-source-entries"), "{refused}");

    let deep = tempfile::tempdir().unwrap();
    fs::create_dir_all(deep.path().join("d/".repeat(MAX_DEPTH))).unwrap();
    assert_eq!(entries(&open(deep.path())).unwrap().len(), MAX_DEPTH);
    fs::write(deep.path().join("d/".repeat(MAX_DEPTH)).join("x"), "").unwrap();
    assert_eq!(entries(&open(deep.path())).unwrap_err().reason(), Reason::SourceRefused);
}

#[test]
fn a_root_that_was_swapped_since_the_request_was_read_is_judged_by_what_was_opened() {
    let home = tempfile::tempdir().unwrap();
    let (allowed, secret) = (home.path().join("allowed"), home.path().join("secret"));
    fs::create_dir_all(allowed.join("src")).unwrap();
    fs::create_dir(&secret).unwrap();
    let mut guard = Guard::default();
    guard.add_root(&allowed);
    let source = guard.tree(&allowed.join("src")).unwrap();
    let open = || DirectoryTree::open(&source, &TreePath::root(), &Limits::default(), &guard);
    assert!(open().is_ok());
    fs::remove_dir(&source).unwrap();
    for target in [secret.as_path(), Path::new("/"), Path::new("/proc/self")] {
        symlink(target, &source).unwrap();
        assert_eq!(open().unwrap_err().reason(), Reason::NotPermitted, "{}", target.display());
        let unbound = DirectoryTree::open(&source, &TreePath::root(), &Limits::default(), &Guard::default());
        assert_eq!(unbound.is_ok(), target == secret, "{}", target.display());
        fs::remove_file(&source).unwrap();
    }
}
