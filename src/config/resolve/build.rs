//! How to build: what is checked here is what the engine would take, and should not.

use super::{limits, mounts, step};
use crate::config::Environment;
use crate::config::address::tree_path;
use crate::config::ambient::source_date_epoch;
use crate::config::error::{ConfigError, shown};
use crate::config::policy::Policy;
use crate::config::request;
use crate::config::settings::{Build, DEFAULT_DOCKERFILE};
use crate::engine::BuildOptions;
use crate::model::Reference;

/// Names of one image that are pushed or kept.
const MOST_NAMES: usize = 64;

/// Where labels mean something to what runs containers: a label there can start a program on the node (CVE-2026-53488,
/// containerd's restart monitor), or is taken for an orchestrator's own.
const RESERVED: [&str; 9] = [
    "containerd.io",
    "io.containerd",
    "io.kubernetes",
    "com.docker",
    "io.docker",
    "org.dockerproject",
    "io.podwright",
    "podwright",
    "moby",
];

/// Labels that say what a run found out itself.
const OURS: [&str; 3] = ["org.opencontainers.image.revision", "org.opencontainers.image.source", "org.opencontainers.image.created"];

pub fn resolve(build: request::Build, policy: &Policy, env: &dyn Environment) -> Result<Build, ConfigError> {
    build.args.iter().try_for_each(|(key, value)| argument(key, value, policy))?;
    build.labels.iter().try_for_each(|(key, value)| label(key, value))?;
    let dockerfile = tree_path("build.dockerfile", build.dockerfile.as_deref().unwrap_or(DEFAULT_DOCKERFILE))?;
    if dockerfile.is_root() {
        return Err(ConfigError::invalid("build.dockerfile", "is a directory", "name the file, such as docker/Dockerfile"));
    }
    let wanted = build.limits.unwrap_or_default();
    let reproducible = build.reproducible.unwrap_or_default();
    let options = BuildOptions {
        target: build.target.map(target).transpose()?,
        args: build.args,
        labels: build.labels,
        platform: build.platform.map(platform).transpose()?,
        pull: build.pull.unwrap_or(true),
        no_cache: build.no_cache.unwrap_or_default(),
        network: step::network(build.network.unwrap_or_default(), policy)?,
        add_hosts: step::hosts(build.add_hosts)?,
        shm_bytes: step::shm(build.shm_size.as_ref())?,
        ulimits: step::ulimits(&build.ulimits)?,
        cache_from: names("build.cacheFrom", &build.cache_from)?,
        limits: limits::written(&wanted, policy)?,
    };
    Ok(Build {
        dockerfile,
        options,
        builder: build.builder.unwrap_or_default(),
        inherit: limits::inherited(&wanted)?,
        source_args: build.source_args.unwrap_or_default(),
        reproducible,
        // Whoever does not ask for it has nothing to do with what the variable holds.
        epoch: if reproducible { source_date_epoch(env)? } else { None },
        proxy: build.proxy.unwrap_or_default(),
        secrets: mounts::secrets(build.secrets, policy, env)?,
        ssh: mounts::ssh(build.ssh, policy, env)?,
        keep: names("build.keep", &build.keep)?,
    })
}

fn argument(key: &str, value: &str, policy: &Policy) -> Result<(), ConfigError> {
    let field = format!("build.args.{}", shown(key).trim_matches('"'));
    let odd = |c: char| c == '=' || c.is_whitespace() || c.is_control();
    if key.is_empty() || key.starts_with('-') || key.contains(odd) || key.len() > 256 {
        return Err(ConfigError::invalid(field, "is no name of a build argument", "use letters, digits and underscores"));
    }
    if value.contains('\0') {
        return Err(ConfigError::invalid(field, "holds a NUL character", "leave it out"));
    }
    if key == "BUILDKIT_SYNTAX" && !policy.permits_frontend(value) {
        return Err(ConfigError::not_permitted(field, "names a frontend image other than docker/dockerfile", "frontend=REF"));
    }
    Ok(())
}

