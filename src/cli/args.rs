//! The flags, as clap knows them. They are parsed and put into a layer; what they mean is `config`'s business.

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde_json::{Map, Value};

use super::UsageError;
use super::context::{self, Context};
use crate::config::{Environment, Layer, Overrides};

/// An example, in both helps.
const EXAMPLE: &str = "\
Example:
  podwright --git https://git.example.com/team/web.git --ref main \\
            --source-secret /secrets/git --registry-secret /secrets/registry \\
            -d registry.example.com/team/web:1.2";

#[derive(Debug, Parser)]
#[command(name = "podwright", version, max_term_width = 110, infer_long_args = false, propagate_version = true)]
#[command(about = "Builds a container image on the node's Docker daemon, pushes it, and tells the truth about it")]
#[command(after_help = super::help::overview(EXAMPLE))]
pub struct Cli {
    #[command(subcommand)]
    pub command: Sub,
}

#[derive(Debug, Subcommand)]
pub enum Sub {
    /// The whole job: fetch, build, push, report. What a pod runs; also without the word `build`
    #[command(after_help = super::help::brief(EXAMPLE), after_long_help = super::help::whole(EXAMPLE))]
    Build(Box<BuildArgs>),
    /// Print the resolved, redacted request and what would be done; touches nothing
    #[command(after_help = super::help::brief(EXAMPLE), after_long_help = super::help::whole(EXAMPLE))]
    Plan(Box<BuildArgs>),
    /// Print a JSON Schema
    Schema { of: SchemaOf },
    /// Print version, commit and linked libraries
    Version {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

/// What a schema is printed of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    Request,
    Event,
    Result,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Progress {
    /// Plain on a terminal, else JSON
    #[default]
    Auto,
    /// One event a line
    Json,
    /// For people
    Plain,
}

#[derive(Debug, Args)]
pub struct BuildArgs {
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    build: BuildFlags,
    #[command(flatten)]
    push: PushArgs,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    operator: OperatorArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Source")]
struct SourceArgs {
    /// A directory, an archive, `-`, or a URL ending in .git or .tar.gz; else use the flags
    #[arg(value_name = "CONTEXT", group = "where")]
    context: Option<String>,
    /// A repository, https://
    #[arg(long, value_name = "URL", group = "where")]
    git: Option<String>,
    /// Branch, tag or full ref [default: HEAD]
    #[arg(long, value_name = "REF")]
    r#ref: Option<String>,
    /// The commit; with --ref: the ref must lead there
    #[arg(long, value_name = "ID")]
    commit: Option<String>,
    /// A tar or tar.gz: a path, an https:// URL, or - for standard input
    #[arg(long, value_name = "WHERE", group = "where", allow_hyphen_values = true)]
    archive: Option<String>,
    /// The archive's digest
    #[arg(long, value_name = "HEX")]
    sha256: Option<String>,
    /// auto, tar or tar.gz
    #[arg(long, value_name = "FORMAT")]
    archive_format: Option<String>,
    /// Drop this many leading components of names
    #[arg(long, value_name = "N")]
    strip_components: Option<u64>,
    /// A directory mounted into this pod
    #[arg(long, value_name = "DIR", group = "where")]
    directory: Option<String>,
    /// The directory of the source that is the context
    #[arg(long, value_name = "PATH")]
    subdir: Option<String>,
    /// A directory with the source's credentials
    #[arg(long, value_name = "DIR")]
    source_secret: Option<String>,
    /// The text of a Dockerfile; alone: an empty context
    #[arg(long, value_name = "TEXT")]
    inline_dockerfile: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Build")]
struct BuildFlags {
    /// The Dockerfile, below the context [default: Dockerfile]
    #[arg(short, long, value_name = "PATH")]
    file: Option<String>,
    /// The stage to build
    #[arg(long, value_name = "STAGE")]
    target: Option<String>,
    /// KEY alone takes the value from the environment
    #[arg(long, value_name = "KEY[=VALUE]")]
    build_arg: Vec<String>,
    #[arg(long, value_name = "KEY=VALUE", help = "A label of the image")]
    label: Vec<String>,
    /// os/arch or os/arch/variant
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    /// auto, buildkit or classic
    #[arg(long, value_name = "BUILDER")]
    builder: Option<String>,
    /// Look for newer base images
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pull: Option<bool>,
    /// Run every step anew
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    no_cache: Option<bool>,
    /// default or none
    #[arg(long, value_name = "MODE")]
    network: Option<String>,
    /// Keep the image on the node under this name
    #[arg(short, long, value_name = "NAME")]
    tag: Vec<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Push")]
struct PushArgs {
    /// Push under this name
    #[arg(short, long, value_name = "NAME")]
    destination: Vec<String>,
    /// Push nothing
    #[arg(long, conflicts_with = "destination")]
    no_push: bool,
    /// A directory with config.json or .dockerconfigjson
    #[arg(long, value_name = "DIR")]
    registry_secret: Option<String>,
    /// Tries after the first [default: 5]
    #[arg(long, value_name = "N")]
    push_retries: Option<u64>,
    /// No new try later than this [default: 10m]
    #[arg(long, value_name = "DURATION")]
    push_retry_within: Option<String>,
    /// Who reads the tag back: auto, pod, engine or off
    #[arg(long, value_name = "WHO")]
    verify: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Run")]
struct RunArgs {
    /// The request, YAML or JSON; - is standard input
    #[arg(long, value_name = "FILE")]
    request: Option<String>,
    /// Shows in events and labels
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// How progress is shown on standard output [default: auto]
    #[arg(long, value_enum, value_name = "auto|json|plain", hide_possible_values = true)]
    progress: Option<Progress>,
    /// The run's own deadline, such as 1h30m
    #[arg(long, value_name = "DURATION")]
    deadline: Option<String>,
    /// The one writable directory
    #[arg(long, value_name = "DIR")]
    workspace: Option<String>,
    /// Write the result document here
    #[arg(long, value_name = "FILE")]
    result_file: Option<String>,
    /// Where the kubelet reads it [default: /dev/termination-log]
    #[arg(long, value_name = "FILE")]
    termination_message: Option<String>,
    /// Bytes of the source, decompressed
    #[arg(long, value_name = "SIZE")]
    limit_source_bytes: Option<String>,
    /// Entries of the source
    #[arg(long, value_name = "N")]
    limit_source_entries: Option<u64>,
    /// Bytes of one file
    #[arg(long, value_name = "SIZE")]
    limit_object_bytes: Option<String>,
    /// Decompressed bytes per compressed byte
    #[arg(long, value_name = "N")]
    limit_compression_ratio: Option<u64>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Operator")]
struct OperatorArgs {
    /// Allow what a request may ask for: plain-http, insecure-registry=HOST[:PORT], frontend=REF
    #[arg(long, value_name = "PERMISSION")]
    allow: Vec<String>,
    /// Files that a request names are read below these directories only
    #[arg(long, value_name = "DIR")]
    allow_path: Vec<String>,
}

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
        Ok(Overrides { request, layer, allow: self.operator.allow, allow_paths: self.operator.allow_path })
    }
}

impl SourceArgs {
    fn fill(self, layer: &mut Layer) -> Result<(), UsageError> {
        if let Some(context) = &self.context {
            let context = context::resolve(context)?;
            if matches!(context, Context::Git { .. }) {
                self.check_fragment(&context)?;
            }
            context.fill(layer);
        }
        if let Some(archive) = &self.archive {
            context::archive(archive).fill(layer);
        }
        layer.maybe("source.git.url", self.git);
        layer.maybe("source.git.ref", self.r#ref);
        layer.maybe("source.git.commit", self.commit);
        layer.maybe("source.archive.sha256", self.sha256);
        layer.maybe("source.archive.format", self.archive_format);
        layer.maybe("source.archive.stripComponents", self.strip_components);
        layer.maybe("source.directory.path", self.directory);
        layer.maybe("source.*.subdir", self.subdir);
        layer.maybe("source.*.secret", self.source_secret);
        layer.maybe("source.dockerfile", self.inline_dockerfile);
        Ok(())
    }

    /// What a URL's fragment says cannot be said by a flag as well.
    fn check_fragment(&self, context: &Context) -> Result<(), UsageError> {
        let Context::Git { revision, subdir, .. } = context else { return Ok(()) };
        let twice = (revision.is_some() && (self.r#ref.is_some() || self.commit.is_some())) || (subdir.is_some() && self.subdir.is_some());
        if twice {
            Err(UsageError::new("CONTEXT has a fragment (#ref:subdir) that says the same as a flag", "keep one of the two"))
        } else {
            Ok(())
        }
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
        layer.maybe("build.noCache", self.no_cache);
        layer.maybe("build.network", self.network);
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
        layer.maybe("limits.objectBytes", self.limit_object_bytes);
        layer.maybe("limits.compressionRatio", self.limit_compression_ratio);
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
    let value = env.get(key).map(|value| value.into_string());
    value.transpose().map_err(|_| UsageError::new(&format!("the variable {key:?} of --build-arg is not UTF-8"), "write KEY=VALUE"))
}
