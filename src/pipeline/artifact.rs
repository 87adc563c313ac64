//! An artifact from its registry: whose credential, the manifest, then the layers, each streamed into the source.

use std::future::Future;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::Services;
use super::fetch::{Beat, FetchError};
use super::registries;
use crate::config::Settings;
use crate::config::settings::ArtifactSource;
use crate::event::{Event, SourceProgress};
use crate::model::artifact::{Layer, Stored};
use crate::model::keychain::Keychain;
use crate::model::tree::SourceTree;
use crate::model::{Classified, Reason, Reference};
use crate::net::Body;
use crate::registry::{Pull, Pulled, RegistryError};
use crate::source::SourceError;
use crate::source::archive::ArchiveError;
use crate::source::artifact::{self, ArtifactError, Options};

/// What a registry's failure is to a source.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct PullError(#[from] RegistryError);

impl Classified for PullError {
    fn reason(&self) -> Reason {
        match &self.0 {
            RegistryError::Unreachable { .. } | RegistryError::Unavailable { .. } => Reason::SourceUnavailable,
            RegistryError::Auth { .. } => Reason::SourceAuth,
            RegistryError::NotFound { .. } | RegistryError::NoBlob { .. } => Reason::SourceNotFound,
            RegistryError::Protocol { .. } => Reason::SourceIntegrity,
            // What is not trusted now will not be in a minute, either.
            RegistryError::Tls { .. } | RegistryError::CannotVerify { .. } => Reason::SourceRefused,
            error => error.reason(),
        }
    }

    fn hint(&self) -> Option<String> {
        match &self.0 {
            RegistryError::Auth { .. } => Some(
                "give the credential in source.artifact.secret: a .dockerconfigjson, or username and password; it is shown to this registry alone"
                    .into(),
            ),
            error => error.hint(),
        }
    }
}

impl From<RegistryError> for FetchError {
    fn from(error: RegistryError) -> Self {
        Self::Pull(PullError(error))
    }
}

/// Blocks: for a thread of its own.
pub fn fetch(
    wanted: &ArtifactSource,
    settings: &Settings,
    workspace: &Path,
    services: &Services,
) -> Result<Arc<dyn SourceTree>, FetchError> {
    let secret = wanted.secret.as_deref();
    let (trusting, loopback) = (secret.or(settings.registry_secret.as_deref()), wanted.reference.is_loopback());
    let client = registries::client_with(settings, trusting, loopback, Arc::clone(&services.redactor))?;
    let keychain = registries::keychain_with(settings, secret.map(|path| (path, wanted.reference.host())), Arc::clone(&services.redactor))?;
    let credential = keychain.resolve(&wanted.reference)?;
    let named = wait(services, client.pull(&wanted.reference, credential.as_ref()))?;
    let digest = named.1.digest.clone();
    if wanted.reference.digest().is_none() {
        let message = format!("the source {} is {digest} now", wanted.reference);
        let hint = Some(format!("a tag may be moved: {} is always this source", wanted.reference.pinned(&digest)));
        services.events.emit(Event::Notice { message, hint });
    }
    let options = Options {
        workspace: workspace.to_owned(),
        limits: settings.limits.clone(),
        subdir: wanted.subdir.clone(),
        reference: wanted.reference.clone(),
        digest,
    };
    match one(&wanted.reference, &named.1)? {
        None => layers(named, &options, services),
        Some(child) => layers(wait(services, client.pull(&child, credential.as_ref()))?, &options, services),
    }
}

/// The one manifest of an index; `None` where there is no index.
fn one(reference: &Reference, pulled: &Pulled) -> Result<Option<Reference>, FetchError> {
    let Stored::Index(digests) = &pulled.stored else { return Ok(None) };
    let refused = || SourceError::from(ArtifactError::Index { reference: reference.clone(), count: digests.len() });
    let [digest] = digests.as_slice() else { return Err(refused().into()) };
    Reference::parse(&reference.pinned(digest)).map(Some).map_err(|_| refused().into())
}

fn layers((mut pull, pulled): (Pull<'_>, Pulled), options: &Options, services: &Services) -> Result<Arc<dyn SourceTree>, FetchError> {
    let Stored::Artifact(artifact) = pulled.stored else {
        return Err(SourceError::from(ArtifactError::Nested(options.reference.clone())).into());
    };
    let mut beat = Beat::new(services);
    let total_bytes = Some(artifact.size());
    let mut progress = |bytes| beat.on(SourceProgress { bytes, total_bytes, ..SourceProgress::default() });
    let mut open = |layer: &Layer| -> Result<Box<dyn Read>, FetchError> {
        let response = wait(services, pull.blob(&layer.digest))?;
        Ok(Box::new(Body::of(response, &Handle::current(), services.cancel.token())))
    };
    Ok(Arc::new(artifact::receive(&artifact, options, &mut open, &mut progress)?))
}

/// Until it is there, or nobody wants it any more.
fn wait<T>(services: &Services, work: impl Future<Output = Result<T, RegistryError>>) -> Result<T, FetchError> {
    Handle::current().block_on(async {
        tokio::select! {
            _ = services.cancel.cancelled() => Err(SourceError::from(ArchiveError::Cancelled).into()),
            done = work => Ok(done?),
        }
    })
}
