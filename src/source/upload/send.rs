//! The other end of the socket: what `podwright receive` does with its standard input.
//!
//! The end of a standard input proves nothing: `kubectl exec -i` closes it when it is killed, too. So a digest or size can be
//! told beforehand, and without one the archive itself has to show its end: a tar that lacks it is refused as cut.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::frame::{ANSWER, GREETING, Head, PIECE, Sum};
use super::{Receipt, Refusal};
use crate::model::digest::hex;
use crate::model::{Classified, Digest, Reason};

/// How long the agent may take over one piece, and over the whole once it has it: it checks and indexes it.
const PATIENCE: Duration = Duration::from_mins(10);

/// How often it is looked whether the agent can still be waited for.
const MOMENT: Duration = Duration::from_secs(1);

/// What is to be handed over.
#[derive(Clone, Debug, Default)]
pub struct HandOver {
    /// Where the agent may wait: the first of these that somebody waits at is taken.
    pub sockets: Vec<PathBuf>,
    /// Somebody named the one there is, rather than that it is looked for.
    pub named: bool,
    /// What standard input must hash to.
    pub sha256: Option<Digest>,
    /// The bytes it must have.
    pub bytes: Option<u64>,
}

#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error("no agent waits for an upload in this pod: there is no socket at {}", shown(.0))]
    Nobody(Vec<PathBuf>),
    #[error("the socket {path:?} cannot be used")]
    Socket {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("the socket {0:?} is another user's: nothing is handed over to it")]
    Stranger(PathBuf),
    #[error("standard input could not be read to its end")]
    Input(#[source] io::Error),
    #[error("standard input is not what it should be: {0}; nothing was handed over")]
    Promise(String),
    #[error("the agent went away without saying what became of the upload")]
    Lost(#[source] Option<io::Error>),
    #[error("the agent took something else than was sent to it")]
    Differs,
    #[error("the agent refuses the upload: {}", .0.message)]
    Refused(Refusal),
}

fn shown(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

impl Classified for SendError {
    fn reason(&self) -> Reason {
        match self {
            Self::Nobody(_) | Self::Socket { .. } | Self::Input(_) | Self::Lost(_) => Reason::SourceUnavailable,
            Self::Stranger(_) => Reason::SourceRefused,
            Self::Promise(_) | Self::Differs => Reason::SourceIntegrity,
            Self::Refused(refusal) => Reason::all().find(|reason| reason.code() == refusal.exit_code).unwrap_or(Reason::SourceRefused),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Nobody(_) => {
                Some("the agent waits once it has said source.waiting; name its socket by --socket if it is elsewhere".into())
            }
            Self::Stranger(_) => Some("run it as the user that the agent runs as; root may name the socket by --socket".into()),
            Self::Lost(_) => Some("its own events and result say why it ended".into()),
            Self::Promise(_) => Some("send it again".into()),
            Self::Refused(refusal) => refusal.hint.clone(),
            _ => None,
        }
    }
}

/// Hands standard input over, and says what the agent took. Blocks.
pub fn hand_over(input: impl Read + Send + 'static, wanted: HandOver) -> Result<Receipt, SendError> {
    let stream = connect(&wanted)?;
    let lost = |cause: io::Error| SendError::Lost(Some(cause));
    let mut writer = stream.try_clone().map_err(lost)?;
    writer.set_write_timeout(Some(PATIENCE)).map_err(lost)?;
    let (tells, sent) = mpsc::channel();
    // The agent may refuse in the middle, while standard input has nothing to say: so the answer is waited for beside it.
    thread::spawn(move || {
        let pumped = pump(input, &mut writer, &wanted);
        if pumped.is_err() {
            let _ = writer.shutdown(Shutdown::Both);
        }
        let _ = tells.send(pumped);
    });
    let mut sent = Sent { hears: sent, known: None };
    match answer(&stream, &mut sent) {
        Ok(Some(line)) => judge(&line, &mut sent),
        other => match sent.within(MOMENT) {
            Some(Err(SendError::Input(_) | SendError::Promise(_))) => sent.failure(),
            _ => Err(SendError::Lost(other.err())),
        },
    }
}

/// What is known of the sending.
struct Sent {
    hears: mpsc::Receiver<Result<Receipt, SendError>>,
    known: Option<Result<Receipt, SendError>>,
}

impl Sent {
    /// How it ended, if it has or does so soon.
    fn within(&mut self, time: Duration) -> Option<&Result<Receipt, SendError>> {
        if self.known.is_none() {
            self.known = self.hears.recv_timeout(time).ok();
        }
        self.known.as_ref()
    }

    fn failure(self) -> Result<Receipt, SendError> {
        self.known.unwrap_or(Err(SendError::Lost(None)))
    }
}

/// The first that somebody waits at: a run that was killed leaves its socket.
fn connect(wanted: &HandOver) -> Result<UnixStream, SendError> {
    let is_socket = |path: &&PathBuf| std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    for path in wanted.sockets.iter().filter(is_socket) {
        match connect_to(path, wanted.named) {
            Err(SendError::Socket { cause, .. }) if cause.kind() == io::ErrorKind::ConnectionRefused => {}
            other => return other,
        }
    }
    Err(SendError::Nobody(wanted.sockets.clone()))
}

fn connect_to(path: &Path, named: bool) -> Result<UnixStream, SendError> {
    let failed = |cause| SendError::Socket { path: path.to_owned(), cause };
    // tokio's, for what it knows of the peer: rustix cannot say it of one in another process namespace.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(failed)?;
    let stream = runtime.block_on(tokio::net::UnixStream::connect(path)).map_err(failed)?;
    let peer = stream.peer_cred().map_err(failed)?.uid();
    let owner = std::fs::symlink_metadata(path).map_or(peer, |metadata| metadata.uid());
    if !is_trusted(rustix::process::geteuid().as_raw(), [peer, owner], named) {
        return Err(SendError::Stranger(path.to_owned()));
    }
    let stream = stream.into_std().map_err(failed)?;
    stream.set_nonblocking(false).map_err(failed)?;
    Ok(stream)
}

/// Whoever got hold of the name must not get the source. Root may use any agent of this pod that it names; one that is only
/// found, in a directory where others write too, is root's own.
fn is_trusted(own: u32, [peer, owner]: [u32; 2], named: bool) -> bool {
    own == 0 && named || [peer, owner].iter().all(|uid| [own, 0].contains(uid))
}

/// Sends everything; the seal only if it is what it should be.
fn pump(mut input: impl Read, out: &mut UnixStream, wanted: &HandOver) -> Result<Receipt, SendError> {
    let lost = |cause| SendError::Lost(Some(cause));
    out.write_all(GREETING).map_err(lost)?;
    let mut sum = Sum::default();
    let mut piece = vec![0; PIECE];
    loop {
        let count = match input.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(SendError::Input(error)),
        };
        sum.add(&piece[..count]);
        out.write_all(&Head::Data(count).write()).and_then(|()| out.write_all(&piece[..count])).map_err(lost)?;
    }
    let (bytes, seal) = (sum.total, sum.seal());
    let sha256 = hex(&seal[8..]);
    if let Some(says) = wanted.bytes.filter(|says| *says != bytes) {
        return Err(SendError::Promise(format!("it ended after {bytes} bytes of {says}")));
    }
    if let Some(says) = wanted.sha256.as_ref().filter(|says| says.hex() != sha256) {
        return Err(SendError::Promise(format!("the digest of its {bytes} bytes is {sha256}, not {}", says.hex())));
    }
    out.write_all(&Head::End.write()).and_then(|()| out.write_all(&seal)).map_err(lost)?;
    Ok(Receipt { bytes, sha256, files: 0 })
}

/// The agent's one line; `None` where it closed the connection without one. While standard input goes on there is no bound
/// but the agent's own, which closes the connection.
fn answer(mut stream: &UnixStream, sent: &mut Sent) -> io::Result<Option<String>> {
    stream.set_read_timeout(Some(MOMENT))?;
    let (mut line, mut buffer, mut since) = (Vec::new(), [0; 4096], None);
    while line.len() < ANSWER && line.last() != Some(&b'\n') {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => line.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if sent.within(Duration::ZERO).is_some() && since.get_or_insert_with(Instant::now).elapsed() > PATIENCE {
                    return Err(io::ErrorKind::TimedOut.into());
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // It may have closed on what it did not read.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => break,
            Err(error) => return Err(error),
        }
    }
    Ok(String::from_utf8(line).ok().filter(|line| line.ends_with('\n')))
}

fn judge(line: &str, sent: &mut Sent) -> Result<Receipt, SendError> {
    let document: Value = serde_json::from_str(line).map_err(|error| SendError::Lost(Some(error.into())))?;
    if let Some(refusal) = document.get("error") {
        let refusal = serde_json::from_value(refusal.clone()).map_err(|error| SendError::Lost(Some(error.into())))?;
        return Err(SendError::Refused(refusal));
    }
    let receipt: Receipt = serde_json::from_value(document).map_err(|error| SendError::Lost(Some(error.into())))?;
    match sent.within(MOMENT) {
        Some(Ok(sent)) if (sent.bytes, &sent.sha256) == (receipt.bytes, &receipt.sha256) => Ok(receipt),
        _ => Err(SendError::Differs),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a9_root_hands_the_source_to_another_user_only_by_name() {
        assert!(is_trusted(1000, [1000, 1000], false) && is_trusted(1000, [0, 1000], false) && is_trusted(0, [0, 0], false));
        assert!(is_trusted(0, [1000, 1000], true));
        for (own, peer, owner, named) in [(0, 1000, 1000, false), (0, 1000, 0, false), (1000, 1001, 1000, true), (1000, 1000, 1001, true)] {
            assert!(!is_trusted(own, [peer, owner], named), "{own} {peer} {owner} {named}");
        }
    }

    #[test]
    fn a_dead_socket_does_not_hide_the_one_that_somebody_waits_at() {
        let home = tempfile::tempdir().unwrap();
        let [dead, alive] = ["dead", "alive"].map(|name| home.path().join(name));
        drop(UnixListener::bind(&dead).unwrap());
        let _listener = UnixListener::bind(&alive).unwrap();
        let wanted =
            |sockets: &[&PathBuf]| HandOver { sockets: sockets.iter().map(|path| (*path).clone()).collect(), ..HandOver::default() };
        assert!(connect(&wanted(&[&dead, &alive])).is_ok());
        assert!(matches!(connect(&wanted(&[&dead])), Err(SendError::Nobody(paths)) if paths == [dead.clone()]));
    }
}
