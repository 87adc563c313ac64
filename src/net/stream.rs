//! A connection that is neither request nor answer, for code that blocks: what ssh and git's own protocol talk through.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::address::Rule;
use super::error::Cause;
use super::{NetError, Timeouts, Wait, dial};

/// Bytes kept of what the other side says beside the stream; the last ones count.
const MOST_SAID: usize = 2048;

/// Both directions of a connection.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// What the other side says beside the stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Said(Arc<Mutex<Words>>);

#[derive(Debug, Default)]
struct Words {
    /// For people.
    text: Vec<u8>,
    /// What a command ended with.
    status: Option<u32>,
}

impl Said {
    pub fn append(&self, text: &[u8]) {
        let mut words = self.words();
        let said = &mut words.text;
        said.extend_from_slice(text);
        let over = said.len().saturating_sub(MOST_SAID);
        said.drain(..over);
    }

    pub fn ended(&self, status: u32) {
        self.words().status = Some(status);
    }

    fn words(&self) -> MutexGuard<'_, Words> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection for blocking code, on a thread where blocking is allowed. Every wait ends with the idle time-out or the token.
pub struct Stream {
    pub(super) wire: Box<dyn Wire>,
    pub(super) said: Said,
    pub(super) host: String,
    pub(super) idle: Duration,
    pub(super) runtime: Handle,
    pub(super) cancel: CancellationToken,
}

impl Stream {
    /// What the other side said for people so far: the last 2 KiB of it.
    pub fn said(&self) -> Vec<u8> {
        self.said.words().text.clone()
    }

    /// What the command on the other side ended with; known once the stream is at its end, and where the server told it.
    pub fn status(&self) -> Option<u32> {
        self.said.words().status
    }

    fn wait<T>(&mut self, work: impl AsyncFnOnce(&mut Box<dyn Wire>) -> io::Result<T>) -> Result<T, NetError> {
        let (runtime, idle, cancel) = (self.runtime.clone(), self.idle, self.cancel.clone());
        let done = runtime.block_on(async {
            tokio::select! {
                () = cancel.cancelled() => Err(NetError::Cancelled),
                done = timeout(idle, work(&mut self.wire)) => {
                    done.map_err(|_| NetError::Timeout { host: self.host.clone(), wait: Wait::Idle, after: idle })
                }
            }
        })?;
        done.map_err(|cause| NetError::Io { host: self.host.clone(), cause: Cause(cause.to_string()) })
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.wait(async |wire| wire.read(buffer).await).map_err(io::Error::other)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.wait(async |wire| wire.write(bytes).await).map_err(io::Error::other)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.wait(async |wire| wire.flush().await).map_err(io::Error::other)
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stream({})", self.host)
    }
}

/// A host and a port, as errors and lists of hosts name them.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Without brackets.
    pub name: String,
    pub port: u16,
    /// Somebody else than the request chose it: what only this node can see is refused.
    pub checked: Option<Rule>,
}

impl Place {
    /// The place of a URL.
    pub fn of(url: &url::Url, usual_port: u16, checked: Option<Rule>) -> Self {
        let name = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        Self { name, port: url.port().unwrap_or(usual_port), checked }
    }

    pub fn shown(&self) -> String {
        let name = if self.name.contains(':') { format!("[{}]", self.name) } else { self.name.clone() };
        format!("{name}:{}", self.port)
    }

    pub async fn connect(&self, timeouts: &Timeouts) -> Result<TcpStream, NetError> {
        let host = self.shown();
        let after = timeouts.connect;
        let late = || NetError::Timeout { host: host.clone(), wait: Wait::Connect, after };
        let found = timeout(after, tokio::net::lookup_host((self.name.as_str(), self.port))).await.map_err(|_| late())?;
        let found = found.map_err(|cause| NetError::Dns { host: host.clone(), cause: Cause(cause.to_string()) })?;
        let found: Vec<_> = found.collect();
        // One that does not answer leaves time for the others.
        let each = after / u32::try_from(found.len().max(1)).unwrap_or(u32::MAX);
        let mut last = NetError::Connect { host: host.clone(), cause: Cause("it has no address".to_owned()) };
        for at in found {
            if let Some(rule) = self.checked {
                rule.check_address(&self.name, at.ip()).map_err(|bad| NetError::Address { host: host.clone(), rule: bad.to_string() })?;
            }
            match dial::tcp(&at.to_string(), each).await {
                Ok(stream) => return Ok(stream),
                Err(cause) if cause.kind() == io::ErrorKind::TimedOut => last = late(),
                Err(cause) => last = NetError::Connect { host: host.clone(), cause: Cause(cause.to_string()) },
            }
        }
        Err(last)
    }
}
