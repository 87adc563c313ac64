//! Sessions against a daemon of the tests' own, which asks by the protocol itself.

use std::convert::Infallible;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::sync::{Condvar, MutexGuard};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::StreamExt;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::TokioIo;
use prost::Message;
use secrecy::SecretSlice;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::UnboundedReceiverStream;

use super::serve::{LARGE, LARGE_READERS, SMALL_READERS};
use super::wire::{Packet, PacketType};
use super::*;
use crate::engine::docker::connect::Endpoint;
use crate::engine::docker::tests::Nothing;
use crate::model::TreePath;
use crate::model::memory::MemoryTree;
use crate::model::tree::{BodyKey, Entry, Kind, Revision, Time, Visited};
use crate::net::SshAgent;

/// What an HTTP/2 client says first (RFC 9113, 3.4), with empty settings.
const HELLO: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const PATIENCE: Duration = Duration::from_secs(20);

impl Vault for Nothing {
    fn secret(&self, _: &str) -> Result<Option<SecretSlice<u8>>, EngineError> {
        Ok(None)
    }

    fn agent(&self, _: &str) -> Result<Option<SshAgent>, EngineError> {
        Ok(None)
    }
}

/// Files of one size that know how many of them are being read.
struct Shelf {
    dir: TempDir,
    files: usize,
    size: u64,
    /// Nobody gets a body before so many are open at once.
    together: usize,
    flight: Mutex<Flight>,
    changed: Condvar,
    revision: Revision,
}

#[derive(Default)]
struct Flight {
    now: usize,
    most: usize,
}

impl Shelf {
    fn of(files: usize, size: u64, together: usize) -> Arc<Self> {
        let dir = TempDir::new().unwrap();
        for number in 0..files {
            File::create(dir.path().join(format!("{number:03}"))).unwrap().set_len(size).unwrap();
        }
        Arc::new(Self { dir, files, size, together, flight: Mutex::default(), changed: Condvar::new(), revision: Revision::default() })
    }

    fn flight(&self) -> MutexGuard<'_, Flight> {
        self.flight.lock().unwrap()
    }

    fn served(self: &Arc<Self>) -> Served {
        Served {
            context: Arc::clone(self) as Arc<dyn SourceTree>,
            dockerfile: Arc::new(MemoryTree::default()),
            shared_key: String::new(),
            vault: Arc::new(Nothing),
        }
    }
}

impl SourceTree for Shelf {
    fn revision(&self) -> &Revision {
        &self.revision
    }

    fn identity(&self) -> String {
        String::new()
    }

    fn walk(&self, visit: &mut dyn FnMut(Entry) -> Visited) -> Result<(), TreeError> {
        for number in 0..self.files {
            let path = TreePath::parse(format!("{number:03}").as_bytes()).unwrap();
            let kind = Kind::File { size: self.size, link: 0 };
            visit(Entry { path, kind, mode: 0o644, modified: Time::default(), key: BodyKey::default() })?;
        }
        Ok(())
    }

    fn lookup(&self, _: &TreePath) -> Result<Option<Entry>, TreeError> {
        Ok(None)
    }

    fn open(&self, path: &TreePath, _: &BodyKey) -> Result<Box<dyn Read + Send + '_>, TreeError> {
        let file = File::open(self.dir.path().join(path.display())).unwrap();
        let mut flight = self.flight();
        flight.now += 1;
        flight.most = flight.most.max(flight.now);
        self.changed.notify_all();
        drop(self.changed.wait_timeout_while(flight, PATIENCE, |flight| flight.most < self.together).unwrap());
        Ok(Box::new(Held { file, shelf: self }))
    }
}

struct Held<'a> {
    file: File,
    shelf: &'a Shelf,
}

impl Read for Held<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.shelf.flight().now -= 1;
    }
}

/// A daemon's end of a session, after it took the request for one.
async fn accept(listener: &UnixListener) -> UnixStream {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    stream.write_all(b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n").await.unwrap();
    stream
}

type Connection = AbortOnDropHandle<Result<(), hyper::Error>>;

/// A message as gRPC frames it: not compressed, its length, itself.
fn framed(packet: &Packet) -> Frame<Bytes> {
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(packet.encoded_len()).unwrap());
    packet.encode(&mut bytes).unwrap();
    Frame::data(bytes.freeze())
}

fn take(buffer: &mut BytesMut) -> Option<Packet> {
    let length = buffer.get(1..5).map(|mut length| length.get_u32() as usize)?;
    (buffer.len() >= 5 + length).then(|| Packet::decode(buffer.split_to(5 + length).split_off(5)).unwrap())
}

