//! The fetch: list the refs, decide on one commit, get it as shallow as can be, prove that it came.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use git2::{AutotagOption, Direction, ErrorClass, FetchOptions, Oid, RemoteCallbacks, RemoteConnection, RemoteRedirect, Repository};
use git2::{ObjectType, RepositoryInitOptions};

use super::checkout::Checkout;
use super::commit::Commit;
use super::objects::Objects;
use super::resolve::{self, Head, Plan, Wanted, Way};
use super::session::{Door, Session};
use super::transport_stream::refusal;
use super::tree::{self, GitTree, Parts};
use super::walk::{Start, walk};
use super::{GitError, Lfs, ffi, git_dir, lfs, transport};
use crate::event::SourceProgress;
use crate::model::tree::Walk;
use crate::model::{Address, CommitId, GitRef, TreePath};
use crate::net::BlockingClient;
use crate::source::directory::DirectoryTree;
use crate::support::backoff;
use crate::support::guard::Guard;
use crate::support::limits::{
    Bound, GIT_COMMIT, GIT_COMMIT_BYTES, GIT_OBJECTS, GIT_OBJECTS_PER_ENTRY, GIT_PIECE, GIT_PIECE_BYTES, Limits, OBJECT_BYTES, SOURCE_BYTES,
};
use crate::support::redact::Redactor;
use crate::support::scratch::ScratchDir;

/// How often progress is told; whether to go on is asked at every object.
const EVERY: Duration = Duration::from_millis(100);

/// Bytes of one piece of memory that libgit2's own buffers may need, whatever the limits are.
const SMALLEST_PIECE: u64 = 1 << 20;

/// What to fetch.
#[derive(Clone, Debug)]
pub struct Options {
    pub address: Address,
    /// A branch, a tag, a full name, or `HEAD`, which is also the default.
    pub reference: Option<GitRef>,
    /// With a ref: what the ref must point at.
    pub commit: Option<CommitId>,
    /// The directory that becomes the root; the root itself by default.
    pub subdir: TreePath,
    /// Commits of the history; 0 is all of it.
    pub history: u32,
    /// Make a `.git` for the context of what was fetched.
    pub keep_git_dir: bool,
    /// The caller fetches the submodules.
    pub submodules: bool,
    /// A repository named this address, not the request: what only this node can see is refused.
    pub foreign: bool,
    /// How its host is talked to, and who this pod is there.
    pub door: Door,
    /// An existing, writable directory; the repository's own is made in it.
    pub workspace: PathBuf,
    pub limits: Limits,
    pub lfs: Lfs,
    /// Whether what a repository or a host names may be reached over plain http.
    pub plain_http: bool,
    /// Told of the secrets that hosts give this pod on the way.
    pub redactor: Arc<Redactor>,
}

/// A commit, and the repository for its context where one was asked for.
pub struct Fetched {
    pub tree: GitTree,
    pub git_dir: Option<DirectoryTree>,
}

/// Fetches one commit. Blocks: call it on a thread of its own, never inside an async task.
///
/// `progress` is told bytes and objects a few times a second, and answers whether to go on. The tree keeps its objects in
/// the workspace until it is dropped.
pub fn fetch(options: &Options, net: &BlockingClient, progress: &mut dyn FnMut(SourceProgress) -> bool) -> Result<Fetched, GitError> {
    let library = |error: git2::Error| GitError::Library(error.message().to_owned());
    let commit = options.commit.as_ref().map(|id| Oid::from_str(id.as_str())).transpose().map_err(library)?;
    let wanted = Wanted { reference: options.reference.clone(), commit };
    ffi::set_up().map_err(library)?;
    // A ref may move between being listed and being fetched: then everything is asked once more, from the start.
    for _ in 0..2 {
        if let Some(fetched) = Attempt::new(options, net, &wanted)?.run(&wanted, progress)? {
            return Ok(fetched);
        }
    }
    Err(GitError::Moving { url: options.address.redacted() })
}

/// What was decided, and by which list.
type Listed = (Plan, Vec<Head>);

struct Attempt<'a> {
    options: &'a Options,
    net: &'a BlockingClient,
    session: Session,
    scratch: ScratchDir,
}

