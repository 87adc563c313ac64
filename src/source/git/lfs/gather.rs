//! From pointers to objects: what is pointed to below the context's root, once each, a batch at a time.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::api::{self, Action, BATCH, Rules, Wanted};
use super::ask::Asker;
use super::endpoint::{self, Endpoint, Server};
use super::transfer::{Outcome, Transfer, passes};
use super::{Lfs, LfsError, Pointer, Store, authenticate, config};
use crate::event::SourceProgress;
use crate::model::tree::{SourceTree, TreeError};
use crate::model::{Classified, Reason, TreePath};
use crate::net::BlockingClient;
use crate::source::git::GitError;
use crate::source::git::fetch::{Options, workspace_failed};
use crate::source::git::remote::Notice;
use crate::source::git::tree::{GitTree, Pointing};
use crate::support::backoff::{Backoff, random};
use crate::support::limits::{LFS_CONFIG_BYTES, LFS_LEAVES, LFS_OBJECTS, LFS_OBJECTS_MOST, OBJECT_BYTES, SOURCE_BYTES};

/// Tries in a row of which none brings an object.
const TRIES: u32 = 3;

const BACKOFF: Backoff = Backoff { first: Duration::from_millis(500), most: Duration::from_secs(10) };

/// How often progress is told, and asked whether to go on.
const EVERY: Duration = Duration::from_millis(100);

/// Files named in a notice.
const NAMED: usize = 3;

/// Fetches what the files of a fetched commit point to, as far as `options` want it. Blocks, as the fetch does.
///
/// A pointer is never shipped silently: those that stay are told in the tree's notices.
pub fn complete(
    tree: &mut GitTree,
    options: &Options,
    net: &BlockingClient,
    progress: &mut dyn FnMut(SourceProgress) -> bool,
) -> Result<(), GitError> {
    let (mut kept, mut stray) = (Files::default(), Files::default());
    let mut gathering = Gathering::new(tree, options, net, progress);
    tree.pointers(&|| !net.is_cancelled(), &mut |path, pointer, pointing| match (pointing, options.lfs) {
        (Pointing::Stray, _) => {
            stray.add(path);
            Ok(())
        }
        (Pointing::Tracked, Lfs::Keep) => {
            kept.add(path);
            Ok(())
        }
        (Pointing::Tracked, Lfs::Refuse) => Ok(()),
        (Pointing::Tracked, Lfs::Auto) => gathering.add(path, pointer),
    })?;
    gathering.flush()?;
    let (store, received) = gathering.end();
    tree.keep_objects(store, received);
    if let Some(names) = kept.names() {
        let message = format!("pointers of Git LFS are shipped in the place of files, as source.git.lfs says: {names}");
        tree.add_notice(Notice { message, hint: None });
    }
    if let Some(names) = stray.names() {
        let message = format!("pointers of Git LFS are shipped as they are, since no .gitattributes says filter=lfs for them: {names}");
        tree.add_notice(Notice { message, hint: Some("`git lfs track` writes the attribute".to_owned()) });
    }
    Ok(())
}

/// The first few files, and how many there are.
#[derive(Default)]
struct Files {
    names: Vec<String>,
    count: usize,
}

impl Files {
    fn add(&mut self, path: &TreePath) {
        self.count += 1;
        if self.count <= NAMED {
            self.names.push(path.display());
        }
    }

    fn names(&self) -> Option<String> {
        let more = if self.count > NAMED { format!(" and {} more", self.count - NAMED) } else { String::new() };
        (self.count > 0).then(|| format!("{}{more}", self.names.join(", ")))
    }
}

struct Gathering<'a, 'p> {
    tree: &'a GitTree,
    options: &'a Options,
    asker: Asker<'a>,
    server: Option<Server>,
    /// What the host of ssh said last, and how often it was asked.
    leave: (Option<Endpoint>, u32),
    progress: &'p mut dyn FnMut(SourceProgress) -> bool,
    told: Instant,
    store: Store,
    /// At most a batch.
    pending: Vec<Wanted>,
    /// Bytes of all objects so far.
    wanted: u64,
    /// Bytes of objects that came, those that came in vain among them.
    received: AtomicU64,
}

