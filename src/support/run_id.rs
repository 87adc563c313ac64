//! The name of a run.

use super::backoff::random;

/// Twelve hexadecimal digits that no other run on the node has.
pub fn new() -> String {
    format!("{:012x}", random() & 0xffff_ffff_ffff)
}
