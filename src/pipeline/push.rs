//! From an image on the node to a tag that was read back and is proved to be this image.

use crate::config::settings::Verify;
use crate::engine::{Engine, EngineError, Pushed};
use crate::model::keychain::{Credential, Keychain};
use crate::model::result::VerifiedBy;
use crate::model::{Classified, Digest, ImageId, Reason, Reference};
use crate::registry::{Client, RegistryError, RemoteImage};

/// What can go wrong between here and a proof.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("the pushed tag cannot be read back by this pod")]
    ReadBack(#[source] RegistryError),
    #[error("the credentials for {host} cannot be used: {message}")]
    Credentials { host: String, message: String, reason: Reason },
    #[error("{reference} in the registry is {found}, and not the image {id} that this run built")]
    Mismatch { reference: Reference, found: String, id: ImageId },
}

impl Classified for PushError {
    fn reason(&self) -> Reason {
        match self {
            Self::Engine(error) => match error {
                // The daemon's words about a registry are about pushing here, whatever it was asked.
                EngineError::Refused { .. } => Reason::PushRejected,
                other => other.reason(),
            },
            Self::ReadBack(error) => error.reason(),
            Self::Credentials { reason, .. } => *reason,
            Self::Mismatch { .. } => Reason::DigestMismatch,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Engine(error) => error.hint(),
            Self::ReadBack(error) => error.hint(),
            Self::Credentials { .. } => None,
            Self::Mismatch { .. } => {
                Some("somebody else pushed this tag at the same time, or the registry changed what it was given".into())
            }
        }
    }
}

/// A tag that is there.
pub struct Proof {
    pub digest: Digest,
    pub config_digest: Option<Digest>,
    pub media_type: Option<String>,
    pub size: Option<u64>,
    pub verified_by: Option<VerifiedBy>,
}

/// An image on its way to registries: what every try at every destination works with.
pub struct Parcel<'a, E, K> {
    pub id: &'a ImageId,
    pub engine: &'a E,
    pub keychain: &'a K,
    pub reader: &'a Client,
    pub verify: Verify,
}

/// One try at one destination: set the local name, push it, read it back.
pub async fn once<E: Engine, K: Keychain>(parcel: &Parcel<'_, E, K>, reference: &Reference) -> Result<Proof, PushError> {
    let Parcel { id, engine, keychain, reader, verify } = *parcel;
    let credential = keychain.resolve(reference).map_err(|error| PushError::Credentials {
        host: reference.host().to_owned(),
        message: error.to_string(),
        reason: error.reason(),
    })?;
    engine.tag(id, &reference.to_string()).await?;
    let pushed = engine.push(reference, credential.as_ref()).await?;
    match verify {
        Verify::Off => Ok(Proof { digest: pushed.digest, config_digest: None, media_type: None, size: pushed.size, verified_by: None }),
        Verify::Engine => by_engine(engine, id, reference, credential.as_ref(), &pushed).await,
        Verify::Pod => by_pod(engine, reader, id, reference, credential.as_ref()).await,
        Verify::Auto => match by_pod(engine, reader, id, reference, credential.as_ref()).await {
            Err(PushError::ReadBack(error)) if error.may_ask_the_engine() => {
                by_engine(engine, id, reference, credential.as_ref(), &pushed).await
            }
            other => other,
        },
    }
}

/// The pod reads the manifest: on the graph driver the image id is the digest of its config, on the containerd store its own.
async fn by_pod<E: Engine>(
    engine: &E,
    reader: &Client,
    id: &ImageId,
    reference: &Reference,
    credential: Option<&Credential>,
) -> Result<Proof, PushError> {
    let remote: RemoteImage = reader.read_back(reference, credential).await.map_err(PushError::ReadBack)?;
    let ours = match engine.info().store.as_str() {
        "containerd" => id.is(&remote.digest),
        _ => remote.config_digest.as_ref().is_some_and(|config| id.is(config)),
    };
    if !ours {
        return Err(PushError::Mismatch { reference: reference.clone(), found: remote.digest.to_string(), id: id.clone() });
    }
    Ok(Proof {
        digest: remote.digest,
        config_digest: remote.config_digest,
        media_type: Some(remote.media_type),
        size: Some(remote.size),
        verified_by: Some(VerifiedBy::Pod),
    })
}

/// The daemon reads the tag. It says no config; on the graph driver it recorded, when it pushed, under which digest a
/// registry has this image.
async fn by_engine<E: Engine>(
    engine: &E,
    id: &ImageId,
    reference: &Reference,
    credential: Option<&Credential>,
    pushed: &Pushed,
) -> Result<Proof, PushError> {
    let remote = engine.distribution(reference, credential).await?;
    let ours = if engine.info().store.as_str() == "containerd" {
        id.is(&remote.digest)
    } else {
        let suffix = format!("@{}", remote.digest);
        let known = engine.inspect(id.as_str()).await?.map(|image| image.digests).unwrap_or_default();
        remote.digest == pushed.digest && known.iter().any(|name| name.ends_with(&suffix))
    };
    if !ours {
        return Err(PushError::Mismatch { reference: reference.clone(), found: remote.digest.to_string(), id: id.clone() });
    }
    Ok(Proof {
        digest: remote.digest,
        config_digest: None,
        media_type: Some(remote.media_type),
        size: Some(remote.size),
        verified_by: Some(VerifiedBy::Engine),
    })
}
