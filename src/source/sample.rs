//! Random trees for tests: a model that every way of holding it (on disk, in a tar) must come back to.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use proptest::prelude::*;

use crate::model::TreePath;
use crate::model::tree::{Kind, SourceTree, Walk};

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    Directory {
        mode: u32,
    },
    File {
        mode: u32,
        body: Vec<u8>,
    },
    Symlink {
        target: Vec<u8>,
    },
    /// A further name of the file at this path.
    Hardlink {
        of: TreePath,
    },
}

/// Every directory on the way to an item is an item, too.
pub type Sample = BTreeMap<TreePath, Item>;

/// Names that have been somebody's trouble.
const NAMES: &[&[u8]] = &[
    b"a",
    b"b",
    b"a-b",
    b"a.txt",
    b"a b",
    b"A",
    b"-rf",
    b".hidden",
    b"..a",
    b"\xff\xfe",
    b"n\nl",
    b"back\\slash",
    b"caf\xc3\xa9",
    b"*",
    b"~",
    b"a-name-of-more-than-one-hundred-bytes-which-no-ustar-name-field-can-hold-so-that-an-extension-has-to-carry-it-0123456789",
];

const TARGETS: &[&[u8]] = &[b"a", b"/etc/passwd", b"../../..", b"\xff", b"none/there"];

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        9 => proptest::sample::select(NAMES).prop_map(<[u8]>::to_vec),
        1 => proptest::collection::vec(prop_oneof![Just(b'x'), 1u8..=255], 1..40),
    ]
}

fn path() -> impl Strategy<Value = TreePath> {
    proptest::collection::vec(name(), 1..5)
        .prop_filter_map("no name", |names| TreePath::parse(&names.join(&b'/')).ok().filter(|path| !path.is_root()))
}

fn item() -> impl Strategy<Value = Item> {
    let body = prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 0..600),
        1 => (0usize..3).prop_map(|blocks| vec![7; blocks * 512]),
        1 => Just(vec![9; 70_000]),
    ];
    prop_oneof![
        2 => proptest::sample::select(&[0o755u32, 0o700, 0o1777]).prop_map(|mode| Item::Directory { mode }),
        6 => (proptest::sample::select(&[0o644u32, 0o755, 0o4755, 0o600]), body).prop_map(|(mode, body)| Item::File { mode, body }),
        2 => proptest::sample::select(TARGETS)
            .prop_map(|target| Item::Symlink { target: target.to_vec() }),
        2 => path().prop_map(|of| Item::Hardlink { of }),
    ]
}

/// Trees of up to forty items. What does not fit (something below a file, a link to nothing) is left out.
pub fn sample() -> impl Strategy<Value = Sample> {
    proptest::collection::vec((path(), item()), 0..40).prop_map(|list| {
        let mut sample = Sample::new();
        for (path, item) in list {
            add(&mut sample, path, item);
        }
        sample
    })
}

fn add(sample: &mut Sample, path: TreePath, item: Item) {
    let item = match item {
        // The generated target is only a wish: the first file will do.
        Item::Hardlink { .. } => match sample.iter().find(|(_, item)| matches!(item, Item::File { .. })) {
            Some((of, _)) => Item::Hardlink { of: of.clone() },
            None => return,
        },
        other => other,
    };
    let mut above = Vec::new();
    let mut parent = path.parent();
    while let Some(directory) = parent.filter(|directory| !directory.is_root()) {
        parent = directory.parent();
        match sample.get(&directory) {
            Some(Item::Directory { .. }) => {}
            Some(_) => return,
            None => above.push(directory),
        }
    }
    if sample.contains_key(&path) {
        return;
    }
    sample.extend(above.into_iter().map(|directory| (directory, Item::Directory { mode: 0o755 })));
    sample.insert(path, item);
}

/// Makes the tree on disk; every file and directory gets the same whole second as its time.
pub fn write(sample: &Sample, root: &Path, seconds: u64) {
    let place = |path: &TreePath| root.join(OsStr::from_bytes(path.as_bytes()));
    for (path, item) in sample {
        match item {
            Item::Directory { .. } => fs::create_dir(place(path)).unwrap(),
            Item::File { body, .. } => fs::write(place(path), body).unwrap(),
            Item::Symlink { target } => symlink(OsStr::from_bytes(target), place(path)).unwrap(),
            Item::Hardlink { .. } => {}
        }
    }
    for (path, item) in sample {
        if let Item::Hardlink { of } = item {
            fs::hard_link(place(of), place(path)).unwrap();
        }
    }
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    for (path, item) in sample.iter().rev() {
        if let Item::Directory { mode } | Item::File { mode, .. } = item {
            fs::set_permissions(place(path), fs::Permissions::from_mode(*mode)).unwrap();
            fs::File::open(place(path)).unwrap().set_modified(time).unwrap();
        }
    }
}

/// Fails unless the tree shows the sample and nothing else: in order, by walk and by lookup, to the last byte.
pub fn assert_shows(tree: &dyn SourceTree, sample: &Sample) {
    let mut shown = Vec::new();
    tree.walk(&mut |entry| {
        shown.push(entry);
        Ok(Walk::Enter)
    })
    .unwrap();
    let paths: Vec<_> = shown.iter().map(|entry| entry.path.clone()).collect();
    assert!(paths.is_sorted(), "{paths:?}");
    assert_eq!(paths, sample.keys().cloned().collect::<Vec<_>>());
    let mut groups: BTreeMap<TreePath, u64> = BTreeMap::new();
    for (entry, item) in shown.iter().zip(sample.values()) {
        assert_eq!(tree.lookup(&entry.path).unwrap().as_ref(), Some(entry));
        let leader = if let Item::Hardlink { of } = item { of } else { &entry.path };
        match (&entry.kind, &sample[leader]) {
            (Kind::Directory, Item::Directory { mode }) => assert_eq!(entry.mode, *mode, "{:?}", entry.path),
            (Kind::Symlink { target }, Item::Symlink { target: want }) => assert_eq!(target, want),
            (Kind::File { size, link }, Item::File { mode, body }) => {
                assert_eq!((*size, entry.mode), (body.len() as u64, *mode), "{:?}", entry.path);
                assert_eq!(tree.read(&entry.path, u64::MAX).unwrap().as_ref(), Some(body));
                let several = sample.values().any(|item| *item == Item::Hardlink { of: leader.clone() });
                assert_eq!(*link != 0, several, "{:?}", entry.path);
                assert_eq!(*groups.entry(leader.clone()).or_insert(*link), *link);
            }
            (got, want) => panic!("{:?}: {got:?}, not {want:?}", entry.path),
        }
    }
    let mut numbers: Vec<u64> = groups.into_values().filter(|link| *link != 0).collect();
    let all = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), all, "two files share a link number");
}
