//! From flags to the fields of a layer.

use std::ffi::OsString;

use serde_json::{Map, Value};

use super::{BuildArgs, BuildFlags, FetchArgs, Progress, PushArgs, RunArgs, SourceArgs};
use crate::cli::UsageError;
use crate::cli::context;
use crate::config::{Environment, Layer, Overrides};

impl BuildArgs {
    /// What of it is for the one who renders.
    pub fn progress(&self) -> Option<Progress> {
        self.run.progress
    }

    /// The flags as a layer. The environment is asked only for the values of build arguments that are named alone.
    pub fn overrides(self, env: &dyn Environment) -> Result<Overrides, UsageError> {
        let mut layer = Layer::default();
        self.source.fill(&mut layer)?;
        self.build.fill(&mut layer, env)?;
        self.push.fill(&mut layer);
        let request = self.run.fill(&mut layer);
        Ok(Overrides { request, layer, output: None, allow: self.operator.allow, allow_paths: self.operator.allow_path })
    }
}

impl FetchArgs {
    /// What of it is for the one who renders.
    pub fn progress(&self) -> Option<Progress> {
        self.run.progress
    }

    /// The flags as a layer.
    pub fn overrides(self) -> Result<Overrides, UsageError> {
        let mut layer = Layer::default();
        self.source.fill(&mut layer)?;
        let request = self.run.fill(&mut layer);
        Ok(Overrides { request, layer, output: Some(self.output), allow: self.operator.allow, allow_paths: self.operator.allow_path })
    }
}