impl<'a, 'p> Gathering<'a, 'p> {
    fn new(tree: &'a GitTree, options: &'a Options, net: &BlockingClient, progress: &'p mut dyn FnMut(SourceProgress) -> bool) -> Self {
        Self {
            tree,
            options,
            asker: Asker::new(net, options),
            server: None,
            leave: (None, 0),
            progress,
            told: Instant::now(),
            store: Store::new(options.lfs),
            pending: Vec::new(),
            wanted: 0,
            received: AtomicU64::new(0),
        }
    }

    fn end(self) -> (Store, u64) {
        (self.store, self.received.into_inner())
    }

    /// One more file that points to an object.
    fn add(&mut self, path: &TreePath, pointer: Pointer) -> Result<(), GitError> {
        let Pointer { oid, size, extended } = pointer;
        if extended || size == 0 {
            return Ok(());
        }
        let waiting = self.pending.iter().find(|wanted| wanted.oid == oid).map(|wanted| wanted.size);
        if let Some(known) = waiting.or_else(|| self.store.find(&oid)) {
            let problem = || format!("another file points to the same object and says {known} bytes, this one {size}");
            let same = known == size;
            return if same { Ok(()) } else { Err(LfsError::Integrity { path: path.display(), problem: problem() }.into()) };
        }
        let limits = &self.options.limits;
        self.wanted = self.wanted.saturating_add(size);
        let objects = (self.store.len() + self.pending.len() + 1) as u64;
        for (found, limit, value) in [
            (size, OBJECT_BYTES, limits.object_bytes),
            (self.wanted, SOURCE_BYTES, limits.source_bytes),
            (objects, LFS_OBJECTS, LFS_OBJECTS_MOST as u64),
        ] {
            if found > value {
                return Err(LfsError::Limit { path: path.display(), size, limit, value }.into());
            }
        }
        let offset = self.store.reserve(size);
        self.pending.push(Wanted { oid, size, path: path.display(), offset });
        if self.pending.len() < BATCH { Ok(()) } else { self.flush() }
    }

    /// Fetches what is pending. Every round asks anew where the objects are: what the last answer said may be over.
    fn flush(&mut self) -> Result<(), GitError> {
        let mut left = std::mem::take(&mut self.pending);
        let mut tries = 0;
        while !left.is_empty() {
            let before = left.len();
            let Err(failed) = self.round(&mut left) else { continue };
            tries = if left.len() < before { 1 } else { tries + 1 };
            if !failed.passes || tries >= TRIES {
                return Err(failed.error);
            }
            self.wait(failed.wait().unwrap_or_else(|| BACKOFF.after(tries, random())))?;
        }
        Ok(())
    }

    /// Asks for all that is left, and leaves what did not come. With an error, or with an object fewer.
    fn round(&mut self, left: &mut Vec<Wanted>) -> Result<(), Failed> {
        let endpoint = self.endpoint()?;
        let reference = self.tree.revision().r#ref.as_deref();
        let answer = self.asker.batch(&endpoint, &api::question(left, reference));
        let answer = answer.map_err(|error| self.refused(error))?;
        let rules = Rules { batch: &endpoint.batch, plain_http: self.options.plain_http };
        let (mut jobs, mut failed): (Vec<(usize, &Wanted, Action)>, Option<Failed>) = (Vec::new(), None);
        for (index, (action, wanted)) in rules.read(&answer, left).map_err(GitError::from)?.into_iter().zip(&*left).enumerate() {
            match action {
                Ok(action) => jobs.push((index, wanted, action)),
                Err(error) => Failed::worse(&mut failed, Failed::from(GitError::from(error)))?,
            }
        }
        let mut done = vec![false; left.len()];
        for (index, outcome) in self.transfer(jobs)? {
            match outcome {
                Ok(came) => done[index] = came,
                Err(error) => Failed::worse(&mut failed, Failed::of_object(error))?,
            }
        }
        for (wanted, _) in left.iter().zip(&done).filter(|(_, done)| **done) {
            self.store.add(wanted.oid, wanted.offset, wanted.size);
        }
        let mut done = done.into_iter();
        left.retain(|_| !done.next().unwrap_or_default());
        failed.map_or(Ok(()), Err)
    }

