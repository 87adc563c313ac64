//! Secret directories, as Kubernetes mounts them and as git-sync, Flux and Tekton know them: one file for each key.
//!
//! Which keys are there says what kind of secret it is. Files are read anew at every use, since a mounted secret is rotated
//! under a running pod. No error shows a value, and nothing here knows which host a secret is for, but for
//! `.git-credentials`, whose lines say it themselves.

pub mod file;
mod headers;
mod stored;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::guard::{Forbidden, Guard};
pub use headers::SecretHeader;
pub use stored::StoredCredential;

/// What a secret directory can hold that this version uses, for error texts.
const KNOWN: &str = "username and password, token or bearerToken, ssh-privatekey and known_hosts, .dockerconfigjson, config.json, \
                     .dockercfg, .git-credentials, ca.crt, tls.crt and tls.key, headers";

/// The names of private keys for ssh: Kubernetes' and Tekton's (`kubernetes.io/ssh-auth`), git-sync's, Flux's.
const SSH_KEYS: [&str; 3] = ["ssh-privatekey", "ssh", "identity"];

/// Docker's documents, in the order they are asked (Kubernetes: `kubernetes.io/dockerconfigjson`, `dockercfg`).
pub const DOCKER_KEYS: [&str; 3] = [".dockerconfigjson", "config.json", ".dockercfg"];

/// How often a directory is read that was changed meanwhile: the kubelet changes one about once a minute.
const MOST_READINGS: u32 = 3;

/// Why a secret cannot be used. Paths and keys are named, values never.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("the secret directory {} is not there in this pod", path.display())]
    Missing { path: PathBuf },
    #[error("{} is not a directory", path.display())]
    NotADirectory { path: PathBuf },
    #[error("this pod (uid {uid}, gid {gid}) may not read {} (mode {mode}, owner {owner})", path.display())]
    Denied { path: PathBuf, uid: u32, gid: u32, mode: String, owner: String },
    #[error("{} could not be read by this pod", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("{} has more than {limit} bytes, the limit of one secret file", path.display())]
    TooLarge { path: PathBuf, limit: u64 },
    #[error("{} {rule}", path.display())]
    Malformed { path: PathBuf, rule: String },
    #[error("{} holds no key that is known here", path.display())]
    Empty { path: PathBuf },
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
}

impl SecretError {
    /// What to do about it.
    pub fn fix(&self) -> Option<String> {
        Some(match self {
            Self::Missing { .. } => "mount the secret as a volume at this path".into(),
            Self::NotADirectory { .. } => "name the directory that holds the secret's keys as files".into(),
            Self::Denied { .. } => "give the pod's user access: the volume's defaultMode, or the pod's fsGroup".into(),
            Self::Empty { .. } => format!("it can hold {KNOWN}"),
            Self::Forbidden(forbidden) => forbidden.fix(),
            _ => return None,
        })
    }
}

/// A username and its password.
pub type Basic = (String, SecretString);

