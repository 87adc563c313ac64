//! Promise 7: the calls that Podwright may make to a daemon, and no others.

use super::relay::Judge;
use super::rule::{Call, like};

/// Method, path, and what it is for. Anything else fails the run that made it.
const ALLOWED: &[(&str, &str)] = &[
    ("GET", "/_ping"),
    ("HEAD", "/_ping"),
    ("GET", "/version"),
    ("GET", "/info"),
    ("POST", "/build"),
    ("POST", "/build/cancel"),
    ("POST", "/session"),
    ("POST", "/grpc"),
    ("GET", "/images/json"),
    ("GET", "/images/*/json"),
    ("POST", "/images/*/tag"),
    ("POST", "/images/*/push"),
    ("GET", "/images/*/get"),
    ("DELETE", "/images/*"),
    ("GET", "/distribution/*/json"),
    ("GET", "/events"),
    ("GET", "/system/df"),
    // By the operator's permission alone, which is looked at when the run is over.
    ("POST", "/build/prune"),
    ("POST", "/images/prune"),
];

/// Everything that a build may be asked for, with either builder. What grants something (`networkmode`, `cgroupparent`) is looked at
/// beside what the operator allowed, when the run is over.
const OF_A_BUILD: &[&str] = &[
    "buildargs",
    "buildid",
    "cachefrom",
    "cgroupparent",
    "cpuperiod",
    "cpuquota",
    "dockerfile",
    "extrahosts",
    "forcerm",
    "labels",
    "memory",
    "memswap",
    "networkmode",
    "nocache",
    "nsoptions",
    "platform",
    "pull",
    "remote",
    "rm",
    "session",
    "shmsize",
    "t",
    "target",
    "ulimits",
    "version",
];

/// What a label of an image may not begin with: what runs containers would act on it.
const ACTED_ON: &[&str] = &["containerd.io/", "io.containerd", "io.kubernetes", "com.docker"];

/// Where the names of a run's own making begin.
pub const OWN: &str = "podwright-tmp/";

/// The judge of every end-to-end run.
pub const CLOSED_LIST: Judge = |call, before| {
    if !ALLOWED.iter().any(|(method, path)| call.method == *method && like(path, &call.path)) {
        return Err("not on the closed list of daemon calls".into());
    }
    judge_body(call)?;
    match (call.method.as_str(), call.path.as_str()) {
        ("POST", "/build") => judge_build(call),
        ("DELETE", _) => judge_removal(call, before),
        _ => Ok(()),
    }
};

/// What a body is has to be the same for the daemon and for a plugin that judges its calls: those were passed by bodies whose length
/// was said to be nothing (CVE-2024-41110), or more than they read (CVE-2026-34040). So there are chunks, or there is no body.
fn judge_body(call: &Call) -> Result<(), String> {
    match (call.chunked, call.length.as_deref()) {
        (_, None) | (false, Some("0")) => Ok(()),
        (_, Some(length)) => Err(format!("a body whose length is said to be {length}")),
    }
}

fn judge_build(call: &Call) -> Result<(), String> {
    if let Some((key, _)) = call.query.iter().find(|(key, _)| !OF_A_BUILD.contains(&key.as_str())) {
        return Err(format!("a build is asked for {key}"));
    }
    let labels: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(call.parameter("labels").unwrap_or("{}")).map_err(|bad| bad.to_string())?;
    if let Some(label) = labels.keys().find(|label| ACTED_ON.iter().any(|space| label.to_lowercase().starts_with(space))) {
        return Err(format!("a label {label}"));
    }
    match call.parameter("remote").unwrap_or_default() {
        "" | "client-session" => Ok(()),
        other => Err(format!("remote={other} makes the daemon fetch")),
    }
}

/// Only a name of ours, or one that this run made, and never the layers below it. That a name of ours is of this very run is
/// checked when the run has said who it is.
fn judge_removal(call: &Call, before: &[Call]) -> Result<(), String> {
    let name = call.path.strip_prefix("/images/").unwrap_or_default();
    if !matches!(call.parameter("noprune"), Some("1" | "true")) {
        return Err("a removal without noprune takes cached layers along".into());
    }
    // A name that a dead run had set where there was none: its mark was looked at before.
    let dead = before.iter().any(|call| call.method == "GET" && call.path.contains(":nothing-") && is_over(&call.path));
    if name.starts_with(OWN) || dead || named_by(before).iter().any(|own| own == name) {
        Ok(())
    } else {
        Err(format!("{name} is not of this run's making"))
    }
}

/// Whether this name, or the path of a call about it, is of a run whose time is over: the name says until when that is.
pub fn is_over(name: &str) -> bool {
    let name = name.strip_prefix("/images/").unwrap_or(name);
    let until = name.strip_prefix(OWN).and_then(|name| name.split_once('-'));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    until.and_then(|(until, _)| until.parse::<u64>().ok()).is_some_and(|until| until < now)
}

/// Every reference that these calls made.
pub fn named_by(calls: &[Call]) -> Vec<String> {
    let mut names = Vec::new();
    for call in calls {
        if call.is("POST", "/build") {
            names.extend(call.query.iter().filter(|(name, _)| name == "t").map(|(_, value)| value.clone()));
        }
        if call.is("POST", "/images/*/tag") {
            let repository = call.parameter("repo").unwrap_or_default();
            names.push(match call.parameter("tag") {
                Some(tag) if !tag.is_empty() => format!("{repository}:{tag}"),
                _ => repository.to_owned(),
            });
        }
    }
    names
}