    fn transfer(&mut self, jobs: Vec<(usize, &Wanted, Action)>) -> Result<Vec<Outcome>, GitError> {
        let workspace = &self.options.workspace;
        let file = self.store.file(self.tree.directory()).map_err(|cause| workspace_failed(workspace, cause))?;
        let transfer = Transfer { asker: &self.asker, file: &file, workspace, received: &self.received };
        let (progress, told) = (&mut *self.progress, &mut self.told);
        let before = self.tree.revision().size.unwrap_or_default();
        Ok(transfer.run(jobs, &mut || tell(progress, told, before + self.received.load(Ordering::Relaxed))))
    }

    fn endpoint(&mut self) -> Result<Endpoint, GitError> {
        let at = match self.server()? {
            Server::Known(endpoint) => return Ok(endpoint),
            Server::Ssh(address) => address,
        };
        match &self.leave {
            (Some(endpoint), asked) if *asked >= LFS_LEAVES || !api::is_over(endpoint.until) => Ok(endpoint.clone()),
            (_, asked) => {
                let endpoint = authenticate::ask(&self.asker.net, self.options, &at)?;
                self.leave = (Some(endpoint.clone()), asked + 1);
                Ok(endpoint)
            }
        }
    }

    /// What a host of ssh gave leave for may be over before it said: then it is asked anew.
    fn refused(&mut self, error: GitError) -> Failed {
        let by_leave = self.leave.0.is_some() && self.leave.1 < LFS_LEAVES;
        if !by_leave || !matches!(error, GitError::Lfs(LfsError::Auth { .. })) {
            return error.into();
        }
        self.leave.0 = None;
        Failed::of_object(error)
    }

    fn server(&mut self) -> Result<Server, GitError> {
        if let Some(server) = &self.server {
            return Ok(server.clone());
        }
        let refused = |rule| GitError::from(TreeError::Refused { path: ".lfsconfig".to_owned(), rule });
        let text = self.tree.at_root(b".lfsconfig", LFS_CONFIG_BYTES)?;
        let named = text.map(|text| config::url(&text)).transpose().map_err(refused)?.flatten();
        let server = endpoint::find(&self.options.address, named.as_deref(), self.options.plain_http)?;
        Ok(self.server.insert(server).clone())
    }

    fn wait(&mut self, time: Duration) -> Result<(), GitError> {
        let until = Instant::now() + time;
        while Instant::now() < until {
            let bytes = self.tree.revision().size.unwrap_or_default() + self.received.load(Ordering::Relaxed);
            if self.asker.net.is_cancelled() || !tell(self.progress, &mut self.told, bytes) {
                return Err(GitError::Cancelled);
            }
            std::thread::sleep(EVERY);
        }
        Ok(())
    }
}

/// Whether to go on; asked no more often than need be.
fn tell(progress: &mut dyn FnMut(SourceProgress) -> bool, told: &mut Instant, bytes: u64) -> bool {
    if told.elapsed() < EVERY {
        return true;
    }
    *told = Instant::now();
    progress(SourceProgress { bytes, ..SourceProgress::default() })
}

/// An error, and whether another try may mend it.
struct Failed {
    error: GitError,
    passes: bool,
}

impl From<GitError> for Failed {
    fn from(error: GitError) -> Self {
        let passes = error.reason() == Reason::SourceUnavailable;
        Self { error, passes }
    }
}

impl Failed {
    /// Of an object, or of something that leave was given for.
    fn of_object(error: GitError) -> Self {
        Self { passes: passes(&error), error }
    }

    /// Keeps the first that may pass; one that will not is the end.
    fn worse(kept: &mut Option<Self>, failed: Self) -> Result<(), Self> {
        if !failed.passes {
            return Err(failed);
        }
        kept.get_or_insert(failed);
        Ok(())
    }

    fn wait(&self) -> Option<Duration> {
        match &self.error {
            GitError::Lfs(error) => error.wait(),
            _ => None,
        }
    }
}
