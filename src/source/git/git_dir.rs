//! A `.git` for the context: what was fetched, made into a repository that git in a RUN takes for a clone of its own.
//!
//! It is made of the directory the fetch left behind, and is never a worktree: `git status` finds nothing changed because the
//! index names the commit's files without saying when they were last looked at, so that git compares their content.

use std::fmt::Write as _;
use std::fs::{self, File, FileTimes, OpenOptions, Permissions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use git2::{Index, Oid, Repository};
use sha2::{Digest as _, Sha256};

use super::commit::Commit;
use super::resolve::{Head, peeled};
use crate::model::{Address, GitRef};

/// What is made of a fetch.
pub(super) struct Wanted<'a> {
    pub commit: &'a Commit,
    /// The full name of what was asked for, where it was a name.
    pub reference: Option<&'a str>,
    pub heads: &'a [Head],
    pub address: &'a Address,
}

/// Changes the fetched repository at `path` into what the context is to hold.
/// `goes_on` is asked whether anybody still wants it.
pub(super) fn prepare(repository: &Repository, path: &Path, wanted: &Wanted<'_>, goes_on: &dyn Fn() -> bool) -> Result<(), git2::Error> {
    let io = |cause: io::Error| git2::Error::from_str(&format!("{}: {cause}", path.display()));
    let mut index = Index::open(&path.join("index"))?;
    index.read_tree(&repository.find_commit(wanted.commit.id)?.tree()?)?;
    index.write()?;
    drop(index);
    let branch = wanted.reference.filter(|name| name.starts_with("refs/heads/"));
    let head = branch.map_or_else(|| wanted.commit.id.to_string(), |name| format!("ref: {name}"));
    let write = |name: &str, text: &str| fs::write(path.join(name), text).map_err(io);
    write("HEAD", &format!("{head}\n"))?;
    write("config", &config(wanted.address))?;
    write("packed-refs", &refs(repository, wanted)?)?;
    for unwanted in ["FETCH_HEAD", "description", "info/exclude"] {
        let _ = fs::remove_file(path.join(unwanted));
    }
    let _ = fs::remove_dir_all(path.join("hooks"));
    same_everywhere(path, wanted.commit.time().seconds, goes_on).map_err(io)
}

/// As `git clone` writes it (git-config(1)), with the URL and nothing that was in it.
fn config(address: &Address) -> String {
    let url = address.shown().replace('\\', "\\\\").replace('"', "\\\"");
    format!(
        "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n\
         [remote \"origin\"]\n\turl = \"{url}\"\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n"
    )
}

/// The branch, and every tag whose commit came along (gitrepository-layout(5), "packed-refs").
fn refs(repository: &Repository, wanted: &Wanted<'_>) -> Result<String, git2::Error> {
    let odb = repository.odb()?;
    let tags = wanted.heads.iter().filter(|head| head.name.starts_with("refs/tags/") && GitRef::parse(&head.name).is_ok());
    let mut lines: Vec<(&str, Oid, Oid)> = tags
        .map(|head| (head.name.as_str(), head.id, peeled(wanted.heads, head)))
        .filter(|(_, id, peeled)| odb.exists(*id) && odb.exists(*peeled))
        .collect();
    lines.extend(
        wanted
            .reference
            .filter(|name| name.starts_with("refs/") && !name.starts_with("refs/tags/"))
            .map(|name| (name, wanted.commit.id, wanted.commit.id)),
    );
    lines.sort_unstable();
    lines.dedup_by(|a, b| a.0 == b.0);
    let mut text = "# pack-refs with: peeled fully-peeled sorted \n".to_owned();
    for (name, id, peeled) in lines {
        let _ = writeln!(text, "{id} {name}");
        if id != peeled {
            let _ = writeln!(text, "^{peeled}");
        }
    }
    Ok(text)
}

/// Gives every file the mode and the time that it has in every pod: the commit's second, and a part of a second by its content, so
/// that a daemon never takes another pack's index for this one's.
fn same_everywhere(path: &Path, seconds: i64, goes_on: &dyn Fn() -> bool) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let (path, is_dir) = (entry.path(), entry.file_type()?.is_dir());
        if !goes_on() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let nanos = if is_dir {
            same_everywhere(&path, seconds, goes_on)?;
            0
        } else {
            let hash = Sha256::digest(telling(&path)?);
            u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]) % 1_000_000_000
        };
        fs::set_permissions(&path, Permissions::from_mode(if is_dir { 0o755 } else { 0o644 }))?;
        let time = SystemTime::UNIX_EPOCH + Duration::new(u64::try_from(seconds).unwrap_or_default(), nanos);
        let file = if is_dir { File::open(&path)? } else { OpenOptions::new().write(true).open(&path)? };
        file.set_times(FileTimes::new().set_modified(time).set_accessed(time))?;
    }
    Ok(())
}

/// What is another in a file of other content: its end, which in packs, their indexes and the index is a sum over all of it
/// (gitformat-pack(5), gitformat-index(5)); small files are read whole.
fn telling(path: &Path) -> io::Result<Vec<u8>> {
    const END: u64 = 64 << 10;
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(END)))?;
    let mut end = length.to_be_bytes().to_vec();
    file.take(END).read_to_end(&mut end)?;
    Ok(end)
}
