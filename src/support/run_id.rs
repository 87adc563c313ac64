//! The name of a run.

use std::io;

/// Twelve hexadecimal digits that no other run on the node has; an error where the kernel gives no random numbers, since two
/// runs of one name would take each other's image.
pub fn new() -> io::Result<String> {
    let number = getrandom::u64().map_err(|why| io::Error::other(why.to_string()))?;
    Ok(format!("{:012x}", number & 0xffff_ffff_ffff))
}
