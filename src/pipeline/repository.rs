//! A repository with its submodules as one tree: each fetched at the commit that is recorded, by the credentials of its own place,
//! within bounds that go for all of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Services;
use super::access::{Access, Token};
use super::clients::Clients;
use super::fetch::{Beat, FetchError};
use crate::config::Settings;
use crate::config::address::needs;
use crate::config::settings::GitSource;
use crate::event::Event;
use crate::model::address::BadAddress;
use crate::model::graft::GraftedTree;
use crate::model::tree::{SourceTree, TreeError};
use crate::model::{Address, Classified, Reason, TreePath, UrlCredential};
use crate::source::SourceError;
use crate::source::git::{self, Fetched, GitError, Submodule};
use crate::support::limits::{Bound, Limits, SUBMODULE_DEPTH, SUBMODULES};

/// Why a submodule is not there.
#[derive(Debug, thiserror::Error)]
pub enum SubmoduleError {
    #[error("the submodule {path}: its URL {}", .bad.what)]
    Address { path: String, bad: BadAddress },
    #[error("the submodule {path}: {what}; that needs the operator's permission {permission:?}")]
    NotPermitted { path: String, what: &'static str, permission: &'static str },
    #[error("the submodule {path}: with it there are more than the limit {bound} of {most}")]
    Limit { path: String, bound: Bound, most: u64 },
    #[error("the submodule {path}: {cause}")]
    Fetch {
        path: String,
        #[source]
        cause: Box<FetchError>,
    },
}

impl Classified for SubmoduleError {
    fn reason(&self) -> Reason {
        match self {
            Self::Address { .. } | Self::Limit { .. } => Reason::SourceRefused,
            Self::NotPermitted { .. } => Reason::NotPermitted,
            Self::Fetch { cause, .. } => cause.reason(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Address { bad, .. } => Some(format!("the repository's .gitmodules says it: {}", bad.fix)),
            Self::NotPermitted { permission, .. } => Some(format!("the operator gives it with --allow {permission}")),
            Self::Limit { .. } => Some("raise the limit if the repository can be trusted".to_owned()),
            Self::Fetch { cause, .. } => cause.hint(),
        }
    }
}

/// Fetches what is wanted, and its submodules where they are.
pub fn fetch(wanted: &GitSource, settings: &Settings, workspace: &Path, services: &Services) -> Result<Arc<dyn SourceTree>, FetchError> {
    let clients = Clients::of(wanted.address.url());
    let mut run = Run { wanted, clients, settings, workspace, services, fetched: 0, received: 0 };
    let secret = wanted.secret.clone().or_else(|| elsewhere(wanted, &wanted.address));
    let (access, options) = run.reach(&wanted.address, secret.as_deref(), wanted.credential.as_ref())?;
    let options = git::Options {
        reference: wanted.reference.clone(),
        commit: wanted.commit.clone(),
        subdir: wanted.subdir.clone(),
        history: wanted.history,
        keep_git_dir: wanted.keep_git_dir,
        ..options
    };
    let Fetched { tree, git_dir } = run.one(&options, &access)?;
    let below = if wanted.submodules { tree.submodules().map_err(of_tree)? } else { Vec::new() };
    let mut whole = GraftedTree::new(tree, settings.limits.clone());
    if let Some(git_dir) = git_dir {
        let name = b".git";
        let at = TreePath::root().checked_join(name).map_err(|rule| of_tree(TreeError::bad_name(name, rule)))?;
        whole.graft(at, Box::new(git_dir));
    }
    for (path, tree) in run.all(below, &Above { address: &wanted.address, path: "", depth: 1 })? {
        whole.graft(path, tree);
    }
    Ok(Arc::new(whole))
}

fn of_tree(error: TreeError) -> FetchError {
    SourceError::from(GitError::from(error)).into()
}

/// The secret of the longest place that the address is in.
fn elsewhere(wanted: &GitSource, address: &Address) -> Option<PathBuf> {
    let covering = wanted.secrets.iter().filter_map(|(place, path)| Some((place.covers(address)?, path)));
    covering.max_by_key(|(length, _)| *length).map(|(_, path)| path.clone())
}

/// The repository that has a submodule.
struct Above<'a> {
    address: &'a Address,
    path: &'a str,
    /// Of its submodules.
    depth: u64,
}

type Grafts = Vec<(TreePath, Box<dyn SourceTree>)>;

/// What counts for all of them.
struct Run<'a> {
    wanted: &'a GitSource,
    clients: Clients,
    settings: &'a Settings,
    workspace: &'a Path,
    services: &'a Services,
    fetched: u64,
    received: u64,
}

