//! Small tools that know nothing of the program's nouns.

pub mod atomic;
pub mod backoff;
pub mod clock;
pub mod json;
pub mod guard;
pub mod limits;
pub mod patterns;
pub mod redact;
pub mod selection;
pub mod secretdir;
