//! The termination message: the result in the few bytes that the kubelet keeps.
//!
//! Kubernetes keeps 4,096 bytes for a container and 12 KiB for a pod, divided among its containers
//! (website, determine-reason-pod-failure.md), and Tekton puts its own records beside ours: so 1,000 bytes.
//! It is the result document with fields taken away in one fixed order, those that its schema requires among them: what is there
//! means what it means in the result, and only `outcome` and `exit_code` are sure to be there.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::Path;

use serde_json::Value;

use crate::support::json::{self, Shorten};
use crate::support::redact::Redactor;

/// Where the kubelet looks unless the pod says otherwise (kubernetes.io, "Determine the Reason for Pod Failure").
pub const DEFAULT_TERMINATION_MESSAGE: &str = "/dev/termination-log";

/// Bytes of the message.
pub const BYTES: usize = 1_000;

/// What goes, in this order, until the rest fits: first what only people look at, then what the exit code or the digest says as
/// well. `outcome` and `exit_code` always stay; `error.reason` goes last.
const ORDER: &[Shorten] = &[
    Shorten::Drop("steps.failed.log"),
    Shorten::Cut("error.message", 2_000),
    Shorten::Cut("error.hint", 500),
    Shorten::Drop("engine"),
    Shorten::Drop("timing"),
    Shorten::Drop("source.subject"),
    Shorten::Drop("source.author"),
    Shorten::Drop("source.committer"),
    Shorten::Drop("source.date"),
    Shorten::Drop("source.size"),
    Shorten::Drop("image.platforms"),
    Shorten::Drop("image.kept"),
    Shorten::Drop("warnings"),
    Shorten::Drop("error.causes"),
    Shorten::Drop("image.media_type"),
    Shorten::Drop("image.size"),
    Shorten::Cut("error.message", 300),
    Shorten::Cut("error.hint", 150),
    Shorten::Cut("steps.failed.name", 100),
    Shorten::Drop("image.tags"),
    Shorten::Drop("error.hint"),
    Shorten::Drop("source.url"),
    Shorten::Drop("source.subdir"),
    Shorten::Drop("image.config_digest"),
    Shorten::Drop("name"),
    Shorten::Drop("steps.failed.name"),
    Shorten::First("image.refs", 1),
    Shorten::Drop("source"),
    Shorten::Drop("image.image_id"),
    Shorten::Cut("error.message", 100),
    Shorten::Drop("steps"),
    Shorten::Drop("image.refs"),
    Shorten::Drop("error.message"),
    Shorten::Drop("error.fault"),
    Shorten::Drop("error.exit_code"),
    Shorten::Drop("image"),
    Shorten::Drop("run"),
    Shorten::Drop("error.phase"),
    Shorten::Drop("schema"),
    Shorten::Drop("error.retryable"),
    Shorten::Drop("error"),
];

/// The message for a document that was masked already: at most `most` bytes, unless those are fewer than its two last fields need.
pub fn message(mut document: Value, most: usize, redactor: &Redactor) -> String {
    let line = json::fit(&mut document, most, ORDER);
    // Nothing was cut through a secret, since they were masked before; the mask of a mask changes nothing.
    json::scrub_line(line, usize::MAX, redactor).unwrap_or_else(|| "{}".to_owned())
}

/// Writes over what is there. No rename: the kubelet mounts this one file into the container.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    OpenOptions::new().write(true).create(true).truncate(true).open(path)?.write_all(bytes)
}

/// Writes only where there is a file already.
pub fn write_existing(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    OpenOptions::new().write(true).truncate(true).open(path)?.write_all(bytes)
}
