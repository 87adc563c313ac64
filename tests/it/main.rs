//! Black-box tests: the shipped program against real peers, in the mode it runs in, with reality looked at afterwards.
//!
//! Run them by `tests/run.sh`, or by hand:
//!
//! ```text
//! tests/env/engine up 20.10 /tmp/engine
//! tests/env/engine exec /tmp/engine cargo test --test it
//! tests/env/engine down /tmp/engine
//! ```
//!
//! A test's name is a claim. A test asserts the exit code and the reason, and the harness asserts what holds of every run:
//! the grammar of events, agreement of result and exit code, the closed list of daemon calls, nothing left, no secret.

// Helpers of tests may unwrap as tests may: a panic is how a test says that it failed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[macro_use]
mod harness;
mod faults;

mod absence;
mod archive_forms;
mod archives;
mod artifacts;
mod choosing;
mod contexts;
mod crowd;
mod daemon_tls;
mod directory;
mod doors;
mod engine_edges;
mod failures;
mod git_source;
mod harness_tests;
mod ignoring;
mod lfs;
mod lfs_ssh;
mod limits;
mod memory;
mod misbehaviour;
mod mounts;
mod one_node;
mod options;
mod outputs;
mod own_image;
mod pod;
mod prepared;
mod races;
mod receive;
mod redirects;
mod registries;
mod requests;
mod scale;
mod secrets_and_stdin;
mod sessions;
mod source_edges;
mod ssh;
mod stopping;
mod submodules;
mod sweeping;
mod table;
mod upload;
mod waiting;
mod workspace;
