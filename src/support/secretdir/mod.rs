//! Secret directories, as Kubernetes mounts them and as git-sync, Flux and Tekton know them: one file for each key.
//!
//! Which keys are there says what kind of secret it is. Files are read anew at every use, since a mounted secret is rotated
//! under a running pod. No error shows a value, and nothing here knows which host a secret is for, but for
//! `.git-credentials`, whose lines say it themselves.

mod file;
mod stored;

use std::io;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use super::guard::{Forbidden, Guard};
pub use stored::StoredCredential;

/// What a secret directory can hold that this version uses, for error texts.
const KNOWN: &str = "username and password, token or bearerToken, .dockerconfigjson, config.json, .dockercfg, .git-credentials, ca.crt";

/// Keys that are known, and used by a later version.
const LATER: [&str; 6] = ["tls.crt", "tls.key", "ssh-privatekey", "ssh", "identity", "known_hosts"];

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
    #[error("{} holds only {keys}, which this version does not use yet", path.display())]
    NotBuilt { path: PathBuf, keys: String },
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
            Self::NotBuilt { .. } | Self::Empty { .. } => format!("it can hold {KNOWN}"),
            _ => return None,
        })
    }
}

/// What a secret directory held when it was read.
#[derive(Debug, Default)]
pub struct Secrets {
    /// `username` and `password`.
    pub basic: Option<(String, SecretString)>,
    /// `token`, or `bearerToken`.
    pub token: Option<SecretString>,
    /// `.dockerconfigjson`, or `config.json`: Docker's configuration, JSON.
    pub docker_config: Option<SecretString>,
    /// `.dockercfg`: the older form, a map of hosts alone, JSON.
    pub docker_cfg: Option<SecretString>,
    /// `ca.crt`, or `ca-bundle.crt`: PEM, to be trusted besides the usual roots.
    pub ca: Option<Vec<u8>>,
    /// The lines of `.git-credentials`.
    pub stored: Vec<StoredCredential>,
}

impl Secrets {
    fn is_empty(&self) -> bool {
        self.basic.is_none()
            && self.token.is_none()
            && self.docker_config.is_none()
            && self.docker_cfg.is_none()
            && self.ca.is_none()
            && self.stored.is_empty()
    }

    /// The line of `.git-credentials` for this URL's origin; where the URL names a user, for that user.
    pub fn stored_for(&self, url: &url::Url) -> Option<&StoredCredential> {
        let origin = url.origin().ascii_serialization();
        let user = Some(url.username()).filter(|user| !user.is_empty());
        self.stored.iter().find(|line| line.origin == origin && user.is_none_or(|user| line.username == user))
    }
}

/// A directory that holds a secret. Holds a path, no values.
#[derive(Clone, Debug)]
pub struct SecretDir {
    path: PathBuf,
    guard: Guard,
}

impl SecretDir {
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), guard: Guard::default() }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Everything usable that is there now; an error where there is nothing.
    pub fn read(&self) -> Result<Secrets, SecretError> {
        self.guard.file(&self.path)?;
        file::check_directory(&self.path)?;
        let secrets = Secrets {
            basic: self.basic()?,
            token: self.either("token", "bearerToken")?,
            docker_config: self.either(".dockerconfigjson", "config.json")?,
            docker_cfg: self.text(".dockercfg")?,
            ca: self.first_bytes("ca.crt", "ca-bundle.crt")?,
            stored: self.stored()?,
        };
        if secrets.is_empty() { Err(self.nothing_usable()) } else { Ok(secrets) }
    }

    fn basic(&self) -> Result<Option<(String, SecretString)>, SecretError> {
        use secrecy::ExposeSecret;
        let malformed = |rule: &str| SecretError::Malformed { path: self.path.clone(), rule: rule.into() };
        match (self.text("username")?, self.text("password")?) {
            (Some(username), Some(password)) => {
                let username = username.expose_secret().to_owned();
                // RFC 7617, section 2: a user-id with a colon cannot be told from the password.
                if username.contains(':') { Err(malformed("holds a username with a colon")) } else { Ok(Some((username, password))) }
            }
            (None, None) => Ok(None),
            (Some(_), None) => Err(malformed("holds a username without a password")),
            (None, Some(_)) => Err(malformed("holds a password without a username (a token alone belongs in the key `token`)")),
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
            |bytes| stored::parse(&bytes).map_err(|rule| SecretError::Malformed { path: self.path.join(key), rule }),
        )
    }

    fn bytes(&self, key: &str) -> Result<Option<Vec<u8>>, SecretError> {
        file::read(&self.path.join(key), &self.guard)
    }

    /// One value: the line end that editors and `echo` leave is not part of it. JSON may have lines, a token may not.
    fn text(&self, key: &str) -> Result<Option<SecretString>, SecretError> {
        let Some(bytes) = self.bytes(key)? else { return Ok(None) };
        let malformed = |rule: &str| SecretError::Malformed { path: self.path.join(key), rule: rule.into() };
        let mut text = String::from_utf8(bytes).map_err(|_| malformed("is not UTF-8"))?;
        text.truncate(text.trim_end_matches(['\n', '\r']).len());
        if text.is_empty() {
            return Err(malformed("is empty"));
        }
        let json = key.starts_with(".docker") || key == "config.json";
        if !json && text.chars().any(char::is_control) {
            return Err(malformed("holds a line break or another control character within its value"));
        }
        Ok(Some(SecretString::from(text)))
    }

    fn nothing_usable(&self) -> SecretError {
        let later: Vec<&str> = LATER.into_iter().filter(|key| self.path.join(key).exists()).collect();
        let path = self.path.clone();
        if later.is_empty() { SecretError::Empty { path } } else { SecretError::NotBuilt { path, keys: later.join(", ") } }
    }
}

#[cfg(test)]
mod tests;
