//! Which engine honours which option of a build: one table, for the answer before a context is sent and for the documents.
//!
//! What stands here was run on Docker 20.10, 26.1 and 28.5 and on Podman 4.3 (tests/it/options.rs); what an engine takes and forgets is refused.

use std::fmt::Write as _;

use super::capabilities::{Builder, Version};
use crate::engine::{BuildOption, EngineError};

/// What the answer depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    pub podman: bool,
    pub builder: Builder,
    /// The newest API that the daemon speaks: its BuildKit is as old as that.
    pub api: Version,
    /// What the node's kernel and the daemon's way with control groups let it bound.
    pub memory: bool,
    pub cpus: bool,
    pub groups: bool,
}

impl Facts {
    /// Of a node that can bound everything.
    const fn able(podman: bool, builder: Builder, api: Version) -> Self {
        Self { podman, builder, api, memory: true, cpus: true, groups: true }
    }
}

/// Why an option is not to be had, and what would make it work.
type Refusal = (&'static str, &'static str);

/// The first API of the engines whose BuildKit takes sizes and bounds for RUN steps (Docker 23.0), and of those whose BuildKit dates
/// images by `SOURCE_DATE_EPOCH` (Docker 24.0).
const BOUNDS: Version = Version(1, 42);
const EPOCH: Version = Version(1, 43);

/// What makes a node able to bound steps.
const UNBOUND: &str = "a daemon that runs as root on a kernel with these controllers (docker info warns where they are missing)";

/// `None` where the option is honoured.
fn refusal(option: BuildOption, facts: Facts) -> Option<Refusal> {
    use BuildOption as O;
    let buildkit = facts.builder == Builder::BuildKit;
    match option {
        O::HostGateway if facts.podman => Some(("Podman's builder does not know the word", "the node's own address, or Docker")),
        O::Secrets | O::Ssh if facts.podman => Some(("Podman's service takes no session that could give it", "Docker and its BuildKit")),
        O::CgroupParent if facts.podman => Some(("Podman's service forgets it", "Docker and its classic builder")),
        O::VerifyByEngine if facts.podman => Some(("Podman's service has no call that reads a registry's tag", "verify: pod, or Docker")),
        O::CacheFrom if facts.podman => {
            Some(("Podman's builder looks only at images that the node has already", "Docker and its BuildKit"))
        }
        O::InlineCache if facts.podman => Some(("Podman's builder writes no cache into an image", "Docker and its BuildKit")),
        O::Reproducible if facts.podman => Some(("Podman's builder dates images by its own clock", "Docker 24.0 and its BuildKit")),
        O::CacheFrom if !buildkit => Some(("the classic builder looks only at images that the node has already", "builder: buildkit")),
        O::InlineCache if !buildkit => Some(("the classic builder writes no cache into an image", "builder: buildkit")),
        O::Secrets | O::Ssh if !buildkit => Some(("the classic builder has no mounts for it", "builder: buildkit")),
        O::Reproducible if !buildkit => Some(("the classic builder dates images by its own clock", "builder: buildkit")),
        O::Memory | O::Cpus | O::CgroupParent if buildkit => {
            Some(("BuildKit inside the daemon bounds no step by what a build asks for", "builder: classic"))
        }
        O::Memory if !facts.memory => Some(("the node's kernel or its daemon cannot bound memory", UNBOUND)),
        O::Cpus if !facts.cpus => Some(("the node's kernel or its daemon cannot bound CPU time", UNBOUND)),
        O::CgroupParent if !facts.groups => Some(("the daemon makes no control groups", UNBOUND)),
        O::Reproducible if facts.api < EPOCH => Some(("its BuildKit is too old to date images by SOURCE_DATE_EPOCH", "Docker 24.0")),
        O::ShmSize | O::Ulimits if buildkit && facts.api < BOUNDS => {
            Some(("its BuildKit is too old, and would drop it without a word", "Docker 23.0, or builder: classic"))
        }
        _ => None,
    }
}

/// That this engine does what the option says.
pub fn check(option: BuildOption, facts: Facts) -> Result<(), EngineError> {
    match refusal(option, facts) {
        None => Ok(()),
        Some((why, instead)) => Err(EngineError::Unsupported(format!("{}: {why}; it works with {instead}", option.field()))),
    }
}

/// The whole table, in Markdown, for the documents.
pub fn table() -> String {
    let columns = [
        ("classic", Facts::able(false, Builder::Classic, EPOCH)),
        ("BuildKit, API 1.40 and 1.41", Facts::able(false, Builder::BuildKit, Version(1, 41))),
        ("BuildKit, API 1.42", Facts::able(false, Builder::BuildKit, BOUNDS)),
        ("BuildKit, API 1.43 and newer", Facts::able(false, Builder::BuildKit, EPOCH)),
        ("Podman", Facts::able(true, Builder::Classic, EPOCH)),
    ];
    let mut text = String::from("| option |");
    for (name, _) in columns {
        let _ = write!(text, " {name} |");
    }
    text.push_str("\n|---|---|---|---|---|---|\n");
    for option in BuildOption::ALL {
        let _ = write!(text, "| `{}` |", option.field());
        for (_, facts) in columns {
            let cell = refusal(option, facts).map_or_else(|| "honoured".to_owned(), |(why, _)| format!("refused: {why}"));
            let _ = write!(text, " {cell} |");
        }
        text.push('\n');
    }
    text
}
