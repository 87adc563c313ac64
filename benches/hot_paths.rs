//! The pure hot paths, each over input of a size that hurts: `cargo bench`. Nothing here touches a daemon, a network or a disk;
//! what a run costs as a whole is `tests/bench.sh`'s to say.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fmt::Write as _;
use std::io::{self, Read};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard::moby::buildkit::v1::{StatusResponse, VertexLog};
use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use podwright::context::tree::ContextTree;
use podwright::engine::docker::messages::Decoder;
use podwright::model::TreePath;
use podwright::model::tree::{BodyKey, Entry, Kind, Revision, SourceTree, Time, TreeError, Visited};
use podwright::support::patterns::Matcher;
use podwright::support::redact::Redactor;
use podwright::support::selection::Selection;
use prost::Message as _;
use secrecy::SecretString;

const ENTRIES: usize = 100_000;
const BODY: u64 = 1500;

fn main() {
    divan::main();
}

/// 100,000 files, 50 to a directory, 50 directories to one above; in order.
fn paths() -> Vec<(TreePath, bool)> {
    let mut paths: Vec<(TreePath, bool)> = Vec::with_capacity(ENTRIES + ENTRIES / 40);
    let mut add = |path: String, is_directory| paths.push((TreePath::parse(path.as_bytes()).unwrap(), is_directory));
    for number in 0..ENTRIES {
        let (top, sub) = (format!("package{:02}", number / 2500), format!("module{:04}", number / 50));
        if number % 2500 == 0 {
            add(top.clone(), true);
        }
        if number % 50 == 0 {
            add(format!("{top}/{sub}"), true);
        }
        add(format!("{top}/{sub}/file-{number:06}.{}", ["rs", "o", "md", "log"][number % 4]), false);
    }
    paths
}

/// Each list as people write it: nothing but names, then wildcards, then exceptions to "everything".
const LISTS: [(&str, &str); 3] = [
    ("names", ".git\ntarget\nnode_modules\ndist\n.env\nDockerfile\npackage01\npackage02/module0101"),
    ("wildcards", "**/*.o\n**/node_modules\n*.log\n**/*.log\n**/.DS_Store\n**/*~\ndocs/**/*.md\n**/target"),
    ("exceptions", "*\n!package0*\n!package1?\n**/*.log\n!package07/**/*.log"),
];

#[divan::bench(args = LISTS.map(|(name, _)| name))]
fn ignore_matching_over_100_000_paths(bencher: Bencher, list: &str) {
    let text = LISTS.iter().find(|(name, _)| *name == list).unwrap().1;
    let selection = Selection::without(Matcher::from_ignore_file(text.as_bytes()).unwrap());
    let paths = paths();
    bencher.counter(ItemsCount::new(paths.len())).bench(|| {
        let mut walk = selection.walk();
        let (mut ready, mut shown) = (Vec::new(), 0);
        for (path, is_directory) in &paths {
            walk.offer(path.as_bytes(), *is_directory, (), &mut ready);
            shown += ready.drain(..).count();
        }
        shown
    });
}

/// The same files, each with a body of zeros.
struct Zeros {
    revision: Revision,
    entries: Vec<Entry>,
}

impl Zeros {
    fn new() -> Self {
        let kind = |is_directory| if is_directory { Kind::Directory } else { Kind::File { size: BODY, link: 0 } };
        let entry = |(path, is_directory)| Entry { path, kind: kind(is_directory), mode: 0o644, modified: Time::default(), key: [0; 20] };
        Self { revision: Revision::default(), entries: paths().into_iter().map(entry).collect() }
    }
}

impl SourceTree for Zeros {
    fn revision(&self) -> &Revision {
        &self.revision
    }

    fn identity(&self) -> String {
        "zeros".into()
    }

    fn walk(&self, visit: &mut dyn FnMut(Entry) -> Visited) -> Result<(), TreeError> {
        self.entries.iter().try_for_each(|entry| visit(entry.clone()).map(drop))
    }

    fn lookup(&self, _: &TreePath) -> Result<Option<Entry>, TreeError> {
        Ok(None)
    }

    fn open(&self, _: &TreePath, _: &BodyKey) -> Result<Box<dyn Read + Send + '_>, TreeError> {
        Ok(Box::new(io::repeat(0).take(BODY)))
    }
}

#[divan::bench]
fn canonical_tar_of_100_000_files(bencher: Bencher) {
    let tree: Arc<dyn SourceTree> = Arc::new(Zeros::new());
    let dockerfile = TreePath::parse(b"Dockerfile").unwrap();
    let told = || ContextTree::lay(Arc::clone(&tree), &dockerfile, Some("FROM scratch\nCOPY . /\n")).unwrap().told().unwrap();
    bencher
        .counter(BytesCount::new(ENTRIES as u64 * (512 + BODY.next_multiple_of(512))))
        .with_inputs(told)
        .bench_values(|told| told.write(&mut io::sink()).unwrap());
}

/// A build's stream as the daemon sends it: the classic builder's text, and BuildKit's traces with a line of a log each.
fn stream() -> Vec<u8> {
    let mut text = String::new();
    for line in 0..50_000 {
        let _ = write!(text, "{{\"stream\":\"[{line:05}] compiling something with a rather long name \\u003e and flags\\n\"}}\r\n");
        if line % 10 == 0 {
            let log = VertexLog { vertex: "sha256:d13b73".repeat(5), stream: 1, msg: vec![b'x'; 100], ..VertexLog::default() };
            let trace = StatusResponse { logs: vec![log], ..StatusResponse::default() };
            let _ = write!(text, "{{\"id\":\"moby.buildkit.trace\",\"aux\":\"{}\"}}\r\n", STANDARD.encode(trace.encode_to_vec()));
        }
    }
    text.into_bytes()
}

#[divan::bench]
fn daemon_stream_of_55_000_messages(bencher: Bencher) {
    let stream = stream();
    bencher.counter(BytesCount::new(stream.len())).bench(|| {
        let mut decoder = Decoder::default();
        let pieces = stream.chunks(32 << 10);
        let mut messages = Vec::new();
        for piece in pieces {
            decoder.push(black_box(piece), &mut messages).unwrap();
        }
        messages.len()
    });
}

#[divan::bench(args = [1, 20])]
fn redaction_of_50_000_log_lines(bencher: Bencher, secrets: usize) {
    let redactor = Redactor::default();
    for number in 0..secrets {
        redactor.add(&SecretString::from(format!("s3cr3t-value-of-number-{number}")));
    }
    let lines: Vec<String> =
        (0..50_000).map(|line| format!("#12 34.567 [{line}] cc -O2 -Wall -c -o build/object-{line}.o source/file-{line}.c")).collect();
    bencher
        .counter(BytesCount::new(lines.iter().map(String::len).sum::<usize>()))
        .bench(|| lines.iter().map(|line| redactor.scrub(black_box(line)).len()).sum::<usize>());
}
