//! What the daemon's words mean: the one place where text decides, because the daemon offers nothing else.
//!
//! Words are matched as the daemons 20.10 to 29, BuildKit and Podman 4 write them; a sentence nobody knows is the least specific error.

use crate::engine::EngineError;

/// Whether one of these stands in the text.
fn has(text: &str, needles: &[&str]) -> bool {
    needles.iter().any(|needle| text.contains(needle))
}

const UNREACHABLE: &[&str] = &[
    "i/o timeout",
    "connection refused",
    "connection reset",
    "no such host",
    "network is unreachable",
    "no route to host",
    "tls handshake timeout",
    "timeout exceeded",
    "deadline exceeded",
    "temporary failure in name resolution",
    "server misbehaving",
    "unexpected eof",
    "broken pipe",
    "service unavailable",
    "bad gateway",
    "gateway time",
    "internal server error",
    "toomanyrequests",
    "too many requests",
    "proxyconnect",
    ": eof",
    "use of closed network connection",
    "server closed idle connection",
    "timeout awaiting response headers",
    "connection broken",
    "cannot reuse body, request must be retried",
    ": no response",
];

/// Before the cause of a request that got no answer at all: containerd's words (core/remotes/docker/resolver.go), and what is left of Go's
/// `Put "http://…": …` (net/url, `Error`) without the address. The causes are as many as there are ways to break a connection.
const NO_ANSWER: &[&str] = &["failed to do request: ", "get \"\": ", "head \"\": ", "post \"\": ", "patch \"\": ", "put \"\": "];

const AUTH: &[&str] =
    &["unauthorized", "authentication required", "no basic auth credentials", "incorrect username or password", "authorization failed"];
const DENIED: &[&str] = &["denied", "forbidden", "insufficient_scope", "immutable", "quota", "read-only", "readonly", "read only"];

/// Nothing that another try would mend.
const UNTRUSTED: &[&str] = &["http response to https client", "x509:", "certificate"];

/// What a registry says of what it was sent.
const REFUSED: &[&str] =
    &["manifest unknown", "manifest invalid", "name unknown", "name invalid", "tag invalid", "digest invalid", "blob unknown"];

const DISK_FULL: &[&str] = &["no space left on device", "disk quota exceeded"];

/// What a sentence about a registry comes to.
enum Trouble {
    Auth,
    Denied,
    Unreachable,
    Untrusted,
    Other,
}

/// The text without the addresses in it: a repository may be called `quota`.
fn without_addresses(text: &str) -> String {
    let mut rest = text;
    let mut kept = String::with_capacity(text.len());
    while let Some(at) = ["http://", "https://"].iter().filter_map(|scheme| rest.find(scheme)).min() {
        kept.push_str(&rest[..at]);
        let address = &rest[at..];
        rest = match address.find(|c: char| c == '"' || c.is_whitespace()) {
            Some(end) => &address[end..],
            None => "",
        };
        // `…request to http://r/v2/x: 400` ends with what divides it from the status.
        if rest.starts_with(' ') {
            kept.push(':');
        }
    }
    kept.push_str(rest);
    kept
}

/// The status says more than the words around it, where a status is told.
fn trouble(text: &str) -> Trouble {
    let text = &without_addresses(text);
    match http_status(text) {
        Some(401) => Trouble::Auth,
        Some(403) => Trouble::Denied,
        Some(408 | 429 | 500..) => Trouble::Unreachable,
        None if has(text, AUTH) => Trouble::Auth,
        None if has(text, DENIED) => Trouble::Denied,
        None if has(text, UNTRUSTED) => Trouble::Untrusted,
        None if has(text, UNREACHABLE) || has(text, NO_ANSWER) => Trouble::Unreachable,
        _ => Trouble::Other,
    }
}

/// `unexpected status from PUT request to http://…: 400 Bad Request`, `received unexpected HTTP status: 503 Service Unavailable`,
/// and `error parsing HTTP 403 response body: …` of a registry, or a proxy before it, that explains nothing
/// (distribution, registry/client/errors.go: `UnexpectedHTTPResponseError`).
fn http_status(text: &str) -> Option<u16> {
    let code = |part: &str| part.get(..3)?.parse().ok().filter(|code| (400..600).contains(code));
    if let Some((_, after)) = text.split_once("error parsing http ").filter(|(_, after)| after.contains("response body")) {
        return code(after);
    }
    // Podman's: `…/blobs/uploads/ in r:5: StatusCode: 403, …` (containers/image, docker/errors.go).
    if let Some((_, after)) = text.split_once("statuscode: ") {
        return code(after);
    }
    let (_, after) = text.split_once("unexpected").filter(|(_, after)| after.contains("status"))?;
    after.split(": ").skip(1).find_map(code)
}

