//! From what a request names to one commit, by what the server advertises: decided once, before anything is fetched (G13).

use git2::Oid;

use super::remote::{Capabilities, Notice};
use crate::model::GitRef;

/// One advertised ref.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub name: String,
    pub id: Oid,
    /// What `HEAD` stands for, where the server says it.
    pub target: Option<String>,
}

/// What the request names, already checked.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    pub reference: Option<GitRef>,
    pub commit: Option<Oid>,
}

/// The refs that a fetch has to know of: what a server that can leave out the others is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// How their names begin. There are none for a commit alone: it is asked for by its id.
    pub prefixes: Vec<String>,
    /// One of them must be there.
    pub named: bool,
}

/// `tags`: those are wanted whatever the request names.
pub(super) fn asked(wanted: &Wanted, tags: bool) -> Asked {
    let named = wanted.reference.is_some() || wanted.commit.is_none();
    let name = wanted.reference.as_ref().map_or("HEAD", GitRef::as_str);
    // With HEAD there is nearly always an answer that tells a repository without this name from one without anything.
    let meant = [name, "HEAD"].into_iter().flat_map(candidates).filter(|_| named);
    let mut prefixes: Vec<String> = meant.chain(tags.then(|| "refs/tags/".to_owned())).collect();
    prefixes.sort_unstable();
    prefixes.dedup();
    Asked { prefixes, named }
}

/// How to get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// By the refspec of this advertised ref.
    Ref(String),
    /// By its id: the server allows that.
    Id,
    /// By the whole history of every branch and tag: there is no other way.
    Everything,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// The id that must be there in the end; a tag's peeled id where the server says it.
    pub id: Oid,
    pub way: Way,
    /// The full name, for the revision; none where only a commit was named.
    pub reference: Option<String>,
    pub notice: Option<Notice>,
}

/// Why there is no such revision, and what to do.
pub(super) type Missing = (String, Option<String>);

pub(super) fn plan(heads: &[Head], wanted: &Wanted, capabilities: Capabilities) -> Result<Plan, Missing> {
    match (&wanted.reference, wanted.commit) {
        (None, Some(commit)) => Ok(by_id(heads, commit, capabilities)),
        (Some(name), None) => named(heads, name.as_str()),
        (None, None) => named(heads, "HEAD"),
        (Some(name), Some(commit)) => {
            let name = name.as_str();
            let found = named(heads, name)?;
            if found.id == commit {
                return Ok(found);
            }
            Err((
                format!("{name} is at {}, not at the pinned commit {commit}", found.id),
                Some("the ref moved: build the new commit, or name the old one by commit alone".to_owned()),
            ))
        }
    }
}

/// As `git clone --branch`: a branch before a tag; then git's own rule for what stands below `refs/`.
fn candidates(name: &str) -> Vec<String> {
    match name {
        "HEAD" => vec!["HEAD".to_owned()],
        _ if name.starts_with("refs/") => vec![name.to_owned()],
        _ => vec![format!("refs/heads/{name}"), format!("refs/tags/{name}"), format!("refs/{name}")],
    }
}

fn named(heads: &[Head], name: &str) -> Result<Plan, Missing> {
    let candidates = candidates(name);
    let real = |name: &String| heads.iter().find(|head| head.name == *name && !name.ends_with("^{}"));
    let found: Vec<&Head> = candidates.iter().filter_map(real).collect();
    let Some(head) = found.first() else { return Err(missing(heads, name)) };
    let reference = head.target.clone().unwrap_or_else(|| head.name.clone());
    let notice = found.get(1).filter(|other| peeled(heads, other) != peeled(heads, head)).map(|other| Notice {
        message: format!("{name} is both {} and {}: the first is taken", head.name, other.name),
        hint: Some("give the full name to choose".to_owned()),
    });
    // HEAD's own branch is asked for where it is known: it must not have moved apart from HEAD.
    let way = heads.iter().find(|other| other.name == reference && other.id == head.id).map_or(&head.name, |other| &other.name);
    Ok(Plan { id: peeled(heads, head), way: Way::Ref(way.clone()), reference: Some(reference), notice })
}

fn missing(heads: &[Head], name: &str) -> Missing {
    match (heads.is_empty(), name) {
        (true, _) => ("there is no commit at all".to_owned(), Some("push something to the repository first".to_owned())),
        (_, "HEAD") => ("HEAD points at no branch".to_owned(), Some("name a branch, tag or commit in source.git.ref".to_owned())),
        _ => (format!("there is no branch, tag or ref {name:?}"), None),
    }
}

/// The commit an annotated tag points at, where the server advertises it (`name^{}`).
pub(super) fn peeled(heads: &[Head], head: &Head) -> Oid {
    let name = format!("{}^{{}}", head.name);
    heads.iter().find(|other| other.name == name).map_or(head.id, |other| other.id)
}

