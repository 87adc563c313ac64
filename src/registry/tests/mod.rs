//! Claims about credentials against real files, and about reading back against a real registry and a lying one.

mod fake;
mod faults;
mod keys;
mod pull;
mod real;
