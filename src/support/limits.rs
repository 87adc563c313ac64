//! Every bound on input, with its name, default and unit. A bound that is hit names itself in the error.

/// The bounds of one run. Bytes and counts are exact; a run that meets one fails and ships nothing.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Limits {
    /// Bytes of a source, decompressed.
    pub source_bytes: u64,
    /// Entries of a source.
    pub source_entries: u64,
    /// Bytes of one file of a source.
    pub object_bytes: u64,
    /// Decompressed bytes for one compressed byte, once 64 MiB are out.
    pub compression_ratio: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { source_bytes: 16 << 30, source_entries: 1_000_000, object_bytes: 4 << 30, compression_ratio: 200 }
    }
}

/// A ratio below this many decompressed bytes says nothing.
pub const RATIO_FROM: u64 = 64 << 20;

/// Bytes of a Dockerfile: what BuildKit's frontend reads at most (its `maxDockerfileSize` is 16 MiB; ours is stricter).
pub const DOCKERFILE_BYTES: u64 = 1 << 20;

/// Bytes of an ignore file.
pub const IGNORE_BYTES: u64 = 1 << 20;

/// Bytes of the request document.
pub const REQUEST_BYTES: u64 = 1 << 20;

/// Bytes of one secret file.
pub const SECRET_BYTES: u64 = 1 << 20;

/// Bytes of a manifest (OCI distribution-spec, "Pushing Manifests", asks registries to take 4 MiB).
pub const MANIFEST_BYTES: u64 = 8 << 20;

/// Bytes of one line of the daemon's stream.
pub const DAEMON_LINE_BYTES: usize = 64 << 20;

/// Bytes of the headers of one request of the daemon's to our session. A pattern of an ignore file is one header, and counts
/// with its key and 32 bytes more (RFC 9113, 6.5.2): room for some 200,000 of them.
pub const SESSION_HEADER_BYTES: u32 = 16 << 20;
