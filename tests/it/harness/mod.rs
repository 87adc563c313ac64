//! What every test stands on: the engine, the peers, the agent in its pod, and the ways to look at reality afterwards.

pub mod agent;
pub mod artifact;
pub mod canary;
pub mod closed_list;
pub mod connection;
pub mod context;
pub mod engine;
pub mod events;
pub mod git;
pub mod http;
pub mod image;
#[macro_use]
pub mod ledger;
pub mod lfs;
pub mod process;
pub mod proxy;
pub mod registry;
pub mod relay;
pub mod rule;
pub mod run;
pub mod running;
pub mod ssh;
pub mod tls;

/// What a test file starts with.
pub mod prelude {
    pub use super::agent::{Agent, Reading, Workspace};
    pub use super::canary::{Canary, Sinks};
    pub use super::context::Context;
    pub use super::engine::{Engine, OwnEngine, builder, builders, succeeded};
    pub use super::git::{GitDemands, GitServer};
    pub use super::image::{Image, assert_same, on_disk};
    pub use super::proxy::Proxy;
    pub use super::registry::{Demands, Registry, base};
    pub use super::relay::Relay;
    pub use super::run::{eventually, within};
    pub use super::running::UnderWay;
}
