//! What hosts and networks do to a fetch.

use std::time::{Duration, Instant};

use crate::model::Address;
use crate::model::tree::SourceTree;
use crate::model::{Classified, Reason};
use crate::net::trial::{Asked, Pki, Server, answer, redirect};
use crate::source::git::GitError;
use crate::source::git::trial::{Cut, PASSWORD, Repo, Trial, backend, challenge, knows, noise, serve, serve_private};

fn repo() -> Repo {
    let repo = Repo::new();
    for n in 0..60 {
        repo.write(format!("dir-{}/file-{n}", n % 7), noise(300 + n));
    }
    repo.commit("a commit");
    repo
}

fn error(trial: &Trial) -> GitError {
    let error = trial.run().err().unwrap();
    assert!(trial.left().is_empty());
    assert!(!format!("{error} {error:?} {:?}", error.hint()).contains("canary"), "{error:?}");
    error
}

fn shows_a_credential(asked: &Asked) -> bool {
    asked.header("authorization").is_some() || format!("{asked:?}").contains("canary")
}

#[test]
fn a_credential_is_shown_when_asked_for_and_tries_are_bounded() {
    let (pki, repo) = (Pki::new(), repo());
    let server = serve_private(&pki, &repo);
    let tree = Trial::new(&server).trusting(&pki).knowing(PASSWORD).run().unwrap();
    assert_eq!(tree.revision().subject.as_deref(), Some("a commit"));
    let asked = server.asked();
    assert!(!shows_a_credential(&asked[0]) && asked[1..].iter().all(shows_a_credential));
    drop(tree);

    let none = error(&Trial::new(&server).trusting(&pki));
    assert_eq!(none.reason(), Reason::SourceAuth);
    assert!(none.to_string().contains("wants a credential") && none.to_string().contains("who are you?"), "{none}");

    let before = server.asked().len();
    let wrong = error(&Trial::new(&server).trusting(&pki).knowing("canary-wrong"));
    assert_eq!(wrong.reason(), Reason::SourceAuth);
    assert!(wrong.to_string().contains("refused the credential"), "{wrong}");
    assert_eq!(server.asked().len() - before, 2);
}

#[test]
fn hidden_and_missing_repositories_are_not_found() {
    let (pki, repo) = (Pki::new(), repo());
    let hiding = {
        let repo = repo.clone();
        Server::tls(&pki, move |asked, out| if knows(asked) { backend(&repo, asked, out) } else { answer(out, 404, &[], b"") })
    };
    let missing = error(&Trial::new(&hiding).trusting(&pki));
    assert_eq!(missing.reason(), Reason::SourceNotFound);
    assert!(missing.hint().unwrap().contains("private"), "{missing}");
    assert!(Trial::new(&hiding).trusting(&pki).knowing(PASSWORD).run().is_ok());
    let mut trial = Trial::new(&hiding).trusting(&pki);
    trial.options.address = Address::of_git(hiding.at("/other.git").as_str()).unwrap().0;
    assert_eq!(error(&trial.knowing(PASSWORD)).reason(), Reason::SourceNotFound);
    let page = Server::plain(|_, out| answer(out, 200, &[("Content-Type", "text/html")], b"<html>"));
    assert!(matches!(error(&Trial::new(&page)), GitError::NotGit { got, .. } if got == "text/html"));
}

#[test]
fn g4_a_redirect_moves_the_repository_and_leaves_the_credential_behind() {
    let (pki, repo) = (Pki::new(), repo());
    for status in [301, 302, 307, 308] {
        let elsewhere = {
            let repo = repo.clone();
            Server::tls(&pki, move |asked, out| backend(&repo, asked, out))
        };
        let to = elsewhere.at("/").to_string();
        // It asks for the credential first, so that there is one to leak.
        let server =
            Server::tls(
                &pki,
                move |asked, out| {
                    if knows(asked) { redirect(out, status, &format!("{to}{}", &asked.target[1..])) } else { challenge(out) }
                },
            );
        let tree = Trial::new(&server).trusting(&pki).knowing(PASSWORD).run().unwrap();
        assert_eq!(tree.revision().subject.as_deref(), Some("a commit"));
        assert!(tree.revision().url.as_ref().unwrap().starts_with(server.url.as_str()));
        assert_eq!(server.asked().len(), 2, "the pack is asked for where the list came from");
        let trapped = elsewhere.asked();
        assert!(trapped.len() >= 2 && !trapped.iter().any(shows_a_credential), "{status}");
    }
}

