//! Docker's credential documents: `config.json` and `.dockerconfigjson` (docker/cli, cli/config/configfile and types/authconfig.go)
//! and the older `.dockercfg`, which is the map of `auths` alone.
//!
//! One that is there is read strictly: an entry that cannot be understood is an error, never the reason for an anonymous push.
//! No error says what stood in the document.

use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use super::scope::Scope;
use crate::model::keychain::Credential;
use crate::support::redact::Redactor;

/// What docker/cli writes as the user of an identity token (cli/config/credentials/native_store.go, `tokenUsername`).
const TOKEN_USER: &str = "<token>";

/// Docker writes the padding, others leave it out.
const BASE64: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent));

/// Which of the two forms a document has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `{"auths": {…}, "credsStore": …, "credHelpers": {…}}`
    Config,
    /// `{"host": {…}}`
    Legacy,
}

/// What a lookup came to.
#[derive(Debug)]
pub enum Found {
    Credential(Credential),
    /// Only this helper could tell.
    Helper(String),
    Nothing,
}

/// The credentials of one source. Of two entries for the same scope the first holds.
#[derive(Debug, Default)]
pub struct Store {
    entries: Vec<(Scope, Option<Credential>)>,
    helpers: Vec<(String, String)>,
    default_helper: Option<String>,
}

impl Store {
    /// Adds a document's entries. The error is what is wrong with it, without any of its content.
    pub fn read(&mut self, document: &[u8], form: Form, redactor: &Arc<Redactor>) -> Result<(), String> {
        let value: Value = serde_json::from_slice(document)
            .map_err(|error| format!("it is not JSON (line {}, column {})", error.line(), error.column()))?;
        let object = value.as_object().ok_or("it is not a JSON object")?;
        let auths = match form {
            Form::Legacy => Some(object),
            Form::Config => map(object, "auths")?,
        };
        for (index, (key, entry)) in auths.into_iter().flatten().enumerate() {
            let credential = credential(entry, redactor).map_err(|problem| format!("entry {} of auths: {problem}", index + 1))?;
            self.entries.push((Scope::parse(key), credential));
        }
        if form == Form::Config {
            for (key, helper) in map(object, "credHelpers")?.into_iter().flatten() {
                let helper = helper.as_str().ok_or("a value of credHelpers is not a string")?;
                self.helpers.push((Scope::parse(key).host, helper.to_owned()));
            }
            self.default_helper = text(object, "credsStore")?.map(str::to_owned).or(self.default_helper.take());
        }
        Ok(())
    }

    /// Adds one credential for all of a host.
    pub fn add(&mut self, host: &str, credential: Credential) {
        let scope = Scope { host: Scope::parse(host).host, path: String::new() };
        self.entries.push((scope, Some(credential)));
    }

    /// The credential for a repository on a host; for the host alone where `repository` is empty.
    pub fn find(&self, host: &str, repository: &str) -> Found {
        for wanted in Scope::candidates(host, repository) {
            let mut entries = self.entries.iter().filter(|(scope, _)| *scope == wanted);
            if let Some(credential) = entries.find_map(|(_, credential)| credential.as_ref()) {
                return Found::Credential(credential.clone());
            }
        }
        let host = Scope::parse(host).host;
        // With a store for all, an empty entry is how `docker login` marks the hosts it holds something for.
        let marked = self.entries.iter().any(|(scope, _)| scope.host == host);
        let own = self.helpers.iter().find(|(of, _)| *of == host).map(|(_, helper)| helper);
        match own.or(self.default_helper.as_ref().filter(|_| marked)) {
            Some(helper) => Found::Helper(helper.clone()),
            None => Found::Nothing,
        }
    }

    /// The hosts that have a credential of their own.
    pub fn hosts(&self) -> impl Iterator<Item = &str> {
        let whole = |(scope, credential): &&(Scope, Option<Credential>)| scope.path.is_empty() && credential.is_some();
        self.entries.iter().filter(whole).map(|(scope, _)| scope.host.as_str())
    }
}

/// One entry of `auths`: what is strongest in it, as the daemon chooses (moby, registry/auth.go: a registry token, an identity
/// token, then the user and password).
fn credential(entry: &Value, redactor: &Redactor) -> Result<Option<Credential>, String> {
    let entry = entry.as_object().ok_or("it is not a JSON object")?;
    let field = |name| text(entry, name).map(|text| text.filter(|text| !text.is_empty()));
    let secret = |text: &str| {
        let secret = SecretString::from(text);
        redactor.add(&secret);
        secret
    };
    let encoded = field("auth")?.map(&secret);
    let (registry_token, identity_token) = (field("registrytoken")?.map(&secret), field("identitytoken")?.map(&secret));
    let basic = match (encoded, field("username")?, field("password")?) {
        (Some(encoded), ..) => Some(decode(&encoded)?),
        (None, Some(username), password) => Some((username.to_owned(), SecretString::from(password.unwrap_or_default()))),
        (None, None, Some(_)) => return Err("it has a password and no username".into()),
        (None, None, None) => None,
    };
    if let Some((username, password)) = &basic {
        redactor.add_basic(username, password);
    }
    Ok(match (registry_token, identity_token, basic) {
        (Some(token), ..) => Some(Credential::Bearer(token)),
        (None, Some(token), _) => Some(Credential::Identity(token)),
        (None, None, Some((username, password))) if username == TOKEN_USER => Some(Credential::Identity(password)),
        (None, None, Some((username, password))) => Some(Credential::Basic { username, password }),
        (None, None, None) => None,
    })
}

/// `base64(user:password)`, with the NULs at the end that docker/cli also trims (configfile/file.go, `decodeAuth`).
fn decode(encoded: &SecretString) -> Result<(String, SecretString), String> {
    let bytes = BASE64.decode(encoded.expose_secret().trim()).map_err(|_| "its auth is not base64")?;
    let text = String::from_utf8(bytes).map_err(|_| "its auth is not UTF-8 in base64")?;
    let (username, password) = text.split_once(':').ok_or("its auth is not user:password in base64")?;
    if username.is_empty() {
        return Err("its auth has no user".into());
    }
    Ok((username.to_owned(), SecretString::from(password.trim_end_matches('\0'))))
}

fn map<'a>(object: &'a Map<String, Value>, name: &str) -> Result<Option<&'a Map<String, Value>>, String> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(map)) => Ok(Some(map)),
        Some(_) => Err(format!("{name} is not a JSON object")),
    }
}

fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Result<Option<&'a str>, String> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("{name} is not a string")),
    }
}
