//! Connections for protocols that are not HTTP to a host: today, an engine's TCP port, plain or by TLS.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::sockopt;
use rustls::pki_types::ServerName;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
pub use tokio_rustls::client::TlsStream;

use super::NetError;
use super::error::{Cause, Wait};
use super::tls::{self, Identity, SystemRoots, Trust};

/// Silence after which the other side's kernel is asked whether the connection still is: what stands between forgets one that
/// is silent for some minutes, and tells nobody.
const KEEP_ALIVE: Duration = Duration::from_mins(1);

/// For what a host has to say at once: in TLS 1.3 a client is refused after its own handshake (RFC 8446, section 4.4.2.4).
const REFUSAL: Duration = Duration::from_secs(2);

/// Connects to `host:port`, each address in turn, for at most this long in all.
pub async fn tcp(address: &str, patience: Duration) -> io::Result<TcpStream> {
    let stream = timeout(patience, TcpStream::connect(address)).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(&stream, true)?;
    sockopt::set_tcp_keepidle(&stream, KEEP_ALIVE)?;
    Ok(stream)
}

/// The same by TLS, for HTTP/1.1. Nobody vouches for the host but `trust`: not the system's roots.
pub async fn by_tls(
    address: &str,
    trust: &Trust,
    identity: Option<&Identity>,
    patience: Duration,
) -> Result<TlsStream<TcpStream>, NetError> {
    let none = SystemRoots::At { file: None, directories: Vec::new() };
    let (mut config, _) = tls::configure(trust, &none, identity)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let host = || address.to_owned();
    let name = address.rsplit_once(':').map_or(address, |(name, _)| name).trim_matches(['[', ']']).to_owned();
    let name = ServerName::try_from(name).map_err(|bad| NetError::Settings(format!("{address}: {bad}")))?;
    let ends = Instant::now() + patience;
    let stream = tcp(address, patience).await.map_err(|cause| NetError::Connect { host: host(), cause: Cause(cause.to_string()) })?;
    match timeout_at(ends, TlsConnector::from(Arc::new(config)).connect(name, stream)).await {
        Err(_) => Err(NetError::Timeout { host: host(), wait: Wait::Connect, after: patience }),
        Ok(Err(error)) => Err(judge(address, identity.is_some(), &error)),
        Ok(Ok(stream)) => Ok(stream),
    }
}

/// The host's own word, if it is that it wants another certificate; nothing may have been sent on this connection yet.
pub async fn refusal(address: &str, mut stream: TlsStream<TcpStream>, shown: bool) -> Option<NetError> {
    let said = timeout(REFUSAL, stream.read_u8()).await.ok()?.err()?;
    let error = judge(address, shown, &said);
    matches!(error, NetError::ClientCertificate { .. }).then_some(error)
}

fn judge(address: &str, shown: bool, error: &io::Error) -> NetError {
    let host = address.to_owned();
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(error) if tls::is_distrust(error) => NetError::Tls { host, problem: tls::explain(error), no_roots: false },
        Some(error) if tls::is_about_client(error) => NetError::ClientCertificate { host, problem: tls::explain(error), shown },
        Some(rustls::Error::InvalidMessage(_)) => NetError::NotTls { host },
        Some(error) => NetError::Handshake { host, problem: tls::explain(error) },
        None => NetError::Connect { host, cause: Cause(error.to_string()) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_is_kept_alive() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = tcp(&listener.local_addr().unwrap().to_string(), Duration::from_secs(5)).await.unwrap();
        assert!(sockopt::socket_keepalive(&stream).unwrap());
        assert_eq!(sockopt::tcp_keepidle(&stream).unwrap(), KEEP_ALIVE);
    }
}