impl Run<'_> {
    /// The way to a repository, and what of the request goes for each: its HEAD alone, where nothing else is said.
    fn reach(
        &self,
        address: &Address,
        secret: Option<&Path>,
        written: Option<&UrlCredential>,
    ) -> Result<(Access, git::Options), FetchError> {
        let access = Access::to(address.url(), secret, written, Token::Git, &self.clients, self.settings, self.services)?;
        let options = git::Options {
            address: address.clone(),
            reference: None,
            commit: None,
            subdir: TreePath::root(),
            history: 1,
            keep_git_dir: false,
            submodules: self.wanted.submodules,
            lfs: self.wanted.lfs,
            plain_http: self.settings.policy.plain_http,
            redactor: Arc::clone(&self.services.redactor),
            foreign: false,
            door: access.door(address, secret, self.settings, &self.services.redactor)?,
            workspace: self.workspace.to_owned(),
            limits: self.settings.limits.clone(),
        };
        Ok((access, options))
    }

    fn one(&mut self, options: &git::Options, access: &Access) -> Result<Fetched, FetchError> {
        let mut beat = Beat::new(self.services);
        let fetched = git::fetch(options, &access.client, &mut |progress| beat.goes_on(progress)).map_err(SourceError::from)?;
        for notice in fetched.tree.notices() {
            self.services.events.emit(Event::Notice { message: notice.message.clone(), hint: notice.hint.clone() });
        }
        self.received = self.received.saturating_add(fetched.tree.received());
        Ok(fetched)
    }

    fn all(&mut self, submodules: Vec<Submodule>, above: &Above<'_>) -> Result<Grafts, FetchError> {
        let mut grafts = Vec::new();
        for submodule in submodules {
            let path =
                if above.path.is_empty() { submodule.path.display() } else { format!("{}/{}", above.path, submodule.path.display()) };
            let tree = match self.submodule(&submodule, &path, above) {
                Ok(tree) => tree,
                // What is deeper says where it is itself.
                Err(error @ FetchError::Submodule(_)) => return Err(error),
                Err(cause) => return Err(SubmoduleError::Fetch { path, cause: Box::new(cause) }.into()),
            };
            grafts.push((submodule.path, tree));
        }
        Ok(grafts)
    }

    fn submodule(&mut self, submodule: &Submodule, path: &str, above: &Above<'_>) -> Result<Box<dyn SourceTree>, FetchError> {
        let address = address(&submodule.url, above.address).map_err(|bad| SubmoduleError::Address { path: path.to_owned(), bad })?;
        if let Some((what, permission)) = needs(&address, &self.settings.policy) {
            return Err(SubmoduleError::NotPermitted { path: path.to_owned(), what, permission }.into());
        }
        self.count(path, above.depth)?;
        // Whose credential is then its own, too.
        let own = address.is_beside(&self.wanted.address);
        let secret = elsewhere(self.wanted, &address).or_else(|| self.wanted.secret.clone().filter(|_| own));
        let written = self.wanted.credential.as_ref().filter(|_| own);
        let (access, options) = self.reach(&address, secret.as_deref(), written)?;
        let limits =
            Limits { source_bytes: self.settings.limits.source_bytes.saturating_sub(self.received).max(1), ..self.settings.limits.clone() };
        let options = git::Options { commit: Some(submodule.commit.clone()), foreign: !own, limits: limits.clone(), ..options };
        let tree = self.one(&options, &access)?.tree;
        let below = tree.submodules().map_err(of_tree)?;
        let mut whole = GraftedTree::new(tree, limits);
        for (at, tree) in self.all(below, &Above { address: &address, path, depth: above.depth + 1 })? {
            whole.graft(at, tree);
        }
        Ok(Box::new(whole))
    }

    fn count(&mut self, path: &str, depth: u64) -> Result<(), SubmoduleError> {
        self.fetched += 1;
        let limits = &self.settings.limits;
        for (bound, found, most) in [(SUBMODULES, self.fetched, limits.submodules), (SUBMODULE_DEPTH, depth, limits.submodule_depth)] {
            if found > most {
                return Err(SubmoduleError::Limit { path: path.to_owned(), bound, most });
            }
        }
        Ok(())
    }
}

/// Where a submodule's URL leads. What it says of a user and password is dropped: it is the repository's word, not the request's.
fn address(url: &str, above: &Address) -> Result<Address, BadAddress> {
    if url.starts_with("./") || url.starts_with("../") { above.relative(url) } else { Address::of_git(url).map(|(address, _)| address) }
}
