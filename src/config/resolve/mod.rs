//! From what was written to what is meant: every field checked, and the fields against each other.

mod build;
mod limits;
mod mounts;
mod push;
mod source;
mod step;
mod upload;

use std::path::PathBuf;
use std::time::Duration;

use super::ambient::Ambient;
use super::env::Environment;
use super::error::ConfigError;
use super::layer::Merged;
use super::policy::Policy;
use super::request::{self, LimitsDoc, Request, Size};
use super::settings::{DEFAULT_DEADLINE, ResultSinks, Settings};
use super::units;
use crate::model::Digest;
use crate::support::limits::Limits;

/// Where a run writes if the request names no place: the first of these that can be written, after `$TMPDIR`.
const WORKSPACES: [&str; 2] = ["/workspace", "/tmp"];

/// Resolves a request whose form was checked already.
pub fn resolve(merged: Merged, output: Option<&str>, policy: Policy, env: &dyn Environment) -> Result<Settings, ConfigError> {
    let ambient = Ambient::read(env)?;
    let request: Request = serde_json::from_value(merged.document.clone())
        // The check against the schema finds what serde would, with its path; this is for what both overlooked.
        .map_err(|_| {
            ConfigError::invalid("request", "does not have the form of a request", "compare it with `podwright schema request`")
        })?;
    let source = source::resolve(request.source, &policy)?;
    // What a fetch does not do is not judged: one request can serve the container that fetches and the one that builds.
    let (build, push, registry_secret) = if output.is_some() {
        (build::resolve(request::Build::default(), &policy, env)?, None, None)
    } else {
        let build = build::resolve(request.build, &policy, env)?;
        let (push, secret) = push::resolve(request.push, merged.no_push, &build, &policy)?;
        (build, push, secret)
    };
    Ok(Settings {
        request_digest: digest(merged, &source),
        name: request.name.map(name).transpose()?,
        source,
        build,
        push,
        registry_secret,
        workspace: workspace(request.workspace.as_deref(), &policy, &ambient)?,
        result: sinks(request.result.file.as_deref(), request.result.termination_message.as_deref(), &policy)?,
        output: output.map(|path| policy.writable("--output", path)).transpose()?,
        limits: limits(&request.limits)?,
        deadline: request.deadline.map_or(Ok(DEFAULT_DEADLINE), |text| deadline(&text))?,
        policy,
        ambient,
    })
}

/// The sinks, which are wanted even of a request that is turned down for something else.
pub fn sinks(file: Option<&str>, termination_message: Option<&str>, policy: &Policy) -> Result<ResultSinks, ConfigError> {
    if file.is_some_and(|path| path.starts_with("/dev/")) {
        let fix = "name a file of a volume; the result is on standard output as well";
        return Err(ConfigError::invalid("result.file", "is a device, which cannot be replaced by a whole file", fix));
    }
    let file = file.map(|path| policy.writable("result.file", path)).transpose()?;
    let termination_message = termination_message.map(|path| policy.writable("result.terminationMessage", path)).transpose()?;
    Ok(ResultSinks { file, termination_message })
}

/// A name that can stand in a label, an event and a file's name.
pub fn name(text: String) -> Result<String, ConfigError> {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'/' | b'-');
    if (1..=128).contains(&text.len()) && text.bytes().all(good) && text.as_bytes()[0].is_ascii_alphanumeric() {
        return Ok(text);
    }
    let fix = "use 1 to 128 of A-Z a-z 0-9 . _ / -, a letter or digit first";
    Err(ConfigError::invalid("name", "is too long, or holds a character that a name may not", fix))
}

fn workspace(named: Option<&str>, policy: &Policy, ambient: &Ambient) -> Result<Vec<PathBuf>, ConfigError> {
    match named {
        Some(path) if !path.starts_with('/') => {
            Err(ConfigError::invalid("workspace", "is not absolute", "write the directory from the root on"))
        }
        Some(path) => Ok(vec![policy.writable("workspace", path)?]),
        None => Ok(ambient.tmpdir.iter().cloned().chain(WORKSPACES.map(PathBuf::from)).collect()),
    }
}

