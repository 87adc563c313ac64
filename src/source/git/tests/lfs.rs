//! Git LFS against git-lfs itself: its pointers, its pushes, its clones.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::process::Command;

use proptest::prelude::*;
use sha2::{Digest as _, Sha256};

use super::checkout::came_out;
use super::tree::{body, entries};
use crate::model::digest::hex;
use crate::model::tree::SourceTree;
use crate::source::git::lfs::Pointer;
use crate::source::git::trial::{Repo, Trial, noise};
use crate::source::git::trial_lfs::{LfsHost, clone, ids, is_batch, is_object, push, track};
use crate::source::git::{GitError, Lfs};

pub fn pointer(body: &[u8]) -> String {
    format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n", hex(&Sha256::digest(body)), body.len())
}

/// Pointers that were written by hand, and their objects at the server.
pub fn hand_written(paths: &[(&str, &[u8])]) -> LfsHost {
    let repo = Repo::new();
    let host = LfsHost::new(&repo);
    repo.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n");
    for (path, object) in paths {
        repo.write(path, pointer(object));
        host.objects.lock().unwrap().insert(hex(&Sha256::digest(object)), object.to_vec());
    }
    repo.git(&["config", "filter.lfs.clean", "cat"]);
    repo.commit("x");
    host
}

#[test]
fn what_is_pointed_to_comes_as_git_lfs_brings_it() {
    let repo = Repo::new();
    track(&repo, "*.bin");
    let large = noise(3 << 20);
    repo.write("large.bin", &large);
    repo.write("deep/er/twice.bin", &large);
    repo.write("small.bin", "$Id$\nsmall\r\n");
    repo.write("empty.bin", "");
    repo.write("plain.txt", "no object");
    repo.write("deep/.gitattributes", "not.bin !filter\n");
    repo.write("deep/not.bin", "kept in git");
    repo.write("eol.bin", "stays\n");
    repo.commit("x");
    let host = LfsHost::new(&repo);
    let server = host.serve();
    push(&repo, &server);
    assert_eq!(host.objects.lock().unwrap().len(), 3);
    repo.write(".gitattributes", "*.bin filter=lfs diff=lfs merge=lfs eol=crlf ident\nstray.txt -text\n");
    // Tracked, and yet no pointer; a pointer, and not tracked.
    let plain = repo.git_in(&["hash-object", "-w", "--stdin", "--no-filters"], b"not a pointer\n");
    repo.git(&["update-index", "--add", "--cacheinfo", &format!("100644,{plain},plain.bin")]);
    repo.write("stray.txt", pointer(b"somewhere"));
    repo.git(&["add", ".gitattributes", "stray.txt"]);
    repo.git(&["commit", "-q", "-m", "y"]);
    let (ours, cloned) = (came_out(&Trial::new(&server)), clone(&server));
    let want = |path: &str| fs::read(cloned.path().join("clone").join(path)).unwrap();
    let mut paths = vec!["large.bin", "deep/er/twice.bin", "small.bin", "empty.bin", "plain.txt", "deep/not.bin", "eol.bin"];
    paths.extend(["plain.bin", "stray.txt", ".gitattributes", "deep/.gitattributes"]);
    for path in &paths {
        assert!(ours[*path].as_ref().unwrap() == &want(path), "{path}");
    }
    assert_eq!(ours.len(), paths.len());
    assert_eq!((ours["large.bin"].as_ref().unwrap(), ours["plain.bin"].as_deref()), (&large, Ok(&b"not a pointer\r\n"[..])));
    let tree = Trial::new(&server).run().unwrap();
    let said: Vec<_> = tree.notices().iter().map(|notice| notice.message.as_str()).collect();
    assert!(said.len() == 1 && said[0].contains("stray.txt") && said[0].contains("filter=lfs"), "{said:?}");
    assert!(tree.revision().size.unwrap() > 3 << 20);
}

