//! ssh, as far as a program is run on a server and talked to: by keys alone, with a server that is known beforehand.
//!
//! russh speaks the protocol (RFC 4251 to 4254, 8308, 8332); what is decided here is whom to trust and who to be. No program
//! of this machine is run and no configuration file is read.

mod known_hosts;

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use russh::client::{self, AuthResult, Handle};
use russh::keys::agent::AgentIdentity;
use russh::keys::agent::client::AgentClient;
use russh::keys::{Algorithm, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate};
use russh::{Channel, ChannelMsg, Preferred};
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncWriteExt, DuplexStream, copy, duplex, split};
use tokio::net::UnixStream;
use tokio::time::timeout;
use url::Url;

use super::blocking::BlockingClient;
use super::error::Cause;
use super::stream::{Place, Said, Stream};
use super::{NetError, Timeouts, Wait};
pub use known_hosts::KnownHosts;

/// Keys that are offered: a server ends the conversation after about six (sshd_config(5), `MaxAuthTries`).
const MOST_KEYS: usize = 6;

/// Bytes between the connection and whoever reads it.
const PIPE: usize = 256 << 10;

/// The user of a URL that names none, as every git host calls it.
const USUAL_USER: &str = "git";

/// A private key.
#[derive(Clone)]
pub struct SshKey(Arc<PrivateKey>);

/// Why a text is no key that can be used; without anything of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    #[error("is encrypted, and no passphrase is given")]
    Encrypted,
    #[error("does not open with the passphrase that is given")]
    Passphrase,
    #[error("is no private key in one of the forms of OpenSSH, PKCS#1 or PKCS#8")]
    Form,
}

impl SshKey {
    /// A key of ed25519, ecdsa or rsa, in OpenSSH's own form or as PEM.
    pub fn parse(text: &SecretString, passphrase: Option<&SecretString>) -> Result<Self, BadKey> {
        let text = text.expose_secret();
        let passphrase = passphrase.map(ExposeSecret::expose_secret);
        // A passphrase beside a key that is not encrypted is for nobody.
        let plain = russh::keys::decode_secret_key(text, None);
        let opened = match (plain, passphrase) {
            (Ok(key), _) => Ok(key),
            (Err(russh::keys::Error::KeyIsEncrypted), None) => Err(BadKey::Encrypted),
            (Err(russh::keys::Error::KeyIsEncrypted), word) => russh::keys::decode_secret_key(text, word).map_err(|_| BadKey::Passphrase),
            (Err(_), _) => Err(BadKey::Form),
        };
        opened.map(|key| Self(Arc::new(key)))
    }
}

impl std::fmt::Debug for SshKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SshKey({})", known_hosts::fingerprint(self.0.public_key()))
    }
}

/// Who this pod is, and whom it trusts.
#[derive(Clone, Debug)]
pub struct SshIdentity {
    /// Offered in this order, before those of the agent; at most six of all.
    pub keys: Vec<SshKey>,
    /// The socket of an agent (draft-miller-ssh-agent).
    pub agent: Option<PathBuf>,
    pub known_hosts: KnownHosts,
}

impl BlockingClient {
    /// Runs a command on the host of an `ssh://` URL. `checked`: somebody else than the request chose the host.
    pub fn ssh(&self, url: &Url, identity: &SshIdentity, command: Vec<u8>, checked: bool) -> Result<Stream, NetError> {
        let place = Place::of(url, 22, checked);
        let user = percent_encoding::percent_decode_str(url.username()).decode_utf8_lossy().into_owned();
        let user = if user.is_empty() { USUAL_USER.to_owned() } else { user };
        let timeouts = self.timeouts();
        let opened = self.wait(open(place.clone(), identity.clone(), user, command, timeouts))?;
        let (wire, said) = opened;
        Ok(self.stream(Box::new(wire), said, place.shown()))
    }
}

async fn open(
    place: Place,
    identity: SshIdentity,
    user: String,
    command: Vec<u8>,
    timeouts: Timeouts,
) -> Result<(DuplexStream, Said), NetError> {
    let host = place.shown();
    let stream = place.connect(&timeouts).await?;
    let judge = Judge { place, known: identity.known_hosts.clone(), verdict: Arc::default() };
    let (config, verdict) = (Arc::new(config(&judge, &timeouts)), Arc::clone(&judge.verdict));
    let lost = |cause: russh::Error| {
        let judged = verdict.lock().unwrap_or_else(PoisonError::into_inner).take();
        judged.unwrap_or_else(|| NetError::Io { host: host.clone(), cause: Cause(cause.to_string()) })
    };
    let after = timeouts.first_byte;
    let talk = async {
        let mut session = client::connect_stream(config, stream, judge).await.map_err(lost)?;
        authenticate(&mut session, &host, &user, &identity).await?;
        let channel = session.channel_open_session().await.map_err(lost)?;
        channel.exec(true, command).await.map_err(lost)?;
        Ok((session, channel))
    };
    let (session, channel) = timeout(after, talk).await.map_err(|_| NetError::Timeout { host, wait: Wait::FirstByte, after })??;
    let (ours, theirs) = duplex(PIPE);
    let said = Said::default();
    tokio::spawn(pump(session, channel, theirs, said.clone()));
    Ok((ours, said))
}

