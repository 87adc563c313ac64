//! What a request can ask of a build beside its Dockerfile and context: values, and the list that an engine answers for.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::event::Pairs;
use crate::model::Reference;
use crate::support::cgroup::Quota;

/// The network of RUN steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Network {
    #[default]
    Default,
    None,
    /// The node's own: by the operator's permission alone.
    Host,
}

/// A bound of the kernel's on the processes of RUN steps (setrlimit(2)); -1 is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ulimit {
    /// `nofile`, as docker names it.
    pub name: String,
    pub soft: i64,
    pub hard: i64,
}

impl std::fmt::Display for Ulimit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}={}:{}", self.name, self.soft, self.hard)
    }
}

/// What bounds RUN steps.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepLimits {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Bytes of memory and swap together; never without `memory`.
    pub memory_and_swap: Option<u64>,
    pub cpu: Option<Quota>,
    /// The control group below which they run, as the engine's driver writes it.
    pub parent: Option<String>,
}

/// The options of one build.
#[derive(Clone, Debug, Default)]
pub struct BuildOptions {
    pub target: Option<String>,
    pub args: Pairs,
    pub labels: Pairs,
    /// `os/arch[/variant]`.
    pub platform: Option<String>,
    pub pull: bool,
    pub no_cache: bool,
    pub network: Network,
    /// `name:address`, or `name:host-gateway`; checked.
    pub add_hosts: Vec<String>,
    /// Bytes of `/dev/shm`.
    pub shm_bytes: Option<u64>,
    pub ulimits: Vec<Ulimit>,
    pub cache_from: Vec<Reference>,
    pub limits: StepLimits,
}

/// One option of a build, or of what comes after it, for the question whether an engine honours it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BuildOption {
    Target,
    Args,
    Labels,
    Platform,
    Pull,
    NoCache,
    NoNetwork,
    HostNetwork,
    AddHosts,
    HostGateway,
    ShmSize,
    Ulimits,
    CacheFrom,
    InlineCache,
    Reproducible,
    Proxy,
    Secrets,
    Ssh,
    Memory,
    Cpus,
    CgroupParent,
    VerifyByEngine,
}

impl BuildOption {
    /// Every one there is, in the order of the documents.
    pub const ALL: [Self; 22] = [
        Self::Target,
        Self::Args,
        Self::Labels,
        Self::Platform,
        Self::Pull,
        Self::NoCache,
        Self::NoNetwork,
        Self::HostNetwork,
        Self::AddHosts,
        Self::HostGateway,
        Self::ShmSize,
        Self::Ulimits,
        Self::CacheFrom,
        Self::InlineCache,
        Self::Reproducible,
        Self::Proxy,
        Self::Secrets,
        Self::Ssh,
        Self::Memory,
        Self::Cpus,
        Self::CgroupParent,
        Self::VerifyByEngine,
    ];

    /// As a request writes it.
    pub fn field(self) -> &'static str {
        match self {
            Self::Target => "build.target",
            Self::Args => "build.args",
            Self::Labels => "build.labels",
            Self::Platform => "build.platform",
            Self::Pull => "build.pull",
            Self::NoCache => "build.noCache",
            Self::NoNetwork => "build.network: none",
            Self::HostNetwork => "build.network: host",
            Self::AddHosts => "build.addHosts",
            Self::HostGateway => "build.addHosts: host-gateway",
            Self::ShmSize => "build.shmSize",
            Self::Ulimits => "build.ulimits",
            Self::CacheFrom => "build.cacheFrom",
            Self::InlineCache => "build.args.BUILDKIT_INLINE_CACHE",
            Self::Reproducible => "build.reproducible",
            Self::Proxy => "build.proxy",
            Self::Secrets => "build.secrets",
            Self::Ssh => "build.ssh",
            Self::Memory => "build.limits.memory",
            Self::Cpus => "build.limits.cpus",
            Self::CgroupParent => "build.limits.cgroupParent",
            Self::VerifyByEngine => "push.verify: engine",
        }
    }
}