/// A call that the daemon refused with a status, where its words say no more.
pub fn call(doing: &'static str, status: u16, message: String) -> EngineError {
    match status {
        _ if has(&message.to_lowercase(), DISK_FULL) => EngineError::DiskFull(message),
        500.. => EngineError::Broken { doing, status, message },
        _ => EngineError::Refused { doing, status, message },
    }
}

/// A build that was refused with a status, before anything was streamed.
pub fn build_call(doing: &'static str, status: u16, message: &str) -> EngineError {
    match build(message, None, None) {
        EngineError::BuildRejected(message) if !(400..500).contains(&status) => call(doing, status, message),
        known => known,
    }
}

/// The same for a push, or a look at a registry through the daemon.
pub fn push_call(doing: &'static str, status: u16, message: &str) -> EngineError {
    let text = message.to_lowercase();
    match push(message) {
        EngineError::PushRejected(message) if status >= 500 && !has(&text, REFUSED) => call(doing, status, message),
        // Before anything was streamed it is the daemon's own disk.
        EngineError::PushUnavailable(message) if has(&text, DISK_FULL) => EngineError::DiskFull(message),
        known => known,
    }
}

/// A build that failed. `step` is the name of the step that did; `code` the exit code from `errorDetail`.
pub fn build(message: &str, step: Option<&str>, code: Option<i64>) -> EngineError {
    let text = without_instruction(message, step).to_lowercase();
    let owned = || message.to_owned();
    if has(&text, DISK_FULL) {
        return EngineError::DiskFull(owned());
    }
    if text.contains("failed to commit") && text.contains("snapshot") && text.contains("does not exist") {
        return EngineError::CacheDamaged(owned());
    }
    // Of no step and nothing else: what is fetched or executed says so (llbsolver gives its history 20 s, and tells no more).
    let bare = text.trim_start_matches("failed to solve: ").trim_start_matches("deadlineexceeded: ");
    if step.is_none() && bare == "context deadline exceeded" {
        return EngineError::Busy(owned());
    }
    // BuildKit's word for a step that exceeded its control group's memory (buildkit, executor/runcexecutor/executor.go: `detectOOM`).
    if text.ends_with("did not complete successfully: cannot allocate memory") {
        return EngineError::OutOfMemory { message: owned(), code: Some(137), certain: true };
    }
    if let Some(code) = code.or_else(|| exit_code(&text)) {
        return EngineError::StepFailed { message: owned(), code: Some(code) };
    }
    let invalid = [
        "dockerfile parse error",
        "no from statement found",
        "no stages to build",
        "no contents in \"",
        "from requires either one argument",
        "run only supports the",
        "unknown instruction",
        "failed to read dockerfile",
        "cannot locate specified dockerfile",
        "cannot be empty",
        "no build stage in current context",
        "with no instructions",
        "failed to parse dockerfile",
        "no source files were specified",
        "requires exactly",
        "requires at least",
        "syntax error",
        "unknown flag",
    ];
    if has(&text, &invalid) {
        return EngineError::DockerfileInvalid(owned());
    }
    let at_base = step.is_some_and(|name| name.contains("load metadata for") || name.contains("] FROM ") || name.starts_with("FROM "));
    let of_base = [
        "failed to resolve source metadata",
        "pull access denied",
        "manifest unknown",
        "failed to load metadata",
        "error getting credentials",
    ];
    if at_base || has(&text, &of_base) || (has(&text, &["manifest for"]) && text.contains("not found")) {
        return match trouble(&text) {
            Trouble::Unreachable | Trouble::Untrusted => EngineError::BaseImageUnavailable(owned()),
            Trouble::Auth | Trouble::Denied | Trouble::Other => EngineError::BaseImageDenied(owned()),
        };
    }
    let of_a_step = [
        "failed to compute cache key",
        "failed to calculate checksum",
        "copy failed",
        "add failed",
        "failed to solve: process",
        "executor failed running",
        "failed to copy",
    ];
    if step.is_some() || has(&text, &of_a_step) {
        return EngineError::StepFailed { message: owned(), code: None };
    }
    EngineError::BuildRejected(owned())
}

/// A push that failed.
pub fn push(message: &str) -> EngineError {
    let text = message.to_lowercase();
    let owned = || message.to_owned();
    if has(&text, &["does not exist locally", "no such image", "tag does not exist", "image not known", "not found: does not exist"]) {
        return EngineError::NameMoved(owned());
    }
    // In the stream it may be the registry's disk.
    if has(&text, DISK_FULL) {
        return EngineError::PushUnavailable(owned());
    }
    match trouble(&text) {
        Trouble::Auth => EngineError::PushAuth(owned()),
        Trouble::Denied => EngineError::PushDenied(owned()),
        Trouble::Unreachable => EngineError::PushUnavailable(owned()),
        Trouble::Untrusted => EngineError::PushUntrusted(owned()),
        Trouble::Other => EngineError::PushRejected(owned()),
    }
}

