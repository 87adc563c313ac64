//! The flags, as clap knows them. What is put where is in `fill`; what it means is `config`'s business.

mod fill;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// An example, in both helps.
pub const EXAMPLE: &str = "\
Example:
  podwright --git https://git.example.com/team/web.git --ref main \\
            --source-secret /secrets/git --registry-secret /secrets/registry \\
            -d registry.example.com/team/web:1.2";

#[derive(Debug, Parser)]
#[command(name = "podwright", version, max_term_width = 110)]
#[command(about = "Builds a container image on the node's Docker daemon, pushes it, and tells the truth about it")]
#[command(after_help = super::help::overview(EXAMPLE))]
pub struct Cli {
    #[command(subcommand)]
    pub command: Sub,
}

#[derive(Debug, Subcommand)]
pub enum Sub {
    /// The whole job: fetch, build, push, report. What a pod runs; also without the word `build`
    #[command(after_help = super::help::brief(EXAMPLE))]
    Build(Box<BuildArgs>),
    /// The source alone, for an init container without the Docker socket: writes context.tar and source.json
    #[command(after_help = super::help::fetching())]
    Fetch(Box<FetchArgs>),
    /// Hand the archive on standard input to the agent that waits in this pod: kubectl exec -i POD -- podwright receive
    Receive(ReceiveArgs),
    /// Take away what dead builds left on this node's engine: names beginning with podwright-tmp/ whose time is over
    Gc {
        /// Only say what would be taken away
        #[arg(long)]
        dry_run: bool,
    },
    /// Print the resolved, redacted request and what would be done; touches nothing
    #[command(after_help = super::help::brief(EXAMPLE))]
    Plan(Box<BuildArgs>),
    /// Print a JSON Schema
    Schema {
        #[arg(value_name = "DOCUMENT")]
        of: SchemaOf,
    },
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
pub struct FetchArgs {
    /// The directory that is written to; a build takes it by --prepared
    #[arg(long, value_name = "DIR")]
    output: String,
    #[command(flatten)]
    source: SourceArgs,
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    operator: OperatorArgs,
}

#[derive(Debug, Args)]
pub struct ReceiveArgs {
    /// The agent's socket [default: podwright-receive.sock in the workspace]
    #[arg(long, value_name = "PATH")]
    pub socket: Option<std::path::PathBuf>,
    /// What standard input must hash to, so that a cut one is none
    #[arg(long, value_name = "HEX")]
    pub sha256: Option<String>,
    /// The bytes it must have
    #[arg(long, value_name = "N")]
    pub bytes: Option<u64>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Source")]
struct SourceArgs {
    /// A directory, an archive, `-`, oci://…, or a URL ending in .git or .tar.gz; or the flags
    #[arg(value_name = "CONTEXT", group = "where", help_heading = "Arguments")]
    context: Option<String>,
    /// A repository: https://, ssh:// or host:path
    #[arg(long, value_name = "URL", group = "where")]
    git: Option<String>,
    /// Branch, tag or full ref [default: HEAD]
    #[arg(long, value_name = "REF")]
    r#ref: Option<String>,
    /// The commit; with --ref: the ref must lead there
    #[arg(long, value_name = "ID")]
    commit: Option<String>,
    /// Fetch the submodules, too
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    submodules: Option<bool>,
    /// Credentials of another place, as of a submodule
    #[arg(long, value_name = "URL=DIR")]
    git_secret: Vec<String>,
    /// Commits to fetch with --keep-git-dir; 0: all [default: 1]
    #[arg(long, value_name = "N")]
    history: Option<u64>,
    /// Put a .git into the context
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    keep_git_dir: Option<bool>,
    /// Pointers of Git LFS: auto (fetch), refuse, keep [default: auto]
    #[arg(long, value_name = "WHAT")]
    lfs: Option<String>,
    /// A tar or a zip: a path, an https:// URL, or - for standard input
    #[arg(long, value_name = "WHERE", group = "where")]
    archive: Option<String>,
    /// Wait for an upload: PUT /source at this address
    #[arg(long, value_name = "IP:PORT")]
    upload_listen: Option<String>,
    /// The file with the upload's bearer token
    #[arg(long, value_name = "FILE")]
    upload_token_file: Option<String>,
    /// The certificate to show to whoever uploads
    #[arg(long, value_name = "FILE")]
    upload_certificate: Option<String>,
    /// Its key
    #[arg(long, value_name = "FILE")]
    upload_key: Option<String>,
    /// A directory with token, tls.crt and tls.key
    #[arg(long, value_name = "DIR")]
    upload_secret: Option<String>,
    /// Wait for podwright receive, at this socket or in the workspace
    #[arg(long, value_name = "PATH", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    upload_socket: Option<String>,
    /// The archive's digest, by SHA-256
    #[arg(long, value_name = "HEX")]
    sha256: Option<String>,
    /// The same, by SHA-512
    #[arg(long, value_name = "HEX")]
    sha512: Option<String>,
    /// auto, file, tar, tar.gz, tar.zst, tar.xz, tar.bz2 or zip
    #[arg(long, value_name = "FORMAT")]
    archive_format: Option<String>,
    /// With --archive-format file: its path in the context
    #[arg(long, value_name = "PATH")]
    archive_name: Option<String>,
    /// Drop this many leading components of names
    #[arg(long, value_name = "N")]
    strip_components: Option<u64>,
    /// An OCI artifact: registry/repository@sha256:…
    #[arg(long, value_name = "REF", group = "where")]
    artifact: Option<String>,
    /// A directory mounted into this pod
    #[arg(long, value_name = "DIR", group = "where")]
    directory: Option<String>,
    /// A directory that podwright fetch --output wrote
    #[arg(long, value_name = "DIR", group = "where")]
    prepared: Option<String>,
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
    /// Tell the build SOURCE_URI, SOURCE_REF, SOURCE_ID
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    source_args: Option<bool>,
    #[arg(long, value_name = "KEY=VALUE", help = "A label of the image")]
    label: Vec<String>,
    /// os/arch or os/arch/variant
    #[arg(long, value_name = "PLATFORM")]
    platform: Option<String>,
    /// auto, buildkit or classic
    #[arg(long, value_name = "BUILDER")]
    builder: Option<String>,
    /// Look for newer base images [default: true]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true)]
    pull: Option<bool>,
    /// Run every step anew
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true", hide_possible_values = true)]
    no_cache: Option<bool>,
    /// default, none or host
    #[arg(long, value_name = "MODE")]
    network: Option<String>,
    /// A host that RUN steps know
    #[arg(long, value_name = "NAME:ADDRESS")]
    add_host: Vec<String>,
    /// Bytes of /dev/shm, such as 64m
    #[arg(long, value_name = "SIZE")]
    shm_size: Option<String>,
    /// A bound on RUN steps, such as nofile=1024:2048
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    ulimit: Vec<String>,
    /// Bound RUN steps by what bounds this pod, where the engine can
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    limits_inherit: Option<bool>,
    /// Bytes of memory of a RUN step, without swap, such as 512m
    #[arg(long, short, value_name = "SIZE")]
    memory: Option<String>,
    /// CPUs of a RUN step, such as 1.5
    #[arg(long, value_name = "N")]
    cpus: Option<String>,
    /// The control group below which RUN steps run, with the operator's cgroup-parent
    #[arg(long, value_name = "PATH")]
    cgroup_parent: Option<String>,
    /// Refuse what the engine cannot hold of this pod's bounds
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    limits_strict: Option<bool>,
    /// An image in a registry whose inline cache may serve
    #[arg(long, value_name = "NAME")]
    cache_from: Vec<String>,
    /// Date the image by SOURCE_DATE_EPOCH, or by its source
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    reproducible: Option<bool>,
    /// inherit: RUN steps are told this pod's proxies [default: none]
    #[arg(long, value_name = "WHAT")]
    build_proxy: Option<String>,
    /// A secret that RUN steps may mount
    #[arg(long, value_name = "id=ID,src=FILE|env=NAME")]
    secret: Vec<String>,
    /// Keys that RUN steps may use by ssh: of SSH_AUTH_SOCK, or these
    #[arg(long, value_name = "ID[=KEY,KEY]")]
    ssh: Vec<String>,
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
    /// The run's own deadline, such as 1h30m [default: 1h]
    #[arg(long, value_name = "DURATION")]
    deadline: Option<String>,
    /// The one writable directory [default: the first writable of $TMPDIR, /workspace, /tmp]
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
    /// Submodules [default: 128]
    #[arg(long, value_name = "N")]
    limit_submodules: Option<u64>,
    /// Submodules in submodules [default: 8]
    #[arg(long, value_name = "N")]
    limit_submodule_depth: Option<u64>,
    /// Bytes of one file
    #[arg(long, value_name = "SIZE")]
    limit_object_bytes: Option<String>,
    /// Decompressed bytes per compressed byte
    #[arg(long, value_name = "N")]
    limit_compression_ratio: Option<u64>,
    /// How long an upload is waited for [default: 10m]
    #[arg(long, value_name = "DURATION")]
    limit_upload_first_byte: Option<String>,
    /// The longest silence within an upload [default: 1m]
    #[arg(long, value_name = "DURATION")]
    limit_upload_idle: Option<String>,
    /// How long an engine that is not there yet is waited for; 0 for one look [default: 1m]
    #[arg(long, value_name = "DURATION")]
    limit_engine_wait: Option<String>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Operator")]
struct OperatorArgs {
    /// Allow a request plain-http, git-protocol, host-network, cgroup-parent, prune, insecure-registry=HOST[:PORT], frontend=REF
    #[arg(long, value_name = "PERMISSION")]
    allow: Vec<String>,
    /// Files that a request names are read below these directories only
    #[arg(long, value_name = "DIR")]
    allow_path: Vec<String>,
}
