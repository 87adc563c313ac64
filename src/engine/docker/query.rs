//! The query of `POST /build` (Engine API reference, "Build an image"), for both builders.

use serde_json::json;
use url::form_urlencoded::Serializer;

use crate::engine::{BuildSpec, Network};

/// What both builders take. There is never a `remote=` URL: the daemon would fetch it, from the node's network.
pub fn build(spec: &BuildSpec, dockerfile: &str) -> Serializer<'static, String> {
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
    match options.network {
        Network::Default => {}
        Network::None => drop(query.append_pair("networkmode", "none")),
        Network::Host => drop(query.append_pair("networkmode", "host")),
    }
    if let Some(bytes) = options.shm_bytes {
        query.append_pair("shmsize", &bytes.to_string());
    }
    // The one list that is no JSON (moby, api/server/router/build/build_routes.go).
    for host in &options.add_hosts {
        query.append_pair("extrahosts", host);
    }
    let ulimits = options.ulimits.iter().map(|limit| json!({"Name": limit.name, "Soft": limit.soft, "Hard": limit.hard}));
    let cache_from = options.cache_from.iter().map(|image| json!(image.to_string()));
    for (key, list) in [("ulimits", ulimits.collect::<Vec<_>>()), ("cachefrom", cache_from.collect())] {
        if !list.is_empty() {
            query.append_pair(key, &json!(list).to_string());
        }
    }
    query
}
