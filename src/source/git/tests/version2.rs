//! Version 2 of git's protocol: what a server is asked for, what it sends, and what becomes of one that does not keep to it.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::model::tree::SourceTree;
use crate::model::{Address, Classified, Reason};
use crate::net::trial::{Asked, Pki, Server, answer, redirect};
use crate::source::git::trial::{PASSWORD, Repo, Trial, backend, challenge, git, knows, serve, serve_old};
use crate::source::git::{Door, GitTree};

/// So many commits on `main`, the first of them tagged, and refs that nobody asks for.
fn repo(commits: usize, refs: usize) -> (Repo, Vec<String>) {
    let repo = Repo::new();
    let mut ids = Vec::new();
    for n in 0..commits {
        repo.write("file", n.to_string());
        ids.push(repo.commit(&format!("commit {n}")));
    }
    repo.git(&["tag", "-a", "-m", "signed off", "v1", &ids[0]]);
    let lines: Vec<String> = (0..refs).map(|n| format!("create refs/heads/other-{n} {}\n", ids[0])).collect();
    repo.git_in(&["update-ref", "--stdin"], lines.concat().as_bytes());
    (repo, ids)
}

/// Counts the bytes of all answers; `old` speaks version 0 alone.
fn counting(repo: &Repo, old: bool) -> (Server, Arc<AtomicUsize>) {
    struct Counted<'a>(&'a mut dyn Write, &'a AtomicUsize);

    impl Write for Counted<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = self.0.write(bytes)?;
            self.1.fetch_add(count, Ordering::SeqCst);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            self.0.flush()
        }
    }

    let (repo, bytes) = (repo.clone(), Arc::new(AtomicUsize::new(0)));
    let counter = Arc::clone(&bytes);
    let server = Server::plain(move |asked, out| {
        let asked = if old { asked.without("git-protocol") } else { asked.clone() };
        backend(&repo, &asked, &mut Counted(out, &counter))
    });
    (server, bytes)
}