fn by_id(heads: &[Head], id: Oid, capabilities: Capabilities) -> Plan {
    let advertised = heads.iter().find(|head| head.id == id).map(|head| head.name.trim_end_matches("^{}").to_owned());
    let way = match advertised {
        Some(name) => Way::Ref(name),
        None if capabilities.reachable || capabilities.tip => Way::Id,
        None => Way::Everything,
    };
    Plan { id, way, reference: None, notice: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oid(n: u8) -> Oid {
        Oid::from_bytes(&[n; 20]).unwrap()
    }

    fn head(name: &str, n: u8) -> Head {
        Head { name: name.to_owned(), id: oid(n), target: (name == "HEAD").then(|| "refs/heads/main".to_owned()) }
    }

    fn heads() -> Vec<Head> {
        vec![
            head("HEAD", 1),
            head("refs/heads/main", 1),
            head("refs/heads/both", 2),
            head("refs/pull/7/head", 3),
            head("refs/tags/both", 4),
            head("refs/tags/v1", 5),
            head("refs/tags/v1^{}", 6),
        ]
    }

    fn ask(reference: Option<&str>, commit: Option<u8>, capabilities: Capabilities) -> Result<Plan, Missing> {
        let wanted = Wanted { reference: reference.map(|name| GitRef::parse(name).unwrap()), commit: commit.map(oid) };
        plan(&heads(), &wanted, capabilities)
    }

    #[test]
    fn names_mean_what_git_clone_takes_them_for() {
        let table = [
            (None, 1, "refs/heads/main", "refs/heads/main"),
            (Some("HEAD"), 1, "refs/heads/main", "refs/heads/main"),
            (Some("main"), 1, "refs/heads/main", "refs/heads/main"),
            (Some("both"), 2, "refs/heads/both", "refs/heads/both"),
            (Some("tags/both"), 4, "refs/tags/both", "refs/tags/both"),
            (Some("v1"), 6, "refs/tags/v1", "refs/tags/v1"),
            (Some("refs/pull/7/head"), 3, "refs/pull/7/head", "refs/pull/7/head"),
            (Some("pull/7/head"), 3, "refs/pull/7/head", "refs/pull/7/head"),
        ];
        for (name, id, way, reference) in table {
            let got = ask(name, None, Capabilities::default()).unwrap();
            assert_eq!((got.id, &got.way, got.reference.as_deref()), (oid(id), &Way::Ref(way.to_owned()), Some(reference)), "{name:?}");
            assert_eq!(got.notice.is_some(), name == Some("both"), "{name:?}");
        }
        for name in ["v2", "refs/heads/v1", "7/head"] {
            assert!(ask(Some(name), None, Capabilities::default()).is_err(), "{name}");
        }
    }

    #[test]
    fn only_what_may_be_meant_is_asked_for() {
        let asks = |name: Option<&str>, commit: Option<u8>, tags| {
            let wanted = Wanted { reference: name.map(|name| GitRef::parse(name).unwrap()), commit: commit.map(oid) };
            let asked = asked(&wanted, tags);
            (asked.prefixes.join(" "), asked.named)
        };
        let table = [
            (None, None, false, "HEAD", true),
            (Some("HEAD"), None, true, "HEAD refs/tags/", true),
            (Some("v1"), Some(6), false, "HEAD refs/heads/v1 refs/tags/v1 refs/v1", true),
            (Some("refs/pull/7/head"), None, false, "HEAD refs/pull/7/head", true),
            (None, Some(3), false, "", false),
            (None, Some(3), true, "refs/tags/", false),
        ];
        for (name, commit, tags, want, named) in table {
            assert_eq!(asks(name, commit, tags), (want.to_owned(), named), "{name:?}");
        }
    }

    #[test]
    fn a_commit_is_fetched_in_the_cheapest_way_there_is() {
        let none = Capabilities::default();
        let reachable = Capabilities { reachable: true, ..none };
        assert_eq!(ask(None, Some(3), none).unwrap().way, Way::Ref("refs/pull/7/head".to_owned()));
        assert_eq!(ask(None, Some(6), none).unwrap().way, Way::Ref("refs/tags/v1".to_owned()));
        assert_eq!(ask(None, Some(9), reachable).unwrap().way, Way::Id);
        assert_eq!(ask(None, Some(9), none).unwrap().way, Way::Everything);
    }

    #[test]
    fn g13_a_pin_holds_or_fails() {
        assert_eq!(ask(Some("v1"), Some(6), Capabilities::default()).unwrap().id, oid(6));
        let (problem, hint) = ask(Some("main"), Some(9), Capabilities::default()).unwrap_err();
        assert!(problem.contains(&oid(1).to_string()) && problem.contains(&oid(9).to_string()), "{problem}");
        assert!(hint.is_some());
        assert!(plan(&[], &Wanted::default(), Capabilities::default()).unwrap_err().0.contains("no commit at all"));
    }
}