#[test]
fn g4_a_trap_that_asks_for_the_credential_gets_none() {
    let (pki, repo) = (Pki::new(), repo());
    let trap = Server::tls(&pki, |_, out| challenge(out));
    let to = trap.at("/").to_string();
    let server = Server::tls(&pki, move |asked, out| redirect(out, 302, &format!("{to}{}", &asked.target[1..])));
    let refused = error(&Trial::new(&server).trusting(&pki).knowing(PASSWORD));
    assert_eq!(refused.reason(), Reason::SourceAuth);
    assert!(refused.to_string().contains("wants a credential"), "it was never shown there: {refused}");
    assert!(!trap.asked().is_empty() && !trap.asked().iter().any(shows_a_credential));

    let plain = serve(&repo);
    let to = plain.at("/").to_string();
    let server = Server::tls(&pki, move |asked, out| redirect(out, 302, &format!("{to}{}", &asked.target[1..])));
    assert_eq!(error(&Trial::new(&server).trusting(&pki)).reason(), Reason::SourceRefused);
    assert!(plain.asked().is_empty());

    let trap = Server::tls(&pki, |_, out| answer(out, 200, &[], b""));
    let to = trap.at("/x").to_string();
    let home = repo.clone();
    let server = Server::tls(&pki, move |asked, out| match (asked.method.as_str(), knows(asked)) {
        (_, false) => challenge(out),
        ("POST", true) => redirect(out, 307, &to),
        _ => backend(&home, asked, out),
    });
    let refused = error(&Trial::new(&server).trusting(&pki).knowing(PASSWORD));
    assert_eq!(refused.reason(), Reason::SourceRefused, "{refused}");
    assert!(trap.asked().is_empty());

    let server = Server::plain(|_, out| redirect(out, 302, "/login?return=x"));
    assert!(matches!(error(&Trial::new(&server)), GitError::Net { .. }));
    let server = Server::plain(|asked, out| match asked.path() {
        "/login" => answer(out, 200, &[("Content-Type", "application/x-git-upload-pack-advertisement")], b""),
        _ => redirect(out, 302, "/login"),
    });
    assert!(matches!(error(&Trial::new(&server)), GitError::NotGit { .. }));
}

#[test]
fn a_broken_transfer_is_unavailable_and_leaves_nothing() {
    let repo = repo();
    for left in [0, 10, 200, 1000, 4000, 9000] {
        for method in ["GET", "POST"] {
            let repo = repo.clone();
            let server = Server::plain(move |asked, out| {
                let left = if asked.method == method { left } else { usize::MAX };
                backend(&repo, asked, &mut Cut { out, left })
            });
            let outcome = Trial::new(&server).run();
            match outcome.err() {
                Some(error) => assert_eq!(error.reason(), Reason::SourceUnavailable, "{method} {left}: {error:?}"),
                None => assert!(method == "GET" && left >= 1000, "{method} {left}"),
            }
        }
    }
}

/// A whole answer by http's own account, whatever git thinks of it.
fn scripted(listing: Vec<u8>, pack: Vec<u8>) -> Server {
    Server::plain(move |asked, out| match asked.method.as_str() {
        "GET" => answer(out, 200, &[("Content-Type", "application/x-git-upload-pack-advertisement")], &listing),
        _ => answer(out, 200, &[("Content-Type", "application/x-git-upload-pack-result")], &pack),
    })
}

fn packet(text: &str) -> String {
    format!("{:04x}{text}", text.len() + 4)
}

fn listing() -> Vec<u8> {
    let id = "1".repeat(40);
    let first = packet(&format!("{id} HEAD\0multi_ack side-band-64k ofs-delta shallow\n"));
    format!("{}0000{first}{}0000", packet("# service=git-upload-pack\n"), packet(&format!("{id} refs/heads/main\n"))).into_bytes()
}

