//! The oracle: what an image really holds, layer by layer, as the engine saves it or as a registry stores it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use flate2::read::GzDecoder;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::canary::{Canary, Sinks};
use super::engine::Engine;
use super::registry::Storage;

/// One entry of a layer: all that `COPY` promises to keep, and nothing that two honest builds may differ in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// `file`, `dir`, `link`, `hard`, or tar's own letter.
    pub kind: String,
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    /// A link's target, or the SHA-256 of a file's bytes.
    pub content: Vec<u8>,
    /// Seconds since the epoch; compared only by tests that are about time.
    pub mtime: u64,
}

/// A layer's or a whole image's entries by path, without the slash in front.
pub type Files = BTreeMap<Vec<u8>, Node>;

/// An image, opened.
#[derive(Debug)]
pub struct Image {
    pub config: Value,
    /// Lowest first.
    pub layers: Vec<Files>,
    tars: Vec<Vec<u8>>,
}

impl Image {
    /// As the engine saves it.
    pub fn on_engine(engine: &Engine, reference: &str) -> Self {
        let dir = engine.new_dir("s");
        let tar = dir.join("image.tar");
        engine.docker_ok(&["save", "-o", tar.to_str().unwrap(), reference]);
        tar::Archive::new(File::open(&tar).unwrap()).unpack(&dir).unwrap();
        let read = |name: &str| fs::read(dir.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let manifest: Value = serde_json::from_slice(&read("manifest.json")).unwrap();
        let manifest = &manifest[0];
        let config = serde_json::from_slice(&read(manifest["Config"].as_str().unwrap())).unwrap();
        let layers = manifest["Layers"].as_array().unwrap().iter().map(|name| read(name.as_str().unwrap())).collect();
        fs::remove_dir_all(&dir).unwrap();
        Self::of(config, layers)
    }

    /// As the registry stores it under a digest.
    pub fn in_registry(registry: &Storage, digest: &str) -> Self {
        let manifest = registry.manifest(digest);
        let config = registry.json(manifest["config"]["digest"].as_str().unwrap());
        let layers = manifest["layers"].as_array().unwrap();
        Self::of(config, layers.iter().map(|each| registry.blob(each["digest"].as_str().unwrap())).collect())
    }

    fn of(config: Value, stored: Vec<Vec<u8>>) -> Self {
        let tars: Vec<Vec<u8>> = stored.into_iter().map(decompressed).collect();
        Self { config, layers: tars.iter().map(|tar| layer(tar)).collect(), tars }
    }

    /// The file system that a container sees, with deletions applied (OCI image-spec, layer.md, "Whiteouts").
    pub fn flattened(&self) -> Files {
        let mut all = Files::new();
        for layer in &self.layers {
            for path in layer.keys() {
                let (dir, name) = split(path);
                if name == b".wh..wh..opq" {
                    all.retain(|path, _| !below(path, dir));
                } else if let Some(gone) = name.strip_prefix(b".wh.") {
                    let gone = if dir.is_empty() { gone.to_vec() } else { [dir, b"/", gone].concat() };
                    all.retain(|path, _| *path != gone && !below(path, &gone));
                }
            }
            for (path, node) in layer.iter().filter(|(path, _)| !split(path).1.starts_with(b".wh.")) {
                if node.kind != "dir" {
                    all.retain(|old, _| !below(old, path));
                }
                all.insert(path.clone(), node.clone());
            }
        }
        all
    }

    /// What is below a directory, with paths relative to it.
    pub fn below(&self, dir: &str) -> Files {
        let prefix = format!("{dir}/").into_bytes();
        let inside = |(path, node): (Vec<u8>, Node)| path.strip_prefix(prefix.as_slice()).map(|path| (path.to_vec(), node));
        self.flattened().into_iter().filter_map(inside).collect()
    }

    /// A file's bytes are known by digest only; whether it holds exactly these.
    pub fn holds(&self, path: &str, content: &[u8]) -> bool {
        self.flattened().get(path.as_bytes()).is_some_and(|node| node.kind == "file" && node.content == digest(content))
    }

    /// Neither the config with its history and labels, nor the bytes of any layer, hold a secret.
    pub fn assert_holds_no(&self, canaries: &[Canary]) {
        let mut sinks = Sinks::default();
        sinks.add("the image's config", self.config.to_string());
        for (number, bytes) in self.tars.iter().enumerate() {
            sinks.add(format!("layer {number}"), bytes.clone());
        }
        let leaks = sinks.leaks(canaries);
        assert!(leaks.is_empty(), "leaked: {leaks:#?}");
    }

    /// A label's value.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.config["config"]["Labels"][name].as_str()
    }
}

