//! Pulls an artifact: its manifest by the rules of reading back, then its blobs one by one, which registries often keep on
//! another host. There a redirect is followed by the connector's rules, and no credential goes along.

use http::StatusCode;
use oci_distribution::manifest::{OciDescriptor, OciImageIndex, OciImageManifest};

use super::client::{Client, read, refusal};
use super::target::Target;
use super::{Cause, RegistryError, challenge};
use crate::model::artifact::{Artifact, Layer, Stored};
use crate::model::keychain::Credential;
use crate::model::{Digest, Reference};
use crate::net::{self, NetError, Request, Response};

/// What BuildKit puts beside an image in its index, to attest it (buildkit, docs/attestations/attestation-storage.md).
const ATTESTS: (&str, &str) = ("vnd.docker.reference.type", "attestation-manifest");

/// What a name stands for.
#[derive(Clone, Debug)]
pub struct Pulled {
    /// Of the manifest or index, computed here.
    pub digest: Digest,
    pub stored: Stored,
}

/// One repository, for as long as blobs are pulled from it.
pub struct Pull<'a> {
    client: &'a Client,
    target: Target<'a>,
    credential: Option<&'a Credential>,
    /// What let us in.
    shown: Option<net::Credential>,
}

impl Client {
    /// Reads what a name stands for, within the time that reading a tag back may take.
    pub async fn pull<'a>(
        &'a self,
        reference: &'a Reference,
        credential: Option<&'a Credential>,
    ) -> Result<(Pull<'a>, Pulled), RegistryError> {
        let timeout =
            |_| RegistryError::Unreachable { host: reference.host().to_owned(), cause: Cause::Timeout(self.total_timeout.as_secs()) };
        tokio::time::timeout(self.total_timeout, self.pull_manifest(reference, credential)).await.map_err(timeout)?
    }

    async fn pull_manifest<'a>(
        &'a self,
        reference: &'a Reference,
        credential: Option<&'a Credential>,
    ) -> Result<(Pull<'a>, Pulled), RegistryError> {
        let (target, first) = self.reach(reference).await?;
        let (response, shown) = self.admitted(&target, first, credential).await?;
        let (image, bytes) = read(&target, response).await?;
        let stored = if image.config_digest.is_some() { artifact(&bytes) } else { index(&bytes) };
        let stored = stored.map_err(|problem| target.protocol(problem))?;
        Ok((Pull { client: self, target, credential, shown }, Pulled { digest: image.digest, stored }))
    }
}

impl Pull<'_> {
    /// The answer that has the blob; whoever reads it compares the digest.
    pub async fn blob(&mut self, digest: &Digest) -> Result<Response, RegistryError> {
        let mut response = self.ask(digest).await?;
        // A token ends, often within minutes, and some registries let in for a manifest what they do not for a blob.
        if response.status() == StatusCode::UNAUTHORIZED && !response.is_foreign() {
            let demand = challenge::demand(response.headers());
            self.shown = Some(self.client.answer(&self.target, demand, self.credential).await?);
            response = self.ask(digest).await?;
        }
        match response.status() {
            StatusCode::OK => Ok(response),
            StatusCode::NOT_FOUND | StatusCode::GONE => {
                let (host, reference) = (self.target.host(), self.target.reference.clone());
                Err(RegistryError::NoBlob { host, digest: digest.clone(), reference })
            }
            _ => Err(refusal(&self.target, response).await),
        }
    }

    async fn ask(&self, digest: &Digest) -> Result<Response, RegistryError> {
        let request = Request { credential: self.shown.clone(), ..Request::get(self.target.blob_url(digest)) };
        self.client.net.send(request).await.map_err(|error| match error {
            NetError::Redirect { rule, .. } => self.target.cannot(format!("the place that it sends to for a layer is refused: {rule}")),
            error => self.target.failed(error),
        })
    }
}

/// Of bytes that were found to be an image's manifest.
fn artifact(bytes: &[u8]) -> Result<Stored, String> {
    let manifest: OciImageManifest = serde_json::from_slice(bytes).map_err(|_| "the manifest is malformed")?;
    let layers = manifest.layers.into_iter().map(layer).collect::<Result<_, _>>()?;
    Ok(Stored::Artifact(Artifact { layers, annotations: manifest.annotations.unwrap_or_default() }))
}

fn layer(descriptor: OciDescriptor) -> Result<Layer, String> {
    Ok(Layer {
        digest: Digest::parse(&descriptor.digest).map_err(|_| "the manifest names a layer by something that is not a digest")?,
        size: u64::try_from(descriptor.size).map_err(|_| "the manifest has a layer of less than no bytes")?,
        media_type: descriptor.media_type,
        annotations: descriptor.annotations.unwrap_or_default(),
    })
}

/// Of bytes that were found to be an index.
fn index(bytes: &[u8]) -> Result<Stored, String> {
    let index: OciImageIndex = serde_json::from_slice(bytes).map_err(|_| "the index is malformed")?;
    let attests = |annotations: &std::collections::BTreeMap<String, String>| annotations.get(ATTESTS.0).is_some_and(|it| it == ATTESTS.1);
    let named = index.manifests.into_iter().filter(|entry| !entry.annotations.as_ref().is_some_and(attests));
    let digests = named.map(|entry| Digest::parse(&entry.digest)).collect::<Result<_, _>>();
    Ok(Stored::Index(digests.map_err(|_| "the index names something that is not a digest")?))
}
