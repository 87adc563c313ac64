//! Every bound on input, with its name, default and unit. A bound that is hit names itself in the error.

use std::time::Duration;

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
    /// Submodules of a source, those of submodules counted.
    pub submodules: u64,
    /// Submodules within submodules: 1 is those of the source alone.
    pub submodule_depth: u64,
    /// How long an upload is waited for.
    #[serde(serialize_with = "seconds")]
    pub upload_first_byte: Duration,
    /// The longest silence within an upload.
    #[serde(serialize_with = "seconds")]
    pub upload_idle: Duration,
    /// How long an engine that is not there yet is waited for; zero for one look.
    #[serde(serialize_with = "seconds")]
    pub engine_wait: Duration,
}

/// As a request writes it.
fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{}s", duration.as_secs_f64()))
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            source_bytes: 16 << 30,
            source_entries: 1_000_000,
            object_bytes: 4 << 30,
            compression_ratio: 200,
            submodules: 128,
            submodule_depth: 8,
            upload_first_byte: Duration::from_mins(10),
            upload_idle: Duration::from_mins(1),
            engine_wait: Duration::from_mins(1),
        }
    }
}

/// A bound as every message names it: its place in the request and the flag that sets it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    pub name: &'static str,
    /// `None` for one that nobody can set.
    pub flag: Option<&'static str>,
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.flag {
            Some(flag) => write!(f, "{} (--{flag})", self.name),
            None => write!(f, "{} (fixed)", self.name),
        }
    }
}

const fn settable(name: &'static str, flag: &'static str) -> Bound {
    Bound { name, flag: Some(flag) }
}

const fn fixed(name: &'static str) -> Bound {
    Bound { name, flag: None }
}

pub const SOURCE_BYTES: Bound = settable("limits.sourceBytes", "limit-source-bytes");
pub const SOURCE_ENTRIES: Bound = settable("limits.sourceEntries", "limit-source-entries");
pub const OBJECT_BYTES: Bound = settable("limits.objectBytes", "limit-object-bytes");
pub const COMPRESSION_RATIO: Bound = settable("limits.compressionRatio", "limit-compression-ratio");
pub const UPLOAD_FIRST_BYTE: Bound = settable("limits.uploadFirstByte", "limit-upload-first-byte");
pub const UPLOAD_IDLE: Bound = settable("limits.uploadIdle", "limit-upload-idle");

/// A daemon that is being restarted is back within seconds; what takes a minute is a node's beginning.
pub const ENGINE_WAIT: Bound = settable("limits.engineWait", "limit-engine-wait");

pub const SUBMODULES: Bound = settable("limits.submodules", "limit-submodules");
pub const SUBMODULE_DEPTH: Bound = settable("limits.submoduleDepth", "limit-submodule-depth");

/// All that a request can set.
pub const SETTABLE: [Bound; 9] = [
    SOURCE_BYTES,
    SOURCE_ENTRIES,
    OBJECT_BYTES,
    COMPRESSION_RATIO,
    SUBMODULES,
    SUBMODULE_DEPTH,
    UPLOAD_FIRST_BYTE,
    UPLOAD_IDLE,
    ENGINE_WAIT,
];

/// Objects of a pack: commits, trees and tags come on top of the files.
pub const GIT_OBJECTS: Bound = settable("git objects, four for each of limits.sourceEntries", "limit-source-entries");
pub const GIT_OBJECTS_PER_ENTRY: u64 = 4;

/// Bytes of memory for one piece of a pack, above all for the base of a delta: three of them may be held at once. Servers make
/// no deltas of files over their `core.bigFileThreshold`, and such files are not held while a pack comes in.
pub const GIT_PIECE: Bound = fixed("bytes in memory for one delta of a pack");
pub const GIT_PIECE_BYTES: u64 = 128 << 20;

/// Bytes of a commit or an annotated tag.
pub const GIT_COMMIT: Bound = fixed("bytes of a commit or tag");
pub const GIT_COMMIT_BYTES: u64 = 1 << 20;