/// The kinds of keys that the host is known by come first, so that it shows one of those; a certificate is asked for only where
/// an authority is known.
fn config(judge: &Judge, timeouts: &Timeouts) -> client::Config {
    let (kinds, authority) = judge.known.kinds(&judge.place.name, judge.place.port);
    let is_known = |algorithm: &Algorithm| {
        kinds.iter().any(|kind| kind == algorithm || matches!((kind, algorithm), (Algorithm::Rsa { .. }, Algorithm::Rsa { .. })))
    };
    let (mut keys, others): (Vec<_>, Vec<_>) = Preferred::DEFAULT.key.iter().cloned().partition(is_known);
    keys.extend(others);
    let host_key_certificates = if authority { Cow::Owned(keys.clone()) } else { Cow::Borrowed(&[][..]) };
    client::Config {
        client_id: russh::SshId::Standard(Cow::Borrowed(concat!("SSH-2.0-podwright_", env!("CARGO_PKG_VERSION")))),
        preferred: Preferred { key: Cow::Owned(keys), host_key_certificates, ..Preferred::DEFAULT },
        inactivity_timeout: Some(timeouts.idle + Duration::from_secs(5)),
        nodelay: true,
        ..client::Config::default()
    }
}

/// Judges the server's key, and remembers why it did not do.
struct Judge {
    place: Place,
    known: KnownHosts,
    verdict: Arc<Mutex<Option<NetError>>>,
}

impl client::Handler for Judge {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        let Place { name, port, .. } = &self.place;
        let (judged, offered) = match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => (self.known.check_key(name, *port, key), known_hosts::fingerprint(key)),
            PublicKeyOrCertificate::Certificate(certificate) => {
                let key = certificate.public_key().clone().into();
                (self.known.check_certificate(name, *port, certificate), known_hosts::fingerprint(&key))
            }
        };
        let Err(why) = judged else { return Ok(true) };
        let error = NetError::HostKey { host: self.place.shown(), offered, why };
        self.verdict.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        Ok(false)
    }
}

async fn authenticate(session: &mut Handle<Judge>, host: &str, user: &str, identity: &SshIdentity) -> Result<(), NetError> {
    let lost = |cause: russh::Error| NetError::Io { host: host.to_owned(), cause: Cause(cause.to_string()) };
    let mut tried = Vec::new();
    for key in identity.keys.iter().take(MOST_KEYS) {
        tried.push(known_hosts::fingerprint(key.0.public_key()));
        let hash = rsa_hash(session, &key.0.algorithm()).await.map_err(lost)?;
        let key = PrivateKeyWithHashAlg::new(Arc::clone(&key.0), hash);
        if session.authenticate_publickey(user, key).await.map_err(lost)?.success() {
            return Ok(());
        }
    }
    if let Some(path) = &identity.agent {
        let unusable = |cause: String| NetError::Settings(format!("the ssh agent at {} could not be used: {cause}", path.display()));
        let socket = UnixStream::connect(path).await.map_err(|cause| unusable(cause.to_string()))?;
        let mut agent = AgentClient::connect(socket);
        let held = agent.request_identities().await.map_err(|cause| unusable(cause.to_string()))?;
        let room = MOST_KEYS.saturating_sub(tried.len());
        for held in held.into_iter().take(room) {
            let AgentIdentity::PublicKey { key, .. } = held else { continue };
            tried.push(known_hosts::fingerprint(&key));
            let hash = rsa_hash(session, &key.algorithm()).await.map_err(lost)?;
            let answer = session.authenticate_publickey_with(user, key, hash, &mut agent).await;
            if matches!(answer.map_err(|cause| unusable(cause.to_string()))?, AuthResult::Success) {
                return Ok(());
            }
        }
    }
    Err(NetError::Denied { host: host.to_owned(), user: user.to_owned(), tried: tried.join(", ") })
}

/// The hash that the server takes in signatures of RSA keys; SHA-1 is never offered.
async fn rsa_hash(session: &Handle<Judge>, algorithm: &Algorithm) -> Result<Option<HashAlg>, russh::Error> {
    if !matches!(algorithm, Algorithm::Rsa { .. }) {
        return Ok(None);
    }
    Ok(Some(session.best_supported_rsa_hash().await?.flatten().unwrap_or(HashAlg::Sha256)))
}

/// Carries bytes until the server has closed the channel, or nobody reads any more. What the command says on its second
/// output is complete when the first one ends.
async fn pump(session: Handle<Judge>, channel: Channel<client::Msg>, pipe: DuplexStream, said: Said) {
    let (mut from_us, mut to_us) = split(pipe);
    let (mut receiving, sending) = channel.split();
    let down = async {
        while let Some(message) = receiving.wait().await {
            match message {
                ChannelMsg::Data { data } if to_us.write_all(&data).await.is_err() => return,
                ChannelMsg::ExtendedData { data, .. } => said.append(&data),
                ChannelMsg::Failure => said.append(b"the server does not run this command"),
                _ => {}
            }
        }
    };
    let mut writer = sending.make_writer();
    tokio::select! {
        () = down => {}
        _ = copy(&mut from_us, &mut writer) => {}
    }
    let _ = session.disconnect(russh::Disconnect::ByApplication, "", "").await;
}
