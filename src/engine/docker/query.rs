//! The query of `POST /build` (Engine API reference, "Build an image"), for both builders.

use serde_json::json;
use url::form_urlencoded::Serializer;

use crate::engine::BuildSpec;

/// What both builders take. There is never a `remote=` URL: the daemon would fetch it, from the node's network.
pub fn build(spec: &BuildSpec, dockerfile: &str) -> Serializer<'static, String> {
    let mut query = Serializer::new(String::new());
    query.append_pair("t", &spec.reference).append_pair("dockerfile", dockerfile).append_pair("rm", "1").append_pair("forcerm", "1");
    for (key, pairs) in [("buildargs", &spec.args), ("labels", &spec.labels)] {
        if !pairs.is_empty() {
            query.append_pair(key, &json!(pairs).to_string());
        }
    }
    for (key, value) in [("target", &spec.target), ("platform", &spec.platform)] {
        if let Some(value) = value {
            query.append_pair(key, value);
        }
    }
    for (key, wanted) in [("pull", spec.pull), ("nocache", spec.no_cache)] {
        if wanted {
            query.append_pair(key, "1");
        }
    }
    if spec.no_network {
        query.append_pair("networkmode", "none");
    }
    query
}
