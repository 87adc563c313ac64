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

/// Where the names of a run's own making begin.
pub const OWN: &str = "podwright-tmp/";

/// The judge of every end-to-end run.
pub const CLOSED_LIST: Judge = |call, before| {
    if !ALLOWED.iter().any(|(method, path)| call.method == *method && like(path, &call.path)) {
        return Err("not on the closed list of daemon calls".into());
    }
    match (call.method.as_str(), call.path.as_str()) {
        ("POST", "/build") => judge_build(call),
        ("DELETE", _) => judge_removal(call, before),
        _ => Ok(()),
    }
};

fn judge_build(call: &Call) -> Result<(), String> {
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

/// Whether this is of a run whose time is over: its name says until when that is.
pub fn is_over(path: &str) -> bool {
    let until = path.strip_prefix("/images/").and_then(|name| name.strip_prefix(OWN)).and_then(|name| name.split_once('-'));
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
