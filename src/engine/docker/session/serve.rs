//! The work behind one FileSync stream: a thread that walks and announces, and some that read the bodies asked for.

use std::io::Read;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use percent_encoding::percent_decode;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tonic::Status;
use tonic::metadata::MetadataMap;

use super::wire::{Packet, Stat};
use super::{Ledger, Served};
use crate::engine::EngineError;
use crate::event::ContextSent;
use crate::model::TreePath;
use crate::model::tree::{BodyKey, Entry, Kind, SourceTree, TreeError, Walk};
use crate::model::visible::{self, FirstNames};
use crate::support::selection::{BadSelection, Links, Selection, Wanted};

/// Packets that travel together.
pub type Batch = Vec<Packet>;
type Batches = mpsc::Sender<Result<Batch, Status>>;

/// Bytes of one piece of a body, and roughly of a batch.
const PIECE: usize = 64 << 10;
/// Entries of a batch.
const STATS: usize = 256;
/// Bodies that one stream reads side by side, each an open descriptor. A volume of the network takes a millisecond or two for each
/// file, whatever its size: at 2 ms, 20,000 files take 29 s by 2 readers, 6 s by 16, 4 s by 32 and by any number on a disk.
pub(super) const SMALL_READERS: usize = 16;
/// Of those that have more bytes than `LARGE` so many: a git tree holds a body whole while it is read.
pub(super) const LARGE_READERS: usize = 2;
pub(super) const LARGE: u64 = 1 << 20;

/// A body that was announced and not asked for yet.
struct Offer {
    path: TreePath,
    key: BodyKey,
    size: u64,
}

/// The tree one stream shows, what of it was asked for, and what was announced.
pub struct View {
    tree: Arc<dyn SourceTree>,
    selection: Selection,
    /// By number; nothing where there is no body to ask for. The daemon may ask until its FIN, in any order: some 150 bytes for
    /// each entry that is announced, and so as many as the limit on a source's entries allows.
    offers: Mutex<Vec<Option<Offer>>>,
    sent: Mutex<ContextSent>,
    /// Whether it is the context, and not a look at the Dockerfile.
    is_context: bool,
}

impl View {
    /// From the request's metadata (moby/buildkit, session/filesync/filesync.go).
    pub fn of(served: &Served, metadata: &MetadataMap) -> Result<Self, EngineError> {
        let name = values(metadata, "dir-name").into_iter().next().unwrap_or_default();
        let (tree, is_context) = match name.as_slice() {
            b"context" => (&served.context, true),
            b"dockerfile" => (&served.dockerfile, false),
            other => return Err(EngineError::Surprise(format!("a tree named {:?}", String::from_utf8_lossy(other)))),
        };
        let wanted = Wanted {
            include: values(metadata, "include-patterns"),
            exclude: values(metadata, "exclude-patterns"),
            follow: values(metadata, "followpaths"),
        };
        let selection = Selection::new(wanted, &TreeLinks(tree.as_ref())).map_err(|bad| match bad {
            BadSelection::Tree(error) => EngineError::Context(error),
            // The sources of its COPY lines.
            BadSelection::Include(pattern) => EngineError::DockerfileInvalid(format!("a source of COPY or ADD: {pattern}")),
            BadSelection::Exclude(pattern) => EngineError::Surprise(format!("a context without what matches {pattern}")),
            links @ BadSelection::TooManyLinks => EngineError::Context(TreeError::refused(&TreePath::root(), links.to_string())),
        })?;
        Ok(Self { tree: Arc::clone(tree), selection, offers: Mutex::default(), sent: Mutex::default(), is_context })
    }

    /// What was sent, once the stream is over; of several looks at the context the largest counts: the others are for ignore files.
    pub fn account(&self, ledger: &Ledger) {
        let sent = std::mem::take(&mut *self.sent());
        ledger.count(|largest| {
            if self.is_context && sent.entries >= largest.entries {
                *largest = sent;
            }
        });
    }

    fn sent(&self) -> MutexGuard<'_, ContextSent> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes of a body that was announced.
    fn size(&self, id: u32) -> u64 {
        let offers = self.offers();
        let offer = usize::try_from(id).ok().and_then(|index| offers.get(index)?.as_ref());
        offer.map_or(0, |offer| offer.size)
    }

