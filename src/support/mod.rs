//! Small tools that know nothing of the program's nouns.

pub mod atomic;
pub mod backoff;
pub mod cgroup;
pub mod clock;
pub mod guard;
pub mod json;
pub mod limits;
pub mod patterns;
pub mod redact;
pub mod run_id;
pub mod scratch;
pub mod secretdir;
pub mod selection;
pub mod url;
