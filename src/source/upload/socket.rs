//! The unix socket at which `podwright receive` finds the waiting agent. It is for this user alone: the file has mode 0600, and
//! whoever connects is asked of the kernel who it is.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::{sleep, timeout};

use super::desk::{Counter, Ending, Framing, Sender, Verdict};
use super::frame::{GREETING, Head, Sum};
use super::{Refusal, SocketOptions, UploadError};

/// The socket's name in a workspace.
pub const NAME: &str = "podwright-receive.sock";

/// Bytes of a path that somebody can connect to: `sun_path` of unix(7), without its NUL.
const PATH_BYTES: usize = 107;

/// For the greeting, and for an answer to be read.
const SHORT: Duration = Duration::from_secs(10);

/// How long what is not wanted is read, so that its sender can read why.
const DRAIN: Duration = Duration::from_secs(2);

/// The socket under its well-known name; the name goes when this does, if it still is this socket's.
pub struct Place {
    path: PathBuf,
    inode: (u64, u64),
}

impl Drop for Place {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Made where nobody else looks, closed to others, and only then given its name: there is no moment at which it is open. The
/// renaming takes away what a killed run left, and follows no link.
pub async fn bind(wanted: &SocketOptions) -> Result<(UnixListener, Place), UploadError> {
    let failed = |cause| UploadError::Socket { path: wanted.path.clone(), cause };
    let taken = |rule| UploadError::SocketTaken { path: wanted.path.clone(), rule };
    if wanted.path.as_os_str().len() > PATH_BYTES {
        return Err(taken("its path is longer than the 107 bytes of a socket's"));
    }
    match fs::symlink_metadata(&wanted.path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
        Ok(found) if !found.file_type().is_socket() => return Err(taken("something that is no socket has its name")),
        Ok(found) if found.uid() != rustix::process::geteuid().as_raw() => return Err(taken("another user's socket has its name")),
        Ok(_) if !is_left(&wanted.path).await => return Err(taken("another agent waits there")),
        Ok(_) => {}
    }
    let made = wanted.workshop.join("s");
    let listener = UnixListener::bind(&made).map_err(failed)?;
    fs::set_permissions(&made, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    let metadata = fs::symlink_metadata(&made).map_err(failed)?;
    fs::rename(&made, &wanted.path).map_err(failed)?;
    Ok((listener, Place { path: wanted.path.clone(), inode: (metadata.dev(), metadata.ino()) }))
}

/// Whether a killed run left the socket. One that cannot take the connection now has somebody who waits at it.
async fn is_left(path: &Path) -> bool {
    matches!(timeout(SHORT, UnixStream::connect(path)).await, Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused)
}

/// Until it is dropped.
pub async fn serve(listener: UnixListener, counter: Arc<Counter>) {
    loop {
        let Ok(room) = Arc::clone(&counter.socket).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let counter = Arc::clone(&counter);
        tokio::spawn(async move {
            connection(stream, &counter).await;
            drop(room);
        });
    }
}

async fn connection(mut stream: UnixStream, counter: &Arc<Counter>) {
    let own = rustix::process::geteuid().as_raw();
    if !stream.peer_cred().is_ok_and(|peer| [own, 0].contains(&peer.uid())) {
        return;
    }
    let mut greeting = [0; GREETING.len()];
    if !matches!(timeout(SHORT, stream.read_exact(&mut greeting)).await, Ok(Ok(_))) || greeting != *GREETING {
        return;
    }
    let document = match counter.begin(Framing::Receive, None).await {
        None => json!({"error": Refusal::taken()}),
        Some(sender) => match take(&mut stream, sender, counter.options.idle).await {
            Some(verdict) => told(&verdict),
            None => return,
        },
    };
    answer(&mut stream, &document).await;
}

fn told(verdict: &Verdict) -> Value {
    match verdict {
        Verdict::Taken(receipt) => json!(receipt),
        Verdict::Refused(refusal) | Verdict::TooLarge(refusal) | Verdict::Corrupt(refusal) | Verdict::Silent(refusal) => {
            json!({"error": refusal})
        }
    }
}

async fn take(stream: &mut UnixStream, sender: Sender, idle: Duration) -> Option<Verdict> {
    let mut sum = Sum::default();
    loop {
        let data = match timeout(idle, frame(stream)).await {
            Err(_) => return sender.end(Ending::Silent).await,
            Ok(Err(_)) => return sender.end(Ending::Cut).await,
            Ok(Ok(Frame::Data(data))) => data,
            Ok(Ok(Frame::End(seal))) if seal == sum.clone().seal() => return sender.end(Ending::Whole).await,
            Ok(Ok(Frame::End(_))) => {
                return sender.end(Ending::Corrupt("what came is not what podwright receive says it sent".into())).await;
            }
        };
        sum.add(&data);
        if !sender.piece(data).await {
            return sender.verdict().await;
        }
    }
}

enum Frame {
    Data(Bytes),
    End([u8; 40]),
}

async fn frame(stream: &mut UnixStream) -> io::Result<Frame> {
    let mut head = [0; 5];
    stream.read_exact(&mut head).await?;
    match Head::read(head).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))? {
        Head::Data(length) => {
            let mut data = vec![0; length];
            stream.read_exact(&mut data).await?;
            Ok(Frame::Data(data.into()))
        }
        Head::End => {
            let mut seal = [0; 40];
            stream.read_exact(&mut seal).await?;
            Ok(Frame::End(seal))
        }
    }
}

async fn answer(stream: &mut UnixStream, document: &Value) {
    let line = format!("{document}\n");
    if !matches!(timeout(SHORT, stream.write_all(line.as_bytes())).await, Ok(Ok(()))) || stream.shutdown().await.is_err() {
        return;
    }
    let mut unwanted = vec![0; 16 << 10];
    let _ = timeout(DRAIN, async { while stream.read(&mut unwanted).await.is_ok_and(|count| count > 0) {} }).await;
}