    fn offers(&self) -> MutexGuard<'_, Vec<Option<Offer>>> {
        self.offers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All values of a key; `<key>-encoded: 1` says that they went through Go's `url.QueryEscape`, which BuildKit does as soon as
/// one of them is not ASCII (session/filesync/filesync.go, `encodeStringForHeader`).
fn values(metadata: &MetadataMap, key: &str) -> Vec<Vec<u8>> {
    let encoded = metadata.get(format!("{key}-encoded")).is_some_and(|value| value == "1");
    let raw = metadata.get_all(key).into_iter().map(|value| value.as_encoded_bytes().to_vec());
    if encoded { raw.map(query_unescape).collect() } else { raw.collect() }
}

/// A space is a plus, and a plus is `%2B`.
fn query_unescape(mut value: Vec<u8>) -> Vec<u8> {
    value.iter_mut().filter(|byte| **byte == b'+').for_each(|byte| *byte = b' ');
    percent_decode(&value).collect()
}

/// The tree, as the follower of links sees it.
struct TreeLinks<'a>(&'a dyn SourceTree);

impl Links for TreeLinks<'_> {
    type Error = TreeError;

    fn read_link(&self, path: &[u8]) -> Result<Option<Vec<u8>>, TreeError> {
        let Ok(path) = TreePath::parse(path) else { return Ok(None) };
        match self.0.lookup(&path)?.map(|entry| entry.kind) {
            Some(Kind::Symlink { target }) => Ok(Some(target)),
            _ => Ok(None),
        }
    }

    fn names(&self, directory: &[u8]) -> Result<Vec<Vec<u8>>, TreeError> {
        let Ok(directory) = TreePath::parse(directory) else { return Ok(Vec::new()) };
        let mut names = Vec::new();
        self.0.walk(&mut |entry| {
            if entry.path.parent().is_some_and(|parent| parent == directory) {
                names.push(entry.path.name().to_vec());
            }
            Ok(if directory.strip(&entry.path).is_some() { Walk::Enter } else { Walk::Skip })
        })?;
        Ok(names)
    }
}

/// The threads of one stream, and the way in for what the daemon asks.
pub struct Workers {
    view: Arc<View>,
    ledger: Arc<Ledger>,
    batches: Batches,
    small: Readers,
    large: Readers,
    threads: Vec<JoinHandle<()>>,
}

/// Readers that take turns. Each has a queue of its own: one that shared would hold back what it has read while it waits for more.
#[derive(Default)]
struct Readers {
    queues: Vec<Queue>,
    next: usize,
}

type Queue = std::sync::mpsc::Sender<u32>;

impl Workers {
    pub fn start(view: &Arc<View>, ledger: &Arc<Ledger>, batches: &Batches) -> Self {
        let (view, ledger, batches) = (Arc::clone(view), Arc::clone(ledger), batches.clone());
        let mut workers = Self { view, ledger, batches, small: Readers::default(), large: Readers::default(), threads: Vec::new() };
        workers.spawn(announce);
        workers
    }

    /// Readers begin as they are needed: most streams are for one small file.
    pub fn ask(&mut self, id: u32) {
        let is_large = self.view.size(id) > LARGE;
        let (readers, most) = if is_large { (&mut self.large, LARGE_READERS) } else { (&mut self.small, SMALL_READERS) };
        let turn = readers.next;
        readers.next = (turn + 1) % most;
        if let Some(queue) = readers.queues.get(turn) {
            let _ = queue.send(id);
            return;
        }
        let (queue, asked) = std::sync::mpsc::channel();
        let _ = queue.send(id);
        readers.queues.push(queue);
        self.spawn(move |view, _, batches| read_bodies(view, batches, &asked));
    }

    /// Does it in a thread, and tells its failure to the daemon and to the ledger.
    fn spawn(&mut self, work: impl FnOnce(&View, &Ledger, &Batches) -> Result<(), EngineError> + Send + 'static) {
        let (view, ledger, batches) = (Arc::clone(&self.view), Arc::clone(&self.ledger), self.batches.clone());
        self.threads.push(tokio::task::spawn_blocking(move || {
            if let Err(error) = work(&view, &ledger, &batches) {
                let _ = batches.blocking_send(Err(ledger.refuse(error)));
            }
        }));
    }

    /// Nothing more will be asked.
    pub async fn finish(self) {
        drop((self.small, self.large, self.batches));
        for thread in self.threads {
            let _ = thread.await;
        }
    }
}

