//! Plain connections for protocols that are not HTTP to a host: today, an engine's TCP port.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

/// Connects to `host:port`, each address in turn, for at most this long in all.
pub async fn tcp(address: &str, patience: Duration) -> io::Result<TcpStream> {
    let stream = timeout(patience, TcpStream::connect(address)).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    stream.set_nodelay(true)?;
    Ok(stream)
}
