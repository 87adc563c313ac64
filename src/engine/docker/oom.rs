//! Whether the kernel ended a process of a step for want of memory. Of the classic builder's containers the daemon tells that by an
//! event alone (Engine API reference, "Monitor events"); what is left of a failed build is an exit code that has many causes.

use std::time::Duration;

use http::Method;
use serde_json::{Deserializer, Value, json};
use url::form_urlencoded::Serializer;

use super::client::{Client, no_body};
use crate::engine::{BuildSpec, EngineError, StepLimits};
use crate::support::clock;

/// Seconds in which the event may come after the container's end.
const LATE: i64 = 1;

const PATIENCE: Duration = Duration::from_secs(5);

/// As the shell writes SIGKILL.
const KILLED: i64 = 128 + 9;

/// The same failure, or the kernel's want of memory in its place. `since` is when the build began, in seconds since the epoch.
///
/// A daemon loses such an event now and then, when the container ends at once (one of twenty of Docker 20.10's): what was killed while
/// its memory was bounded counts without one, too.
pub async fn or(client: &Client, spec: &BuildSpec, container: Option<&str>, since: i64, error: EngineError) -> EngineError {
    let limits = &spec.options.limits;
    match (error, container) {
        (EngineError::StepFailed { message, code }, Some(container)) if code == Some(KILLED) || *limits != StepLimits::default() => {
            let certain = was_told(client, container, since).await;
            if certain || code == Some(KILLED) && limits.memory.is_some() {
                return EngineError::OutOfMemory { message, code, certain };
            }
            EngineError::StepFailed { message, code }
        }
        (error, _) => error,
    }
}

async fn was_told(client: &Client, container: &str, since: i64) -> bool {
    let filters = json!({"type": ["container"], "event": ["oom"], "container": [container]}).to_string();
    let (since, until) = (since.to_string(), (clock::unix() + LATE).to_string());
    let query = Serializer::new(String::new()).extend_pairs([("since", &since), ("until", &until), ("filters", &filters)]).finish();
    let request = client.request(Method::GET, &format!("/events?{query}")).body(no_body());
    // Whoever cannot be asked has told nothing.
    let Ok((head, body)) = client.call("tell its events", PATIENCE, request).await else { return false };
    head.status.is_success() && tells(&body, container)
}

fn tells(body: &[u8], container: &str) -> bool {
    let events = Deserializer::from_slice(body).into_iter::<Value>().map_while(Result::ok);
    let id = |event: &Value| event["Actor"]["ID"].as_str().map(str::to_owned);
    let mut of_it = events.filter(|event| event["Action"] == "oom").filter_map(|event| id(&event));
    of_it.any(|id| id.starts_with(container))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_containers_own_event_counts() {
        let event = |id: &str, action: &str| format!("{{\"Type\":\"container\",\"Action\":\"{action}\",\"Actor\":{{\"ID\":\"{id}\"}}}}\n");
        let all = event("9f0000000000aa", "die") + &event("1f0000000000aa", "oom") + "{\"cut";
        assert!(tells(all.as_bytes(), "1f0000000000"));
        assert!(!tells(all.as_bytes(), "9f0000000000"));
        assert!(!tells(b"", "1f0000000000"));
    }
}
