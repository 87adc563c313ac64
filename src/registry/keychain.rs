//! Docker's own places for credentials, asked in order, read anew at every call: the first source that has an entry wins.
//!
//! It never runs a credential helper, never takes one host's credential for another's, and hands every secret it reads to the
//! redactor before anybody else sees it.

use std::ffi::OsStr;
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::RegistryError;
use super::credentials::{Form, Found, Store};
use crate::model::Reference;
use crate::model::keychain::{Credential, Keychain};
use crate::support::limits::SECRET_BYTES;
use crate::support::redact::Redactor;

/// What a mounted secret may hold, in the order it is asked (Kubernetes: `kubernetes.io/dockerconfigjson`, `dockercfg`).
const DOCUMENTS: [(&str, Form); 3] = [(".dockerconfigjson", Form::Config), ("config.json", Form::Config), (".dockercfg", Form::Legacy)];

/// Where credentials are kept.
#[derive(Clone, Debug)]
pub enum Source {
    /// A mounted secret: one of Docker's documents, or `username` and `password` (`kubernetes.io/basic-auth`), which name no
    /// registry and are for these `host[:port]` alone. It was asked for, so it must be there.
    Directory { path: PathBuf, hosts: Vec<String> },
    /// The document itself, as `DOCKER_AUTH_CONFIG` holds it.
    Inline(SecretString),
    /// A `config.json`; nothing where it is not there.
    File(PathBuf),
}

/// `$DOCKER_CONFIG/config.json`, else `~/.docker/config.json` (docker/cli, cli/config/config.go).
pub fn config_path(docker_config: Option<&OsStr>, home: Option<&OsStr>) -> Option<PathBuf> {
    let given = |value: Option<&OsStr>| value.filter(|value| !value.is_empty()).map(PathBuf::from);
    given(docker_config).or_else(|| Some(given(home)?.join(".docker"))).map(|directory| directory.join("config.json"))
}

/// The keychain of a run.
#[derive(Clone)]
pub struct DockerKeychain {
    sources: Vec<Source>,
    redactor: Arc<Redactor>,
}

impl DockerKeychain {
    /// The sources in the order they are asked.
    pub fn new(sources: Vec<Source>, redactor: Arc<Redactor>) -> Self {
        Self { sources, redactor }
    }

    fn find(&self, host: &str, repository: &str) -> Result<Option<Credential>, RegistryError> {
        let mut helper = None;
        for source in &self.sources {
            match self.load(source)?.find(host, repository) {
                Found::Credential(credential) => return Ok(Some(credential)),
                Found::Helper(name) => helper = helper.or(Some(name)),
                Found::Nothing => {}
            }
        }
        match helper {
            Some(helper) => Err(RegistryError::Helper { host: host.to_owned(), helper }),
            None => Ok(None),
        }
    }

    fn load(&self, source: &Source) -> Result<Store, RegistryError> {
        let mut store = Store::default();
        match source {
            Source::Directory { path, hosts } => self.load_directory(&mut store, path, hosts)?,
            Source::Inline(document) => {
                let document = document.expose_secret().as_bytes();
                store.read(document, Form::Config, &self.redactor).map_err(|problem| bad("DOCKER_AUTH_CONFIG", problem))?;
            }
            Source::File(path) => {
                self.load_document(&mut store, path, Form::Config)?;
            }
        }
        Ok(store)
    }

    /// Whether the document was there.
    fn load_document(&self, store: &mut Store, path: &Path, form: Form) -> Result<bool, RegistryError> {
        let Some(document) = read(path)? else { return Ok(false) };
        store.read(&document, form, &self.redactor).map_err(|problem| bad(path.display(), problem))?;
        Ok(true)
    }

    fn load_directory(&self, store: &mut Store, path: &Path, hosts: &[String]) -> Result<(), RegistryError> {
        if !fs::metadata(path).is_ok_and(|metadata| metadata.is_dir()) {
            return Err(bad(path.display(), "it is not a directory that this pod can see"));
        }
        // A mounted secret changes by one rename of this link: what is read through it belongs together.
        let root = fs::canonicalize(path.join("..data")).unwrap_or_else(|_| path.to_owned());
        let mut found = false;
        for (name, form) in DOCUMENTS {
            found |= self.load_document(store, &root.join(name), form)?;
        }
        let (username, password) = (read_line(&root.join("username"))?, read_line(&root.join("password"))?);
        match (username, password) {
            (Some(username), Some(password)) => {
                self.redactor.add_basic(username.expose_secret(), &password);
                for host in hosts {
                    let username = username.expose_secret().to_owned();
                    store.add(host, Credential::Basic { username, password: password.clone() });
                }
                found = true;
            }
            (None, None) => {}
            (Some(_), None) => return Err(bad(path.display(), "it has a username and no password")),
            (None, Some(_)) => return Err(bad(path.display(), "it has a password and no username")),
        }
        let looked_for = "it has none of .dockerconfigjson, config.json, .dockercfg, or username and password";
        if found { Ok(()) } else { Err(bad(path.display(), looked_for)) }
    }
}

impl Keychain for DockerKeychain {
    type Error = RegistryError;

    fn resolve(&self, reference: &Reference) -> Result<Option<Credential>, RegistryError> {
        self.find(reference.host(), reference.repository())
    }

    fn for_host(&self, host: &str) -> Result<Option<Credential>, RegistryError> {
        self.find(host, "")
    }

    /// The Hub is `docker.io` here. What only a helper knows is left out.
    fn hosts(&self) -> Result<Vec<String>, RegistryError> {
        let mut hosts: Vec<String> = Vec::new();
        for source in &self.sources {
            for host in self.load(source)?.hosts() {
                if !hosts.iter().any(|known| known == host) {
                    hosts.push(host.to_owned());
                }
            }
        }
        Ok(hosts)
    }
}

fn bad(place: impl Display, problem: impl Into<String>) -> RegistryError {
    RegistryError::Secret { place: format!("{place}"), problem: problem.into() }
}

/// A file, bounded; `None` where there is none. One that is there and cannot be read is an error.
fn read(path: &Path) -> Result<Option<Vec<u8>>, RegistryError> {
    let unreadable = |error: std::io::Error| {
        bad(path.display(), format!("this pod (uid {}) cannot read it: {error}", rustix::process::geteuid().as_raw()))
    };
    // Asked before it is opened: opening a pipe would wait for its writer.
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => return Err(bad(path.display(), "it is not a regular file")),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
        Err(error) => return Err(unreadable(error)),
    }
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(SECRET_BYTES + 1).read_to_end(&mut bytes)).map_err(unreadable)?;
    if bytes.len() as u64 > SECRET_BYTES {
        return Err(bad(path.display(), format!("it has more than {SECRET_BYTES} bytes, the limit for a secret")));
    }
    Ok(Some(bytes))
}

/// A key of a secret that holds one word; the line end that editors and `echo` leave is not part of it.
fn read_line(path: &Path) -> Result<Option<SecretString>, RegistryError> {
    let Some(bytes) = read(path)? else { return Ok(None) };
    let text = String::from_utf8(bytes).map_err(|_| bad(path.display(), "it is not UTF-8"))?;
    let word = text.trim_end_matches(['\r', '\n']);
    if word.is_empty() { Err(bad(path.display(), "it is empty")) } else { Ok(Some(SecretString::from(word))) }
}
