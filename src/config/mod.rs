//! From a document, variables and flags to [`Settings`]: the only way in.
//!
//! ```text
//!  document ── parse ── check against the schema ─┐
//!  PODWRIGHT_* ── layer ──────────────────────────┼─► merge ── check ── resolve ─► Settings
//!  flags ── layer ────────────────────────────────┘                        ▲
//!  the operator's --allow, the usual variables ────────────────────────────┘
//! ```
//!
//! Flags are stronger than variables, variables than the document, field by field. What is not built is refused, never
//! ignored; what is refused is named by its path, with the fix, and never by a value that may be a secret. Nothing here
//! opens a connection, writes a file or reads a secret: paths of secrets are checked and passed on.

pub mod address;
pub mod ambient;
pub mod check;
pub mod document;
pub mod env;
pub mod error;
pub mod fields;
pub mod git_context;
pub mod layer;
pub mod policy;
pub mod request;
mod resolve;
pub mod settings;
pub mod units;

use std::io::Read;
use std::time::Duration;

use serde_json::Value;

pub use ambient::Ambient;
pub use env::{Env, Environment};
pub use error::ConfigError;
pub use layer::Layer;
pub use policy::Policy;
pub use settings::{ResultSinks, Settings};

use layer::Merged;

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--request`: a file, or `-` for standard input.
    pub request: Option<String>,
    /// The fields that flags set.
    pub layer: Layer,
    /// `--output`: only the source is fetched, into this directory.
    pub output: Option<String>,
    /// `--allow`, each as it was written.
    pub allow: Vec<String>,
    /// `--allow-path`, each as it was written.
    pub allow_paths: Vec<String>,
}

/// A request that was turned down, with what is still known of it: a run that never began has a result all the same.
#[derive(Debug)]
pub struct Rejected {
    pub error: ConfigError,
    pub known: Known,
}

/// What can be known of a request that is not, or not yet, whole.
#[derive(Clone, Debug)]
pub struct Known {
    pub name: Option<String>,
    pub result: ResultSinks,
    pub deadline: Duration,
}

impl Known {
    /// What flags and variables say, before the document is read: no file is opened for it, so that nothing can hold it up.
    pub fn beforehand(overrides: &Overrides, env: &dyn Environment) -> Self {
        known(None, env, overrides, &policy(overrides, env))
    }
}

/// Reads everything there is to read and makes settings of it. `stdin` is read only where the request is to come from it.
pub fn load(overrides: &Overrides, env: &dyn Environment, stdin: &mut dyn Read) -> Result<Settings, Box<Rejected>> {
    // The parts are read first, each on its own, so that a mistake in one does not hide where the result is to go.
    let document = document(overrides, env, stdin);
    let layer = env::layer(env);
    let policy = policy(overrides, env);
    let known = known(document.as_ref().ok(), env, overrides, &policy);
    let settings = || {
        let (document, policy) = (document?, policy?);
        let schema = check::schema();
        check::check(&document, &schema)?;
        let mut merged = Merged::new(document);
        merged.lay(&layer?)?;
        merged.lay(&overrides.layer)?;
        merged.settle()?;
        check::check(&merged.document, &schema)?;
        let settings = resolve::resolve(merged, overrides.output.as_deref(), policy, env)?;
        if settings.reads_stdin() && overrides.request.as_deref() == Some("-") {
            let fix = "put the request into a file or into PODWRIGHT_REQUEST";
            return Err(ConfigError::invalid("source.archive.stdin", "is wanted, but standard input was the request", fix));
        }
        Ok(settings)
    };
    settings().map_err(|error| Box::new(Rejected { error, known }))
}

/// The document, from the strongest of the places where there is one; an empty map where there is none.
fn document(overrides: &Overrides, env: &dyn Environment, stdin: &mut dyn Read) -> Result<Value, ConfigError> {
    match overrides.request.as_deref() {
        Some("-") => {
            let text = env::bounded(stdin).map_err(|what| unread("--request", "standard input", what))?;
            document::parse(&text, "on standard input")
        }
        Some(path) => document::parse(&env::read("--request", path, true)?, &format!("in {}", error::shown(path))),
        None => match env::ours(env, "REQUEST", true)? {
            Some(text) => document::parse(&text, "in PODWRIGHT_REQUEST"),
            None => Ok(Value::Object(serde_json::Map::new())),
        },
    }
}

fn unread(path: &str, file: &str, what: String) -> ConfigError {
    ConfigError::Unreadable { path: path.into(), file: file.into(), what }
}

/// What the operator allows, by flags and variables together.
fn policy(overrides: &Overrides, env: &dyn Environment) -> Result<Policy, ConfigError> {
    let mut policy = Policy::default();
    for name in items(env::ours(env, "ALLOW", false)?.as_deref(), &[',']) {
        policy.allow("PODWRIGHT_ALLOW", name)?;
    }
    for name in &overrides.allow {
        policy.allow("--allow", name)?;
    }
    for path in items(env::ours(env, "ALLOW_PATH", false)?.as_deref(), &[',', ':']) {
        policy.allow_path("PODWRIGHT_ALLOW_PATH", path)?;
    }
    for path in &overrides.allow_paths {
        policy.allow_path("--allow-path", path)?;
    }
    Ok(policy)
}

fn items<'a>(text: Option<&'a str>, separators: &'static [char]) -> impl Iterator<Item = &'a str> {
    text.unwrap_or_default().split(separators).map(str::trim).filter(|item| !item.is_empty())
}

/// Each from the strongest place that can be read and may be meant.
fn known(document: Option<&Value>, env: &dyn Environment, overrides: &Overrides, policy: &Result<Policy, ConfigError>) -> Known {
    let find = |path: &str| {
        let flag = overrides.layer.get(path).and_then(Value::as_str).map(str::to_owned);
        let variable = || fields::at(path).and_then(|field| env::ours(env, field.variable, false).ok().flatten());
        let pointer = format!("/{}", path.replace('.', "/"));
        let written = || document.and_then(|document| document.pointer(&pointer)).and_then(Value::as_str).map(str::to_owned);
        flag.or_else(variable).or_else(written)
    };
    let fallback = Policy::default();
    let policy = policy.as_ref().unwrap_or(&fallback);
    let sink = |file: Option<&str>, message: Option<&str>| resolve::sinks(file, message, policy).unwrap_or_default();
    let file = sink(find("result.file").as_deref(), None).file;
    let termination_message = sink(None, find("result.terminationMessage").as_deref()).termination_message;
    Known {
        name: find("name").and_then(|name| resolve::name(name).ok()),
        result: ResultSinks { file, termination_message },
        deadline: find("deadline").and_then(|text| resolve::deadline(&text).ok()).unwrap_or(settings::DEFAULT_DEADLINE),
    }
}

#[cfg(test)]
mod tests;
