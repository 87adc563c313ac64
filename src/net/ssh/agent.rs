//! An agent of ssh that others may use: for the list of its keys and for signatures, and for nothing else.
//!
//! What is asked and answered are packets of draft-miller-ssh-agent, "Protocol Messages"; whoever uses it may be hostile, and
//! an agent itself would let it add keys, take them away, or lock it for everybody.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use russh::keys::agent::client::AgentClient;
use russh::keys::agent::server;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::{PIPE, SshKey};

/// Bytes of one packet, as OpenSSH bounds it (ssh-agent.c, `AGENT_MAX_LEN`).
const MOST: usize = 256 << 10;

/// The longest that an agent may take to be there.
const CONNECT: Duration = Duration::from_secs(10);

/// Messages that are passed on, and the one that stands for all refusals (draft-miller-ssh-agent, "Message numbers").
const REQUEST_IDENTITIES: u8 = 11;
const SIGN_REQUEST: u8 = 13;
const FAILURE: u8 = 5;

/// Where the keys are.
#[derive(Clone, Debug)]
pub enum SshAgent {
    /// In this process.
    Keys(Vec<SshKey>),
    /// With an agent behind this socket.
    Socket(PathBuf),
}

impl SshAgent {
    /// A conversation with it: bytes in, bytes out. It ends when the stream is dropped.
    pub async fn connect(&self) -> io::Result<DuplexStream> {
        let (ours, theirs) = duplex(PIPE);
        match self {
            Self::Socket(path) => {
                let agent = timeout(CONNECT, UnixStream::connect(path)).await.map_err(|_| io::ErrorKind::TimedOut)??;
                tokio::spawn(relay(theirs, agent));
            }
            Self::Keys(keys) => {
                let agent = holding(keys).await.map_err(|cause| io::Error::other(cause.to_string()))?;
                tokio::spawn(relay(theirs, agent));
            }
        }
        Ok(ours)
    }
}

/// A conversation with an agent of this process that holds the keys.
async fn holding(keys: &[SshKey]) -> Result<impl AsyncRead + AsyncWrite + Send + Unpin + use<>, russh::keys::Error> {
    let (client, server) = duplex(PIPE);
    tokio::spawn(server::serve(futures_util::stream::iter([Ok(server)]), ()));
    let mut agent = AgentClient::connect(client);
    for key in keys {
        agent.add_identity(&key.0, &[]).await?;
    }
    Ok(agent.into_inner())
}

async fn relay(mut asker: DuplexStream, mut agent: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    while let Some(question) = packet(&mut asker).await? {
        let answer = match question.first() {
            Some(&(REQUEST_IDENTITIES | SIGN_REQUEST)) => {
                send(&mut agent, &question).await?;
                packet(&mut agent).await?.ok_or(io::ErrorKind::UnexpectedEof)?
            }
            _ => vec![FAILURE],
        };
        send(&mut asker, &answer).await?;
    }
    Ok(())
}

/// The next packet, without its length; `None` where the other side has no more to say.
async fn packet(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let length = match from.read_u32().await {
        Ok(length) => usize::try_from(length).unwrap_or(usize::MAX),
        Err(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(cause) => return Err(cause),
    };
    if length > MOST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut packet = vec![0; length];
    from.read_exact(&mut packet).await?;
    Ok(Some(packet))
}

async fn send(to: &mut (impl AsyncWrite + Unpin), packet: &[u8]) -> io::Result<()> {
    let length = u32::try_from(packet.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    to.write_all(&[&length.to_be_bytes(), packet].concat()).await?;
    to.flush().await
}

#[cfg(test)]
mod tests {
    use russh::keys::PrivateKey;
    use russh::keys::agent::AgentIdentity;
    use russh::keys::ssh_key::private::Ed25519Keypair;

    use super::*;

    fn key(seed: u8) -> SshKey {
        SshKey(std::sync::Arc::new(PrivateKey::from(Ed25519Keypair::from_seed(&[seed; 32]))))
    }

    #[tokio::test]
    async fn a_step_may_list_keys_and_sign_and_change_nothing() {
        let (first, other) = (key(1), key(2));
        let agent = SshAgent::Keys(vec![first.clone()]);
        let mut step = AgentClient::connect(agent.connect().await.unwrap());
        let held = step.request_identities().await.unwrap();
        assert!(matches!(&held[..], [AgentIdentity::PublicKey { key, .. }] if key.key_data() == first.0.public_key().key_data()));
        assert!(step.sign_request(&held[0], None, b"words".to_vec()).await.is_ok());
        assert!(step.add_identity(&other.0, &[]).await.is_err());
        assert_eq!(step.request_identities().await.unwrap().len(), 1);
        let mut step = agent.connect().await.unwrap();
        // To forget one key, to forget them all, to lock, and what nobody knows.
        for question in [18, 19, 22, 99] {
            send(&mut step, &[question, 0, 0, 0, 0]).await.unwrap();
            assert_eq!(packet(&mut step).await.unwrap().unwrap(), [FAILURE], "{question}");
        }
        send(&mut step, &[REQUEST_IDENTITIES]).await.unwrap();
        assert_eq!(packet(&mut step).await.unwrap().unwrap()[..5], [12, 0, 0, 0, 1]);
    }

    #[tokio::test]
    async fn a_packet_that_is_too_long_ends_the_conversation() {
        let mut step = SshAgent::Keys(Vec::new()).connect().await.unwrap();
        step.write_all(&[0xff; 8]).await.unwrap();
        assert_eq!(step.read(&mut [0; 8]).await.unwrap(), 0);
    }
}
