//! Pushing through the daemon, and asking it what a registry holds.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde::Deserialize;
use serde_json::json;
use url::form_urlencoded::Serializer;

use super::client::{self, Client, auth_config, auth_header, no_body};
use super::diagnose;
use super::messages::Message;
use crate::engine::{Distributed, EngineError, Pushed};
use crate::event::{Event, EventSink, PushProgress};
use crate::model::keychain::Credential;
use crate::model::{Digest, Reference};

/// The daemon's answer to `/distribution` includes a round trip to the registry.
const DISTRIBUTION: Duration = Duration::from_mins(2);

/// `X-Registry-Auth`: the daemon wants the header even where there is nothing to say.
fn auth(reference: &Reference, credential: Option<&Credential>) -> String {
    auth_header(&credential.map_or_else(|| json!({}), |credential| auth_config(reference.host(), credential)))
}

/// Pushes one tag. Success is the digest that the daemon says it pushed for exactly this tag, and nothing less.
pub async fn push(
    client: &Client,
    reference: &Reference,
    credential: Option<&Credential>,
    events: &Arc<dyn EventSink>,
) -> Result<Pushed, EngineError> {
    const DOING: &str = "push";
    // Without the tag the daemon would push every tag of the repository.
    let query = Serializer::new(String::new()).append_pair("tag", reference.tag()).finish();
    let path = format!("/images/{}/push?{query}", reference.name());
    let request = client.request(Method::POST, &path).header("X-Registry-Auth", auth(reference, credential)).body(no_body());
    let answer = client.send(DOING, request).await?;
    if !answer.status().is_success() {
        let (status, message) = client::refusal(DOING, answer).await;
        return Err(diagnose::push_call(DOING, status, &message));
    }
    let mut evidence = None;
    let name = reference.to_string();
    client::messages(client, DOING, answer, |messages| {
        for message in messages {
            match message {
                Message::Status { id, text, current, total } if !id.is_empty() => {
                    events.emit(Event::PushProgress(PushProgress { r#ref: name.clone(), layer: id, status: text, bytes: current, total }));
                }
                Message::Pushed { tag, pushed } if tag == reference.tag() => evidence = Some(pushed),
                Message::Downgraded(detail) => return Err(EngineError::Downgraded(detail)),
                Message::Fault { message, .. } => return Err(diagnose::push(&message)),
                _ => {}
            }
        }
        Ok(())
    })
    .await?;
    evidence.ok_or_else(|| EngineError::Lost { doing: DOING, why: "its answer ended without a digest".into() })
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    descriptor: Descriptor,
}

/// An OCI descriptor, as Go writes it here: lower-case names.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: String,
    digest: String,
    size: u64,
}

/// What the daemon finds at a registry's tag: the read-back where this pod cannot reach the registry.
pub async fn distribution(client: &Client, reference: &Reference, credential: Option<&Credential>) -> Result<Distributed, EngineError> {
    const DOING: &str = "read a tag back";
    let path = format!("/distribution/{reference}/json");
    let request = client.request(Method::GET, &path).header("X-Registry-Auth", auth(reference, credential)).body(no_body());
    let (head, body) = client.call(DOING, DISTRIBUTION, request).await?;
    if !head.status.is_success() {
        let message = client::message(&body);
        // As its router answers what it has no such call for, which Podman has not.
        if head.status == http::StatusCode::NOT_FOUND && message == "Not Found" {
            let why = "this engine has no call that reads a tag back for this pod; the pod itself has to reach the registry";
            return Err(EngineError::Unsupported(why.into()));
        }
        return Err(diagnose::push_call(DOING, head.status.as_u16(), &message));
    }
    let garbled = |why: String| EngineError::Lost { doing: DOING, why };
    let found: Inspected = serde_json::from_slice(&body).map_err(|bad| garbled(bad.to_string()))?;
    let Descriptor { media_type, digest, size } = found.descriptor;
    let digest = Digest::parse(&digest).map_err(|bad| garbled(bad.to_string()))?;
    Ok(Distributed { digest, media_type, size })
}
