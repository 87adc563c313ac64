//! ssh, as far as a program is run on a server and talked to: by keys alone, with a server that is known beforehand.
//!
//! russh speaks the protocol (RFC 4251 to 4254, 8308, 8332); what is decided here is whom to trust and who to be. No program
//! of this machine is run and no configuration file is read.

mod agent;
mod known_hosts;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
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
pub use agent::SshAgent;
pub use known_hosts::{BadHosts, KnownHosts};

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
        // A passphrase beside a key that is not encrypted is for nobody.
        let opened = match (russh::keys::decode_secret_key(text, None), passphrase) {
            (Ok(key), _) => Ok(key),
            (Err(cause), word) => {
                let locked = matches!(cause, russh::keys::Error::KeyIsEncrypted) || text.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----");
                match word {
                    _ if !locked => Err(BadKey::Form),
                    None => Err(BadKey::Encrypted),
                    Some(word) => russh::keys::decode_secret_key(text, Some(word.expose_secret())).map_err(|_| BadKey::Passphrase),
                }
            }
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

/// What a host of ssh is to run.
#[derive(Clone, Debug)]
pub struct RemoteCommand {
    /// As its shell takes it.
    pub line: Vec<u8>,
    /// A variable and its value, for the command to have where the host lets clients set it.
    pub variable: Option<(&'static str, &'static str)>,
}

impl BlockingClient {
    /// Runs a command on the host of an `ssh://` URL. `checked`: somebody else than the request chose the host.
    pub fn ssh(&self, url: &Url, identity: &SshIdentity, remote: RemoteCommand, checked: bool) -> Result<Stream, NetError> {
        let place = self.place(url, 22, checked);
        let user = percent_encoding::percent_decode_str(url.username()).decode_utf8_lossy().into_owned();
        let user = if user.is_empty() { USUAL_USER.to_owned() } else { user };
        let timeouts = self.timeouts();
        let opened = self.wait(open(place.clone(), identity.clone(), user, remote, timeouts))?;
        let (wire, said) = opened;
        Ok(self.stream(Box::new(wire), said, place.shown()))
    }
}

async fn open(
    place: Place,
    identity: SshIdentity,
    user: String,
    remote: RemoteCommand,
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
        if let Some((name, value)) = remote.variable {
            // Most hosts let no client set most variables: whether it is set shows in what the command says.
            channel.set_env(false, name, value).await.map_err(lost)?;
        }
        channel.exec(true, remote.line).await.map_err(lost)?;
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
    let (mut keys, others): (Vec<_>, Vec<_>) = Preferred::DEFAULT.key.iter().filter(|kind| !is_sha1(kind)).cloned().partition(is_known);
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

/// `ssh-rsa`: signatures with SHA-1, which OpenSSH takes no more.
fn is_sha1(algorithm: &Algorithm) -> bool {
    matches!(algorithm, Algorithm::Rsa { hash: None })
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
    let mut tried = Vec::new();
    for key in identity.keys.iter().take(MOST_KEYS) {
        let shown = known_hosts::fingerprint(key.0.public_key());
        let answer = async {
            let hash = rsa_hash(session, &key.0.algorithm()).await?;
            session.authenticate_publickey(user, PrivateKeyWithHashAlg::new(Arc::clone(&key.0), hash)).await
        };
        if offered(answer.await, session, shown, &mut tried).map_err(|cause| lost(host, user, &tried, &cause))? {
            return Ok(());
        }
    }
    let Some(path) = &identity.agent else { return Err(denied(host, user, &tried)) };
    match by_agent(session, host, user, path, &mut tried).await {
        Ok(true) => Ok(()),
        // What the agent could not do is no news where keys were tried.
        Err(_) if !tried.is_empty() => Err(denied(host, user, &tried)),
        Ok(false) => Err(denied(host, user, &tried)),
        Err(why) => Err(why),
    }
}

/// Whether a key among those of an agent is let in.
async fn by_agent(session: &mut Handle<Judge>, host: &str, user: &str, path: &Path, tried: &mut Vec<String>) -> Result<bool, NetError> {
    let unusable = |cause: String| NetError::Settings(format!("the ssh agent at {} could not be used: {cause}", path.display()));
    let socket = UnixStream::connect(path).await.map_err(|cause| unusable(cause.to_string()))?;
    let mut agent = AgentClient::connect(socket);
    let held = agent.request_identities().await.map_err(|cause| unusable(cause.to_string()))?;
    for held in held.into_iter().take(MOST_KEYS.saturating_sub(tried.len())) {
        let AgentIdentity::PublicKey { key, .. } = held else { continue };
        let shown = known_hosts::fingerprint(&key);
        let hash = rsa_hash(session, &key.algorithm()).await.map_err(|cause| lost(host, user, tried, &cause))?;
        // An agent that does not sign with one may sign with another.
        let Ok(answer) = session.authenticate_publickey_with(user, key, hash, &mut agent).await else { continue };
        if offered(Ok(answer), session, shown, tried).map_err(|cause| lost(host, user, tried, &cause))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What the server says of a key. Where it says nothing and is gone, that is no answer.
fn offered(
    answer: Result<AuthResult, russh::Error>,
    session: &Handle<Judge>,
    key: String,
    tried: &mut Vec<String>,
) -> Result<bool, russh::Error> {
    match answer? {
        AuthResult::Success => Ok(true),
        AuthResult::Failure { remaining_methods, .. } if remaining_methods.is_empty() && session.is_closed() => {
            Err(russh::Error::Disconnect)
        }
        AuthResult::Failure { .. } => {
            tried.push(key);
            Ok(false)
        }
    }
}

fn denied(host: &str, user: &str, tried: &[String]) -> NetError {
    NetError::Denied { host: host.to_owned(), user: user.to_owned(), tried: tried.join(", ") }
}

/// A server that goes away once it has refused a key has had enough of them (sshd_config(5), `MaxAuthTries`).
fn lost(host: &str, user: &str, tried: &[String], cause: &russh::Error) -> NetError {
    if tried.is_empty() {
        return NetError::Io { host: host.to_owned(), cause: Cause(cause.to_string()) };
    }
    denied(host, user, tried)
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
                ChannelMsg::ExitStatus { exit_status } => said.ended(exit_status),
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
