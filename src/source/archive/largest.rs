//! The largest files of an archive, to be named where it is too large.

use std::fmt;

/// How many are named.
const MOST: usize = 10;

/// Bytes of a name that are shown.
const NAME_BYTES: usize = 256;

/// By size, the largest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Largest(Vec<(u64, String)>);

impl Largest {
    pub fn note(&mut self, name: &[u8], size: u64) {
        let place = self.0.partition_point(|(larger, _)| *larger >= size);
        if place < MOST && size > 0 {
            self.0.truncate(MOST - 1);
            self.0.insert(place, (size, String::from_utf8_lossy(&name[..name.len().min(NAME_BYTES)]).into_owned()));
        }
    }
}

/// What an error says behind itself: nothing where no file is known.
impl fmt::Display for Largest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (size, name)) in self.0.iter().enumerate() {
            write!(f, "{} {name:?} ({size} bytes)", if index == 0 { "; the largest so far:" } else { "," })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_are_named_the_largest_first() {
        let mut largest = Largest::default();
        assert_eq!(largest.to_string(), "");
        for size in (0..30).rev().chain(30..40) {
            largest.note(format!("f{size}").as_bytes(), size);
        }
        let text = largest.to_string();
        assert!(text.starts_with("; the largest so far: \"f39\" (39 bytes), \"f38\"") && text.ends_with(", \"f30\" (30 bytes)"), "{text}");
    }
}
