//! What an archive is, told from its first bytes. Names and content types are never trusted.

use super::error::ArchiveError;
use super::header::{self, BLOCK};

/// The forms that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Tar,
    /// A tar inside a compressed stream.
    Compressed(Codec),
    Zip,
    /// A single file, whatever it holds. Only ever by the request's word.
    File,
}

/// How a stream is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Codec {
    Gzip,
    Zstd,
    Xz,
    Bzip2,
}

impl Codec {
    const ALL: [Self; 4] = [Self::Gzip, Self::Zstd, Self::Xz, Self::Bzip2];

    /// A stream's first bytes (RFC 1952, 2.3.1; RFC 8878, 3.1.1; the .xz file format, 2.1.1.1; bzip2's manual, "BZh").
    pub fn magic(self) -> &'static [u8] {
        match self {
            Self::Gzip => b"\x1f\x8b",
            Self::Zstd => b"\x28\xb5\x2f\xfd",
            Self::Xz => b"\xfd7zXZ\0",
            Self::Bzip2 => b"BZh",
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Bzip2 => "bzip2",
        }
    }
}

impl Format {
    /// As a request names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tar => "tar",
            Self::Zip => "zip",
            Self::File => "file",
            Self::Compressed(Codec::Gzip) => "tar.gz",
            Self::Compressed(Codec::Zstd) => "tar.zst",
            Self::Compressed(Codec::Xz) => "tar.xz",
            Self::Compressed(Codec::Bzip2) => "tar.bz2",
        }
    }
}

/// The first bytes of a zip, and of one with nothing in it (APPNOTE.TXT 6.3.10, 4.3.7 and 4.3.16).
const ZIP: [&[u8]; 2] = [b"PK\x03\x04", b"PK\x05\x06"];

/// What others are called, to be refused by name.
const FOREIGN: &[(&[u8], &str)] = &[
    (b"PK\x07\x08", "a zip in several files"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "rar"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\x1f\x9d", "compress"),
    (b"LZIP", "lzip"),
];

/// From the first block of an archive, or all of it where it has less. Every other codec is refused at once.
pub fn sniff(first: &[u8]) -> Result<Format, ArchiveError> {
    // A tar begins with a name, which may look like anything: only a block that is no header is called something else.
    let block = first.first_chunk::<BLOCK>();
    if block.is_some_and(|block| header::parse(block).is_ok()) {
        return Ok(Format::Tar);
    }
    if let Some(codec) = Codec::ALL.into_iter().find(|codec| first.starts_with(codec.magic())) {
        return Ok(Format::Compressed(codec));
    }
    if ZIP.iter().any(|magic| first.starts_with(magic)) {
        return Ok(Format::Zip);
    }
    Err(match (foreign(first), block, first.len()) {
        (Some(foreign), ..) => foreign,
        (None, Some(block), _) if header::is_marked(block) => return Ok(Format::Tar),
        (None, Some(_), _) => {
            ArchiveError::Format("it is none that is read: a zip, or a tar, plain or compressed by gzip, zstd, xz or bzip2".into())
        }
        (None, None, 0) => ArchiveError::Truncated("it is empty".into()),
        (None, None, bytes) => ArchiveError::Truncated(format!("it ends after {bytes} bytes, within the first block of a tar")),
    })
}

/// That it is what the request calls it, where that does.
pub fn expect(named: Option<Format>, found: Format) -> Result<(), ArchiveError> {
    match named {
        Some(named) if named != found => {
            Err(ArchiveError::Format(format!("it is a {}, and source.archive.format calls it a {}", found.name(), named.name())))
        }
        _ => Ok(()),
    }
}

/// What a compressed stream holds must be a tar, and not compressed once more.
pub fn expect_tar(first: &[u8]) -> Result<(), ArchiveError> {
    match sniff(first)? {
        Format::Tar => Ok(()),
        Format::Compressed(_) | Format::Zip | Format::File => Err(ArchiveError::Format("it is compressed twice".into())),
    }
}

fn foreign(first: &[u8]) -> Option<ArchiveError> {
    let (_, name) = FOREIGN.iter().find(|(magic, _)| first.starts_with(magic))?;
    Some(ArchiveError::Format(format!("it is {name}, which is not read")))
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
        assert_eq!(sniff(&[0; 512]).unwrap(), Format::Tar);
        for codec in Codec::ALL {
            assert!(matches!(expect_tar(codec.magic()), Err(ArchiveError::Format(_))));
            assert_eq!(sniff(codec.magic()).unwrap(), Format::Compressed(codec));
        }
    }

    #[test]
    fn a5_a_tar_is_one_whatever_its_first_name_looks_like() {
        for name in ["BZhello", "PK\x03\x04", "LZIP"] {
            let mut header = tar::Header::new_gnu();
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_size(0);
            header.set_cksum();
            assert_eq!(sniff(header.as_bytes()).unwrap(), Format::Tar, "{name}");
        }
    }
}
