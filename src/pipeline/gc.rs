//! `podwright gc`: what dead runs left on this node's engine, taken away by somebody who has time for it.

use std::sync::Arc;

use super::sweep::{Swept, sweep};
use crate::config::Ambient;
use crate::engine::EngineError;
use crate::engine::docker::{ConnectOptions, Docker};
use crate::event::{Event, EventSink};
use crate::registry::DockerKeychain;
use crate::support::clock;
use crate::support::redact::Redactor;

/// There is no run whose story could be told.
struct Nobody;

impl EventSink for Nobody {
    fn emit(&self, _: Event) {}
}

/// With `dry` nothing is taken away.
pub async fn gc(ambient: &Ambient, dry: bool) -> Result<Swept, EngineError> {
    let options = ConnectOptions { endpoint: ambient.docker_host.clone(), api_version: ambient.docker_api_version.clone() };
    let keychain = Arc::new(DockerKeychain::new(Vec::new(), Arc::new(Redactor::default())));
    let engine = Docker::connect(&options, None, keychain, Arc::new(Nobody)).await?;
    sweep(&engine, clock::unix(), dry).await
}