/// Bytes of all tree objects on the way to one directory, held together while a commit is walked: a directory of a million names
/// has some 50 MB.
pub const GIT_TREES: Bound = fixed("bytes of the tree objects down to one directory");
pub const GIT_TREES_BYTES: u64 = 64 << 20;

/// Bytes of a `.gitmodules`.
pub const GIT_MODULES_BYTES: u64 = 1 << 20;

/// Bytes of a git server's list of refs: half a million of them.
pub const GIT_REFS: Bound = fixed("bytes in the list of refs");
pub const GIT_REFS_BYTES: u64 = 64 << 20;

/// Commits at which a server cuts a shallow history: as many as there are lines of development side by side where it ends.
pub const GIT_CUTS: Bound = fixed("commits at which the history is cut");
pub const GIT_CUTS_MOST: u64 = 1 << 16;

/// Bytes of the window that a decoder keeps of what it gave, or of its dictionary: what zstd itself takes without being asked,
/// twice what `xz -9` needs. As much memory as an archive was made with is used, not more.
pub const WINDOW: Bound = fixed("bytes of the window an archive is decompressed with");
pub const WINDOW_LOG: u32 = 27;
pub const WINDOW_BYTES: u64 = 1 << WINDOW_LOG;

/// Stretches of one sparse file.
pub const SPARSE_PIECES_MOST: u64 = 1 << 16;
/// Objects of Git LFS in one source: where each of them is, is held in memory.
pub const LFS_OBJECTS: Bound = fixed("objects of Git LFS");
pub const LFS_OBJECTS_MOST: usize = 200_000;

/// Bytes of an LFS server's answer about a hundred objects: pre-signed URLs have some 2 KB each.
pub const LFS_ANSWER_BYTES: u64 = 4 << 20;

/// Bytes of what git-lfs-authenticate prints, and of the headers in it, which are kept as secrets of the run.
pub const LFS_LEAVE_BYTES: u64 = 64 << 10;
pub const LFS_LEAVE_HEADER_BYTES: usize = 4 << 10;

/// Times that one source asks it.
pub const LFS_LEAVES: u32 = 64;

/// Bytes of `.lfsconfig`.
pub const LFS_CONFIG_BYTES: u64 = 64 << 10;

/// A ratio below this many decompressed bytes says nothing.
pub const RATIO_FROM: u64 = 64 << 20;

/// Bytes of a Dockerfile: what BuildKit's frontend reads at most (its `maxDockerfileSize` is 16 MiB; ours is stricter).
pub const DOCKERFILE_BYTES: u64 = 1 << 20;

/// Bytes of an ignore file.
pub const IGNORE_BYTES: u64 = 1 << 20;

/// Bytes of a prepared source's `source.json`.
pub const PREPARED_BYTES: u64 = 1 << 20;

/// Bytes of the request document.
pub const REQUEST_BYTES: u64 = 1 << 20;

/// Bytes of one secret file.
pub const SECRET_BYTES: u64 = 1 << 20;

/// Headers of a secret's key `headers`.
pub const SECRET_HEADERS: usize = 32;

/// Bytes of a manifest (OCI distribution-spec, "Pushing Manifests", asks registries to take 4 MiB).
pub const MANIFEST_BYTES: u64 = 8 << 20;

/// Layers of an artifact that is a source: one more than an image of Docker's can have.
pub const LAYERS: Bound = fixed("layers of an artifact");
pub const LAYERS_MOST: usize = 128;

/// Bytes of one line of the daemon's stream.
pub const DAEMON_LINE_BYTES: usize = 16 << 20;

/// Bytes of the headers of one request of the daemon's to our session. A pattern of an ignore file is one header, and counts
/// with its key and 32 bytes more (RFC 9113, 6.5.2): room for some 200,000 of them.
pub const SESSION_HEADER_BYTES: u32 = 16 << 20;
