//! Other people's zips, by Info-ZIP and Python; and what those two make of what is read here.

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use proptest::prelude::*;

use super::zip::{one, stored, zip};
use super::*;
use crate::source::directory::DirectoryTree;

fn by(command: &mut Command, directory: &Path) -> Vec<u8> {
    let output = command.current_dir(directory).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success() && !output.stdout.is_empty(), "{output:?}");
    output.stdout
}

/// A tree of everything a zip can hold, and what of it is shown.
fn tree_on_disk() -> (tempfile::TempDir, BTreeMap<String, String>) {
    let home = tempfile::tempdir().unwrap();
    let at = |name: &str| home.path().join(name);
    std::fs::create_dir_all(at("d/deep/er")).unwrap();
    std::fs::create_dir(at("empty")).unwrap();
    std::fs::write(at("d/deep/er/x"), "text ".repeat(1000)).unwrap();
    std::fs::write(at("none"), "").unwrap();
    std::fs::write(at("grüße"), "ü").unwrap();
    std::fs::write(at("run"), "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(at("run"), PermissionsExt::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("d/deep", at("link")).unwrap();
    let shown = shown(&DirectoryTree::open(home.path(), &TreePath::root(), &Limits::default(), &Guard::default()).unwrap());
    (home, shown)
}

const PYTHON: &str = "
import io, os, sys, zipfile
buffer = io.BytesIO()
out = zipfile.ZipFile(sys.stdout.buffer if sys.argv[1] == 'stream' else buffer, 'w', zipfile.ZIP_DEFLATED)
for directory, names, files in os.walk('.'):
    for name in sorted(names + files):
        path = os.path.join(directory, name)
        if os.path.islink(path):
            info = zipfile.ZipInfo(path[2:])
            info.create_system, info.external_attr = 3, 0o120777 << 16
            out.writestr(info, os.readlink(path))
        else:
            out.write(path)
out.close()
sys.stdout.buffer.write(buffer.getvalue())
";

#[test]
fn what_other_writers_write_is_what_the_tree_shows() {
    let (home, want) = tree_on_disk();
    for arguments in [&["-qry"][..], &["-qry9"], &["-qryX"], &["-qryD"], &["-qry", "-fz-"]] {
        let made = home.path().with_extension("zip");
        by(Command::new("sh").args(["-c", "zip \"$@\" && echo", "sh"]).args(arguments).arg(&made).arg("."), home.path());
        let tree = read(&std::fs::read(&made).unwrap()).unwrap();
        std::fs::remove_file(&made).unwrap();
        let mut want = want.clone();
        if arguments.contains(&"-qryD") {
            want.remove("empty");
        }
        assert_eq!(shown(&tree), want, "{arguments:?}");
        assert_eq!(tree.lookup(&path("run")).unwrap().unwrap().mode, 0o755);
    }
    // To a pipe, and so with descriptors; Info-ZIP cannot store a link that way.
    let mut without = want.clone();
    without.remove("link");
    assert_eq!(shown(&read(&by(Command::new("zip").args(["-qry", "-", ".", "-x", "link"]), home.path())).unwrap()), without);
    for way in ["stream", "file"] {
        assert_eq!(shown(&read(&by(Command::new("python3").args(["-c", PYTHON, way]), home.path())).unwrap()), want, "{way}");
    }
}

/// What Info-ZIP and Python make of it; `None` where they fail.
fn oracles(bytes: &[u8]) -> [Option<BTreeMap<String, Vec<u8>>>; 2] {
    let home = tempfile::tempdir().unwrap();
    let (file, root) = (home.path().join("x.zip"), home.path().join("root"));
    std::fs::write(&file, bytes).unwrap();
    std::fs::create_dir(&root).unwrap();
    let unzip = Command::new("unzip").args(["-qq", "-o", "-d"]).arg(&root).arg(&file).output().unwrap();
    let python = "import sys,zipfile,json;z=zipfile.ZipFile(sys.argv[1]);print(json.dumps({n:z.read(n).hex() for n in z.namelist()}))";
    let listed = Command::new("python3").args(["-c", python]).arg(&file).output().unwrap();
    let unzipped = unzip.status.success().then(|| {
        let tree = DirectoryTree::open(&root, &TreePath::root(), &Limits::default(), &Guard::default()).unwrap();
        let files = entries(&tree).into_iter().filter(|entry| matches!(entry.kind, Kind::File { .. }));
        files.map(|entry| (entry.path.display(), tree.read(&entry.path, u64::MAX).unwrap().unwrap())).collect()
    });
    let python = listed.status.success().then(|| {
        let all: BTreeMap<String, String> = serde_json::from_slice(&listed.stdout).unwrap();
        let hex = |text: &str| (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect::<Vec<u8>>();
        all.into_iter().filter(|(name, _)| !name.ends_with('/')).map(|(name, body)| (name, hex(&body))).collect()
    });
    [unzipped, python]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// No bytes make it panic or loop, and what is read after all, others read, too: flips, cuts and moved bytes of a good zip.
    #[test]
    fn a3_mangled_zips_are_what_others_see_or_refused(
        flips in proptest::collection::vec((0usize..400, any::<u8>()), 0..4),
        moved in proptest::option::of((0usize..400, 0usize..40)),
        cut in proptest::option::of(0usize..400),
    ) {
        let mut bytes = zip(&[one("d/", ""), one("d/x", "text text text"), stored("y", "more"), one("z", "last")]);
        for (at, value) in flips {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        if let Some((at, count)) = moved {
            let at = at % bytes.len();
            let piece: Vec<u8> = bytes.drain(at..(at + count).min(bytes.len())).collect();
            bytes.extend_from_slice(&piece);
        }
        if let Some(cut) = cut.filter(|cut| *cut % 3 == 0) {
            bytes.truncate(cut);
        }
        let Ok(tree) = read(&bytes) else { return Ok(()) };
        // A link is a file of its target to one oracle, and nothing to the other.
        prop_assume!(!entries(&tree).iter().any(|entry| matches!(entry.kind, Kind::Symlink { .. })));
        let files = entries(&tree).into_iter().filter(|entry| matches!(entry.kind, Kind::File { .. }));
        let ours: BTreeMap<String, Vec<u8>> =
            files.map(|entry| (entry.path.display(), tree.read(&entry.path, u64::MAX).unwrap().unwrap())).collect();
        for theirs in oracles(&bytes).into_iter().flatten() {
            prop_assert_eq!(&ours, &theirs);
        }
    }
}