impl SourceArgs {
    fn fill(self, layer: &mut Layer) -> Result<(), UsageError> {
        if let Some(context) = &self.context {
            let context = context::resolve(context)?;
            context.fill(layer);
        }
        if let Some(archive) = &self.archive {
            context::archive(archive).fill(layer);
        }
        layer.maybe("source.git.url", self.git);
        layer.maybe("source.git.ref", self.r#ref);
        layer.maybe("source.git.commit", self.commit);
        layer.maybe("source.git.submodules", self.submodules);
        let whole = |_: &str| Err(UsageError::new("--git-secret has no directory", "write --git-secret https://host/path=/secrets/other"));
        layer.maybe("source.git.secrets", pairs(&self.git_secret, "--git-secret", whole)?);
        layer.maybe("source.git.history", self.history);
        layer.maybe("source.git.keepGitDir", self.keep_git_dir);
        layer.maybe("source.archive.upload.listen", self.upload_listen);
        layer.maybe("source.archive.upload.tokenFile", self.upload_token_file);
        layer.maybe("source.archive.upload.certificate", self.upload_certificate);
        layer.maybe("source.archive.upload.key", self.upload_key);
        layer.maybe("source.archive.upload.secret", self.upload_secret);
        layer.maybe("source.archive.upload.socket", self.upload_socket);
        layer.maybe("source.git.lfs", self.lfs);
        layer.maybe("source.archive.sha256", self.sha256);
        layer.maybe("source.archive.sha512", self.sha512);
        layer.maybe("source.archive.name", self.archive_name);
        layer.maybe("source.archive.format", self.archive_format);
        layer.maybe("source.archive.stripComponents", self.strip_components);
        layer.maybe("source.artifact.ref", self.artifact);
        layer.maybe("source.directory.path", self.directory);
        layer.maybe("source.prepared", self.prepared);
        layer.maybe("source.*.subdir", self.subdir);
        layer.maybe("source.*.secret", self.source_secret);
        layer.maybe("source.dockerfile", self.inline_dockerfile);
        Ok(())
    }
}

impl BuildFlags {
    fn fill(self, layer: &mut Layer, env: &dyn Environment) -> Result<(), UsageError> {
        if self.file.as_deref() == Some("-") {
            return Err(UsageError::new("--file - is not known here", "give the Dockerfile's text with --inline-dockerfile"));
        }
        layer.maybe("build.dockerfile", self.file);
        layer.maybe("build.target", self.target);
        layer.maybe("build.args", pairs(&self.build_arg, "--build-arg", |key| from_environment(key, env))?);
        layer.maybe("build.labels", pairs(&self.label, "--label", |_| Ok(Some(String::new())))?);
        layer.maybe("build.platform", self.platform);
        layer.maybe("build.builder", self.builder);
        layer.maybe("build.pull", self.pull);
        layer.maybe("build.sourceArgs", self.source_args);
        layer.maybe("build.noCache", self.no_cache);
        layer.maybe("build.network", self.network);
        layer.maybe("build.addHosts", list(self.add_host));
        layer.maybe("build.shmSize", self.shm_size);
        layer.maybe("build.ulimits", list(self.ulimit));
        layer.maybe("build.limits.inherit", self.limits_inherit);
        layer.maybe("build.limits.memory", self.memory);
        layer.maybe("build.limits.cpus", self.cpus);
        layer.maybe("build.limits.cgroupParent", self.cgroup_parent);
        layer.maybe("build.limits.strict", self.limits_strict);
        layer.maybe("build.cacheFrom", list(self.cache_from));
        layer.maybe("build.reproducible", self.reproducible);
        layer.maybe("build.proxy", self.build_proxy);
        layer.maybe("build.secrets", list(self.secret));
        layer.maybe("build.ssh", list(self.ssh));
        layer.maybe("build.keep", list(self.tag));
        Ok(())
    }
}

impl PushArgs {
    fn fill(self, layer: &mut Layer) {
        layer.maybe("push", self.no_push.then_some("none"));
        layer.maybe("push.destinations", list(self.destination));
        layer.maybe("push.secret", self.registry_secret);
        layer.maybe("push.retries.max", self.push_retries);
        layer.maybe("push.retries.within", self.push_retry_within);
        layer.maybe("push.verify", self.verify);
    }
}

impl RunArgs {
    fn fill(self, layer: &mut Layer) -> Option<String> {
        layer.maybe("name", self.name);
        layer.maybe("deadline", self.deadline);
        layer.maybe("workspace", self.workspace);
        layer.maybe("result.file", self.result_file);
        layer.maybe("result.terminationMessage", self.termination_message);
        layer.maybe("limits.sourceBytes", self.limit_source_bytes);
        layer.maybe("limits.sourceEntries", self.limit_source_entries);
        layer.maybe("limits.submodules", self.limit_submodules);
        layer.maybe("limits.submoduleDepth", self.limit_submodule_depth);
        layer.maybe("limits.objectBytes", self.limit_object_bytes);
        layer.maybe("limits.compressionRatio", self.limit_compression_ratio);
        layer.maybe("limits.uploadFirstByte", self.limit_upload_first_byte);
        layer.maybe("limits.uploadIdle", self.limit_upload_idle);
        layer.maybe("limits.engineWait", self.limit_engine_wait);
        self.request
    }
}

fn list(items: Vec<String>) -> Option<Value> {
    if items.is_empty() { None } else { Some(Value::from(items)) }
}

/// `KEY=VALUE` by the first `=`, never split at commas; the last of one key counts, as with docker.
fn pairs(items: &[String], flag: &str, alone: impl Fn(&str) -> Result<Option<String>, UsageError>) -> Result<Option<Value>, UsageError> {
    let mut pairs = Map::new();
    for item in items {
        let (key, value) = match item.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (item.as_str(), alone(item)?),
        };
        if key.is_empty() {
            return Err(UsageError::new(&format!("{flag} has no key before its `=`"), "write KEY=VALUE"));
        }
        if let Some(value) = value {
            pairs.insert(key.to_owned(), Value::from(value));
        }
    }
    Ok(if pairs.is_empty() { None } else { Some(Value::Object(pairs)) })
}

/// As `docker build` does: a variable that is not set gives no argument.
fn from_environment(key: &str, env: &dyn Environment) -> Result<Option<String>, UsageError> {
    let value = env.get(key).map(OsString::into_string);
    value.transpose().map_err(|_| UsageError::new(&format!("the variable {key:?} of --build-arg is not UTF-8"), "write KEY=VALUE"))
}