#[test]
fn pointers_are_refused_or_kept_where_that_is_asked_for() {
    let host = hand_written(&[("a.bin", b"the object"), ("b.txt", b"not tracked")]);
    let server = host.serve();
    let mut trial = Trial::new(&server);
    trial.options.lfs = Lfs::Refuse;
    let ours = came_out(&trial);
    assert!(ours["a.bin"].as_ref().unwrap_err().contains("source.git.lfs") && ours["b.txt"].is_ok(), "{ours:?}");
    let refusing = trial.run().unwrap().identity();
    trial.options.lfs = Lfs::Keep;
    assert_eq!(came_out(&trial)["a.bin"].as_ref().unwrap(), pointer(b"the object").as_bytes());
    let tree = trial.run().unwrap();
    assert!(tree.notices()[0].message.contains("a.bin") && !tree.notices()[0].message.contains("b.txt"), "{:?}", tree.notices());
    assert!(!server.asked().iter().any(is_batch));
    trial.options.lfs = Lfs::Auto;
    let tree = trial.run().unwrap();
    assert_ne!(tree.identity(), refusing);
    assert_eq!(came_out(&trial)["a.bin"].as_deref(), Ok(&b"the object"[..]));
}

#[test]
fn what_is_needed_is_asked_for_once_and_a_hundred_at_a_time() {
    let objects: Vec<Vec<u8>> = (0..250).map(|n| format!("object {n}").into_bytes()).collect();
    let names: Vec<String> = (0..500).map(|n| format!("in/{n}.bin")).collect();
    let mut paths: Vec<(&str, &[u8])> = names.iter().enumerate().map(|(n, name)| (name.as_str(), &*objects[n % 250])).collect();
    paths.push(("out/other.bin", b"beside the context"));
    let server = hand_written(&paths).serve();
    let ours = came_out(&Trial::new(&server).subdir("in"));
    for (n, name) in names.iter().enumerate() {
        assert_eq!(ours[&name[3..]].as_ref().unwrap(), &objects[n % 250]);
    }
    let asked = server.asked();
    let batches: Vec<usize> = asked.iter().filter(|asked| is_batch(asked)).map(|asked| ids(asked).len()).collect();
    assert_eq!(batches, [100, 100, 50]);
    let got: Vec<_> = asked.iter().filter(|asked| is_object(asked)).map(|asked| asked.target.clone()).collect();
    assert_eq!((got.len(), got.iter().collect::<HashSet<_>>().len()), (250, 250));
}

#[test]
fn objects_stay_where_they_are_read_from_until_the_tree_is_gone() {
    let host = hand_written(&[("a.bin", b"first"), ("b.bin", b"second")]);
    let server = host.serve();
    let trial = Trial::new(&server);
    let tree = trial.run().unwrap();
    assert_eq!(trial.left().len(), 1);
    let entries = entries(&tree);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for (at, want) in [(1, &b"first"[..]), (2, b"second")] {
                    assert_eq!(body(&tree, &entries[at]).unwrap(), want);
                }
            });
        }
    });
    drop(tree);
    assert!(trial.left().is_empty());
}

#[test]
fn progress_is_told_and_can_stop_it() {
    let objects: Vec<Vec<u8>> = (0..20).map(|n| vec![n; 300_000]).collect();
    let names: Vec<String> = (0..20).map(|n| format!("{n}.bin")).collect();
    let paths: Vec<(&str, &[u8])> = names.iter().zip(&objects).map(|(name, object)| (name.as_str(), object.as_slice())).collect();
    let host = hand_written(&paths);
    let slow = crate::net::trial::Server::plain(move |asked, out| {
        if is_object(asked) {
            std::thread::sleep(std::time::Duration::from_millis(60));
        }
        host.answer(asked, out)
    });
    let trial = Trial::new(&slow);
    let mut most = 0;
    let told = trial.run_telling(&mut |progress| {
        most = progress.bytes;
        true
    });
    assert!(told.is_ok() && most > 600_000, "{most}");
    let stopped = trial.run_telling(&mut |progress| progress.bytes < 600_000);
    assert!(matches!(stopped, Err(GitError::Cancelled)));
}

/// What `git lfs pointer --check` says.
fn git_lfs_takes(repo: &Repo, texts: &[Vec<u8>]) -> Vec<bool> {
    let check = |text: &Vec<u8>| {
        repo.write("pointer", text);
        let mut command = Command::new("git");
        command.current_dir(repo.path()).args(["lfs", "pointer", "--check", "--file", "pointer"]);
        command.output().unwrap().status.success()
    };
    texts.iter().map(check).collect()
}

fn pointers_agree(texts: &[Vec<u8>]) {
    for (text, want) in texts.iter().zip(git_lfs_takes(&Repo::new(), texts)) {
        assert_eq!(Pointer::parse(text).is_some(), want, "{:?}", String::from_utf8_lossy(text));
    }
}

