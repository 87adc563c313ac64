//! A body of a known length. Whoever announced a size (a tar header, a FileSync stat) must deliver exactly that many bytes, so a
//! body that turns out shorter or longer is an error that names the file, never a padded or clipped file.

use std::io::{self, Read};

/// Yields exactly `size` bytes of the inner reader, then the end; anything else is an error.
pub struct ExactBody<R> {
    inner: R,
    name: String,
    size: u64,
    left: u64,
    /// The inner reader was asked whether it ends here, too.
    ended: bool,
}

impl<R: Read> ExactBody<R> {
    pub fn new(inner: R, name: String, size: u64) -> Self {
        Self { inner, name, size, left: size, ended: false }
    }

    fn expect_end(&mut self) -> io::Result<usize> {
        if !self.ended && read_some(&mut self.inner, &mut [0])? > 0 {
            return Err(self.changed("it grew"));
        }
        self.ended = true;
        Ok(0)
    }

    fn changed(&self, how: &str) -> io::Error {
        let Self { name, size, .. } = self;
        io::Error::other(format!("{name:?} changed while this pod read it: {how} (it had {size} bytes when it was listed)"))
    }
}

impl<R: Read> Read for ExactBody<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        if self.left == 0 {
            return self.expect_end();
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = read_some(&mut self.inner, &mut buffer[..most])?;
        if count == 0 {
            return Err(self.changed(&format!("it ended {} bytes early", self.left)));
        }
        self.left -= count as u64;
        Ok(count)
    }
}

/// One read that a signal cannot break off.
pub fn read_some(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match reader.read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(bytes: &[u8], size: u64) -> Result<Vec<u8>, String> {
        let mut out = Vec::new();
        ExactBody::new(bytes, "dir/file".into(), size).read_to_end(&mut out).map(|_| out).map_err(|error| error.to_string())
    }

    #[test]
    fn a_body_has_exactly_its_size_or_its_name_is_in_the_error() {
        assert_eq!(through(b"abc", 3).unwrap(), b"abc");
        assert_eq!(through(b"", 0).unwrap(), b"");
        for (bytes, size) in [(&b"abc"[..], 2), (b"abc", 4), (b"", 1), (b"a", 0)] {
            assert!(through(bytes, size).unwrap_err().contains("\"dir/file\""), "{size}");
        }
    }
}