impl<'a> Attempt<'a> {
    fn new(options: &'a Options, net: &'a BlockingClient, wanted: &Wanted) -> Result<Self, GitError> {
        let asked = resolve::asked(wanted, options.keep_git_dir);
        let session = Session::new(net.clone(), options.address.clone(), options.door.clone(), options.foreign, asked);
        let path = options.workspace.join(format!("git-{:016x}", backoff::random()));
        let scratch = ScratchDir::create(path).map_err(|cause| workspace_failed(&options.workspace, cause))?;
        Ok(Self { options, net, session, scratch })
    }

    /// `None` when the server no longer has what it listed.
    fn run(self, wanted: &Wanted, progress: &mut dyn FnMut(SourceProgress) -> bool) -> Result<Option<Fetched>, GitError> {
        let mut init = RepositoryInitOptions::new();
        init.bare(true).external_template(false);
        let repository = Repository::init_opts(tree::repository(&self.scratch), &init).map_err(|error| self.explain(&error))?;
        let entered = transport::enter(&self.session);
        let (plan, received) = self.download(&repository, wanted, progress)?;
        drop(entered);
        let Some((plan, heads)) = plan else { return Ok(None) };
        let Some(commit) = self.commit(&repository, &plan)? else { return Ok(None) };
        let git_dir = if self.options.keep_git_dir { Some(self.git_dir(&repository, &commit, &plan, &heads)?) } else { None };
        drop(repository);
        let mut tree = GitTree::open(Parts {
            scratch: self.scratch,
            address: self.options.address.clone(),
            commit,
            reference: plan.reference,
            subdir: self.options.subdir.clone(),
            limits: self.options.limits.clone(),
            submodules: self.options.submodules,
            received,
        })?;
        if let Some(notice) = plan.notice {
            tree.add_notice(notice);
        }
        lfs::complete(&mut tree, self.options, self.net, progress)?;
        Ok(Some(Fetched { tree, git_dir }))
    }

    /// libgit2 makes an index of trees however deep and however many: they are counted before.
    fn bounded(&self, repository: &Path, commit: &Commit) -> Result<(), GitError> {
        let objects = Objects::open(&repository.join("objects")).map_err(|error| self.explain(&error))?;
        let (checkout, root) = (Checkout::new(commit.tree), TreePath::root());
        let most_entries = self.options.limits.source_entries;
        let start = Start { objects: &objects, checkout: &checkout, tree: commit.tree, path: &root, most_entries };
        Ok(walk(&start, &mut |_| Ok(Walk::Enter))?)
    }

    fn git_dir(&self, repository: &Repository, commit: &Commit, plan: &Plan, heads: &[Head]) -> Result<DirectoryTree, GitError> {
        let path = &tree::repository(&self.scratch);
        self.bounded(path, commit)?;
        let wanted = git_dir::Wanted { commit, reference: plan.reference.as_deref(), heads, address: &self.options.address };
        git_dir::prepare(repository, path, &wanted, &|| !self.net.is_cancelled()).map_err(|error| self.explain(&error))?;
        DirectoryTree::open(path, &TreePath::root(), &self.options.limits, &Guard::default())
            .map_err(|error| GitError::Library(error.to_string()))
    }

    /// Lists, decides, downloads; the number is the pack's bytes as they came over the network.
    fn download(
        &self,
        repository: &Repository,
        wanted: &Wanted,
        progress: &mut dyn FnMut(SourceProgress) -> bool,
    ) -> Result<(Option<Listed>, u64), GitError> {
        let mut remote = repository.remote_anonymous(&self.options.address.shown()).map_err(|error| self.explain(&error))?;
        let mut connection =
            remote.connect_auth(Direction::Fetch, Some(RemoteCallbacks::new()), None).map_err(|error| self.explain(&error))?;
        let heads = heads(&connection).map_err(|error| self.explain(&error))?;
        let plan = resolve::plan(&heads, wanted, self.session.capabilities()).map_err(|(problem, hint)| self.missing(problem, hint))?;
        let mut meter = Meter::new(self, progress);
        let outcome = self.transfer(&mut connection, &plan, &mut meter);
        let (received, stopped) = (meter.received, meter.stopped.take());
        match outcome {
            Ok(()) => Ok((Some((plan, heads)), received)),
            Err(error) => match (stopped, self.session.said()) {
                (Some(reason), _) => Err(reason),
                (None, Some(said)) if is_not_given(&said) => match plan.way {
                    Way::Ref(_) => Ok((None, received)),
                    Way::Id | Way::Everything => Err(self.unreachable(plan.id)),
                },
                _ => Err(self.explain(&error)),
            },
        }
    }