fn limits(document: &LimitsDoc) -> Result<Limits, ConfigError> {
    let defaults = Limits::default();
    let given = |field: &str, value: Option<u64>, default: u64| match value {
        Some(0) => Err(ConfigError::invalid(format!("limits.{field}"), "is 0, which would refuse everything", "write a larger number")),
        value => Ok(value.unwrap_or(default)),
    };
    Ok(Limits {
        source_bytes: given("sourceBytes", size("limits.sourceBytes", document.source_bytes.as_ref())?, defaults.source_bytes)?,
        source_entries: given("sourceEntries", document.source_entries, defaults.source_entries)?,
        submodules: given("submodules", document.submodules, defaults.submodules)?,
        submodule_depth: given("submoduleDepth", document.submodule_depth, defaults.submodule_depth)?,
        object_bytes: given("objectBytes", size("limits.objectBytes", document.object_bytes.as_ref())?, defaults.object_bytes)?,
        compression_ratio: given("compressionRatio", document.compression_ratio, defaults.compression_ratio)?,
        upload_first_byte: time("limits.uploadFirstByte", document.upload_first_byte.as_deref(), defaults.upload_first_byte)?,
        upload_idle: time("limits.uploadIdle", document.upload_idle.as_deref(), defaults.upload_idle)?,
        engine_wait: match document.engine_wait.as_deref() {
            Some("0" | "0s") => Duration::ZERO,
            written => time("limits.engineWait", written, defaults.engine_wait)?,
        },
    })
}

fn time(field: &str, written: Option<&str>, default: Duration) -> Result<Duration, ConfigError> {
    written.map_or(Ok(default), |text| duration(field, text))
}

fn size(field: &str, written: Option<&Size>) -> Result<Option<u64>, ConfigError> {
    match written {
        None => Ok(None),
        Some(Size::Bytes(bytes)) => Ok(Some(*bytes)),
        Some(Size::Text(text)) => units::size(text)
            .map(Some)
            .map_err(|why| ConfigError::invalid(field, format!("is refused: {why}"), "write a size such as 512m or 4g")),
    }
}

/// The run's own deadline, at least a second.
pub fn deadline(text: &str) -> Result<Duration, ConfigError> {
    let deadline = duration("deadline", text)?;
    if deadline < Duration::from_secs(1) {
        return Err(ConfigError::invalid("deadline", "is shorter than a second", "write a duration such as 1h30m"));
    }
    Ok(deadline)
}

fn duration(field: &str, text: &str) -> Result<Duration, ConfigError> {
    units::duration(text).map_err(|why| ConfigError::invalid(field, format!("is refused: {why}"), "write a duration such as 1h30m or 90s"))
}

/// Of the request as it was merged, with the credentials of its URLs left out.
fn digest(mut merged: Merged, source: &super::settings::Source) -> Digest {
    use sha2::Digest as _;

    use super::settings::{ArchiveFrom, SourceKind};
    let (at, address) = match &source.kind {
        SourceKind::Git(git) => ("/source/git/url", Some(&git.address)),
        SourceKind::Archive(archive) => match &archive.from {
            ArchiveFrom::Url { address, .. } => ("/source/archive/url", Some(address)),
            _ => ("", None),
        },
        _ => ("", None),
    };
    if let (Some(url), Some(address)) = (merged.document.pointer_mut(at), address) {
        *url = address.url().as_str().into();
    }
    let document = serde_json::json!({"noPush": merged.no_push, "request": merged.document});
    Digest::sha256(sha2::Sha256::digest(canonical(&document)))
}

/// JSON with sorted keys, no white space, and without what is null: two ways to write one request are one text.
fn canonical(value: &serde_json::Value) -> String {
    use serde_json::Value;
    match value {
        Value::Object(fields) => {
            let sorted: std::collections::BTreeMap<_, _> = fields.iter().filter(|(_, value)| !value.is_null()).collect();
            let fields: Vec<String> =
                sorted.iter().map(|(name, value)| format!("{}:{}", Value::from(name.as_str()), canonical(value))).collect();
            format!("{{{}}}", fields.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        scalar => scalar.to_string(),
    }
}