#[test]
fn a_pointer_is_what_git_lfs_takes_for_one() {
    let (id, v1) = ("ab".repeat(32), "version https://git-lfs.github.com/spec/v1\n");
    let oid = format!("oid sha256:{id}\n");
    let texts = [
        format!("{v1}{oid}size 12\n"),
        format!("{v1}{oid}size 12"),
        format!("\n \t{v1}{oid}size 12\n\n"),
        format!("{v1}\n{oid}\nsize 12\n"),
        format!("{v1}{oid}size 12\n").replace('\n', "\r\n"),
        format!("{v1}{oid}size 12 \n"),
        format!("{v1}{oid}size 12 \n\nx"),
        format!("{v1}{oid}size  12\n"),
        format!("{v1}{oid}size +12\n"),
        format!("{v1}{oid}size -0\n"),
        format!("{v1}{oid}size -1\n"),
        format!("{v1}{oid}size 0x1\n"),
        format!("{v1}{oid}size 9223372036854775807\n"),
        format!("{v1}{oid}size 9223372036854775808\n"),
        format!("{v1}{oid}"),
        format!("{v1}size 12\n{oid}"),
        format!("{oid}{v1}size 12\n"),
        format!("{v1}{oid}size 12\nmore x\n"),
        format!("{v1}other x\n{oid}size 12\n"),
        format!("{v1}{}size 12\n", oid.to_uppercase()),
        format!("{v1}oid sha256:{}\nsize 12\n", id.to_uppercase()),
        format!("{v1}oid sha256:{}\nsize 12\n", &id[1..]),
        format!("{v1}oid sha512:{id}\nsize 12\n"),
        format!("{v1}oid {id}\nsize 12\n"),
        format!("version http://git-media.io/v/2\n{oid}size 12\n"),
        format!("version https://hawser.github.com/spec/v1\n{oid}size 12\n"),
        format!("version https://git-lfs.github.com/spec/v2\n{oid}size 12\n"),
        format!("version  https://git-lfs.github.com/spec/v1\n{oid}size 12\n"),
        format!("{v1}ext-0-a sha256:{id}\n{oid}size 12\n"),
        format!("ext-0-a sha256:{id}\n{v1}{oid}size 12\n"),
        format!("{v1}ext-0-a sha256:{id}\next-0-b sha256:{id}\n{oid}size 12\n"),
        format!("{v1}ext-0-a sha256:{id}\next-0-a sha256:{id}\n{oid}size 12\n"),
        format!("{v1}ext-0-a sha256:x\n{oid}size 12\n"),
        format!("{v1}ext-10-a sha256:{id}\n{oid}size 12\n"),
        format!("{v1}ext-0- sha256:{id}\n{oid}size 12\n"),
        format!("{v1}{oid}size 12\n{}", " ".repeat(800)),
        "git-lfs".to_owned(),
        "\n".to_owned(),
    ];
    pointers_agree(&texts.map(String::into_bytes));
    let parsed = Pointer::parse(format!("{v1}ext-0-a sha256:{id}\n{oid}size 12\n").as_bytes()).unwrap();
    assert_eq!(parsed, Pointer { oid: [0xab; 32], size: 12, extended: true });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, failure_persistence: None, max_shrink_iters: 16, ..ProptestConfig::default() })]
    #[test]
    fn any_text_is_a_pointer_where_git_lfs_takes_it_for_one(
        changes in prop::collection::vec((0usize..140, prop::sample::select(vec!["", " ", "\n", "\r", "0", "f", "F", "x", "-", "\u{e9}"]), any::<bool>()), 20),
    ) {
        let good = pointer(b"x");
        let texts: Vec<Vec<u8>> = changes.iter().map(|(at, put, takes)| {
            let at = (*at).min(good.len() - 1);
            format!("{}{put}{}", &good[..at], &good[at + usize::from(*takes)..]).into_bytes()
        }).collect();
        pointers_agree(&texts);
    }
}

#[test]
fn an_object_that_went_through_an_extension_is_refused_by_its_path() {
    let repo = Repo::new();
    let extended = pointer(b"x").replace("oid", &format!("ext-0-crypt sha256:{}\noid", "ab".repeat(32)));
    repo.write("a.bin", extended);
    repo.write(".gitattributes", "*.bin filter=lfs\n");
    repo.git(&["config", "filter.lfs.clean", "cat"]);
    repo.commit("x");
    let server = LfsHost::new(&repo).serve();
    let ours: BTreeMap<_, _> = came_out(&Trial::new(&server));
    assert!(ours["a.bin"].as_ref().unwrap_err().contains("extension"), "{ours:?}");
}
