//! What the operator allows, apart from any request. Without a word from the operator: nothing of it.

use std::path::{Path, PathBuf};

use crate::context::dockerfile::frontend::{Allowed, frontend_allowed};
use crate::model::Reference;
use crate::support::guard::{Forbidden, Guard};
use crate::support::secretdir::SecretDir;

use super::error::{ConfigError, did_you_mean, shown};

/// The permissions that are built. A name with `=` takes a value.
const NAMES: [&str; 7] = ["plain-http", "git-protocol", "insecure-registry=", "frontend=", "host-network", "cgroup-parent", "prune"];

/// Those of the contract that are not.
const NOT_BUILT: [&str; 3] = ["security-opts", "credential-helpers", "post-build-hook"];

/// The operator's word. `Policy::default()` allows nothing.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Sources over `http://`.
    pub plain_http: bool,
    /// Sources over `git://`.
    pub git_protocol: bool,
    /// `host[:port]` of registries that may speak plain http or show a certificate nobody vouches for. Loopback needs none.
    pub insecure_registries: Vec<String>,
    /// `RUN` steps in the node's network.
    pub host_network: bool,
    /// `RUN` steps below a control group that the request names.
    pub cgroup_parent: bool,
    /// Room made on the node's disk where it is full: build cache that no build uses.
    pub prune: bool,
    frontends: Vec<Allowed>,
    guard: Guard,
}

impl Policy {
    /// From the names of permissions and the directories that files may be read from. `from` names the flag or variable.
    pub fn allow(&mut self, from: &str, name: &str) -> Result<(), ConfigError> {
        let (word, value) = name.split_once('=').map_or((name, None), |(word, value)| (word, Some(value)));
        match (word, value) {
            ("plain-http", None) => self.plain_http = true,
            ("git-protocol", None) => self.git_protocol = true,
            ("host-network", None) => self.host_network = true,
            ("cgroup-parent", None) => self.cgroup_parent = true,
            ("prune", None) => self.prune = true,
            ("insecure-registry", Some(host)) => self.insecure_registries.push(registry_host(from, host)?),
            ("frontend", Some(reference)) => self.frontends.push(frontend(from, reference)?),
            (word, _) if NOT_BUILT.contains(&word) => {
                return Err(ConfigError::not_built(format!("{from}: {word}"), "leave it out; a later version will know it"));
            }
            (word, value) => return Err(bad_name(from, word, value.is_some())),
        }
        Ok(())
    }

    /// A directory below which files may be read that a request names. With none, all but the forbidden places may be.
    pub fn allow_path(&mut self, from: &str, directory: &str) -> Result<(), ConfigError> {
        if !directory.starts_with('/') {
            return Err(ConfigError::invalid(from, "names a directory that is not absolute", "write it from the root on"));
        }
        self.guard.add_root(Path::new(directory));
        Ok(())
    }

    /// The frontend images that may run a build, beside Docker's own.
    pub fn frontends(&self) -> &[Allowed] {
        &self.frontends
    }

    /// Whether this frontend image may run a build: what a `syntax` line or `BUILDKIT_SYNTAX` names.
    pub fn permits_frontend(&self, name: &str) -> bool {
        frontend_allowed("", name, &self.frontends).is_ok()
    }

    /// Whether a registry may be spoken to without TLS that holds.
    pub fn permits_insecure(&self, registry: &Reference) -> bool {
        registry.is_loopback() || self.insecure_registries.iter().any(|host| host == registry.host())
    }

    /// Where a file or secret directory really is that a request wants read, if it may be.
    pub fn readable_file(&self, field: &str, path: &str) -> Result<PathBuf, ConfigError> {
        self.guard.file(plain(field, path)?).map_err(|forbidden| ConfigError::Forbidden { path: field.into(), forbidden })
    }

    /// The same for a directory of which everything is read.
    pub fn readable_tree(&self, field: &str, path: &str) -> Result<PathBuf, ConfigError> {
        self.guard.tree(plain(field, path)?).map_err(|forbidden| ConfigError::Forbidden { path: field.into(), forbidden })
    }

    /// Where a file is to be written that a request names. Devices may be: `/dev/termination-log` is one place for it.
    pub fn writable(&self, field: &str, path: &str) -> Result<PathBuf, ConfigError> {
        let path = plain(field, path)?;
        match self.guard.writable(path) {
            Ok(()) => Ok(path.to_owned()),
            Err(Forbidden::Place { place, .. }) if place == Path::new("/dev") => Ok(path.to_owned()),
            Err(forbidden) => Err(ConfigError::Forbidden { path: field.into(), forbidden }),
        }
    }

    /// Judges what is opened later on, links inside of directories included.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// A secret directory, each of whose files the guard judges when it is read.
    pub fn secret(&self, path: &Path) -> SecretDir {
        SecretDir::new(path, self.guard.clone())
    }

    /// The permissions as the operator would write them, for `plan`.
    pub fn names(&self) -> Vec<String> {
        let switches = [
            (self.plain_http, "plain-http"),
            (self.git_protocol, "git-protocol"),
            (self.host_network, "host-network"),
            (self.cgroup_parent, "cgroup-parent"),
            (self.prune, "prune"),
        ];
        let switches = switches.into_iter().filter(|(on, _)| *on).map(|(_, name)| name.to_owned());
        let registries = self.insecure_registries.iter().map(|host| format!("insecure-registry={host}"));
        switches.chain(registries).chain(self.frontends.iter().map(|allowed| format!("frontend={allowed}"))).collect()
    }

