//! Docker's own places for credentials, asked in order, read anew at every call: the first source that has an entry wins.
//!
//! It never runs a credential helper, never takes one host's credential for another's, and hands every secret it reads to the
//! redactor before anybody else sees it.

use std::ffi::OsStr;
use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};

use super::RegistryError;
use super::credentials::{Form, Found, Store};
use crate::model::Reference;
use crate::model::keychain::{Credential, Keychain};
use crate::support::guard::Guard;
use crate::support::redact::Redactor;
use crate::support::secretdir::{SecretDir, file};

/// Where credentials are kept.
#[derive(Clone, Debug)]
pub enum Source {
    /// A mounted secret: one of Docker's documents, or `username` and `password` (`kubernetes.io/basic-auth`), which name no
    /// registry and are for these `host[:port]` alone. It was asked for, so it must be there.
    Directory { secret: SecretDir, hosts: Vec<String> },
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
            Source::Directory { secret, hosts } => self.load_directory(&mut store, secret, hosts)?,
            Source::Inline(document) => {
                let document = document.expose_secret().as_bytes();
                store.read(document, Form::Config, &self.redactor).map_err(|problem| bad("DOCKER_AUTH_CONFIG", problem))?;
            }
            Source::File(path) => {
                // Named by the pod's environment, so not bound by the operator's roots.
                if let Some(document) = file::read(path, &Guard::default())? {
                    store.read(&document, Form::Config, &self.redactor).map_err(|problem| bad(path.display(), problem))?;
                }
            }
        }
        Ok(store)
    }

    fn load_directory(&self, store: &mut Store, secret: &SecretDir, hosts: &[String]) -> Result<(), RegistryError> {
        let secrets = secret.read()?;
        for (key, document) in &secrets.docker {
            let form = if *key == ".dockercfg" { Form::Legacy } else { Form::Config };
            let read = store.read(document.expose_secret().as_bytes(), form, &self.redactor);
            read.map_err(|problem| bad(secret.path().join(key).display(), problem))?;
        }
        if let Some((username, password)) = &secrets.basic {
            self.redactor.add_basic(username, password);
            for host in hosts {
                store.add(host, Credential::Basic { username: username.clone(), password: password.clone() });
            }
        } else if secrets.docker.is_empty() {
            let looked_for = "it has none of .dockerconfigjson, config.json, .dockercfg, or username and password";
            return Err(bad(secret.path().display(), looked_for));
        }
        Ok(())
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