/// Fetches the whole context as BuildKit does, or turns away once everything is asked for. The bytes of all bodies, and the
/// connection, which is open still.
async fn fetch(stream: UnixStream, leaves: bool) -> (u64, Connection) {
    let (mut sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let (questions, asked) = mpsc::unbounded_channel::<Packet>();
    let asked = UnboundedReceiverStream::new(asked).map(|packet| Ok::<_, Infallible>(framed(&packet)));
    let request = Request::post(format!("http://session{}", filesync::DIFF_COPY))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("dir-name", "context");
    let mut answers = sender.send_request(request.body(StreamBody::new(asked)).unwrap()).await.unwrap().into_body();
    let (mut buffer, mut announced, mut ended, mut bytes) = (BytesMut::new(), 0, 0, 0);
    while let Some(frame) = timeout(PATIENCE, answers.frame()).await.unwrap() {
        buffer.extend(frame.unwrap().into_data().unwrap_or_default());
        while let Some(packet) = take(&mut buffer) {
            match PacketType::try_from(packet.kind).unwrap() {
                PacketType::Stat if packet.stat.is_some() => {
                    let kind = PacketType::Req.into();
                    questions.send(Packet { kind, id: announced, ..Packet::default() }).unwrap();
                    announced += 1;
                }
                PacketType::Stat if leaves => return (bytes, connection),
                PacketType::Data if packet.data.is_empty() => {
                    ended += 1;
                    if ended == announced {
                        questions.send(Packet::fin()).unwrap();
                    }
                }
                PacketType::Data => bytes += packet.data.len() as u64,
                _ => {}
            }
        }
    }
    (bytes, connection)
}

async fn session(home: &Path, shelf: &Arc<Shelf>, leaves: bool) -> (u64, Session, Connection) {
    let path = home.join("socket");
    let _ = fs::remove_file(&path);
    let listener = UnixListener::bind(&path).unwrap();
    let client = Client::new(Endpoint::Unix(path));
    let (session, stream) = tokio::join!(open(&client, shelf.served(), Arc::new(Nothing)), accept(&listener));
    let (bytes, connection) = fetch(stream, leaves).await;
    (bytes, session.unwrap(), connection)
}

/// Descriptors of this process that are open on something below a directory.
fn open_below(dir: &Path) -> usize {
    let links = fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    links.filter(|target| target.starts_with(dir)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_sessions_leave_no_descriptor_no_connection_and_no_task() {
    let (home, shelf) = (TempDir::new().unwrap(), Shelf::of(3, 100 << 10, 0));
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    for number in 0..200 {
        // Every other daemon turns away in the middle of bodies, and its build is over for us.
        let leaves = number % 2 == 0;
        let (bytes, session, connection) = session(home.path(), &shelf, leaves).await;
        assert!(leaves || bytes == 300 << 10, "{bytes}");
        drop(session);
        let _ = timeout(PATIENCE, connection).await.expect("the session is over, and its connection is open");
    }
    let clean = async {
        while tasks() > before || open_below(shelf.dir.path()) > 0 || Arc::strong_count(&shelf) > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = timeout(PATIENCE, clean).await;
    let held = (tasks().saturating_sub(before), open_below(shelf.dir.path()), Arc::strong_count(&shelf));
    assert!(waited.is_ok(), "tasks, descriptors and holders that stay: {held:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn small_files_are_read_many_at_once_and_large_ones_few() {
    for (files, size, most) in [(60, 10, SMALL_READERS), (6, LARGE + 1, LARGE_READERS)] {
        let (home, shelf) = (TempDir::new().unwrap(), Shelf::of(files, size, most));
        let (bytes, _session, _) = session(home.path(), &shelf, false).await;
        assert_eq!((bytes, shelf.flight().most), (files as u64 * size, most));
    }
}

#[tokio::test]
async fn a_session_that_is_dropped_closes_its_connection() {
    let (mut daemon, ours) = tokio::io::duplex(1 << 16);
    let session = serve(TokioIo::new(ours), Routes::new(HealthServer::new(AlwaysServing)));
    daemon.write_all(HELLO).await.unwrap();
    assert!(daemon.read(&mut [0; 1024]).await.unwrap() > 0, "it answers");
    drop(session);
    timeout(PATIENCE, daemon.read_to_end(&mut Vec::new())).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_request_may_have_as_many_headers_as_an_ignore_file_has_patterns() {
    let (daemon, ours) = tokio::io::duplex(1 << 20);
    let _session = serve(TokioIo::new(ours), Routes::new(HealthServer::new(AlwaysServing)));
    let shaken = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(daemon)).await;
    let (mut sender, connection) = shaken.unwrap();
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let mut request = Request::post("http://session/grpc.health.v1.Health/None");
    for number in 0..5_000 {
        request = request.header("exclude-patterns", format!("generated/module-{number:05}/**/*.class"));
    }
    let answer = sender.send_request(request.body(no_body()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "gRPC puts its own status into a trailer");
}
