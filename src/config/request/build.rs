//! `build`: how the image is made.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Size;
use crate::engine::Network;

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Build {
    /// Within the context; `Dockerfile` by default.
    pub dockerfile: Option<String>,
    pub target: Option<String>,
    /// Build arguments. They are visible in the image's history: never a secret.
    #[serde(default)]
    pub args: BTreeMap<String, String>,
    /// Tell the build of its source by the arguments `SOURCE_URI`, `SOURCE_REF`, `SOURCE_ID`, `SOURCE_DATE` and `CONTEXT_DIR`.
    pub source_args: Option<bool>,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// `os/arch` or `os/arch/variant`.
    pub platform: Option<String>,
    pub builder: Option<Builder>,
    /// Ask the registries for the base images, whatever the node has under their names: `true` by default, because everybody
    /// on a node can put an image under any name there.
    pub pull: Option<bool>,
    pub no_cache: Option<bool>,
    pub network: Option<Network>,
    /// Hosts that RUN steps know: `name:address`, or `name:host-gateway` for the node.
    #[serde(default)]
    pub add_hosts: Vec<String>,
    /// Bytes of `/dev/shm` in RUN steps.
    pub shm_size: Option<Size>,
    /// Bounds of the kernel's on RUN steps: `nofile=1024:2048`, soft and hard, or one number for both; -1 is none.
    #[serde(default)]
    pub ulimits: Vec<String>,
    pub limits: Option<StepLimitsDoc>,
    /// Images in registries whose inline cache may serve this build.
    #[serde(default)]
    pub cache_from: Vec<String>,
    /// Date the image, and what the engine makes for it, by `SOURCE_DATE_EPOCH`: this pod's own variable, else the source's own
    /// date, else 0.
    pub reproducible: Option<bool>,
    /// Whether RUN steps are told this pod's proxies, by Docker's predefined arguments.
    pub proxy: Option<BuildProxy>,
    /// What RUN steps may mount, and nothing of which is in the image: `RUN --mount=type=secret`.
    #[serde(default)]
    pub secrets: Vec<SecretDoc>,
    /// Agents of ssh that RUN steps may use: `RUN --mount=type=ssh`.
    #[serde(default)]
    pub ssh: Vec<SshDoc>,
    /// Names under which the image stays on the node.
    #[serde(default)]
    pub keep: Vec<String>,
}

/// What bounds RUN steps. A bound that is written here holds, or the run is refused.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StepLimitsDoc {
    /// Bound them by what bounds this pod, as far as it can be seen from here and the engine can hold it; what it cannot is said in
    /// `engine.connected`.
    pub inherit: Option<bool>,
    /// Bytes of memory, and no swap beside it; 6 MiB or more.
    pub memory: Option<Size>,
    /// CPUs, such as 1.5.
    pub cpus: Option<Cpus>,
    /// The control group below which they run, as the node names it; by the operator's permission alone.
    pub cgroup_parent: Option<String>,
    /// Refuse what cannot be held of what is inherited, instead of saying so.
    pub strict: Option<bool>,
}

/// A number, or one in text: `1.5`, `1500m`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Cpus {
    Number(f64),
    Text(String),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Builder {
    /// BuildKit where the engine has it, else classic.
    #[default]
    Auto,
    Buildkit,
    Classic,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BuildProxy {
    #[default]
    None,
    /// This pod's.
    Inherit,
}

/// As docker writes it, `id=npm,src=/secrets/npm` or `id=token,env=TOKEN`; or in fields.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum SecretDoc {
    Text(String),
    Fields(SecretFields),
}

/// One of `file` and `env`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SecretFields {
    pub id: String,
    /// A file of this pod's, read when a step asks.
    pub file: Option<String>,
    /// A variable of this pod's.
    pub env: Option<String>,
}

/// As docker writes it, `default` (the agent of `SSH_AUTH_SOCK`) or `default=/secrets/git/ssh-privatekey`; or in fields.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum SshDoc {
    Text(String),
    Fields(SshFields),
}

/// Without a key: the agent of `SSH_AUTH_SOCK`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SshFields {
    /// `default` is what a mount without an id asks for.
    pub id: String,
    /// A private key, its passphrase in a file `passphrase` beside it; read when a step asks.
    pub key: Option<String>,
}
