//! Makes room on the node's disk with what the engine can do without: build cache that no build uses, and images without a name that
//! have lain for a day (Engine API reference, "Delete builder cache" and "Delete unused images"). Only by the operator's permission.

use std::time::Duration;

use http::Method;
use serde::Deserialize;
use serde_json::json;
use url::form_urlencoded::Serializer;

use super::client::{self, Client, no_body};
use super::diagnose;
use crate::engine::EngineError;

/// It may have gigabytes to take away.
const PATIENCE: Duration = Duration::from_mins(5);

/// The layers of a classic build that is under way have no name either.
const AGE: &str = "24h";

/// Tries, with as many seconds between them: what a failed build wrote goes a little later, and without it there is no room for the
/// daemon to write down what it takes away (seen of 26.1 with the containerd store).
const TRIES: u64 = 5;

/// How many bytes that gave, or more; `None` where there was nothing to take away.
pub async fn all(client: &Client) -> Result<Option<u64>, EngineError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match both(client).await {
            Err(EngineError::DiskFull(_)) if tries < TRIES => tokio::time::sleep(Duration::from_secs(tries)).await,
            // A try that failed has taken away some of it, and does not say how much.
            done => return done.map(|bytes| (bytes > 0 || tries > 1).then_some(bytes)),
        }
    }
}

async fn both(client: &Client) -> Result<u64, EngineError> {
    let old = json!({"dangling": ["true"], "until": [AGE]}).to_string();
    let images = Serializer::new(String::new()).append_pair("filters", &old).finish();
    let cache = one(client, "/build/prune?all=1").await?;
    Ok(cache + one(client, &format!("/images/prune?{images}")).await?)
}

async fn one(client: &Client, path: &str) -> Result<u64, EngineError> {
    const DOING: &str = "make room on its disk";
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Pruned {
        space_reclaimed: Option<u64>,
    }
    let (head, body) = client.call(DOING, PATIENCE, client.request(Method::POST, path).body(no_body())).await?;
    if !head.status.is_success() {
        return Err(diagnose::call(DOING, head.status.as_u16(), client::message(&body)));
    }
    let pruned: Pruned = serde_json::from_slice(&body).map_err(|bad| EngineError::Lost { doing: DOING, why: bad.to_string() })?;
    Ok(pruned.space_reclaimed.unwrap_or_default())
}
