//! Where the daemon is, and a byte stream to it.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use url::Url;

use crate::engine::EngineError;
use crate::net::dial;

/// Where every orchestrator mounts it.
const DEFAULT_SOCKET: &str = "/var/run/docker.sock";
const CONNECT: Duration = Duration::from_secs(10);

/// The port of a daemon without TLS, where `DOCKER_HOST` names none.
const DEFAULT_PORT: u16 = 2375;

/// `DOCKER_HOST` as the Docker client reads it, without ssh:// and npipe://.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Unix(PathBuf),
    /// `host:port`, without TLS.
    Tcp(String),
}

impl Default for Endpoint {
    fn default() -> Self {
        Self::Unix(DEFAULT_SOCKET.into())
    }
}

impl Endpoint {
    /// Says what is wrong with the text and never shows it: somebody may have written a password there.
    pub fn parse(host: &str) -> Result<Self, &'static str> {
        match host.split_once("://") {
            Some(("unix", path)) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            Some(("unix", _)) => Err("names a socket without its whole path"),
            Some(("tcp", _)) => Self::tcp(host),
            Some(_) => Err("is neither unix:// nor tcp://"),
            None => Err("has no unix:// or tcp:// before it"),
        }
    }

    fn tcp(host: &str) -> Result<Self, &'static str> {
        const BAD: &str = "is not tcp:// with a host and a port alone";
        let url = Url::parse(host).map_err(|_| BAD)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("has a user or a password, and no daemon asks for one");
        }
        let alone = url.query().is_none() && url.fragment().is_none() && matches!(url.path(), "" | "/");
        match url.host_str().filter(|name| alone && !name.is_empty()) {
            Some(name) => Ok(Self::Tcp(format!("{name}:{}", url.port().unwrap_or(DEFAULT_PORT)))),
            None => Err(BAD),
        }
    }

    pub async fn connect(&self) -> Result<Stream, EngineError> {
        match self {
            Self::Unix(path) => match timeout(CONNECT, UnixStream::connect(path)).await {
                Ok(Ok(stream)) => Ok(Stream::Unix(stream)),
                Ok(Err(cause)) => Err(self.explain(path, cause)),
                Err(_) => Err(self.unreachable(io::ErrorKind::TimedOut.into())),
            },
            Self::Tcp(address) => dial::tcp(address, CONNECT).await.map(Stream::Tcp).map_err(|cause| self.unreachable(cause)),
        }
    }

    fn unreachable(&self, cause: io::Error) -> EngineError {
        EngineError::Unreachable { endpoint: self.to_string(), cause }
    }

    fn explain(&self, path: &Path, cause: io::Error) -> EngineError {
        match cause.kind() {
            io::ErrorKind::NotFound => EngineError::NoSocket(path.to_owned()),
            io::ErrorKind::PermissionDenied => EngineError::SocketPermission { path: path.to_owned(), who: who(path) },
            _ => self.unreachable(cause),
        }
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(address) => write!(f, "tcp://{address}"),
        }
    }
}

/// Who this process is and what the socket asks for: what an operator needs to mend the pod spec.
fn who(path: &Path) -> String {
    let mut groups: Vec<u32> = rustix::process::getgroups().unwrap_or_default().into_iter().map(rustix::process::Gid::as_raw).collect();
    groups.push(rustix::process::getgid().as_raw());
    groups.sort_unstable();
    groups.dedup();
    let socket = match std::fs::metadata(path) {
        Ok(meta) => format!(
            "the {} has mode {:04o}, owner {}:{}",
            if meta.file_type().is_socket() { "socket" } else { "file" },
            meta.mode() & 0o7777,
            meta.uid(),
            meta.gid()
        ),
        Err(_) => "its directory cannot be entered".to_owned(),
    };
    format!("this process is uid {} with gids {groups:?}; {socket}", rustix::process::getuid().as_raw())
}

/// Either kind of connection.
pub enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

macro_rules! either {
    ($self:ident, $method:ident, $($argument:expr),*) => {
        match $self.get_mut() {
            Stream::Unix(stream) => Pin::new(stream).$method($($argument),*),
            Stream::Tcp(stream) => Pin::new(stream).$method($($argument),*),
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self, poll_read, cx, buf)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, poll_write, cx, buf)
    }

    fn poll_write_vectored(self: Pin<&mut Self>, cx: &mut Context<'_>, bufs: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        either!(self, poll_write_vectored, cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, poll_flush, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, poll_shutdown, cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_host_is_read_as_the_docker_client_reads_it() {
        let unix = |path: &str| Some(Endpoint::Unix(path.into()));
        let tcp = |address: &str| Some(Endpoint::Tcp(address.into()));
        let table = [
            ("unix:///run/d.sock", unix("/run/d.sock")),
            ("tcp://dind:2376", tcp("dind:2376")),
            ("tcp://127.0.0.1:80", tcp("127.0.0.1:80")),
            ("tcp://dind", tcp("dind:2375")),
            ("tcp://[::1]:99/", tcp("[::1]:99")),
            ("tcp://[::1]", tcp("[::1]:2375")),
            ("ssh://me@host", None),
            ("npipe:////./pipe/x", None),
            ("unix://run/d.sock", None),
            ("/run/d.sock", None),
            ("tcp://", None),
            ("tcp://:2375", None),
            ("tcp://host:port", None),
            ("tcp://a/b", None),
            ("tcp://::1", None),
            ("tcp://me@host:1", None),
            ("tcp://me:hush@host:1", None),
            ("tcp://:hush@host", None),
            ("tcp://host:1?token=hush", None),
            ("tcp://host:1#hush", None),
        ];
        for (host, want) in table {
            let parsed = Endpoint::parse(host);
            assert!(!format!("{parsed:?}").contains("hush"), "{parsed:?}");
            assert_eq!(parsed.ok(), want, "{host:?}");
        }
    }
}
