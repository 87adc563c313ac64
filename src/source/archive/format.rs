//! What an archive is, told from its first bytes. Names and content types are never trusted, and no external program is run.

use super::error::ArchiveError;
use super::header::{self, BLOCK};

/// The forms that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Tar,
    Gzip,
}

/// gzip's first two bytes (RFC 1952, section 2.3.1).
pub const GZIP: &[u8] = b"\x1f\x8b";

/// What others are called, to be refused by name.
const FOREIGN: &[(&[u8], &str)] = &[
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\xfd7zXZ\0", "xz"),
    (b"BZh", "bzip2"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "rar"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\x1f\x9d", "compress"),
    (b"LZIP", "lzip"),
];

/// From the first block of an archive, or all of it where it has less. Every other codec than gzip is refused at once.
pub fn sniff(first: &[u8]) -> Result<Format, ArchiveError> {
    if first.starts_with(GZIP) {
        return Ok(Format::Gzip);
    }
    // A tar begins with a name, which may look like anything: only a block that is no header is called something else.
    let Some(block) = first.first_chunk::<BLOCK>() else { return Err(too_short(first)) };
    match header::parse(block) {
        Ok(_) => Ok(Format::Tar),
        Err(_) if header::is_marked(block) => Ok(Format::Tar),
        Err(_) => Err(foreign(first).unwrap_or_else(|| ArchiveError::Format("it is neither a tar nor a tar.gz".into()))),
    }
}

/// What a gzip stream holds must be a tar, and not compressed once more.
pub fn expect_tar(first: &[u8]) -> Result<(), ArchiveError> {
    match sniff(first)? {
        Format::Tar => Ok(()),
        Format::Gzip => Err(ArchiveError::Format("it is compressed twice".into())),
    }
}

fn foreign(first: &[u8]) -> Option<ArchiveError> {
    let (_, name) = FOREIGN.iter().find(|(magic, _)| first.starts_with(magic))?;
    Some(ArchiveError::Format(format!("it is {name}, which is not read yet; tar and tar.gz are")))
}

fn too_short(first: &[u8]) -> ArchiveError {
    foreign(first).unwrap_or_else(|| match first.len() {
        0 => ArchiveError::Truncated("it is empty".into()),
        bytes => ArchiveError::Truncated(format!("it ends after {bytes} bytes, within the first block of a tar")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a5_other_codecs_are_refused_by_name() {
        for (magic, name) in FOREIGN {
            for length in [magic.len(), 400, 600] {
                let mut bytes = magic.to_vec();
                bytes.resize(length.max(magic.len()), b'x');
                let error = sniff(&bytes).unwrap_err();
                assert!(matches!(&error, ArchiveError::Format(text) if text.contains(name)), "{name}: {error}");
            }
        }
        assert!(matches!(sniff(&[b'<'; 600]), Err(ArchiveError::Format(_))));
        assert!(matches!(sniff(b""), Err(ArchiveError::Truncated(_))));
        assert!(matches!(expect_tar(GZIP), Err(ArchiveError::Format(_))));
        assert_eq!(sniff(&[0; 512]).unwrap(), Format::Tar);
    }
}
