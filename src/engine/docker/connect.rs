//! Where the daemon is, and a byte stream to it.

use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::timeout;
use url::Url;

use super::certificates;
use super::stream::Stream;
use crate::engine::EngineError;
use crate::net::{NetError, dial};

/// Where every orchestrator mounts it.
const DEFAULT_SOCKET: &str = "/var/run/docker.sock";
const CONNECT: Duration = Duration::from_secs(10);

/// The ports of a daemon without TLS and with it, where `DOCKER_HOST` names none.
const PLAIN_PORT: u16 = 2375;
const TLS_PORT: u16 = 2376;

/// `DOCKER_HOST` as the Docker client reads it, without ssh:// and npipe://.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    Unix(PathBuf),
    /// `host:port`, without TLS.
    Tcp(String),
    /// `host:port`, and the directory with `ca.pem`, `cert.pem` and `key.pem`.
    Tls(String, PathBuf),
}

impl Default for Endpoint {
    fn default() -> Self {
        Self::Unix(DEFAULT_SOCKET.into())
    }
}

impl Endpoint {
    /// With `certificates`, a daemon that is not at a socket is spoken to by TLS alone. Says what is wrong with the text and never shows
    /// it: somebody may have written a password there.
    pub fn parse(host: &str, certificates: Option<&Path>) -> Result<Self, &'static str> {
        match host.split_once("://") {
            Some(("unix", path)) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            Some(("unix", _)) => Err("names a socket without its whole path"),
            Some(("tcp", _)) => Self::tcp(host, certificates),
            Some(_) => Err("is neither unix:// nor tcp://"),
            None => Err("has no unix:// or tcp:// before it"),
        }
    }

    fn tcp(host: &str, certificates: Option<&Path>) -> Result<Self, &'static str> {
        const BAD: &str = "is not tcp:// with a host and a port alone";
        let url = Url::parse(host).map_err(|_| BAD)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("has a user or a password, and no daemon asks for one");
        }
        let alone = url.query().is_none() && url.fragment().is_none() && matches!(url.path(), "" | "/");
        match url.host_str().filter(|name| alone && !name.is_empty()) {
            None => Err(BAD),
            Some(name) => Ok(match certificates {
                None => Self::Tcp(format!("{name}:{}", url.port().unwrap_or(PLAIN_PORT))),
                Some(directory) => Self::Tls(format!("{name}:{}", url.port().unwrap_or(TLS_PORT)), directory.to_owned()),
            }),
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
            Self::Tls(address, directory) => {
                let (trust, identity) = certificates::read(directory)?;
                let stream = dial::by_tls(address, &trust, identity.as_ref(), CONNECT).await;
                stream.map(|stream| Stream::Tls(Box::new(stream))).map_err(|error| self.untrusted(directory, error))
            }
        }
    }

    /// A daemon that does not let this pod in by TLS often says so after the handshake, and all that is left of that is a broken
    /// connection: it is connected to once more, with nothing sent, to hear it.
    pub async fn refusal(&self) -> Option<EngineError> {
        let Self::Tls(address, directory) = self else { return None };
        let (trust, identity) = certificates::read(directory).ok()?;
        let stream = dial::by_tls(address, &trust, identity.as_ref(), CONNECT).await.ok()?;
        dial::refusal(address, stream, identity.is_some()).await.map(|error| self.untrusted(directory, error))
    }

    fn untrusted(&self, directory: &Path, error: NetError) -> EngineError {
        match error {
            NetError::Connect { cause, .. } => self.unreachable(io::Error::other(cause)),
            NetError::Timeout { .. } => self.unreachable(io::ErrorKind::TimedOut.into()),
            NetError::Identity(what) => {
                // The same files have other names in a secret directory.
                let what = what.replace("tls.crt", "cert.pem").replace("tls.key", "key.pem");
                EngineError::Certificates { directory: directory.to_owned(), what }
            }
            NetError::Authority(what) => EngineError::Certificates { directory: directory.to_owned(), what: format!("ca.pem: {what}") },
            NetError::NotTls { .. } => EngineError::Incompatible {
                endpoint: self.to_string(),
                why: "it does not speak TLS, which DOCKER_TLS_VERIFY asks for".into(),
            },
            error => EngineError::Untrusted { endpoint: self.to_string(), problem: error.to_string() },
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
            Self::Tcp(address) | Self::Tls(address, _) => write!(f, "tcp://{address}"),
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
            let parsed = Endpoint::parse(host, None);
            assert!(!format!("{parsed:?}").contains("hush"), "{parsed:?}");
            assert_eq!(parsed.ok(), want, "{host:?}");
        }
        let tls = |host: &str| Endpoint::parse(host, Some(Path::new("/certs"))).unwrap();
        assert_eq!(tls("tcp://dind"), Endpoint::Tls("dind:2376".into(), "/certs".into()));
        assert_eq!(tls("tcp://[::1]:99"), Endpoint::Tls("[::1]:99".into(), "/certs".into()));
        assert_eq!(tls("unix:///run/d.sock"), Endpoint::Unix("/run/d.sock".into()));
    }
}
