//! What a request asks for the processes of RUN steps: network, hosts, memory they share, bounds.

use std::net::IpAddr;

use crate::config::error::ConfigError;
use crate::config::policy::Policy;
use crate::config::request::Size;
use crate::engine::{Network, Ulimit};
use crate::net::is_node_local;

/// Hosts, and bounds, of one request.
const MOST: usize = 128;

/// As docker knows them (docker/go-units, ulimit.go).
const ULIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

pub fn network(network: Network, policy: &Policy) -> Result<Network, ConfigError> {
    if network == Network::Host && !policy.host_network {
        return Err(ConfigError::not_permitted("build.network", "puts RUN steps into the node's network", "host-network"));
    }
    Ok(network)
}

/// `name:address` or `name=address`, as docker takes it; IPv6 with or without brackets.
pub fn hosts(written: Vec<String>) -> Result<Vec<String>, ConfigError> {
    bounded("build.addHosts", written.len())?;
    written.into_iter().enumerate().map(|(index, text)| host(index, &text)).collect()
}

fn host(index: usize, text: &str) -> Result<String, ConfigError> {
    let refuse = |what: &str, fix: &str| Err(ConfigError::invalid(format!("build.addHosts[{index}]"), what, fix));
    let no_host = || refuse("is no host with its address", "write name:address, such as db:10.0.0.9, or name:host-gateway");
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let pair = text.split_once('=').or_else(|| text.split_once(':'));
    let pair = pair.filter(|(name, _)| !name.is_empty() && name.len() <= 253 && !name.starts_with('-') && name.bytes().all(good));
    let Some((name, address)) = pair else { return no_host() };
    if address == "host-gateway" {
        return Ok(format!("{name}:{address}"));
    }
    match address.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>() {
        Ok(address) if is_node_local(address) => {
            refuse("is at an address that only the node can see, as that of its metadata", "name another")
        }
        Ok(address) => Ok(format!("{name}:{address}")),
        Err(_) => no_host(),
    }
}

/// Bytes of `/dev/shm`.
pub fn shm(written: Option<&Size>) -> Result<Option<u64>, ConfigError> {
    match super::size("build.shmSize", written)? {
        Some(bytes) if bytes == 0 || i64::try_from(bytes).is_err() => {
            Err(ConfigError::invalid("build.shmSize", "is not a size that memory can have", "write a size such as 64m"))
        }
        bytes => Ok(bytes),
    }
}

pub fn ulimits(written: &[String]) -> Result<Vec<Ulimit>, ConfigError> {
    bounded("build.ulimits", written.len())?;
    written.iter().enumerate().map(|(index, text)| ulimit(index, text)).collect()
}

fn ulimit(index: usize, text: &str) -> Result<Ulimit, ConfigError> {
    let refuse = |what: &str| {
        let fix = "write name=soft:hard, such as nofile=1024:2048, with one of the names core, cpu, data, fsize, locks, memlock, \
                   msgqueue, nice, nofile, nproc, rss, rtprio, rttime, sigpending, stack";
        Err(ConfigError::invalid(format!("build.ulimits[{index}]"), what, fix))
    };
    let number = |text: &str| text.parse::<i64>().ok().filter(|number| *number >= -1);
    let parsed = text.split_once('=').filter(|(name, _)| ULIMITS.contains(name)).and_then(|(name, values)| {
        let (soft, hard) = values.split_once(':').unwrap_or((values, values));
        Some(Ulimit { name: name.to_owned(), soft: number(soft)?, hard: number(hard)? })
    });
    match parsed {
        None => refuse("is no bound of the kernel's with its numbers"),
        Some(Ulimit { soft, hard, .. }) if hard >= 0 && (soft > hard || soft < 0) => refuse("has its soft value above its hard one"),
        Some(limit) => Ok(limit),
    }
}

fn bounded(field: &str, count: usize) -> Result<(), ConfigError> {
    if count > MOST { Err(ConfigError::invalid(field, format!("has {count} entries, more than {MOST}"), "leave some out")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_written_as_the_engine_reads_them() {
        for (text, want) in [
            ("db:10.0.0.9", "db:10.0.0.9"),
            ("db=10.0.0.9", "db:10.0.0.9"),
            ("db:fd00::9", "db:fd00::9"),
            ("db:[fd00::9]", "db:fd00::9"),
            ("node.local:host-gateway", "node.local:host-gateway"),
        ] {
            assert_eq!(host(0, text).unwrap(), want);
        }
    }

    #[test]
    fn bounds_are_read_as_docker_reads_them() {
        for (text, want) in [("nofile=1024:2048", "nofile=1024:2048"), ("core=0", "core=0:0"), ("memlock=-1:-1", "memlock=-1:-1")] {
            assert_eq!(ulimit(0, text).unwrap().to_string(), want);
        }
    }
}
