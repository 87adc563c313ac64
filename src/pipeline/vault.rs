//! What a request gives to the steps of its build, read when one asks for it.

use std::path::Path;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretSlice, SecretString};

use crate::config::Settings;
use crate::config::settings::{SecretFrom, SshFrom};
use crate::engine::{EngineError, Vault};
use crate::net::{SshAgent, SshKey};
use crate::support::redact::Redactor;
use crate::support::secretdir::file;

/// The settings' secrets and agents. What is handed out is masked in all that this run says.
pub struct SettingsVault {
    pub settings: Arc<Settings>,
    pub redactor: Arc<Redactor>,
}

impl SettingsVault {
    fn read(&self, field: &'static str, id: &str, path: &Path) -> Result<Vec<u8>, EngineError> {
        let failed = |message: String| EngineError::Secret { field, id: id.to_owned(), message };
        match file::read(path, self.settings.policy.guard()) {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(failed(format!("there is no file {}", path.display()))),
            Err(error) => Err(failed(error.to_string())),
        }
    }

    /// A step may print all of it, or one line.
    fn mask(&self, bytes: &[u8]) {
        let Ok(text) = std::str::from_utf8(bytes) else { return };
        self.redactor.add(&SecretString::from(text));
        for line in text.lines() {
            self.redactor.add(&SecretString::from(line));
        }
    }

    fn key(&self, id: &str, path: &Path) -> Result<SshKey, EngineError> {
        const FIELD: &str = "build.ssh";
        let failed = |message: String| EngineError::Secret { field: FIELD, id: id.to_owned(), message };
        let text = |bytes: Vec<u8>| SecretString::from(String::from_utf8_lossy(&bytes).into_owned());
        let key = text(self.read(FIELD, id, path)?);
        let beside =
            file::read(&path.with_file_name("passphrase"), self.settings.policy.guard()).map_err(|error| failed(error.to_string()))?;
        let passphrase = beside.map(text).map(|word| SecretString::from(word.expose_secret().trim_end_matches(['\r', '\n'])));
        if let Some(word) = &passphrase {
            self.redactor.add(word);
        }
        SshKey::parse(&key, passphrase.as_ref()).map_err(|why| failed(format!("{} {why}", path.display())))
    }
}

impl Vault for SettingsVault {
    fn secret(&self, id: &str) -> Result<Option<SecretSlice<u8>>, EngineError> {
        let Some(secret) = self.settings.build.secrets.iter().find(|secret| secret.id == id) else { return Ok(None) };
        let bytes = match &secret.from {
            SecretFrom::File(path) => self.read("build.secrets", id, path)?,
            SecretFrom::Env(_, value) => value.expose_secret().as_bytes().to_vec(),
        };
        self.mask(&bytes);
        Ok(Some(bytes.into()))
    }

    fn agent(&self, id: &str) -> Result<Option<SshAgent>, EngineError> {
        let Some(ssh) = self.settings.build.ssh.iter().find(|ssh| ssh.id == id) else { return Ok(None) };
        Ok(Some(match &ssh.from {
            SshFrom::Socket(path) => SshAgent::Socket(path.clone()),
            SshFrom::Keys(paths) => SshAgent::Keys(paths.iter().map(|path| self.key(id, path)).collect::<Result<_, _>>()?),
        }))
    }
}
