//! What a request gives to RUN steps by mounts: secrets and agents of ssh. Nothing is read here but variables.

use std::path::PathBuf;

use secrecy::SecretString;

use crate::config::Environment;
use crate::config::env::text;
use crate::config::error::ConfigError;
use crate::config::policy::Policy;
use crate::config::request::{SecretDoc, SecretFields, SshDoc, SshFields};
use crate::config::settings::{BuildSecret, BuildSsh, SecretFrom, SshFrom};

/// Secrets, and agents, of one request.
const MOST: usize = 64;

/// Variables with these beginnings are for this program and for Docker's, and are no request's to read.
const OWN: [&str; 2] = ["PODWRIGHT_", "DOCKER_"];

pub fn secrets(written: Vec<SecretDoc>, policy: &Policy, env: &dyn Environment) -> Result<Vec<BuildSecret>, ConfigError> {
    let mut secrets: Vec<BuildSecret> = Vec::new();
    for (index, written) in written.into_iter().enumerate() {
        let field = format!("build.secrets[{index}]");
        let fields = match written {
            SecretDoc::Fields(fields) => fields,
            SecretDoc::Text(text) => parsed(&field, &text)?,
        };
        let from = match (fields.file, fields.env) {
            (Some(path), None) => SecretFrom::File(policy.readable_file(&field, &path)?),
            (None, Some(name)) => variable(&field, name, env)?,
            _ => {
                return Err(ConfigError::invalid(
                    field,
                    "names not one of file and env",
                    "write id=npm,src=/secrets/npm or id=token,env=TOKEN",
                ));
            }
        };
        let known: Vec<&str> = secrets.iter().map(|other| &*other.id).collect();
        let id = id(&field, fields.id, &known)?;
        secrets.push(BuildSecret { id, from });
    }
    Ok(secrets)
}

/// As `docker build --secret` reads it (docker/buildx, util/buildflags/secrets.go): `type`, `id`, `src` or `source`, `env`.
fn parsed(field: &str, text: &str) -> Result<SecretFields, ConfigError> {
    let invalid = |what: &str| Err(ConfigError::invalid(field, what, "write id=npm,src=/secrets/npm or id=token,env=TOKEN"));
    let mut fields = SecretFields::default();
    let mut is_env = false;
    for part in text.split(',') {
        match part.split_once('=') {
            Some(("id", id)) => id.clone_into(&mut fields.id),
            Some(("src" | "source", path)) => fields.file = Some(path.to_owned()),
            Some(("env", name)) => fields.env = Some(name.to_owned()),
            Some(("type", "file")) => {}
            Some(("type", "env")) => is_env = true,
            _ => return invalid("holds something else than type, id, src and env"),
        }
    }
    if is_env && fields.env.is_none() {
        fields.env = fields.file.take();
    }
    if fields.file.is_none() && fields.env.is_none() {
        // What docker does: the variable of that name.
        fields.env = Some(fields.id.clone());
    }
    Ok(fields)
}

fn variable(field: &str, name: String, env: &dyn Environment) -> Result<SecretFrom, ConfigError> {
    if OWN.iter().any(|own| name.starts_with(own)) {
        return Err(ConfigError::invalid(
            field,
            "names a variable of this program's own",
            "give the secret a variable or a file of its own",
        ));
    }
    match text(env, &name)? {
        Some(value) => Ok(SecretFrom::Env(name, SecretString::from(value))),
        None => {
            Err(ConfigError::invalid(field, format!("names the variable {name:?}, which this pod does not have"), "set it from a Secret"))
        }
    }
}

pub fn ssh(written: Vec<SshDoc>, policy: &Policy, env: &dyn Environment) -> Result<Vec<BuildSsh>, ConfigError> {
    let mut agents: Vec<BuildSsh> = Vec::new();
    for (index, written) in written.into_iter().enumerate() {
        let field = format!("build.ssh[{index}]");
        let (name, keys) = match written {
            SshDoc::Fields(SshFields { id, key }) => (id, key.into_iter().collect::<Vec<_>>()),
            SshDoc::Text(text) => match text.split_once('=') {
                Some((id, paths)) => (id.to_owned(), paths.split(',').map(str::to_owned).collect()),
                None => (text, Vec::new()),
            },
        };
        let from = if keys.is_empty() {
            let socket = env.get("SSH_AUTH_SOCK").filter(|path| !path.is_empty()).map(PathBuf::from);
            let fix = "name a key, as in default=/secrets/git/ssh-privatekey, or set SSH_AUTH_SOCK";
            SshFrom::Socket(socket.ok_or_else(|| ConfigError::invalid(&field, "names no key, and this pod has no agent", fix))?)
        } else {
            SshFrom::Keys(keys.iter().map(|path| policy.readable_file(&field, path)).collect::<Result<_, _>>()?)
        };
        let known: Vec<&str> = agents.iter().map(|other| &*other.id).collect();
        let id = id(&field, name, &known)?;
        agents.push(BuildSsh { id, from });
    }
    Ok(agents)
}

fn id(field: &str, id: String, known: &[&str]) -> Result<String, ConfigError> {
    let invalid = |what: &str, fix: &str| Err(ConfigError::invalid(field, what, fix));
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'/' | b':');
    match id {
        _ if known.len() >= MOST => invalid("is one too many", "leave some out"),
        id if id.is_empty() || id.len() > 128 || !id.bytes().all(good) => invalid("has no id that a mount can name", "write id=NAME"),
        id if known.contains(&&*id) => invalid("has the id of another one", "give each its own"),
        id => Ok(id),
    }
}