/// Podman's sentence without the instruction in it, which may say what it likes.
fn without_instruction<'a>(message: &'a str, step: Option<&str>) -> &'a str {
    let bare = || {
        let (_, instruction) = step?.split_once("] ")?;
        message.strip_prefix("building at STEP \"")?.strip_prefix(instruction)?.strip_prefix("\": ")
    };
    bare().unwrap_or(message)
}

/// The exit code in BuildKit's, the classic builder's and Podman's sentences about a RUN: what is said last is the daemon's own.
fn exit_code(text: &str) -> Option<i64> {
    let sentences = ["exit code: ", "non-zero code: ", "while running runtime: exit status "];
    let after = sentences.iter().filter_map(|before| text.rsplit_once(before)).map(|(_, after)| after).min_by_key(|after| after.len())?;
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Classified, Reason};

    #[test]
    fn the_daemons_sentences_about_builds_are_understood() {
        let table: &[(&str, Option<&str>, Reason)] = &[
            ("The command '/bin/sh -c exit 7' returned a non-zero code: 7", Some("RUN exit 7"), Reason::StepFailed),
            ("executor failed running [/bin/sh -c exit 7]: exit code: 7", Some("[2/2] RUN exit 7"), Reason::StepFailed),
            ("process \"/bin/sh -c x\" did not complete successfully: exit code: 127", None, Reason::StepFailed),
            (
                "failed to solve with frontend dockerfile.v0: failed to create LLB definition: dockerfile parse error line 2: unknown instruction: FORM",
                None,
                Reason::DockerfileInvalid,
            ),
            ("Cannot locate specified Dockerfile: Dockerfile", None, Reason::DockerfileInvalid),
            (
                "COPY failed: file not found in build context or excluded by .dockerignore: stat x: file does not exist",
                Some("COPY x /"),
                Reason::StepFailed,
            ),
            (
                "failed to compute cache key: failed to calculate checksum of ref a: \"/x\": not found",
                Some("[1/1] COPY x /"),
                Reason::StepFailed,
            ),
            ("pull access denied for nope, repository does not exist or may require 'docker login'", None, Reason::BaseImageDenied),
            (
                "r:5/x: failed to resolve source metadata for r:5/x: unexpected status from HEAD request to https://r:5/v2/x: 401 Unauthorized",
                None,
                Reason::BaseImageDenied,
            ),
            (
                "Get \"http://r:5/v2/\": dial tcp 127.0.0.1:5: connect: connection refused",
                Some("[internal] load metadata for r:5/x"),
                Reason::BaseImageUnavailable,
            ),
            ("write /x: no space left on device", Some("RUN dd"), Reason::EngineDiskFull),
            ("context deadline exceeded", None, Reason::EngineLost),
            ("context deadline exceeded", Some("[internal] load metadata for r:5/x"), Reason::BaseImageUnavailable),
            (
                "building at STEP \"RUN echo no space left on device\": while running runtime: exit status 3",
                Some("[2/2] RUN echo no space left on device"),
                Reason::StepFailed,
            ),
            (
                "building at STEP \"COPY nope /\": checking on sources under \"/x/build\": copier: stat: \"/nope\": no such file or directory",
                Some("[2/2] COPY nope /"),
                Reason::StepFailed,
            ),
            (
                "building at STEP \"RUN --x true\": RUN only supports the --mount flag",
                Some("[2/2] RUN --x true"),
                Reason::DockerfileInvalid,
            ),
            ("no FROM statement found", None, Reason::DockerfileInvalid),
            (
                "creating build container: initializing source docker://r:5/x: reading manifest 1 in r:5/x: manifest unknown: manifest unknown",
                Some("[1/2] FROM r:5/x"),
                Reason::BaseImageDenied,
            ),
            ("failed to reach build target x in Dockerfile", None, Reason::BuildRejected),
        ];
        for (message, step, want) in table {
            assert_eq!(build(message, *step, None).reason(), *want, "{message}");
        }
        let podmans = build("building at STEP \"RUN echo exit code: 5\": while running runtime: exit status 7", None, None);
        assert!(matches!(podmans, EngineError::StepFailed { code: Some(7), .. }), "{podmans:?}");
    }

    #[test]
    fn the_daemons_sentences_about_pushes_are_understood() {
        let table: &[(&str, Reason)] = &[
            ("no basic auth credentials", Reason::PushAuth),
            ("unauthorized: authentication required", Reason::PushAuth),
            ("denied: requested access to the resource is denied", Reason::PushDenied),
            ("tag is immutable", Reason::PushDenied),
            ("received unexpected HTTP status: 503 Service Unavailable", Reason::PushUnavailable),
            ("error parsing HTTP 403 response body: unexpected end of JSON input: \"\"", Reason::PushDenied),
            (
                "error parsing HTTP 400 response body: invalid character '<' looking for beginning of value: \"<html>\"",
                Reason::PushRejected,
            ),
            ("error parsing HTTP 429 response body: unexpected end of JSON input: \"\"", Reason::PushUnavailable),
            ("Get \"http://127.0.0.1:1/v2/\": dial tcp 127.0.0.1:1: connect: connection refused", Reason::PushUnavailable),
            ("An image does not exist locally with the tag: 127.0.0.1:5000/x", Reason::DigestMismatch),
            ("failed to find image r:5/x:1: r:5/x:1: image not known", Reason::DigestMismatch),
            ("writing blob: initiating layer upload to /v2/x/blobs/uploads/ in r:5: StatusCode: 403, ", Reason::PushDenied),
            ("manifest invalid: manifest invalid", Reason::PushRejected),
            (
                "failed commit on ref \"m\": unexpected status from PUT request to http://r:5/v2/x/manifests/1: 400 Bad Request",
                Reason::PushRejected,
            ),
            ("unexpected status from POST request to http://r:5/v2/x/blobs/uploads/: 403 Forbidden", Reason::PushDenied),
            ("unexpected status from HEAD request to https://r:5/v2/x: 503 Service Unavailable", Reason::PushUnavailable),
            ("failed to do request: unexpected status from PUT request to http://r:5/v2/x: 401 Unauthorized", Reason::PushAuth),
            (
                "failed commit on ref \"layer-sha256:4bb0\": failed to do request: Put \"http://r:5/v2/x/blobs/uploads/9?_state=a\": \
                 readfrom tcp 127.0.0.1:4->127.0.0.1:5: write tcp 127.0.0.1:4->127.0.0.1:5: use of closed network connection",
                Reason::PushUnavailable,
            ),
            ("failed commit on ref \"layer-sha256:4bb0\": no response", Reason::PushUnavailable),
            ("Put \"https://r/v2/quota/denied/blobs/uploads/9\": the moon is in the wrong house", Reason::PushUnavailable),
            ("unexpected status from PUT request to https://r/v2/forbidden/manifests/1: 400 Bad Request", Reason::PushRejected),
            ("errors:\ndenied: quota, see https://r/team/broken", Reason::PushDenied),
        ];
        for (message, want) in table {
            assert_eq!(push(message).reason(), *want, "{message}");
        }
    }

    #[test]
    fn a_status_decides_where_words_do_not() {
        type Diagnosis = fn(&'static str, u16, &str) -> EngineError;
        fn plain(doing: &'static str, status: u16, message: &str) -> EngineError {
            call(doing, status, message.to_owned())
        }
        let table: &[(Diagnosis, u16, &str, Reason)] = &[
            (build_call, 500, "the moon is in the wrong house", Reason::EngineLost),
            (build_call, 400, "the moon is in the wrong house", Reason::BuildRejected),
            (build_call, 500, "dockerfile parse error line 2: unknown instruction: FORM", Reason::DockerfileInvalid),
            (build_call, 500, "write /var/lib/docker/tmp/x: no space left on device", Reason::EngineDiskFull),
            (push_call, 500, "the moon is in the wrong house", Reason::EngineLost),
            (push_call, 500, "manifest unknown: manifest unknown", Reason::PushRejected),
            (push_call, 404, "the moon is in the wrong house", Reason::PushRejected),
            (push_call, 500, "Get \"https://r:5/v2/\": dial tcp: lookup r: no such host", Reason::PushUnavailable),
            (push_call, 500, "write /var/lib/docker/x: no space left on device", Reason::EngineDiskFull),
            (push_call, 404, "An image does not exist locally with the tag: r:5/x", Reason::DigestMismatch),
            (plain, 500, "write /x: No space left on device", Reason::EngineDiskFull),
            (plain, 500, "database is locked", Reason::EngineLost),
            (plain, 409, "conflict: container 1 is using its referenced image 2", Reason::BuildRejected),
        ];
        for (diagnosis, status, message, want) in table {
            assert_eq!(diagnosis("work", *status, message).reason(), *want, "{status} {message}");
        }
        let untrusted = push("Get \"https://r:5/v2/\": x509: certificate signed by unknown authority");
        assert!(matches!(untrusted, EngineError::PushUntrusted(_)) && untrusted.reason() == Reason::PushUnavailable);
    }
}
