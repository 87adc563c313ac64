//! The table of fields: each with its place in the document, its flag and its variable.
//!
//! A test holds it against the schema, so that a field cannot be had in one way only.

/// How a field is written where there is only text, in a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    /// `true` or `false`.
    Switch,
    Number,
    /// Separated by commas or line ends; image names hold neither.
    List,
    /// One on each line: the items hold commas.
    Lines,
    /// One `KEY=VALUE` on each line (values may hold commas), or a JSON object.
    Pairs,
}

/// One field that a flag or a variable can set.
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    /// Its place in the document. `*` stands for the one source that the request names.
    pub path: &'static str,
    pub flag: &'static str,
    /// Without the prefix `PODWRIGHT_`.
    pub variable: &'static str,
    pub kind: Kind,
    /// Whether the value may hold a secret: then the variable has a `_FILE` twin.
    pub secret: bool,
}

const fn field(path: &'static str, flag: &'static str, variable: &'static str, kind: Kind) -> Field {
    Field { path, flag, variable, kind, secret: false }
}

const fn secret(path: &'static str, flag: &'static str, variable: &'static str, kind: Kind) -> Field {
    Field { path, flag, variable, kind, secret: true }
}

use Kind::{Lines, List, Number, Pairs, Switch, Text};

/// `push` itself, which as a flag or variable is only ever `none`.
pub const NO_PUSH: &str = "push";

/// Every field there is.
pub const FIELDS: &[Field] = &[
    field("name", "name", "NAME", Text),
    secret("source.git.url", "git", "SOURCE_GIT_URL", Text),
    field("source.git.ref", "ref", "SOURCE_GIT_REF", Text),
    field("source.git.commit", "commit", "SOURCE_GIT_COMMIT", Text),
    field("source.git.submodules", "submodules", "SOURCE_GIT_SUBMODULES", Switch),
    field("source.git.secrets", "git-secret", "SOURCE_GIT_SECRETS", Pairs),
    field("source.git.history", "history", "SOURCE_GIT_HISTORY", Number),
    field("source.git.keepGitDir", "keep-git-dir", "SOURCE_GIT_KEEP_GIT_DIR", Switch),
    field("source.git.lfs", "lfs", "SOURCE_GIT_LFS", Text),
    secret("source.archive.url", "archive", "SOURCE_ARCHIVE_URL", Text),
    field("source.archive.path", "archive", "SOURCE_ARCHIVE_PATH", Text),
    field("source.archive.stdin", "archive", "SOURCE_ARCHIVE_STDIN", Switch),
    field("source.archive.upload.listen", "upload-listen", "SOURCE_ARCHIVE_UPLOAD_LISTEN", Text),
    field("source.archive.upload.tokenFile", "upload-token-file", "SOURCE_ARCHIVE_UPLOAD_TOKEN_FILE", Text),
    field("source.archive.upload.certificate", "upload-certificate", "SOURCE_ARCHIVE_UPLOAD_CERTIFICATE", Text),
    field("source.archive.upload.key", "upload-key", "SOURCE_ARCHIVE_UPLOAD_KEY", Text),
    field("source.archive.upload.secret", "upload-secret", "SOURCE_ARCHIVE_UPLOAD_SECRET", Text),
    field("source.archive.upload.socket", "upload-socket", "SOURCE_ARCHIVE_UPLOAD_SOCKET", Text),
    field("source.archive.sha256", "sha256", "SOURCE_ARCHIVE_SHA256", Text),
    field("source.archive.sha512", "sha512", "SOURCE_ARCHIVE_SHA512", Text),
    field("source.archive.format", "archive-format", "SOURCE_ARCHIVE_FORMAT", Text),
    field("source.archive.name", "archive-name", "SOURCE_ARCHIVE_NAME", Text),
    field("source.archive.stripComponents", "strip-components", "SOURCE_ARCHIVE_STRIP_COMPONENTS", Number),
    field("source.artifact.ref", "artifact", "SOURCE_ARTIFACT_REF", Text),
    field("source.directory.path", "directory", "SOURCE_DIRECTORY", Text),
    field("source.prepared", "prepared", "SOURCE_PREPARED", Text),
    field("source.*.subdir", "subdir", "SOURCE_SUBDIR", Text),
    field("source.*.secret", "source-secret", "SOURCE_SECRET", Text),
    secret("source.dockerfile", "inline-dockerfile", "SOURCE_DOCKERFILE", Text),
    field("build.dockerfile", "file", "BUILD_DOCKERFILE", Text),
    field("build.target", "target", "BUILD_TARGET", Text),
    secret("build.args", "build-arg", "BUILD_ARGS", Pairs),
    field("build.sourceArgs", "source-args", "BUILD_SOURCE_ARGS", Switch),
    field("build.labels", "label", "BUILD_LABELS", Pairs),
    field("build.platform", "platform", "BUILD_PLATFORM", Text),
    field("build.builder", "builder", "BUILD_BUILDER", Text),
    field("build.pull", "pull", "BUILD_PULL", Switch),
    field("build.noCache", "no-cache", "BUILD_NO_CACHE", Switch),
    field("build.network", "network", "BUILD_NETWORK", Text),
    field("build.addHosts", "add-host", "BUILD_ADD_HOSTS", List),
    field("build.shmSize", "shm-size", "BUILD_SHM_SIZE", Text),
    field("build.ulimits", "ulimit", "BUILD_ULIMITS", List),
    field("build.limits.inherit", "limits-inherit", "BUILD_LIMITS_INHERIT", Switch),
    field("build.limits.memory", "memory", "BUILD_LIMITS_MEMORY", Text),
    field("build.limits.cpus", "cpus", "BUILD_LIMITS_CPUS", Text),
    field("build.limits.cgroupParent", "cgroup-parent", "BUILD_LIMITS_CGROUP_PARENT", Text),
    field("build.limits.strict", "limits-strict", "BUILD_LIMITS_STRICT", Switch),
    field("build.cacheFrom", "cache-from", "BUILD_CACHE_FROM", List),
    field("build.reproducible", "reproducible", "BUILD_REPRODUCIBLE", Switch),
    field("build.proxy", "build-proxy", "BUILD_PROXY", Text),
    field("build.secrets", "secret", "BUILD_SECRETS", Lines),
    field("build.ssh", "ssh", "BUILD_SSH", Lines),
    field("build.keep", "tag", "BUILD_KEEP", List),
    field(NO_PUSH, "no-push", "PUSH", Text),
    field("push.destinations", "destination", "PUSH_DESTINATIONS", List),
    field("push.secret", "registry-secret", "PUSH_SECRET", Text),
    field("push.retries.max", "push-retries", "PUSH_RETRIES_MAX", Number),
    field("push.retries.within", "push-retry-within", "PUSH_RETRIES_WITHIN", Text),
    field("push.verify", "verify", "PUSH_VERIFY", Text),
    field("workspace", "workspace", "WORKSPACE", Text),
    field("result.file", "result-file", "RESULT_FILE", Text),
    field("result.terminationMessage", "termination-message", "RESULT_TERMINATION_MESSAGE", Text),
    field("limits.sourceBytes", "limit-source-bytes", "LIMITS_SOURCE_BYTES", Text),
    field("limits.sourceEntries", "limit-source-entries", "LIMITS_SOURCE_ENTRIES", Number),
    field("limits.objectBytes", "limit-object-bytes", "LIMITS_OBJECT_BYTES", Text),
    field("limits.compressionRatio", "limit-compression-ratio", "LIMITS_COMPRESSION_RATIO", Number),
    field("limits.submodules", "limit-submodules", "LIMITS_SUBMODULES", Number),
    field("limits.submoduleDepth", "limit-submodule-depth", "LIMITS_SUBMODULE_DEPTH", Number),
    field("limits.uploadFirstByte", "limit-upload-first-byte", "LIMITS_UPLOAD_FIRST_BYTE", Text),
    field("limits.uploadIdle", "limit-upload-idle", "LIMITS_UPLOAD_IDLE", Text),
    field("limits.engineWait", "limit-engine-wait", "LIMITS_ENGINE_WAIT", Text),
    field("deadline", "deadline", "DEADLINE", Text),
];

