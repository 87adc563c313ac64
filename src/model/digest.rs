//! `Digest` is what a registry calls a manifest; `ImageId` is what an engine calls an image. Never the same type,
//! because on one image store they name different documents (OCI image-spec, descriptor.md, "Digests").

use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;

/// A string that is not `sha256:<64 hex>` or `sha512:<128 hex>`.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a digest (sha256:<64 hex digits> or sha512:<128 hex digits>)")]
pub struct BadDigest(String);

/// The digest of a blob or manifest as a registry names it, in lower case.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Digest(#[schemars(regex(pattern = "^sha(256:[0-9a-f]{64}|512:[0-9a-f]{128})$"))] String);

impl Digest {
    /// Accepts the two algorithms of the OCI image specification.
    pub fn parse(text: &str) -> Result<Self, BadDigest> {
        let bad = || BadDigest(text.chars().take(160).collect());
        let (algorithm, hex) = text.split_once(':').ok_or_else(bad)?;
        let length = match algorithm {
            "sha256" => 64,
            "sha512" => 128,
            _ => return Err(bad()),
        };
        let good = hex.len() == length && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if good { Ok(Self(text.to_owned())) } else { Err(bad()) }
    }

    /// Of 32 bytes that a SHA-256 came to.
    pub fn sha256(bytes: impl AsRef<[u8]>) -> Self {
        Self(format!("sha256:{}", hex(bytes.as_ref())))
    }

    /// Of 64 bytes that a SHA-512 came to.
    pub fn sha512(bytes: impl AsRef<[u8]>) -> Self {
        Self(format!("sha512:{}", hex(bytes.as_ref())))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The hexadecimal part.
    pub fn hex(&self) -> &str {
        self.0.split_once(':').map_or("", |(_, hex)| hex)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What the engine calls the image it built: opaque, though written like a digest.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct ImageId(#[schemars(regex(pattern = "^sha(256:[0-9a-f]{64}|512:[0-9a-f]{128})$"))] String);

impl ImageId {
    /// An engine's id is always written as a digest; anything else is no evidence of an image.
    pub fn parse(text: &str) -> Result<Self, BadDigest> {
        Digest::parse(text).map(|digest| Self(digest.0))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the engine's name for the image is this digest.
    pub fn is(&self, digest: &Digest) -> bool {
        self.0 == digest.0
    }
}

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
