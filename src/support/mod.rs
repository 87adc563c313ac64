//! Small tools that know nothing of the program's nouns.

pub mod atomic;
pub mod backoff;
pub mod clock;
pub mod guard;
pub mod limits;
pub mod redact;
pub mod secretdir;