    fn transfer(&self, connection: &mut RemoteConnection<'_, '_, '_>, plan: &Plan, meter: &mut Meter<'_, '_>) -> Result<(), git2::Error> {
        let specs = match &plan.way {
            Way::Ref(name) => vec![format!("+{name}:refs/podwright/source")],
            Way::Id => vec![format!("{}:refs/podwright/source", plan.id)],
            Way::Everything => {
                vec!["+refs/heads/*:refs/podwright/heads/*".to_owned(), "+refs/tags/*:refs/podwright/tags/*".to_owned()]
            }
        };
        let mut callbacks = RemoteCallbacks::new();
        callbacks.transfer_progress(|stats| meter.tick(&stats));
        let mut how = FetchOptions::new();
        let tags = if self.options.keep_git_dir { AutotagOption::Auto } else { AutotagOption::None };
        how.download_tags(tags).follow_redirects(RemoteRedirect::None).remote_callbacks(callbacks);
        if self.session.capabilities().shallow && plan.way != Way::Everything && self.options.history > 0 {
            how.depth(i32::try_from(self.options.history).unwrap_or(i32::MAX));
        }
        let _bounded = ffi::bound(piece(&self.options.limits).1);
        connection.remote().download(&specs, Some(&mut how))
    }

    /// The commit that was resolved, looked up among what really came; a tag is peeled.
    fn commit(&self, repository: &Repository, plan: &Plan) -> Result<Option<Commit>, GitError> {
        let odb = repository.odb().map_err(|error| self.explain(&error))?;
        if !odb.exists(plan.id) {
            return match plan.way {
                Way::Ref(_) => Ok(None),
                Way::Id | Way::Everything => Err(self.unreachable(plan.id)),
            };
        }
        let mut id = plan.id;
        // Nothing is read before its size is known: libgit2 would hold it whole, and parsed.
        while let Ok((size, kind @ (ObjectType::Commit | ObjectType::Tag))) = odb.read_header(id) {
            if size as u64 > GIT_COMMIT_BYTES {
                return Err(self.over(GIT_COMMIT, GIT_COMMIT_BYTES));
            }
            if kind == ObjectType::Commit {
                let commit = repository.find_commit(id).map_err(|error| self.explain(&error))?;
                return Ok(Some(Commit::of(&commit)));
            }
            id = repository.find_tag(id).map_err(|error| self.explain(&error))?.target_id();
        }
        Err(self.missing(format!("{} is no commit", plan.id), None))
    }

    fn over(&self, limit: Bound, value: u64) -> GitError {
        GitError::Limit { url: self.options.address.redacted(), limit, value }
    }

    fn missing(&self, problem: String, hint: Option<String>) -> GitError {
        GitError::Revision { url: self.options.address.redacted(), problem, hint }
    }

    fn unreachable(&self, commit: Oid) -> GitError {
        let capabilities = self.session.capabilities();
        let hint = if capabilities.reachable || capabilities.tip {
            "the server gives commits by their id, and does not have this one or keeps it from this credential"
        } else {
            "no branch or tag holds it, and this server gives commits only by name: a ref that holds it, or \
             uploadpack.allowReachableSHA1InWant on the server, would help"
        };
        self.missing(format!("the commit {commit} is not to be had"), Some(hint.to_owned()))
    }

    /// What really happened, behind libgit2's error.
    fn explain(&self, error: &git2::Error) -> GitError {
        if let Some(trouble) = self.session.trouble() {
            return trouble;
        }
        if self.net.is_cancelled() {
            return GitError::Cancelled;
        }
        // An ERR packet in the place of the list (gitprotocol-pack(5)), in libgit2's words.
        let refused = error.message().strip_prefix("remote error: ").filter(|_| !self.session.capabilities().known);
        if let Some(error) = refusal(&self.options.address.redacted(), refused) {
            return error;
        }
        let problem: String = error.message().chars().filter(|c| !c.is_control()).take(400).collect();
        let url = || self.options.address.redacted();
        if ffi::refused() {
            let (limit, value) = piece(&self.options.limits);
            return self.over(limit, value);
        }
        if is_full(error.class(), &problem) {
            return GitError::WorkspaceFull { path: self.options.workspace.display().to_string() };
        }
        GitError::Broken { url: url(), problem, said: self.session.said() }
    }
}

/// Whether the server does not give what was wanted: git's words for it, and JGit's.
fn is_not_given(said: &str) -> bool {
    said.contains("not our ref") || (said.contains("want ") && said.contains(" not valid"))
}

