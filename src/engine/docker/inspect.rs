//! What the daemon knows of an image (Engine API reference, "Inspect an image"). bollard leaves out the parent.

use std::time::Duration;

use http::{Method, StatusCode};
use serde::Deserialize;

use super::SMALL_CALL;
use super::client::{self, Client, no_body};
use super::diagnose;
use crate::engine::{EngineError, LocalImage};
use crate::model::ImageId;

/// An engine leaves out what it has nothing to say about, or says `null`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    id: String,
    parent: Option<String>,
    size: Option<u64>,
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
    repo_tags: Option<Vec<String>>,
    repo_digests: Option<Vec<String>>,
}

/// Podman writes the host where Docker leaves it out.
fn familiar(tags: Option<Vec<String>>) -> Vec<String> {
    tags.unwrap_or_default().iter().map(|tag| tag.strip_prefix("docker.io/").unwrap_or(tag).to_owned()).collect()
}

/// Tries of a list: the containerd store fails the whole of it when an image goes away while it is made (seen of 26.1).
const LISTS: u32 = 5;

/// The names whose repository matches (Engine API reference, "List Images", filter `reference`).
pub async fn names(client: &Client, repositories: &str) -> Result<Vec<String>, EngineError> {
    const DOING: &str = "list images";
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Listed {
        repo_tags: Option<Vec<String>>,
    }
    let filters = serde_json::json!({"reference": [repositories]}).to_string();
    let query = url::form_urlencoded::Serializer::new(String::new()).append_pair("filters", &filters).finish();
    let mut tries = 0;
    loop {
        let request = client.request(Method::GET, &format!("/images/json?{query}")).body(no_body());
        let (head, body) = client.call(DOING, SMALL_CALL, request).await?;
        tries += 1;
        match head.status {
            status if status.is_success() => {
                let listed: Vec<Listed> =
                    serde_json::from_slice(&body).map_err(|bad| EngineError::Lost { doing: DOING, why: bad.to_string() })?;
                return Ok(listed.into_iter().flat_map(|image| familiar(image.repo_tags)).collect());
            }
            _ if tries < LISTS => tokio::time::sleep(Duration::from_millis(100)).await,
            status => return Err(diagnose::call(DOING, status.as_u16(), client::message(&body))),
        }
    }
}

/// `None` where there is no such image.
pub async fn image(client: &Client, name: &str) -> Result<Option<LocalImage>, EngineError> {
    const DOING: &str = "inspect an image";
    let request = client.request(Method::GET, &format!("/images/{name}/json")).body(no_body());
    let (head, body) = client.call(DOING, SMALL_CALL, request).await?;
    match head.status {
        StatusCode::NOT_FOUND => return Ok(None),
        status if !status.is_success() => {
            return Err(diagnose::call(DOING, status.as_u16(), client::message(&body)));
        }
        _ => {}
    }
    let garbled = |why: String| EngineError::Lost { doing: DOING, why };
    let found: Inspected = serde_json::from_slice(&body).map_err(|bad| garbled(bad.to_string()))?;
    let variant = found.variant.filter(|v| !v.is_empty()).map(|v| format!("/{v}")).unwrap_or_default();
    Ok(Some(LocalImage {
        id: ImageId::parse(&found.id).map_err(|bad| garbled(bad.to_string()))?,
        // Podman's, which it would take away with a name that it got, is written without an algorithm, and is none.
        parent: found.parent.and_then(|parent| ImageId::parse(&parent).ok()),
        size: found.size.unwrap_or_default(),
        platform: format!("{}/{}{variant}", found.os.unwrap_or_default(), found.architecture.unwrap_or_default()),
        tags: familiar(found.repo_tags),
        digests: found.repo_digests.unwrap_or_default(),
    }))
}