fn send(batches: &Batches, batch: &mut Batch) -> Result<(), TreeError> {
    if batch.is_empty() {
        return Ok(());
    }
    batches.blocking_send(Ok(std::mem::take(batch))).map_err(|_| TreeError::Abandoned)
}

/// Announces every entry that is wanted, in order.
fn announce(view: &View, ledger: &Ledger, batches: &Batches) -> Result<(), EngineError> {
    let mut batch = Batch::with_capacity(STATS);
    let mut first_names = FirstNames::default();
    let counted = visible::walk(view.tree.as_ref(), &view.selection, &mut |entry| {
        if !is_text(entry) {
            ledger.found_no_text(&entry.path);
        }
        batch.push(offer(view, entry, &mut first_names)?);
        if batch.len() >= STATS { send(batches, &mut batch) } else { Ok(()) }
    })?;
    batch.push(Packet::stat(None));
    let mut sent = view.sent();
    (sent.entries, sent.ignored) = (counted.shown, counted.left_out);
    drop(sent);
    Ok(send(batches, &mut batch)?)
}

fn is_text(entry: &Entry) -> bool {
    let target = if let Kind::Symlink { target } = &entry.kind { target } else { &Vec::new() };
    [entry.path.as_bytes(), target].into_iter().all(|bytes| std::str::from_utf8(bytes).is_ok())
}

/// The announcement of one entry, whose body can be asked for from now on.
fn offer(view: &View, entry: &Entry, first_names: &mut FirstNames) -> Result<Packet, TreeError> {
    let offer = match entry.kind {
        Kind::Other(what) => return Err(TreeError::refused(&entry.path, format!("a {what} has no place in an image"))),
        Kind::File { size, .. } => Some(Offer { path: entry.path.clone(), key: entry.key, size }),
        Kind::Directory | Kind::Symlink { .. } => None,
    };
    view.offers().push(offer);
    Ok(Packet::stat(Some(Stat::of(entry, first_names.before(entry)))))
}

/// Reads the bodies that were asked for, as they are asked for, small ones several to a batch.
fn read_bodies(view: &View, batches: &Batches, asked: &std::sync::mpsc::Receiver<u32>) -> Result<(), EngineError> {
    let mut batch = Batch::new();
    let mut bytes = 0;
    loop {
        let id = if let Ok(id) = asked.try_recv() {
            id
        } else {
            // Nothing waits: what is ready goes now.
            bytes = 0;
            send(batches, &mut batch)?;
            match asked.recv() {
                Ok(id) => id,
                Err(_) => return Ok(()),
            }
        };
        let offer = usize::try_from(id).ok().and_then(|index| view.offers().get_mut(index).and_then(Option::take));
        let offer = offer.ok_or_else(|| EngineError::Surprise(format!("body {id}, which was never announced, or was sent before")))?;
        bytes += body(view, id, &offer, batches, &mut batch)?;
        view.sent().body(&offer.path, offer.size);
        if bytes >= PIECE as u64 || batch.len() >= STATS {
            bytes = 0;
            send(batches, &mut batch)?;
        }
    }
}

/// One body: its pieces, then an empty one.
fn body(view: &View, id: u32, offer: &Offer, batches: &Batches, batch: &mut Batch) -> Result<u64, TreeError> {
    let mut reader = view.tree.open(&offer.path, &offer.key)?.take(offer.size);
    let mut left = offer.size;
    while left > 0 {
        let want = PIECE.min(usize::try_from(left).unwrap_or(PIECE));
        let mut piece = vec![0; want];
        reader.read_exact(&mut piece).map_err(|error| TreeError::io(&offer.path, error))?;
        left -= want as u64;
        batch.push(Packet::data(id, Bytes::from(piece)));
        if left > 0 {
            send(batches, batch)?;
        }
    }
    batch.push(Packet::data(id, Bytes::new()));
    Ok(offer.size.min(PIECE as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_decoded_as_go_encodes_it() {
        let mut metadata = MetadataMap::new();
        for value in ["%C3%9Cbung+1%2Fa%2Bb", "plain"] {
            metadata.append("exclude-patterns", value.parse().unwrap());
        }
        metadata.insert("exclude-patterns-encoded", "1".parse().unwrap());
        metadata.insert("followpaths", "a+b %20".parse().unwrap());
        assert_eq!(values(&metadata, "exclude-patterns"), ["Übung 1/a+b".as_bytes(), b"plain"]);
        assert_eq!(values(&metadata, "followpaths"), [b"a+b %20"], "what is not said to be encoded is not");
    }
}