    /// The directories that files may be read from; empty where there is no such bound.
    pub fn roots(&self) -> &[PathBuf] {
        self.guard.roots()
    }
}

fn plain<'a>(field: &str, path: &'a str) -> Result<&'a Path, ConfigError> {
    let problem = |what: &str| Err(ConfigError::invalid(field, what, "name a path of this pod's file system"));
    match path {
        "" => problem("is empty"),
        path if path.chars().any(char::is_control) => problem("holds a control character"),
        path if path.contains("://") => problem("is a URL, and should be a path"),
        path => Ok(Path::new(path)),
    }
}

fn registry_host(from: &str, host: &str) -> Result<String, ConfigError> {
    let fix = "write insecure-registry=HOST or insecure-registry=HOST:PORT";
    // A registry is what an image's name can begin with.
    match Reference::parse(&format!("{host}/x")) {
        Ok(reference) if reference.host() == host.to_ascii_lowercase() => Ok(reference.host().to_owned()),
        _ => Err(ConfigError::invalid(from, format!("{} is not a registry's host", shown(host)), fix)),
    }
}

fn frontend(from: &str, name: &str) -> Result<Allowed, ConfigError> {
    Allowed::parse(name).map_err(|why| {
        ConfigError::invalid(
            from,
            format!("{} is not an image: {why}", shown(name)),
            "write frontend=REPOSITORY or frontend=REPOSITORY:TAG",
        )
    })
}

fn bad_name(from: &str, word: &str, has_value: bool) -> ConfigError {
    let names = NAMES.map(|name| name.trim_end_matches('='));
    let what = match names.iter().position(|name| *name == word) {
        Some(_) if has_value => format!("{word} takes no value"),
        Some(_) => format!("{word} needs a value"),
        None => format!("there is no permission {}", shown(word)),
    };
    let fix = match did_you_mean(word, names).filter(|meant| *meant != word) {
        Some(meant) => format!("did you mean {meant}?"),
        None => "there are plain-http, insecure-registry=HOST[:PORT], frontend=REF, host-network, cgroup-parent and prune".into(),
    };
    ConfigError::invalid(from, what, fix)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Classified;

    fn policy(names: &[&str]) -> Policy {
        let mut policy = Policy::default();
        for name in names {
            policy.allow("--allow", name).unwrap();
        }
        policy
    }

    #[test]
    fn frontends_are_allowed_by_repository_and_tag() {
        let some = policy(&["frontend=my.reg/fe", "frontend=my.reg/pinned:1"]);
        let table = [
            ("docker/dockerfile", true),
            ("docker/dockerfile:1.7", true),
            ("docker.io/docker/dockerfile:1", true),
            ("my.reg/fe:any", true),
            ("my.reg/pinned:1", true),
            ("my.reg/pinned:2", false),
            ("my.reg/fe/other", false),
            ("docker/dockerfile-upstream:master", false),
            ("evil.example/docker/dockerfile:1", false),
            ("Not A Ref", false),
        ];
        for (name, want) in table {
            assert_eq!(some.permits_frontend(name), want, "{name}");
        }
        assert!(!policy(&[]).permits_frontend("my.reg/fe"));
    }

    #[test]
    fn insecure_registries_are_named_one_by_one() {
        let some = policy(&["insecure-registry=Reg.svc:5000", "insecure-registry=localhost", "insecure-registry=[::1]:5000"]);
        for (name, want) in
            [("reg.svc:5000/a", true), ("reg.svc/a", false), ("xreg.svc:5000/a", false), ("127.0.0.1:5000/a", true), ("a", false)]
        {
            assert_eq!(some.permits_insecure(&Reference::parse(name).unwrap()), want, "{name}");
        }
    }

    #[test]
    fn a_word_that_is_no_permission_is_refused() {
        let table = [
            ("plain-htp", "no permission", "plain-http"),
            ("plain-http=yes", "takes no value", ""),
            ("frontend", "needs a value", ""),
            ("security-opts", "not built yet", ""),
            ("insecure-registry=http://a.b", "not a registry's host", "HOST:PORT"),
            ("insecure-registry=a.b/c", "not a registry's host", "HOST:PORT"),
            ("insecure-registry=", "not a registry's host", "HOST:PORT"),
            ("frontend=A B", "not an image", "REPOSITORY"),
        ];
        for (name, what, fix) in table {
            let error = Policy::default().allow("--allow", name).unwrap_err();
            assert!(error.to_string().contains(what), "{error}");
            assert!(error.hint().unwrap().contains(fix), "{error}");
        }
    }

    #[test]
    fn roots_bound_what_may_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("in");
        std::fs::create_dir(&inside).unwrap();
        std::os::unix::fs::symlink("/etc", inside.join("out")).unwrap();
        let mut policy = Policy::default();
        policy.allow_path("--allow-path", inside.to_str().unwrap()).unwrap();
        let here = inside.display();
        for (path, want) in [
            (format!("{here}/a"), true),
            (format!("{here}"), true),
            (format!("{here}/../in-evil"), false),
            (format!("{here}-evil/a"), false),
            (format!("{here}/out/passwd"), false),
            ("/etc/passwd".to_owned(), false),
        ] {
            assert_eq!(policy.readable_file("f", &path).is_ok(), want, "{path}");
        }
    }
}
