//! The query of `POST /build` (Engine API reference, "Build an image"), for both builders.

use serde_json::json;
use url::form_urlencoded::Serializer;

use super::story::Dialect;
use crate::engine::{BuildSpec, Network, StepLimits};

/// What every builder takes. There is never a `remote=` URL: the daemon would fetch it, from the node's network.
pub fn build(spec: &BuildSpec, dockerfile: &str, dialect: Dialect) -> Serializer<'static, String> {
    let options = &spec.options;
    let mut query = Serializer::new(String::new());
    query.append_pair("t", &spec.reference).append_pair("dockerfile", dockerfile).append_pair("rm", "1").append_pair("forcerm", "1");
    for (key, pairs) in [("buildargs", &options.args), ("labels", &options.labels)] {
        if !pairs.is_empty() {
            query.append_pair(key, &json!(pairs).to_string());
        }
    }
    for (key, value) in [("target", &options.target), ("platform", &options.platform)] {
        if let Some(value) = value {
            query.append_pair(key, value);
        }
    }
    for (key, wanted) in [("pull", options.pull), ("nocache", options.no_cache)] {
        if wanted {
            query.append_pair(key, "1");
        }
    }
    network(&mut query, options.network, dialect);
    limits(&mut query, &options.limits);
    if let Some(bytes) = options.shm_bytes {
        query.append_pair("shmsize", &bytes.to_string());
    }
    // The one list that is no JSON (moby, api/server/router/build/build_routes.go); Podman wants it to be (podman,
    // pkg/api/handlers/compat/images_build.go), and bounds in the words of its command line.
    match dialect {
        Dialect::Podman if options.add_hosts.is_empty() => {}
        Dialect::Podman => drop(query.append_pair("extrahosts", &json!(options.add_hosts).to_string())),
        Dialect::Docker => drop(query.extend_pairs(options.add_hosts.iter().map(|host| ("extrahosts", host)))),
    }
    let ulimits = options.ulimits.iter().map(|limit| match dialect {
        Dialect::Podman => json!(limit.to_string()),
        Dialect::Docker => json!({"Name": limit.name, "Soft": limit.soft, "Hard": limit.hard}),
    });
    let cache_from = options.cache_from.iter().map(|image| json!(image.to_string()));
    for (key, list) in [("ulimits", ulimits.collect::<Vec<_>>()), ("cachefrom", cache_from.collect())] {
        if !list.is_empty() {
            query.append_pair(key, &json!(list).to_string());
        }
    }
    query
}

/// What only builders that run steps as containers of the daemon's own take.
fn limits(query: &mut Serializer<'static, String>, limits: &StepLimits) {
    let numbers = [
        ("memory", limits.memory),
        ("memswap", limits.memory_and_swap),
        ("cpuquota", limits.cpu.map(|cpu| cpu.quota)),
        ("cpuperiod", limits.cpu.map(|cpu| cpu.period)),
    ];
    for (key, number) in numbers {
        if let Some(number) = number {
            query.append_pair(key, &number.to_string());
        }
    }
    if let Some(parent) = &limits.parent {
        query.append_pair("cgroupparent", parent);
    }
}

/// Podman knows other words, and gives steps the node's own network where nobody says otherwise (podman,
/// pkg/api/handlers/compat/images_build.go: `nsoptions`, `parseNetworkConfigurationPolicy`).
fn network(query: &mut Serializer<'static, String>, network: Network, dialect: Dialect) {
    let mode = match (dialect, network) {
        (_, Network::Default) => None,
        (_, Network::Host) => Some("host"),
        (Dialect::Docker, Network::None) => Some("none"),
        (Dialect::Podman, Network::None) => Some("NetworkDisabled"),
    };
    if let Some(mode) = mode {
        query.append_pair("networkmode", mode);
    }
    if dialect == Dialect::Podman {
        let namespace = json!([{"Name": "network", "Host": network == Network::Host}]);
        query.append_pair("nsoptions", &namespace.to_string());
    }
}
