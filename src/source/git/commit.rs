//! What a commit says of itself, for people and for time stamps.

use git2::Oid;

use crate::model::TreePath;
use crate::model::tree::{Revision, Time};
use crate::support::clock;

/// Characters of a subject, a name, an address that are shown.
const SHOWN: usize = 80;

#[derive(Clone, Debug)]
pub(super) struct Commit {
    pub id: Oid,
    pub tree: Oid,
    seconds: i64,
    author: String,
    committer: String,
    subject: String,
}

impl Commit {
    pub fn of(commit: &git2::Commit<'_>) -> Self {
        let subject = commit.message_bytes().split(|b| *b == b'\n').find(|line| !line.trim_ascii().is_empty());
        Self {
            id: commit.id(),
            tree: commit.tree_id(),
            seconds: commit.committer().when().seconds(),
            author: person(&commit.author()),
            committer: person(&commit.committer()),
            subject: clean(subject.unwrap_or_default()),
        }
    }

    /// The committer's second, and below it a part of the id: two commits in one second must differ, since FileSync decides
    /// "changed" by times. Never a whole second, which some file systems would round to. Why not a part of each file's content:
    /// `docs/engine.md`, "What BuildKit is sent".
    pub fn time(&self) -> Time {
        let id = self.id.as_bytes();
        let number = u32::from_be_bytes([id[0], id[1], id[2], id[3]]);
        Time { seconds: self.seconds, nanos: number % 999_999_999 + 1 }
    }

    /// `received`: bytes of the pack.
    pub fn revision(&self, url: String, reference: Option<String>, subdir: &TreePath, received: u64) -> Revision {
        Revision {
            kind: "git".to_owned(),
            url: Some(url),
            r#ref: reference,
            commit: Some(self.id.to_string()),
            author: Some(self.author.clone()),
            committer: Some(self.committer.clone()),
            subject: Some(self.subject.clone()),
            date: clock::at(self.seconds),
            digest: None,
            size: Some(received),
            subdir: (!subdir.is_root()).then(|| subdir.display()),
            ..Revision::default()
        }
    }
}

fn person(signature: &git2::Signature<'_>) -> String {
    format!("{} <{}>", clean(signature.name_bytes()), clean(signature.email_bytes()))
}

fn clean(text: &[u8]) -> String {
    String::from_utf8_lossy(text).chars().filter(|c| !c.is_control()).take(SHOWN).collect::<String>().trim().to_owned()
}
