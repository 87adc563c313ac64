//! Other people's archives: random trees written by the `tar` crate and by GNU tar, in every dialect they have.

use std::process::Command;

use proptest::prelude::*;

use super::*;
use crate::source::directory::DirectoryTree;
use crate::source::sample::{Item, Sample, assert_shows, sample, write};

/// By the `tar` crate, leaders before their links.
fn by_crate(sample: &Sample, ustar: bool) -> Option<Vec<u8>> {
    let mut builder = tar::Builder::new(Vec::new());
    let (links, others): (Vec<_>, Vec<_>) = sample.iter().partition(|(_, item)| matches!(item, Item::Hardlink { .. }));
    for (path, item) in others.into_iter().chain(links) {
        let mut header = if ustar { tar::Header::new_ustar() } else { tar::Header::new_gnu() };
        header.set_mtime(1_700_000_000);
        let (kind, mode, body): (_, _, &[u8]) = match item {
            Item::Directory { mode } => (tar::EntryType::Directory, *mode, &[]),
            Item::File { mode, body } => (tar::EntryType::Regular, *mode, body),
            Item::Symlink { .. } => (tar::EntryType::Symlink, 0o777, &[]),
            Item::Hardlink { .. } => (tar::EntryType::Link, 0, &[]),
        };
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_size(body.len() as u64);
        let place = os(path.as_bytes());
        let written = match item {
            // As it stands: the crate would clean a target.
            Item::Symlink { target } => {
                header.as_mut_bytes()[157..157 + target.len()].copy_from_slice(target);
                builder.append_data(&mut header, place, body)
            }
            Item::Hardlink { of } => builder.append_link(&mut header, place, os(of.as_bytes())),
            _ => builder.append_data(&mut header, place, body),
        };
        // A name that ustar cannot hold.
        written.ok()?;
    }
    builder.into_inner().ok()
}

fn os(bytes: &[u8]) -> &Path {
    use std::os::unix::ffi::OsStrExt;
    Path::new(std::ffi::OsStr::from_bytes(bytes))
}

/// By GNU tar, from the tree on disk.
pub fn by_gnu(root: &Path, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new("tar").args(["-C".as_ref(), root, "-cf".as_ref(), "-".as_ref()]).args(arguments).arg(".").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, ..ProptestConfig::default() })]

    #[test]
    fn what_the_tar_crate_writes_is_what_the_tree_shows(sample in sample(), ustar in any::<bool>(), zip in any::<bool>()) {
        let Some(bytes) = by_crate(&sample, ustar) else { return Ok(()) };
        let tree = read(&if zip { gzip(&bytes) } else { bytes }).unwrap();
        assert_shows(&tree, &sample);
        prop_assert_eq!(entries(&tree).len(), sample.len());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 25, ..ProptestConfig::default() })]

    #[test]
    fn what_gnu_tar_writes_is_what_the_tree_shows(sample in sample(), negative in any::<bool>()) {
        let home = tempfile::tempdir().unwrap();
        write(&sample, home.path(), 1_700_000_001);
        for arguments in [&["--format=gnu"][..], &["--format=posix"], &["--format=oldgnu", "-b1"], &["--format=gnu", "-z"], &["--format=posix", "--sort=name", "-z"]] {
            let time = if negative { "--mtime=@-86400" } else { "--mtime=@1700000001" };
            let bytes = by_gnu(home.path(), &[arguments, &[time]].concat());
            let tree = read(&bytes).unwrap();
            assert_shows(&tree, &sample);
            let want = if negative { -86_400 } else { 1_700_000_001 };
            prop_assert!(entries(&tree).iter().all(|entry| entry.modified.seconds == want));
        }
    }
}

#[test]
fn gnu_tars_own_trouble_is_refused_by_name() {
    let home = tempfile::tempdir().unwrap();
    rustix::fs::mknodat(rustix::fs::CWD, home.path().join("pipe"), rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR, 0).unwrap();
    assert_refused(&by_gnu(home.path(), &[]), "\"./pipe\": it is a named pipe");
}

/// Kind, name, target, and the way the name is carried.
type Line = (char, &'static str, &'static str, u8);

/// Any order of a few entries with a few names. No link points out: GNU tar makes such links late, and then loses count.
fn lines() -> impl Strategy<Value = Vec<Line>> {
    let name = proptest::sample::select(&["a", "b", "./a", "d", "d/", "d/x", "./d/x", "d/e/f", "a/b", "d/./x"][..]);
    let target = proptest::sample::select(&["a", "./b", "d/x", "d", "none", "d/e/f"][..]);
    let kind = proptest::sample::select(&['0', '0', '0', '5', '2', '1'][..]);
    proptest::collection::vec((kind, name, target, 0u8..3), 1..7)
}

fn written(lines: &[Line]) -> Vec<u8> {
    let raw = lines.iter().enumerate().fold(Raw::new(), |raw, (turn, (kind, name, target, way))| {
        let (raw, name) = match way {
            0 => (raw, *name),
            1 => (raw.long(b'L', name.as_bytes()), "unused"),
            _ => (raw.pax(b'x', &[("path", name.as_bytes())]), "unused"),
        };
        match kind {
            '0' => raw.file(name, &format!("body {turn}")),
            '5' => raw.dir(name),
            '2' => raw.symlink(name, target),
            _ => raw.hardlink(name, target),
        }
    });
    raw.end()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever is not refused, GNU tar takes out as the same tree.
    #[test]
    fn a2_what_is_accepted_is_what_gnu_tar_extracts(lines in lines(), strip in 0u32..2) {
        let bytes = written(&lines);
        let Ok(tree) = read_with(&bytes, &ArchiveOptions { strip_components: strip, ..options() }) else { return Ok(()) };
        let home = tempfile::tempdir().unwrap();
        let (archive, root) = (home.path().join("x.tar"), home.path().join("root"));
        std::fs::write(&archive, &bytes).unwrap();
        std::fs::create_dir(&root).unwrap();
        let mut command = Command::new("tar");
        command.arg("-C").arg(&root).arg("-xpf").arg(&archive).arg(format!("--strip-components={strip}"));
        let output = command.output().unwrap();
        prop_assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let extracted = DirectoryTree::open(&root, &TreePath::root(), &Limits::default(), &Guard::default()).unwrap();
        prop_assert_eq!(shown(&tree), shown(&extracted));
    }
}