fn label(key: &str, value: &str) -> Result<(), ConfigError> {
    let field = format!("build.labels.{}", shown(key).trim_matches('"'));
    if key.is_empty() || key.starts_with('-') || key.chars().any(|c| c.is_whitespace() || c.is_control() || c == '=') || key.len() > 256 {
        return Err(ConfigError::invalid(field, "is no name of a label", "use letters, digits, dots, hyphens and slashes"));
    }
    if value.contains('\0') {
        return Err(ConfigError::invalid(field, "holds a NUL character", "leave it out"));
    }
    let lower = key.to_ascii_lowercase();
    if RESERVED.iter().any(|namespace| is_in(&lower, namespace)) {
        return Err(ConfigError::invalid(field, "is in a reserved namespace", "use a name below a domain of yours"));
    }
    if OURS.contains(&&*lower) {
        return Err(ConfigError::invalid(field, "is set by podwright itself, from the source", "leave it out"));
    }
    Ok(())
}

/// `containerd.io/x`, `a.containerd.io/x` and `containerd.io.x` are in `containerd.io`; `mycontainerd.io` is not.
fn is_in(key: &str, namespace: &str) -> bool {
    let below = |rest: &str| rest.is_empty() || rest.starts_with(['.', '/']);
    let domain = key.split('/').next().unwrap_or(key);
    key.strip_prefix(namespace).is_some_and(below) || domain.strip_suffix(namespace).is_some_and(|above| above.ends_with('.'))
}

fn target(text: String) -> Result<String, ConfigError> {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    if !text.is_empty() && text.len() <= 128 && !text.starts_with('-') && text.bytes().all(good) {
        return Ok(text);
    }
    Err(ConfigError::invalid("build.target", "is no name of a stage", "write the name after AS in the Dockerfile, or the stage's number"))
}

/// As containerd's `platforms` writes it.
fn platform(text: String) -> Result<String, ConfigError> {
    let fix = "write os/arch or os/arch/variant, such as linux/amd64";
    if text.contains(',') {
        let fix = "run one build for each platform".to_owned();
        return Err(ConfigError::Unsupported { path: "build.platform".to_owned(), what: "more than one", fix });
    }
    let part = |part: &str| {
        !part.is_empty() && part.len() <= 32 && part.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
    };
    let parts: Vec<&str> = text.split('/').collect();
    if matches!(parts.len(), 2 | 3) && parts.into_iter().all(part) && !text.starts_with('-') {
        return Ok(text);
    }
    Err(ConfigError::invalid("build.platform", "is no platform", fix))
}

/// Names that an image is to have: with a tag or `latest`, never a digest, each once.
pub fn names(field: &str, written: &[String]) -> Result<Vec<Reference>, ConfigError> {
    if written.len() > MOST_NAMES {
        return Err(ConfigError::invalid(field, format!("has {} names, more than {MOST_NAMES}", written.len()), "use several runs"));
    }
    let mut names: Vec<Reference> = Vec::with_capacity(written.len());
    for (index, text) in written.iter().enumerate() {
        let at = || format!("{field}[{index}]");
        let fix = "write host/repository:tag";
        let name = Reference::parse(text).map_err(|why| ConfigError::invalid(at(), format!("is not an image's name: {why}"), fix))?;
        if name.digest().is_some() {
            return Err(ConfigError::invalid(at(), "names a digest, which only the finished image has", fix));
        }
        if names.iter().any(|other| other.to_string() == name.to_string()) {
            return Err(ConfigError::invalid(at(), "is there twice", "leave one out"));
        }
        names.push(name);
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d8_reserved_namespaces_are_refused_and_end_at_a_separator() {
        let table = [
            ("containerd.io/restart.status", true),
            ("Containerd.IO/restart.status", true),
            ("x.containerd.io/y", true),
            ("io.containerd.runc", true),
            ("io.kubernetes.pod.name", true),
            ("com.docker.compose.project", true),
            ("org.opencontainers.image.revision", true),
            ("podwright", true),
            ("mycontainerd.io/x", false),
            ("com.dockerish", false),
            ("com.example.docker", false),
            ("org.opencontainers.image.title", false),
            ("team", false),
        ];
        for (key, refused) in table {
            assert_eq!(label(key, "v").is_err(), refused, "{key}");
        }
    }
}