#[test]
fn the_servers_own_words_are_in_the_error() {
    let denied = format!("{}0000{}", packet("# service=git-upload-pack\n"), packet("ERR access denied or not exported: /x\n"));
    let failed = error(&Trial::new(&scripted(denied.into_bytes(), vec![])));
    assert!(failed.to_string().contains("access denied or not exported"), "{failed}");
    let answer = format!("{}0000{}{}", packet(&format!("shallow {}", "1".repeat(40))), packet("NAK\n"), packet("\x02Counting objects\n"));
    let with_error = format!("{answer}{}0000", packet("\x03fatal: out of \x1b[1mdisk\n"));
    let failed = error(&Trial::new(&scripted(listing(), with_error.into_bytes())));
    assert!(failed.to_string().contains("fatal: out of [1mdisk"), "{failed}");
    assert_eq!(failed.reason(), Reason::SourceUnavailable);
}

#[test]
fn g11_nonsense_ends_in_an_error() {
    let shallow = packet(&format!("shallow {}", "1".repeat(40)));
    let pack = |bytes: &[u8]| {
        let mut out = format!("{shallow}0000{}", packet("NAK\n")).into_bytes();
        out.extend_from_slice(format!("{:04x}\x01", bytes.len() + 5).as_bytes());
        out.extend_from_slice(bytes);
        out.extend_from_slice(b"0000");
        out
    };
    for (listing, answer) in [
        (vec![], vec![]),
        (b"0000".to_vec(), vec![]),
        (b"zzzz".to_vec(), vec![]),
        (b"00000000".to_vec(), vec![]),
        (vec![0; 1000], vec![]),
        (listing(), vec![]),
        (listing(), b"0000".to_vec()),
        (listing(), vec![0xff; 5000]),
        (listing(), pack(b"")),
        (listing(), pack(b"PACK\0\0\0\x02\0\0\0\x01")),
        (listing(), pack(b"PACK\0\0\0\x02\xff\xff\xff\xff")),
        (listing(), pack(b"PACK\0\0\0\x09\0\0\0\x01garbage garbage garbage garbage")),
        (listing(), pack(b"PACK\0\0\0\x02\0\0\0\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7fgarbage garbage garbage")),
        // A pack without objects and with the right checksum: the commit is not in it.
        (listing(), pack(b"PACK\0\0\0\x02\0\0\0\0\x02\x9d\x08\x82\x3b\xd8\xa8\xea\xb5\x10\xad\x6a\xc7\x5c\x82\x3c\xfd\x3e\xd3\x1e")),
    ] {
        let failed = error(&Trial::new(&scripted(listing.clone(), answer.clone())));
        let want = [Reason::SourceUnavailable, Reason::RevisionNotFound, Reason::SourceRefused];
        assert!(want.contains(&failed.reason()), "{failed:?}");
    }
}

#[test]
fn a_silent_host_is_given_up() {
    let repo = repo();
    let server = Server::plain(move |asked, out| {
        if asked.method == "GET" {
            return backend(&repo, asked, out);
        }
        write!(out, "HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-result\r\nContent-Length: 999\r\n\r\n0008")?;
        out.flush()?;
        asked.silence();
        Ok(())
    });
    let start = Instant::now();
    let failed = error(&Trial::new(&server));
    assert!(matches!(failed, GitError::Net { .. }), "{failed:?}");
    assert_eq!(failed.reason(), Reason::SourceUnavailable);
    assert!(start.elapsed() < Duration::from_secs(10));
    let trial = Trial::new(&server);
    let cancel = trial.cancel.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        cancel.cancel();
    });
    let start = Instant::now();
    assert!(matches!(trial.run(), Err(GitError::Cancelled)));
    assert!(start.elapsed() < Duration::from_millis(1400));
}

#[test]
fn a_server_in_trouble_is_worth_another_try_and_an_untrusted_one_is_not() {
    let (pki, repo) = (Pki::new(), repo());
    for status in [429, 500, 503] {
        let server = Server::plain(move |_, out| answer(out, status, &[("Content-Type", "text/plain")], b"come back later"));
        let failed = error(&Trial::new(&server));
        assert_eq!(failed.reason(), Reason::SourceUnavailable);
        assert!(failed.to_string().contains("come back later"), "{failed}");
    }
    let server = serve_private(&pki, &repo);
    let failed = error(&Trial::new(&server).knowing(PASSWORD));
    assert_eq!(failed.reason(), Reason::SourceRefused);
    assert!(failed.hint().unwrap().contains("ca.crt"));
    assert!(server.asked().is_empty());
}