/// Asserts that two trees are one, and says where they are not. Times are left out.
pub fn assert_same(left: &Files, right: &Files, what: &str) {
    let mut difference = String::new();
    let keys: std::collections::BTreeSet<_> = left.keys().chain(right.keys()).collect();
    for key in keys {
        let show = |node: Option<&Node>| node.map_or("nothing".to_owned(), Node::line);
        let (one, other) = (show(left.get(key)), show(right.get(key)));
        if one != other {
            let _ = writeln!(difference, "{}: {one} | {other}", String::from_utf8_lossy(key));
        }
    }
    assert!(difference.is_empty(), "{what}:\n{difference}");
}

impl Node {
    fn line(&self) -> String {
        let content = match self.kind.as_str() {
            "file" => self.content.iter().take(6).fold(String::new(), |text, byte| format!("{text}{byte:02x}")),
            _ => String::from_utf8_lossy(&self.content).into_owned(),
        };
        format!("{} {:o} {}:{} {content}", self.kind, self.mode, self.uid, self.gid)
    }
}

fn digest(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes).to_vec()
}

fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(at) => (&path[..at], &path[at + 1..]),
        None => (b"", path),
    }
}

fn below(path: &[u8], dir: &[u8]) -> bool {
    dir.is_empty() || path.strip_prefix(dir).is_some_and(|rest| rest.first() == Some(&b'/'))
}

fn decompressed(bytes: Vec<u8>) -> Vec<u8> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return bytes;
    }
    let mut tar = Vec::new();
    GzDecoder::new(bytes.as_slice()).read_to_end(&mut tar).unwrap();
    tar
}

/// A layer's tar. A hard link is shown as the file it is another name of: builders may keep or break it.
pub fn layer(bytes: &[u8]) -> Files {
    let mut archive = tar::Archive::new(bytes);
    let mut files = Files::new();
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = trimmed(&entry.path_bytes());
        let header = entry.header().clone();
        let kind = header.entry_type();
        let target = entry.link_name_bytes().map(std::borrow::Cow::into_owned).unwrap_or_default();
        let mut node = Node {
            kind: (if kind.is_dir() { "dir" } else { "file" }).to_owned(),
            mode: header.mode().unwrap() & 0o7777,
            uid: header.uid().unwrap(),
            gid: header.gid().unwrap(),
            content: Vec::new(),
            mtime: header.mtime().unwrap(),
        };
        if kind.is_symlink() {
            (node.kind, node.content) = ("link".to_owned(), target);
        } else if kind.is_hard_link() {
            node = files.get(&trimmed(&target)).cloned().unwrap_or(Node { kind: "hard".to_owned(), content: target, ..node });
        } else if kind.is_file() {
            let mut body = Vec::new();
            entry.read_to_end(&mut body).unwrap();
            node.content = digest(&body);
        } else if !kind.is_dir() {
            node.kind = char::from(kind.as_byte()).to_string();
        }
        if !path.is_empty() {
            files.insert(path, node);
        }
    }
    files
}

fn trimmed(path: &[u8]) -> Vec<u8> {
    let path = path.strip_prefix(b"./").unwrap_or(path);
    let path = path.strip_prefix(b"/").unwrap_or(path);
    let path = path.strip_suffix(b"/").unwrap_or(path);
    if path == b"." { Vec::new() } else { path.to_vec() }
}

/// A directory on disk as an image's layer would show it, owned by root.
pub fn on_disk(dir: &Path) -> Files {
    let mut builder = tar::Builder::new(Vec::new());
    builder.follow_symlinks(false);
    builder.sparse(false);
    builder.append_dir_all(".", dir).unwrap();
    let mut files = layer(&builder.into_inner().unwrap());
    for node in files.values_mut() {
        (node.uid, node.gid) = (0, 0);
    }
    files
}