fn said_of(tree: &GitTree) -> (Option<String>, Option<String>) {
    (tree.revision().commit.clone(), tree.revision().r#ref.clone())
}

#[test]
fn only_the_refs_that_were_asked_for_come() {
    let (repo, ids) = repo(3, 2000);
    for (old, least, most) in [(false, 0, 4000), (true, 100_000, usize::MAX)] {
        let (server, bytes) = counting(&repo, old);
        for (trial, want) in [
            (Trial::new(&server), &ids[2]),
            (Trial::new(&server).reference("v1"), &ids[0]),
            (Trial::new(&server).reference("other-1999"), &ids[0]),
            (Trial::new(&server).reference("main").commit(&ids[2]), &ids[2]),
        ] {
            bytes.store(0, Ordering::SeqCst);
            assert_eq!(said_of(&trial.run().unwrap()).0.as_ref(), Some(want));
            let came = bytes.load(Ordering::SeqCst);
            assert!((least..most).contains(&came), "{came} bytes, version 0: {old}");
        }
    }
}

#[test]
fn a_commit_alone_comes_shallow_from_a_server_that_allows_nothing() {
    let (repo, ids) = repo(20, 5);
    let (server, old) = (serve(&repo), serve_old(&repo));
    let objects = |trial: &Trial| {
        let mut last = None;
        let tree = trial.run_telling(&mut |progress| {
            last = progress.total_objects;
            true
        });
        (said_of(&tree.unwrap()), last.unwrap())
    };
    let want = (Some(ids[9].clone()), None);
    // A commit, its tree and its file.
    assert_eq!(objects(&Trial::new(&server).commit(&ids[9])), (want.clone(), 3));
    let asked = server.asked();
    assert_eq!(asked.iter().map(|asked| &*asked.method).collect::<Vec<_>>(), ["GET", "POST"], "no list, and one answer for both steps");
    assert!(asked.iter().all(|asked| asked.header("git-protocol") == Some("version=2")));
    let (commit, all) = objects(&Trial::new(&old).commit(&ids[9]));
    assert!(commit == want && all >= 60, "{all}");

    // It is there, though no ref leads to it any more.
    let orphan = repo.git(&["commit-tree", "-m", "in no branch", "HEAD^{tree}"]);
    assert_eq!(said_of(&Trial::new(&server).commit(&orphan).run().unwrap()), (Some(orphan), None));
    let error = Trial::new(&server).commit(&"1".repeat(40)).run().err().unwrap();
    assert_eq!(error.reason(), Reason::RevisionNotFound, "{error}");
    assert!(error.hint().unwrap().contains("does not have this one"), "{:?}", error.hint());
    let mut deep = Trial::new(&server).commit(&ids[9]);
    deep.options.history = 4;
    assert_eq!(objects(&deep), (want.clone(), 12));
    deep.options.history = 0;
    // All ten, and the tag of the first.
    assert_eq!(objects(&deep), (want, 31));
}

#[test]
fn both_versions_say_the_same() {
    let (repo, _) = repo(3, 3);
    let same = |name: Option<&str>| {
        let [new, old] = [serve(&repo), serve_old(&repo)].map(|server| {
            let trial = Trial::new(&server);
            let outcome = name.map_or_else(|| trial.clone(), |name| trial.clone().reference(name)).run();
            let said = outcome.map(|tree| said_of(&tree)).map_err(|error| (error.reason(), error.to_string(), error.hint()));
            (said, server.url.clone())
        });
        let without_port = |error: (Reason, String, Option<String>), url: &url::Url| (error.0, error.1.replace(url.as_str(), ""), error.2);
        let (new, old) = (new.0.map_err(|error| without_port(error, &new.1)), old.0.map_err(|error| without_port(error, &old.1)));
        assert_eq!(new, old, "{name:?}");
        new
    };
    for name in ["main", "v1", "tags/v1", "refs/heads/other-1", "HEAD"] {
        assert!(same(Some(name)).is_ok(), "{name}");
    }
    assert!(same(Some("no-such")).unwrap_err().1.contains("no branch, tag or ref"));
    repo.git(&["checkout", "-q", "--detach", "HEAD~1"]);
    assert_eq!(same(None).unwrap().1.as_deref(), Some("HEAD"));
    repo.git(&["symbolic-ref", "HEAD", "refs/heads/unborn"]);
    assert!(same(None).unwrap_err().1.contains("HEAD points at no branch"));
    assert!(same(Some("no-such")).unwrap_err().1.contains("no branch, tag or ref"), "there are others, which were not asked for");
    let refs = repo.git(&["for-each-ref", "--format=delete %(refname)"]);
    repo.git_in(&["update-ref", "--stdin"], format!("{refs}\n").as_bytes());
    assert!(same(None).unwrap_err().1.contains("no commit at all"));
    assert!(same(Some("main")).unwrap_err().1.contains("no commit at all"));
}

#[test]
fn g11_a_ref_whose_name_is_no_text_is_left_out_or_said() {
    let (repo, ids) = repo(1, 0);
    repo.git_in(&["update-ref", "--stdin"], &[b"create refs/tags/\xff ", ids[0].as_bytes(), b"\n"].concat());
    let (server, old) = (serve(&repo), serve_old(&repo));
    let mut trial = Trial::new(&server);
    trial.options.keep_git_dir = true;
    assert_eq!(said_of(&trial.run().unwrap()).0.as_ref(), Some(&ids[0]));
    // In version 0 it comes unasked, and libgit2's binding cannot leave it out.
    let error = Trial::new(&old).run().err().unwrap();
    assert_eq!(error.reason(), Reason::Unsupported, "{error}");
    assert!(error.to_string().contains("no UTF-8"), "{error}");
}

#[test]
fn g13_what_was_listed_is_what_comes() {
    let (repo, ids) = repo(2, 0);
    let moving = repo.clone();
    let server = Server::plain(move |asked, out| {
        if asked.body.windows(5).any(|bytes| bytes == b"want ") {
            moving.git(&["update-ref", "refs/heads/main", "HEAD~1"]);
        }
        backend(&moving, asked, out)
    });
    assert_eq!(said_of(&Trial::new(&server).reference("main").run().unwrap()).0.as_ref(), Some(&ids[1]));
}

#[test]
fn g4_the_list_and_the_pack_are_asked_for_by_the_rules_of_the_first_request() {
    let pki = Pki::new();
    let (repo, ids) = repo(1, 0);
    let shows = |asked: &Asked| asked.header("authorization").is_some();
    // A server that asks for the credential when the list is asked for, and not before.
    let home = repo.clone();
    let server = Server::tls(&pki, move |asked, out| match (asked.method.as_str(), knows(asked)) {
        ("POST", false) => challenge(out),
        _ => backend(&home, asked, out),
    });
    assert_eq!(said_of(&Trial::new(&server).trusting(&pki).knowing(PASSWORD).run().unwrap()).0.as_ref(), Some(&ids[0]));
    assert_eq!(server.asked().iter().map(shows).collect::<Vec<_>>(), [false, false, true, true]);
    // One that sends the list's request elsewhere.
    let trap = Server::tls(&pki, |_, out| answer(out, 200, &[("Content-Type", "application/x-git-upload-pack-result")], b"0000"));
    let (home, to) = (repo.clone(), trap.at("/x").to_string());
    let server =
        Server::tls(&pki, move |asked, out| if asked.method == "POST" { redirect(out, 307, &to) } else { backend(&home, asked, out) });
    let refused = Trial::new(&server).trusting(&pki).knowing(PASSWORD).run().err().unwrap();
    assert!(!trap.asked().iter().any(shows), "{refused}");
    assert_eq!(server.asked().len(), 2);
}

/// Runs this with each connection, one after the other: git's own program on the other side. The port.
fn on_connection(run: impl Fn(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || listener.incoming().flatten().for_each(run));
    port
}

fn talks(command: &mut Command, stream: &TcpStream) {
    let end = || Stdio::from(OwnedFd::from(stream.try_clone().unwrap()));
    assert!(command.stdin(end()).stdout(end()).stderr(Stdio::null()).status().is_ok());
}

#[test]
fn gits_daemon_is_talked_to_in_the_version_it_knows() {
    let (repo, ids) = repo(20, 5);
    let served = repo.clone();
    let new = on_connection(move |stream| {
        let base = format!("--base-path={}", served.path().display());
        talks(git(served.path()).args(["daemon", "--inetd", "--export-all", &base]), &stream);
    });
    // One of old, which reads no further than the host.
    let served = repo.clone();
    let old = on_connection(move |mut stream| {
        let mut length = [0; 4];
        stream.read_exact(&mut length).unwrap();
        let length = u64::from_str_radix(std::str::from_utf8(&length).unwrap(), 16).unwrap();
        io::copy(&mut (&stream).take(length - 4), &mut io::sink()).unwrap();
        talks(git(served.path()).args(["upload-pack", ".git"]), &stream);
    });
    let trial = |port: u16, path: &str| {
        let mut trial = Trial::new(&serve(&repo));
        trial.options.address = Address::of_git(&format!("git://127.0.0.1:{port}{path}")).unwrap().0;
        trial.options.door = Door::Daemon;
        trial
    };
    for port in [new, old] {
        let of = |trial: &Trial| said_of(&trial.run().unwrap()).0.unwrap();
        assert_eq!(of(&trial(port, "/.git")), ids[19]);
        assert_eq!(of(&trial(port, "/.git").reference("v1")), ids[0]);
        assert_eq!(of(&trial(port, "/.git").commit(&ids[9])), ids[9]);
        let mut deep = trial(port, "/.git");
        deep.options.history = 0;
        assert_eq!(of(&deep), ids[19]);
        let error = trial(port, "/.git").reference("no-such").run().err().unwrap();
        assert!(error.to_string().contains("no branch, tag or ref"), "{error}");
    }
    let error = trial(new, "/nowhere").run().err().unwrap();
    assert_eq!(error.reason(), Reason::SourceNotFound, "{error}");
    // Only by version 2.
    let orphan = repo.git(&["commit-tree", "-m", "in no branch", "HEAD^{tree}"]);
    assert_eq!(said_of(&trial(new, "/.git").commit(&orphan).run().unwrap()).0, Some(orphan.clone()));
    assert_eq!(trial(old, "/.git").commit(&orphan).run().err().unwrap().reason(), Reason::RevisionNotFound);
    let error = trial(new, "/.git").commit(&"1".repeat(40)).run().err().unwrap();
    assert_eq!(error.reason(), Reason::RevisionNotFound, "{error}");
}

#[test]
fn g11_a_connection_that_ends_anywhere_is_an_error() {
    let (repo, _) = repo(1, 0);
    for left in [0, 3, 14, 60, 200, 330, 420, 500] {
        let served = repo.clone();
        let port = on_connection(move |stream| {
            let input = Stdio::from(OwnedFd::from(stream.try_clone().unwrap()));
            let base = format!("--base-path={}", served.path().display());
            let mut command = git(served.path());
            command.args(["daemon", "--inetd", "--export-all", &base]).stdin(input).stdout(Stdio::piped()).stderr(Stdio::null());
            let mut child = command.spawn().unwrap();
            let _ = io::copy(&mut child.stdout.take().unwrap().take(left), &mut &stream);
            let _ = stream.shutdown(Shutdown::Both);
            child.wait().unwrap();
        });
        let mut trial = Trial::new(&serve(&repo));
        trial.options.address = Address::of_git(&format!("git://127.0.0.1:{port}/.git")).unwrap().0;
        trial.options.door = Door::Daemon;
        let error = trial.run().err().unwrap();
        assert_eq!(error.reason(), Reason::SourceUnavailable, "{left}: {error:?}");
    }
}

fn packet(text: &str) -> String {
    format!("{:04x}{text}", text.len() + 4)
}

/// Version 2 with this list and this answer to a fetch.
fn scripted(list: &str, pack: &str) -> Server {
    let offer = ["version 2\n", "ls-refs\n", "fetch=shallow\n"].map(packet).concat() + "0000";
    let (list, pack) = (list.to_owned(), pack.to_owned());
    Server::plain(move |asked, out| {
        let result = [("Content-Type", "application/x-git-upload-pack-result")];
        match asked.method.as_str() {
            "GET" => answer(out, 200, &[("Content-Type", "application/x-git-upload-pack-advertisement")], offer.as_bytes()),
            _ if asked.body.windows(7).any(|bytes| bytes == b"ls-refs") => answer(out, 200, &result, list.as_bytes()),
            _ => answer(out, 200, &result, pack.as_bytes()),
        }
    })
}

#[test]
fn g11_a_server_that_says_version_2_and_does_otherwise_ends_in_an_error() {
    let id = "1".repeat(40);
    let list = packet(&format!("{id} HEAD symref-target:refs/heads/main\n")) + "0000";
    let cut = packet("shallow-info\n") + &packet(&format!("shallow {id}\n"));
    let pack = packet("packfile\n");
    for (list, pack, reason, word) in [
        (&*packet("what\n"), "", Reason::SourceUnavailable, "no ref"),
        ("", "", Reason::SourceUnavailable, "closed the connection"),
        ("zzzz", "", Reason::SourceUnavailable, "no possible length"),
        (&packet("ERR access denied or not exported: /x\n"), "", Reason::SourceNotFound, "not exported"),
        (&packet(&format!("{id} HEAD symref-target:-x:*?\n")), "", Reason::SourceUnavailable, "closed the connection"),
        (&list, "", Reason::SourceUnavailable, "closed the connection"),
        (&list, "0000", Reason::SourceUnavailable, "in no order"),
        (&list, &packet("packfile-uris\n"), Reason::SourceUnavailable, "not asked for"),
        (&list, &cut, Reason::SourceUnavailable, "closed the connection"),
        (&list, &cut.repeat(2), Reason::SourceUnavailable, "no commit"),
        (&list, &format!("{pack}{}", packet("\x03fatal: out of \x1b[1mdisk\n")), Reason::SourceUnavailable, "out of [1mdisk"),
        (&list, &format!("{pack}0000"), Reason::SourceUnavailable, ""),
        (&list, &format!("{pack}{}0000", packet("\x01PACK garbage")), Reason::SourceUnavailable, ""),
        (&list, &packet("ERR come back later"), Reason::SourceUnavailable, "come back later"),
    ] {
        let server = scripted(list, pack);
        let trial = Trial::new(&server);
        let error = trial.run().err().unwrap();
        assert_eq!(error.reason(), reason, "{list} {pack}: {error:?}");
        assert!(error.to_string().contains(word), "{list} {pack}: {error:?}");
        assert!(trial.left().is_empty());
    }
}

#[test]
fn g11_signs_of_life_without_an_end_meet_the_bound_of_the_source() {
    let id = "1".repeat(40);
    for sign in ["\x01", "\x02still counting\n"] {
        let (list, sign) = (packet(&format!("{id} HEAD\n")) + "0000", packet(sign).repeat(100));
        let offer = ["version 2\n", "ls-refs\n", "fetch\n"].map(packet).concat() + "0000";
        let server = Server::plain(move |asked, out| {
            let result = [("Content-Type", "application/x-git-upload-pack-result")];
            if asked.method == "GET" {
                return answer(out, 200, &[("Content-Type", "application/x-git-upload-pack-advertisement")], offer.as_bytes());
            }
            if asked.body.windows(7).any(|bytes| bytes == b"ls-refs") {
                return answer(out, 200, &result, list.as_bytes());
            }
            write!(out, "HTTP/1.1 200 OK\r\nContent-Type: {}\r\nConnection: close\r\n\r\n{}", result[0].1, packet("packfile\n"))?;
            loop {
                out.write_all(sign.as_bytes())?;
            }
        });
        let mut trial = Trial::new(&server);
        trial.options.limits.source_bytes = 300_000;
        let error = trial.run().err().unwrap();
        assert_eq!(error.reason(), Reason::SourceRefused, "{error}");
        assert!(error.to_string().contains("--limit-source-bytes"), "{error}");
    }
}