/// What a secret directory held when it was read.
#[derive(Debug, Default)]
pub struct Secrets {
    /// `username` and `password`.
    pub basic: Option<Basic>,
    /// `token`, or `bearerToken`.
    pub token: Option<SecretString>,
    /// Docker's documents by their keys, in the order of [`DOCKER_KEYS`]; nothing is known of their content.
    pub docker: Vec<(&'static str, SecretString)>,
    /// `ca.crt`, or `ca-bundle.crt`: PEM, to be trusted besides the usual roots.
    pub ca: Option<Vec<u8>>,
    /// The lines of `.git-credentials`.
    pub stored: Vec<StoredCredential>,
    /// Private keys for ssh, each with the name of its file.
    pub ssh_keys: Vec<(&'static str, SecretString)>,
    /// `passphrase`, or `password` beside a key and without a `username`: what opens those keys.
    pub passphrase: Option<SecretString>,
    /// The hosts that are known to ssh.
    pub known_hosts: Option<String>,
    /// `tls.crt` and `tls.key`: PEM, shown to a host that asks who this is.
    pub client: Option<ClientCertificate>,
    /// The lines of `headers`: shown to a host with each request.
    pub headers: Vec<SecretHeader>,
}

/// A certificate, with those that vouch for it, and its key; both in PEM.
#[derive(Clone, Debug)]
pub struct ClientCertificate {
    pub chain: Vec<u8>,
    pub key: SecretString,
}

impl Secrets {
    fn is_empty(&self) -> bool {
        let http =
            self.basic.is_none() && self.token.is_none() && self.stored.is_empty() && self.client.is_none() && self.headers.is_empty();
        http && self.docker.is_empty() && self.ca.is_none() && self.ssh_keys.is_empty() && self.known_hosts.is_none()
    }

    /// The line of `.git-credentials` for this URL's origin; where the URL names a user, for that user.
    pub fn stored_for(&self, url: &url::Url) -> Option<&StoredCredential> {
        let origin = url.origin().ascii_serialization();
        let user = percent_encoding::percent_decode_str(url.username()).decode_utf8_lossy();
        self.stored.iter().find(|line| line.origin == origin && (user.is_empty() || line.username == user))
    }
}

/// A directory that holds a secret. Holds a path, no values; every file is judged by the guard when it is open.
#[derive(Clone, Debug)]
pub struct SecretDir {
    path: PathBuf,
    guard: Guard,
}

impl SecretDir {
    pub fn new(path: impl Into<PathBuf>, guard: Guard) -> Self {
        Self { path: path.into(), guard }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Everything usable that is there now; an error where there is nothing.
    pub fn read(&self) -> Result<Secrets, SecretError> {
        self.guard.file(&self.path)?;
        file::check_directory(&self.path)?;
        let mut keys = Keys { directory: self.version(), guard: &self.guard };
        for _ in 1..MOST_READINGS {
            let read = keys.read();
            let now = self.version();
            if now == keys.directory {
                return read;
            }
            keys.directory = now;
        }
        keys.read()
    }

    /// Kubernetes' atomic writer (kubelet, `AtomicWriter`) changes a mounted secret by one rename of the link `..data`: what is
    /// read through it belongs together. A link that leads out of the directory is not one of its making.
    fn version(&self) -> PathBuf {
        let inside = |data: &PathBuf| fs::canonicalize(&self.path).is_ok_and(|directory| data.starts_with(directory));
        fs::canonicalize(self.path.join("..data")).ok().filter(inside).unwrap_or_else(|| self.path.clone())
    }
}

/// The keys of one directory.
struct Keys<'a> {
    directory: PathBuf,
    guard: &'a Guard,
}

impl Keys<'_> {
    fn read(&self) -> Result<Secrets, SecretError> {
        let ssh_keys = self.ssh_keys()?;
        let (basic, passphrase) = self.passwords(!ssh_keys.is_empty())?;
        let secrets = Secrets {
            basic,
            passphrase,
            ssh_keys,
            known_hosts: self.bytes("known_hosts")?.map(|bytes| self.utf8("known_hosts", bytes)).transpose()?,
            client: self.client()?,
            token: self.either("token", "bearerToken")?,
            docker: self.docker()?,
            ca: self.first_bytes("ca.crt", "ca-bundle.crt")?,
            stored: self.stored()?,
            headers: self.headers()?,
        };
        let authorization = secrets.headers.iter().any(|(name, _)| *name == http::header::AUTHORIZATION);
        if authorization && (secrets.basic.is_some() || secrets.token.is_some() || !secrets.stored.is_empty()) {
            let rule = "says what Authorization is, and another key of the directory does too".to_owned();
            return Err(SecretError::Malformed { path: self.directory.join("headers"), rule });
        }
        if secrets.is_empty() { Err(SecretError::Empty { path: self.directory.clone() }) } else { Ok(secrets) }
    }

    fn docker(&self) -> Result<Vec<(&'static str, SecretString)>, SecretError> {
        let mut documents = Vec::new();
        for key in DOCKER_KEYS {
            let Some(bytes) = self.bytes(key)? else { continue };
            documents.push((key, SecretString::from(self.utf8(key, bytes)?)));
        }
        Ok(documents)
    }

    /// Who this is by name and word, and what opens the keys for ssh: Flux keeps that as `password`, beside no username.
    fn passwords(&self, with_key: bool) -> Result<(Option<Basic>, Option<SecretString>), SecretError> {
        use secrecy::ExposeSecret;
        let malformed = |rule: &str| SecretError::Malformed { path: self.directory.clone(), rule: rule.into() };
        let passphrase = self.text("passphrase")?;
        match (self.text("username")?, self.text("password")?) {
            (Some(username), Some(password)) => {
                let username = username.expose_secret().to_owned();
                // RFC 7617, section 2: a user-id with a colon cannot be told from the password.
                if username.contains(':') {
                    return Err(malformed("holds a username with a colon"));
                }
                Ok((Some((username, password)), passphrase))
            }
            (None, None) => Ok((None, passphrase)),
            (None, password) if with_key => Ok((None, passphrase.or(password))),
            (Some(_), None) => Err(malformed("holds a username without a password")),
            (None, Some(_)) => Err(malformed("holds a password without a username (a token alone belongs in the key `token`)")),
        }
    }

    fn ssh_keys(&self) -> Result<Vec<(&'static str, SecretString)>, SecretError> {
        let mut keys = Vec::new();
        for name in SSH_KEYS {
            let Some(bytes) = self.bytes(name)? else { continue };
            keys.push((name, SecretString::from(self.utf8(name, bytes)?)));
        }
        Ok(keys)
    }

    fn client(&self) -> Result<Option<ClientCertificate>, SecretError> {
        let malformed = |rule: &str| SecretError::Malformed { path: self.directory.clone(), rule: rule.into() };
        match (self.bytes("tls.crt")?, self.bytes("tls.key")?) {
            (Some(chain), Some(key)) => Ok(Some(ClientCertificate { chain, key: SecretString::from(self.utf8("tls.key", key)?) })),
            (None, None) => Ok(None),
            (Some(_), None) => Err(malformed("holds a tls.crt without its tls.key")),
            (None, Some(_)) => Err(malformed("holds a tls.key without its tls.crt")),
        }
    }

    fn either(&self, key: &str, other: &str) -> Result<Option<SecretString>, SecretError> {
        self.text(key)?.map_or_else(|| self.text(other), |text| Ok(Some(text)))
    }

    fn first_bytes(&self, key: &str, other: &str) -> Result<Option<Vec<u8>>, SecretError> {
        self.bytes(key)?.map_or_else(|| self.bytes(other), |bytes| Ok(Some(bytes)))
    }

    fn stored(&self) -> Result<Vec<StoredCredential>, SecretError> {
        let key = ".git-credentials";
        self.bytes(key)?.map_or_else(
            || Ok(Vec::new()),
            |bytes| stored::parse(&bytes).map_err(|rule| SecretError::Malformed { path: self.directory.join(key), rule }),
        )
    }

    fn headers(&self) -> Result<Vec<SecretHeader>, SecretError> {
        let key = "headers";
        let Some(bytes) = self.bytes(key)? else { return Ok(Vec::new()) };
        let malformed = |rule| SecretError::Malformed { path: self.directory.join(key), rule };
        headers::parse(&self.utf8(key, bytes)?).map_err(malformed)
    }

    fn bytes(&self, key: &str) -> Result<Option<Vec<u8>>, SecretError> {
        file::read(&self.directory.join(key), self.guard)
    }

    fn utf8(&self, key: &str, bytes: Vec<u8>) -> Result<String, SecretError> {
        String::from_utf8(bytes).map_err(|_| SecretError::Malformed { path: self.directory.join(key), rule: "is not UTF-8".into() })
    }

    /// One value, on one line: the line end that editors and `echo` leave is not part of it.
    fn text(&self, key: &str) -> Result<Option<SecretString>, SecretError> {
        let Some(bytes) = self.bytes(key)? else { return Ok(None) };
        let malformed = |rule: &str| SecretError::Malformed { path: self.directory.join(key), rule: rule.into() };
        let mut text = self.utf8(key, bytes)?;
        text.truncate(text.trim_end_matches(['\n', '\r']).len());
        if text.is_empty() {
            return Err(malformed("is empty"));
        }
        if text.chars().any(char::is_control) {
            return Err(malformed("holds a line break or another control character within its value"));
        }
        Ok(Some(SecretString::from(text)))
    }
}

#[cfg(test)]
mod tests;
