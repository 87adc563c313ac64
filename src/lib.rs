//! Podwright: the in-pod builder agent. A request comes in, a source becomes a tree of entries, the tree becomes a context
//! the daemon can read, the context becomes an image, the image becomes a verified digest in a registry; all the while
//! events go out on the side.
//!
//! ```text
//!  request, flags, env ─► config ─► Settings
//!                                     │
//!        ┌──────────────── pipeline::run (prepare, fetch, build, push, report) ───────────────┐
//!        │                │                  │                    │                           │
//!   source: SourceTree ─► context: ──► engine: classic tar or ─► engine: push ─► registry: ─► report: result file,
//!   git, archive,         ignore rules,   BuildKit's FileSync      by a late tag   read back    termination message,
//!   directory             Dockerfile                                               and prove    exit code
//!        └──────────────── facts ─► event ─► progress: one bounded queue, one writer ─────────┘
//! ```
//!
//! The rows. Imports go down only, and modules of one row never import each other (`tests/house.rs` checks both):
//!
//! ```text
//!  row 7  main.rs                                  the order of life on one screen
//!  row 6  cli                                      arguments, rendering for people
//!  row 5  pipeline                                 the linear story
//!  row 4  config                                   request + environment + flags → Settings
//!  row 3  source · context · engine · registry · progress · report
//!  row 2  event                                    what happened, as facts
//!  row 1  model · net                              plain data · the one connector to hosts
//!  row 0  support                                  limits, back-off, redaction, patterns, secret directories, scratch, atomic files
//! ```
//!
//! Below `engine` two things vary, and nothing above it decides them: how a stream of bytes to the daemon is made, and how a build is
//! driven over it. What the daemon says of itself chooses the second (`engine.connected` has `transport`), never a version's name.
//!
//! ```text
//!  engine::Engine ─► engine::docker ─┬─ connect: unix · tcp · tls      one stream for each call, bollard's small ones too
//!                                    └─ build:   classic  the context whole, in the body of POST /build
//!                                                session  POST /build?version=2, and its files through POST /session
//! ```
//!
//! The one idea: **never extract, re-emit**. No source is ever written out as files; the daemon is handed entries that were
//! checked one by one, so there is no file system for a hostile archive or repository to attack.

pub mod cli;
pub mod config;
pub mod context;
pub mod engine;
pub mod event;
pub mod model;
pub mod net;
pub mod pipeline;
pub mod progress;
pub mod registry;
pub mod report;
pub mod source;
pub mod support;
