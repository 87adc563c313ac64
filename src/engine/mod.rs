//! The engine that builds and pushes, as far as this program uses one: a closed list of calls and nothing else.
//!
//! It never creates containers, executes in them, copies from them, or touches volumes, networks or plugins.

pub mod docker;
mod error;
mod options;
mod vault;

use std::io::Write;
use std::sync::Arc;

pub use error::EngineError;
pub use options::{BuildOption, BuildOptions, Network, StepLimits, Ulimit};
pub use vault::Vault;

use crate::event::ContextSent;
use crate::model::keychain::Credential;
use crate::model::result::{EngineInfo, Steps};
use crate::model::tree::{SourceTree, TreeError};
use crate::model::{Digest, ImageId, Reference};

/// One build, said in the engine's terms.
#[derive(Clone, Debug)]
pub struct BuildSpec {
    /// The run's own temporary name; the only name this build gives.
    pub reference: String,
    pub options: BuildOptions,
    /// Hosts whose credentials a classic build may be given; `None` where they could not be told from the Dockerfile.
    pub base_hosts: Option<Vec<String>>,
}

/// Writes the whole context as one tar.
pub type TarWriter = Box<dyn FnOnce(&mut dyn Write) -> Result<ContextSent, TreeError> + Send>;

/// A context and how it travels, which is how a build is driven: the choice of the builder. An enum and no trait, since each way has
/// a context of its own kind, and whoever makes it has to know which.
pub enum Context {
    /// BuildKit asks for what it needs, file by file.
    Asked {
        context: Arc<dyn SourceTree>,
        /// Where the Dockerfile and its ignore file are looked for.
        dockerfile: Arc<dyn SourceTree>,
        name: String,
        /// Equal for equal sources: what the engine keeps of one build's files serves the next one's with the same key.
        shared_key: String,
        vault: Arc<dyn Vault>,
    },
    /// The classic builder is told everything.
    Told { tar: TarWriter, name: String },
}

/// What a build came to, and what its steps did even where it failed.
pub struct Built {
    pub outcome: Result<ImageId, EngineError>,
    pub steps: Steps,
    pub warnings: u64,
}

/// An image as the engine knows it.
#[derive(Clone, Debug)]
pub struct LocalImage {
    pub id: ImageId,
    /// The image of the step before, where Docker's classic builder made it.
    pub parent: Option<ImageId>,
    pub size: u64,
    pub platform: String,
    /// `host/repository:tag` names that point to it.
    pub tags: Vec<String>,
    /// `host/repository@digest` names under which registries have it.
    pub digests: Vec<String>,
}

/// What the engine says it pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    pub digest: Digest,
    pub size: Option<u64>,
}

/// What the engine reads at a registry's tag.
#[derive(Clone, Debug)]
pub struct Distributed {
    pub digest: Digest,
    pub media_type: String,
    pub size: u64,
}

/// The closed list.
#[allow(async_fn_in_trait, reason = "one implementation, and no caller needs to name the futures' types")]
pub trait Engine: Send + Sync {
    fn info(&self) -> &EngineInfo;

    /// That a build here does what this option says; known before anything is sent.
    fn honours(&self, option: BuildOption) -> Result<(), EngineError>;

    /// That the classic builder here would, where the engine takes no session.
    fn classic_honours(&self, option: BuildOption) -> Result<(), EngineError>;

    /// Builds under the spec's temporary name. Dropping the future stops the daemon's build.
    async fn build(&self, spec: &BuildSpec, context: Context) -> Built;

    /// `None` where the engine has no such image.
    async fn inspect(&self, name: &str) -> Result<Option<LocalImage>, EngineError>;

    /// Every name, `repository:tag`, whose repository matches a pattern as of a shell.
    async fn names(&self, repositories: &str) -> Result<Vec<String>, EngineError>;

    /// Sets a name, `repository:tag`, whatever it pointed to before.
    async fn tag(&self, id: &ImageId, name: &str) -> Result<(), EngineError>;

    /// Takes a name away, and with an image's last name the image, but nothing below it. No error where the name is gone already.
    async fn untag(&self, name: &str) -> Result<(), EngineError>;

    /// Takes away what the engine can do without, and says how many bytes that gave at least; `None` where there is nothing of it.
    /// By the operator's permission alone.
    async fn make_room(&self) -> Result<Option<u64>, EngineError>;

    async fn push(&self, reference: &Reference, credential: Option<&Credential>) -> Result<Pushed, EngineError>;

    async fn distribution(&self, reference: &Reference, credential: Option<&Credential>) -> Result<Distributed, EngineError>;
}
