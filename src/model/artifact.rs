//! An OCI artifact as its manifest describes it (image-spec 1.1, manifest.md): what a registry hands out, and what a source is
//! made of.

use std::collections::BTreeMap;

use super::Digest;

/// What stands under a name in a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stored {
    Artifact(Artifact),
    /// The manifests that an index names, without those that only attest another one.
    Index(Vec<Digest>),
}

/// One manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Artifact {
    /// The lowest first.
    pub layers: Vec<Layer>,
    /// The manifest's own, as they stand: somebody else's words.
    pub annotations: BTreeMap<String, String>,
}

/// One blob of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    pub digest: Digest,
    /// Bytes, as they are stored.
    pub size: u64,
    pub media_type: String,
    /// The blob's own, as they stand.
    pub annotations: BTreeMap<String, String>,
}

impl Artifact {
    /// Bytes of all layers, as they are stored.
    pub fn size(&self) -> u64 {
        self.layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.size))
    }
}