/// Whether this pod's own disk is full: libgit2 says it in text alone, in strerror's words behind an error of the system. A
/// server whose disk is full says the same words, as an error of the network.
fn is_full(class: ErrorClass, message: &str) -> bool {
    class == ErrorClass::Os && (message.contains("No space left on device") || message.contains("Disk quota exceeded"))
}

/// Tells a full workspace from an unusable one.
pub(super) fn workspace_failed(path: &Path, cause: io::Error) -> GitError {
    let path = path.display().to_string();
    match cause.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => GitError::WorkspaceFull { path },
        _ => GitError::Workspace { path, cause },
    }
}

/// What one piece of the pack may take in memory. libgit2's tables of objects are such pieces, too.
fn piece(limits: &Limits) -> (Bound, u64) {
    let tables = limits.source_entries.saturating_mul(GIT_OBJECTS_PER_ENTRY * 16);
    let (bound, bytes) =
        if limits.object_bytes < GIT_PIECE_BYTES { (OBJECT_BYTES, limits.object_bytes) } else { (GIT_PIECE, GIT_PIECE_BYTES) };
    (bound, bytes.max(tables).max(SMALLEST_PIECE))
}

fn heads(connection: &RemoteConnection<'_, '_, '_>) -> Result<Vec<Head>, git2::Error> {
    let head = |head: &git2::RemoteHead<'_>| Head {
        name: head.name().to_owned(),
        id: head.oid(),
        target: head.symref_target().map(str::to_owned),
    };
    Ok(connection.list()?.iter().map(head).collect())
}

/// Counts what comes in, tells it, and stops it at a limit.
struct Meter<'a, 'p> {
    attempt: &'a Attempt<'a>,
    progress: &'p mut dyn FnMut(SourceProgress) -> bool,
    last: Option<Instant>,
    received: u64,
    /// Why it was stopped: libgit2 only knows that it was.
    stopped: Option<GitError>,
}

impl<'a, 'p> Meter<'a, 'p> {
    fn new(attempt: &'a Attempt<'a>, progress: &'p mut dyn FnMut(SourceProgress) -> bool) -> Self {
        Self { attempt, progress, last: None, received: 0, stopped: None }
    }

    fn tick(&mut self, stats: &git2::Progress<'_>) -> bool {
        let limits = &self.attempt.options.limits;
        self.received = stats.received_bytes() as u64;
        let objects = stats.total_objects() as u64;
        let over = |limit, value| Some(self.attempt.over(limit, value));
        let most_objects = limits.source_entries.saturating_mul(GIT_OBJECTS_PER_ENTRY);
        if self.received > limits.source_bytes {
            self.stopped = over(SOURCE_BYTES, limits.source_bytes);
        } else if objects > most_objects {
            self.stopped = over(GIT_OBJECTS, most_objects);
        } else if self.attempt.net.is_cancelled() || !self.tell(stats) {
            self.stopped = Some(GitError::Cancelled);
        }
        self.stopped.is_none()
    }

    fn tell(&mut self, stats: &git2::Progress<'_>) -> bool {
        if self.last.is_some_and(|last| last.elapsed() < EVERY) {
            return true;
        }
        self.last = Some(Instant::now());
        (self.progress)(SourceProgress {
            bytes: self.received,
            total_bytes: None,
            objects: Some(stats.received_objects() as u64),
            total_objects: Some(stats.total_objects() as u64),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_of_this_pod_is_told_from_the_servers() {
        for (class, message, want) in [
            (ErrorClass::Os, "cannot extend packfile '/w/pack': No space left on device", true),
            (ErrorClass::Os, "failed to write object: Disk quota exceeded", true),
            (ErrorClass::Net, "remote error: upload-pack: write failed: No space left on device", false),
            (ErrorClass::Indexer, "early EOF", false),
        ] {
            assert_eq!(is_full(class, message), want, "{message}");
        }
    }

    #[test]
    fn a_piece_of_a_pack_is_bounded_by_what_a_pod_can_hold() {
        assert_eq!(piece(&Limits::default()), (GIT_PIECE, 128 << 20));
        let small = Limits { object_bytes: 2 << 20, source_entries: 100, ..Limits::default() };
        assert_eq!(piece(&small), (OBJECT_BYTES, 2 << 20));
        let many = Limits { source_entries: 10_000_000, ..Limits::default() };
        assert_eq!(piece(&many), (GIT_PIECE, 640_000_000));
    }
}
