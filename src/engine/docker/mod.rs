//! Docker's Engine API, by its published reference (docs.docker.com/reference/api/engine) and the daemon's own behaviour.
//!
//! Two things vary below the one interface. `connect` makes a stream of bytes to the daemon (unix, tcp, TLS), and whatever is called
//! is called over it. `build` takes a context of one of two kinds: `classic` sends it whole, `buildkit` serves it through a session.

mod buildkit;
mod cancel;
mod capabilities;
mod certificates;
mod classic;
mod client;
mod connect;
mod diagnose;
mod hearing;
mod inspect;
mod logs;
pub mod messages;
mod oom;
pub mod options;
mod prune;
mod push;
mod query;
mod session;
mod steps;
mod story;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use bollard::query_parameters::{RemoveImageOptionsBuilder, TagImageOptionsBuilder};
pub use capabilities::Builder;
pub use connect::Endpoint;

use self::client::Client;
use super::{BuildOption, BuildSpec, Built, Context, Distributed, Engine, EngineError, LocalImage, Pushed};
use crate::event::EventSink;
use crate::model::keychain::{Credential, Keychain};
use crate::model::result::EngineInfo;
use crate::model::{Classified, ImageId, Reference};

/// How long small calls may take; a busy daemon on a slow disk needs more than a second to untag.
const SMALL_CALL: Duration = Duration::from_mins(1);

/// A daemon that answered, with what it can do.
pub struct Docker<K> {
    client: Client,
    api: bollard::Docker,
    info: EngineInfo,
    facts: options::Facts,
    keychain: Arc<K>,
    events: Arc<dyn EventSink>,
}

/// What connecting needs to know.
#[derive(Clone, Debug, Default)]
pub struct ConnectOptions {
    /// By default the socket where everybody mounts it.
    pub endpoint: Endpoint,
    /// `DOCKER_API_VERSION`: instead of negotiating.
    pub api_version: Option<String>,
}

impl<K: Keychain + 'static> Docker<K> {
    /// Connects, negotiates and asks the daemon what it is. `builder` is the request's wish; the choice is in `info()`.
    pub async fn connect(
        options: &ConnectOptions,
        builder: Option<Builder>,
        keychain: Arc<K>,
        events: Arc<dyn EventSink>,
    ) -> Result<Self, EngineError> {
        let client = Client::new(options.endpoint.clone());
        let (endpoint, refused) = (client.endpoint(), client.clone());
        let known = async {
            let (client, ping) = capabilities::negotiate(client, options.api_version.as_deref()).await?;
            let api = client.bollard(SMALL_CALL)?;
            let (info, facts) = capabilities::ask(&api, &client, &ping, builder).await?;
            Ok((client, api, info, facts))
        };
        let (client, api, info, facts) = match known.await {
            Ok(known) => known,
            Err(error @ EngineError::Lost { .. }) => return Err(refused.refusal().await.unwrap_or_else(|| unanswered(endpoint, error))),
            Err(error) => return Err(unanswered(endpoint, error)),
        };
        Ok(Self { client, api, info, facts, keychain, events })
    }

    async fn small<T>(
        &self,
        doing: &'static str,
        call: impl Future<Output = Result<T, bollard::errors::Error>>,
    ) -> Result<Option<T>, EngineError> {
        match tokio::time::timeout(SMALL_CALL, call).await {
            Err(_) => Err(EngineError::Silent { doing, seconds: SMALL_CALL.as_secs() }),
            Ok(Ok(answer)) => Ok(Some(answer)),
            Ok(Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. })) => Ok(None),
            Ok(Err(error)) => Err(client::from_bollard(doing, error)),
        }
    }
}

impl<K: Keychain + 'static> Engine for Docker<K> {
    fn info(&self) -> &EngineInfo {
        &self.info
    }

    fn honours(&self, option: BuildOption) -> Result<(), EngineError> {
        options::check(option, self.facts)
    }

    fn classic_honours(&self, option: BuildOption) -> Result<(), EngineError> {
        options::check(option, options::Facts { builder: Builder::Classic, ..self.facts })
    }

    async fn build(&self, spec: &BuildSpec, context: Context) -> Built {
        match context {
            Context::Asked { context, dockerfile, name, shared_key, vault } => {
                let served = session::Served { context, dockerfile, shared_key, vault };
                buildkit::build(&self.client, spec, &name, served, &self.keychain, &self.events).await
            }
            Context::Told { tar, name } => {
                let dialect = if self.facts.podman { story::Dialect::Podman } else { story::Dialect::Docker };
                classic::build(&self.client, dialect, spec, &name, tar, self.keychain.as_ref(), &self.events).await
            }
        }
    }

    async fn inspect(&self, name: &str) -> Result<Option<LocalImage>, EngineError> {
        inspect::image(&self.client, name).await
    }

    async fn names(&self, repositories: &str) -> Result<Vec<String>, EngineError> {
        inspect::names(&self.client, repositories).await
    }

    async fn tag(&self, id: &ImageId, name: &str) -> Result<(), EngineError> {
        let (repository, tag) = name.rsplit_once(':').unwrap_or((name, "latest"));
        let options = TagImageOptionsBuilder::default().repo(repository).tag(tag).build();
        match self.small("tag an image", self.api.tag_image(id.as_str(), Some(options))).await? {
            Some(()) => Ok(()),
            None => Err(EngineError::NameMoved(id.to_string())),
        }
    }

    async fn untag(&self, name: &str) -> Result<(), EngineError> {
        let options = RemoveImageOptionsBuilder::default().noprune(true).build();
        self.small("remove a name", self.api.remove_image(name, Some(options), None)).await.map(drop)
    }

    async fn make_room(&self) -> Result<Option<u64>, EngineError> {
        prune::all(&self.client).await
    }

    async fn push(&self, reference: &Reference, credential: Option<&Credential>) -> Result<Pushed, EngineError> {
        push::push(&self.client, reference, credential, &self.events).await
    }

    async fn distribution(&self, reference: &Reference, credential: Option<&Credential>) -> Result<Distributed, EngineError> {
        push::distribution(&self.client, reference, credential).await
    }
}

/// First calls that get no answer say that there is no engine, not that one was lost.
fn unanswered(endpoint: String, error: EngineError) -> EngineError {
    match error {
        EngineError::Lost { .. } | EngineError::Silent { .. } | EngineError::Broken { .. } => {
            EngineError::Unreachable { endpoint, cause: std::io::Error::other(error) }
        }
        other => other,
    }
}

/// A keychain's error as an engine's: the engine asked for it in the middle of a build.
fn credentials_error(host: &str, error: &dyn Classified) -> EngineError {
    EngineError::Credentials { host: host.to_owned(), message: error.to_string() }
}

#[cfg(test)]
mod recorded;
#[cfg(test)]
mod tests;
