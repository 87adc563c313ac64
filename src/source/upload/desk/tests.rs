//! What becomes of uploads that are no trees, and of the desk after them.

use std::path::Path;
use std::thread;

use super::*;
use crate::model::Digest;
use crate::support::guard::Guard;
use crate::support::limits::COMPRESSION_RATIO;
use crate::support::redact::Redactor;

/// A desk without doors.
fn counter() -> (Arc<Counter>, mpsc::Receiver<Upload>) {
    let (sender, uploads) = mpsc::channel(1);
    let (http, socket) = (Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(1)));
    let options = UploadOptions {
        http: None,
        socket: None,
        bytes: 1000,
        first_byte: Duration::from_secs(5),
        idle: Duration::from_secs(5),
        guard: Guard::default(),
        redactor: Arc::new(Redactor::default()),
    };
    (Arc::new(Counter { state: Mutex::new(State::Waiting), uploads: sender, options, http, socket }), uploads)
}

/// An upload of so many pieces of 100 bytes whose reader gives up on its first byte.
fn refused(framing: Framing, pieces: usize, ending: Ending, cause: ArchiveError) -> (Result<Again, UploadError>, Option<Verdict>, State) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (counter, mut uploads) = counter();
    let sender = runtime.block_on(counter.begin(framing, None)).unwrap();
    let mut upload = uploads.try_recv().unwrap();
    let judge = thread::spawn(move || {
        upload.read_exact(&mut [0]).unwrap();
        if matches!(cause, ArchiveError::Digest { .. }) {
            upload.read_to_end(&mut Vec::new()).unwrap();
        }
        upload.refuse(cause, &mut |_| ControlFlow::Continue(()))
    });
    let verdict = runtime.block_on(async {
        for _ in 0..pieces {
            if !sender.piece(Bytes::from_static(&[b'x'; 100])).await {
                return sender.verdict().await;
            }
        }
        sender.end(ending).await
    });
    let state = *counter.state();
    (judge.join().unwrap(), verdict, state)
}

fn damaged() -> ArchiveError {
    ArchiveError::Damaged("in a test".into())
}

/// A8, A9: that the bytes make no sense is no news where they are not the ones that were sent.
#[test]
fn a9_what_was_damaged_on_its_way_is_no_upload() {
    for cause in [damaged(), ArchiveError::Truncated("x".into()), ArchiveError::Format("x".into())] {
        let (again, verdict, state) = refused(Framing::Http, 9, Ending::Corrupt("not as promised".into()), cause);
        assert_eq!(again.unwrap(), Again("not as promised".into()));
        assert!(matches!(verdict, Some(Verdict::Corrupt(_))) && state == State::Waiting);
    }
    let (again, verdict, state) = refused(Framing::Http, 9, Ending::Cut, damaged());
    assert!(again.unwrap().0.contains("900 bytes") && state == State::Waiting);
    assert!(matches!(verdict, Some(Verdict::Corrupt(_))), "a half-closed connection can still be answered");
}

#[test]
fn a9_what_was_sent_as_it_is_and_makes_no_sense_ends_the_run() {
    let (again, verdict, state) = refused(Framing::Http, 9, Ending::Whole, damaged());
    assert!(matches!(again, Err(UploadError::Archive(ArchiveError::Damaged(_)))));
    assert!(matches!(verdict, Some(Verdict::Refused(_))) && state == State::Done);
    // Nobody reads on for ever.
    let (again, _, state) = refused(Framing::Http, 1_000_000, Ending::Corrupt("never said".into()), damaged());
    assert!(again.is_err() && state == State::Done);
}

/// A9: `kubectl` that is killed closes standard input, whatever the request knows of the archive.
#[test]
fn a9_a_cut_standard_input_is_no_upload_though_the_request_has_its_digest() {
    let digest = |by| ArchiveError::Digest { expected: Digest::sha256([1; 32]), actual: Digest::sha256([2; 32]), by };
    let (again, verdict, state) = refused(Framing::Receive, 1, Ending::Whole, digest(Asker::Request));
    assert!(again.unwrap().0.contains("cut") && matches!(verdict, Some(Verdict::Refused(_))) && state == State::Waiting);
    let (again, _, state) = refused(Framing::Http, 1, Ending::Whole, digest(Asker::Request));
    assert!(again.is_err() && state == State::Done);
}

#[test]
fn only_the_bytes_of_the_source_are_too_large() {
    for (limit, large) in [(SOURCE_BYTES, true), (COMPRESSION_RATIO, false)] {
        let (again, verdict, _) = refused(Framing::Http, 1, Ending::Whole, ArchiveError::limit(limit, 1, "bytes"));
        assert!(again.is_err() && matches!(verdict, Some(Verdict::TooLarge(_))) == large, "{limit}");
    }
}

#[test]
fn a_run_that_is_stopped_blames_no_archive() {
    let (again, verdict, state) = refused(Framing::Http, 1, Ending::Whole, ArchiveError::Cancelled);
    assert!(matches!(again, Err(UploadError::Archive(ArchiveError::Cancelled))));
    assert!(verdict.is_none() && state == State::Done);
}

/// A9: one at a time, whoever is quick.
#[test]
fn a9_the_desk_is_given_back_once() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (counter, mut uploads) = counter();
    let begin = || runtime.block_on(counter.begin(Framing::Http, None));
    let _first = begin().unwrap();
    let mut upload = uploads.try_recv().unwrap();
    upload.leave(State::Waiting);
    let _second = begin().unwrap();
    drop(upload);
    assert!(*counter.state() == State::Taking && begin().is_none(), "the first one's end is not the second's");
    // And a closed desk stays closed.
    *counter.state() = State::Done;
    drop(uploads.try_recv().unwrap());
    assert_eq!(*counter.state(), State::Done);
}

#[tokio::test]
async fn a_socket_on_another_volume_is_said_to_be_one() {
    let (home, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir_in("/dev/shm").unwrap());
    let same = |one: &Path, two: &Path| rustix::fs::stat(one).unwrap().st_dev == rustix::fs::stat(two).unwrap().st_dev;
    assert!(!same(home.path(), other.path()), "this test wants two file systems");
    let wanted = super::super::SocketOptions { path: other.path().join("s"), workshop: home.path().to_owned() };
    let Err(error) = socket::bind(&wanted).await else { panic!("no socket can be moved there") };
    assert!(crate::model::Classified::hint(&error).unwrap().contains("workspace's own volume"));
}

#[tokio::test]
async fn a_socket_is_taken_from_the_dead_alone() {
    let home = tempfile::tempdir().unwrap();
    let wanted = super::super::SocketOptions { path: home.path().join("named"), workshop: home.path().to_owned() };
    drop(std::os::unix::net::UnixListener::bind(&wanted.path).unwrap());
    let first = socket::bind(&wanted).await.ok().unwrap();
    assert!(matches!(socket::bind(&wanted).await, Err(UploadError::SocketTaken { .. })));
    drop(first);
}
