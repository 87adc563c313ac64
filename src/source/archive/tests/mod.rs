//! Archives made by hand, by the `tar` crate and by GNU tar. The names `a1_` to `a8_` are those of the threats.

mod bombs;
mod hostile;
mod intake;
mod kinds;
mod layers;
mod oracle;
mod sparse;
mod zip;
mod zip_oracle;

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::ControlFlow;

use flate2::Compression;
use flate2::bufread::GzEncoder;

use super::*;
use crate::model::tree::{Entry, Kind, SourceTree, Walk};
use crate::model::{Classified, Reason};

/// Options that bound nothing but what is bounded anyway; the spool is nameless, so any directory will do.
fn options() -> ArchiveOptions {
    ArchiveOptions {
        workspace: std::env::temp_dir(),
        limits: Limits::default(),
        digests: Vec::new(),
        size: None,
        format: None,
        name: TreePath::root(),
        strip_components: 0,
        subdir: TreePath::root(),
        url: Some("https://example.com/src.tar".into()),
        identity: "https://example.com/src.tar".into(),
    }
}

/// What the request says the bytes hash to.
fn asked(digest: Digest) -> Vec<Expected> {
    vec![Expected { digest, by: Asker::Request }]
}

fn read_with(bytes: &[u8], options: &ArchiveOptions) -> Result<ArchiveTree, ArchiveError> {
    receive(bytes, options, &mut |_| ControlFlow::Continue(()))
}

fn read(bytes: &[u8]) -> Result<ArchiveTree, ArchiveError> {
    read_with(bytes, &options())
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    GzEncoder::new(bytes, Compression::best()).read_to_end(&mut out).unwrap();
    out
}

fn path(name: &str) -> TreePath {
    TreePath::parse(name.as_bytes()).unwrap()
}

fn entries(tree: &dyn SourceTree) -> Vec<Entry> {
    let mut shown = Vec::new();
    tree.walk(&mut |entry| {
        shown.push(entry);
        Ok(Walk::Enter)
    })
    .unwrap();
    shown
}

/// The tree as text: `name` → `d755`, `f644 body`, `l target`.
fn shown(tree: &dyn SourceTree) -> BTreeMap<String, String> {
    let text = |entry: &Entry| match &entry.kind {
        Kind::Directory => format!("d{:o}", entry.mode),
        Kind::Symlink { target } => format!("l {}", String::from_utf8_lossy(target)),
        Kind::File { .. } => {
            let body = tree.read(&entry.path, u64::MAX).unwrap().unwrap();
            format!("f{:o} {}", entry.mode, String::from_utf8_lossy(&body))
        }
        Kind::Other(_) => panic!("an archive never shows {entry:?}"),
    };
    entries(tree).iter().map(|entry| (entry.path.display(), text(entry))).collect()
}

/// A tar made byte by byte, so that it can be as wrong as it likes.
#[derive(Clone, Default)]
struct Raw(Vec<u8>);

impl Raw {
    fn new() -> Self {
        Self::default()
    }

    /// A block with these fields and a right checksum; `size` is what it states.
    fn header(mut self, kind: u8, name: &[u8], link: &[u8], size: u64) -> Self {
        let mut header = tar::Header::new_ustar();
        header.set_mode(if kind == b'5' { 0o755 } else { 0o644 });
        header.set_mtime(1_600_000_000);
        header.set_size(size);
        let block = header.as_mut_bytes();
        block[..name.len()].copy_from_slice(name);
        block[156] = kind;
        block[157..157 + link.len()].copy_from_slice(link);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self
    }

    /// Changes the last block, and makes its checksum right again.
    fn patch(mut self, change: impl FnOnce(&mut [u8])) -> Self {
        let at = self.0.len() - 512;
        let mut header = tar::Header::new_old();
        header.as_mut_bytes().copy_from_slice(&self.0[at..]);
        change(header.as_mut_bytes());
        header.set_cksum();
        self.0[at..].copy_from_slice(header.as_bytes());
        self
    }

    fn body(mut self, body: &[u8]) -> Self {
        self.0.extend_from_slice(body);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn with(self, kind: u8, name: &[u8], body: &[u8]) -> Self {
        self.header(kind, name, b"", body.len() as u64).body(body)
    }

    fn file(self, name: &str, body: &str) -> Self {
        self.with(b'0', name.as_bytes(), body.as_bytes())
    }

    fn dir(self, name: &str) -> Self {
        self.with(b'5', name.as_bytes(), b"")
    }

    fn symlink(self, name: &str, target: &str) -> Self {
        self.header(b'2', name.as_bytes(), target.as_bytes(), 0)
    }

    fn hardlink(self, name: &str, target: &str) -> Self {
        self.header(b'1', name.as_bytes(), target.as_bytes(), 0)
    }

    /// An extended header; the lengths of its records are right.
    fn pax(self, kind: u8, records: &[(&str, &[u8])]) -> Self {
        let mut body = Vec::new();
        for (key, value) in records {
            let rest = key.len() + value.len() + 3;
            let length = (rest + 1..rest + 9).find(|length| rest + length.to_string().len() == *length).unwrap();
            body.extend_from_slice(format!("{length} {key}=").as_bytes());
            body.extend_from_slice(value);
            body.push(b'\n');
        }
        self.with(kind, b"PaxHeaders/x", &body)
    }

    /// A GNU long name (`L`) or link (`K`).
    fn long(self, kind: u8, name: &[u8]) -> Self {
        self.with(kind, b"././@LongLink", &[name, b"\0"].concat())
    }

    /// The whole archive, with its end mark.
    fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }
}

/// Refused as a whole, with this text in the message.
fn assert_refused(bytes: &[u8], rule: &str) {
    for bytes in [bytes, &gzip(bytes)] {
        let error = read(bytes).expect_err(rule);
        assert_eq!(error.reason(), Reason::SourceRefused, "{error}");
        assert!(error.to_string().contains(rule), "{error}, not {rule}");
    }
}