/// What is no field of the request: the flag, the variable without its prefix, and whether that has a `_FILE` twin.
pub const OTHERS: &[(&str, &str, bool)] =
    &[("request", "REQUEST", true), ("allow", "ALLOW", false), ("allow-path", "ALLOW_PATH", false), ("progress", "PROGRESS", false)];

/// What the contract knows and this version does not build: refused by name, never accepted and ignored.
/// `field=value` is one value of a field that is built.
pub const NOT_BUILT: &[&str] = &["push.via", "push.provenance", "result.presets"];

/// What no engine can be asked for by `POST /build`, and what would: refused by name as `Unsupported`.
pub const ONLY_BY_SOLVE: &[&str] = &["build.cacheTo", "build.attest", "build.contexts", "build.noCacheFilter", "build.platforms"];

/// The field at this place of the document.
pub fn at(path: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.path == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `source.git.url` is `SOURCE_GIT_URL`; `noCache` is `NO_CACHE`.
    fn derived(path: &str) -> String {
        let mut name = String::new();
        for c in path.replace("*.", "").chars() {
            match c {
                '.' => name.push('_'),
                c if c.is_ascii_uppercase() => name.extend(['_', c]),
                c => name.push(c.to_ascii_uppercase()),
            }
        }
        name
    }

    #[test]
    fn a_variable_is_named_after_its_field() {
        for field in FIELDS {
            // The document, too, can write a directory as its path alone.
            let want = derived(field.path.strip_suffix("directory.path").map_or(field.path, |_| "source.directory"));
            assert_eq!(field.variable, want, "{}", field.path);
        }
    }

    #[test]
    fn a_limit_is_named_by_the_flag_it_has() {
        for bound in crate::support::limits::SETTABLE {
            let field = FIELDS.iter().find(|field| field.path == bound.name);
            assert_eq!(field.map(|field| field.flag), bound.flag, "{}", bound.name);
        }
    }

    #[test]
    fn no_name_is_used_twice() {
        let mut variables: Vec<&str> = FIELDS.iter().map(|f| f.variable).collect();
        variables.extend(OTHERS.iter().map(|(_, variable, _)| variable));
        let fields = FIELDS.iter().map(|field| (field.variable, field.secret));
        let with_twin = fields.chain(OTHERS.iter().map(|(_, variable, twin)| (*variable, *twin))).filter(|(_, twin)| *twin);
        let twins: Vec<String> = with_twin.map(|(variable, _)| format!("{variable}_FILE")).collect();
        variables.extend(twins.iter().map(String::as_str));
        let all = variables.len();
        variables.sort_unstable();
        variables.dedup();
        assert_eq!(variables.len(), all);
    }
}
