//! The source: exactly one, where it is, and what of it is the context.

use crate::config::address::{self, tree_path};
use crate::config::error::ConfigError;
use crate::config::policy::Policy;
use crate::config::request;
use crate::config::settings::{ArchiveFrom, ArchiveSource, DirectorySource, GitSource, Source, SourceKind};
use crate::model::{Digest, TreePath};
use crate::support::limits::DOCKERFILE_BYTES;

const CHOICES: &str = "name one of source.git, source.archive and source.directory, or source.dockerfile alone";

pub fn resolve(source: request::Source, policy: &Policy) -> Result<Source, ConfigError> {
    let dockerfile = source.dockerfile.map(inline_dockerfile).transpose()?;
    let kind = match (source.git, source.archive, source.directory) {
        (Some(source), None, None) => SourceKind::Git(git(source, policy)?),
        (None, Some(source), None) => SourceKind::Archive(archive(source, policy)?),
        (None, None, Some(source)) => SourceKind::Directory(directory(source, policy)?),
        (None, None, None) if dockerfile.is_some() => SourceKind::Empty,
        (None, None, None) => return Err(ConfigError::invalid("source", "names no source", CHOICES)),
        _ => return Err(ConfigError::invalid("source", "names more than one source", CHOICES)),
    };
    Ok(Source { kind, dockerfile })
}

fn git(source: request::Git, policy: &Policy) -> Result<GitSource, ConfigError> {
    let url = source.url.ok_or_else(|| ConfigError::invalid("source.git.url", "is missing", "write https://host/path"))?;
    let (address, credential) = address::git("source.git.url", &url, policy)?;
    let reference = source.r#ref.map(|text| address::git_ref("source.git.ref", &text)).transpose()?;
    Ok(GitSource {
        address,
        credential,
        secret: secret("source.git.secret", source.secret, policy)?,
        reference: reference.filter(|reference| reference.as_str() != "HEAD"),
        commit: source.commit.map(|text| address::commit("source.git.commit", &text)).transpose()?,
        subdir: subdir("source.git.subdir", source.subdir)?,
        lfs: source.lfs.unwrap_or_default(),
    })
}

fn archive(source: request::Archive, policy: &Policy) -> Result<ArchiveSource, ConfigError> {
    let secret = secret("source.archive.secret", source.secret, policy)?;
    let from = match (source.url, source.path, source.stdin.unwrap_or_default()) {
        (Some(url), None, false) => {
            let (address, credential) = address::web("source.archive.url", &url, policy)?;
            ArchiveFrom::Url { address, credential, secret }
        }
        (None, _, _) if secret.is_some() => {
            return Err(ConfigError::invalid("source.archive.secret", "is given, but the archive has no url", "leave the secret out"));
        }
        (None, Some(path), false) => ArchiveFrom::Path(policy.readable_file("source.archive.path", &path)?),
        (None, None, true) => ArchiveFrom::Stdin,
        (None, None, false) => {
            return Err(ConfigError::invalid("source.archive", "says not where it is", "name one of url, path and stdin"));
        }
        _ => return Err(ConfigError::invalid("source.archive", "is in more than one place", "name one of url, path and stdin")),
    };
    Ok(ArchiveSource {
        from,
        sha256: source.sha256.map(|text| sha256(&text)).transpose()?,
        format: source.format.unwrap_or_default(),
        strip_components: source.strip_components.unwrap_or_default(),
        subdir: subdir("source.archive.subdir", source.subdir)?,
    })
}

fn directory(source: request::Directory, policy: &Policy) -> Result<DirectorySource, ConfigError> {
    let (path, below) = match source {
        request::Directory::Path(path) => (path, None),
        request::Directory::Below(below) => (below.path, below.subdir),
    };
    Ok(DirectorySource { path: policy.readable_tree("source.directory", &path)?, subdir: subdir("source.directory.subdir", below)? })
}

fn secret(field: &str, path: Option<String>, policy: &Policy) -> Result<Option<std::path::PathBuf>, ConfigError> {
    path.map(|path| policy.readable_file(field, &path)).transpose()
}

fn subdir(field: &str, path: Option<String>) -> Result<TreePath, ConfigError> {
    path.map_or_else(|| Ok(TreePath::root()), |path| tree_path(field, &path))
}

fn sha256(text: &str) -> Result<Digest, ConfigError> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text).to_ascii_lowercase();
    Digest::parse(&format!("sha256:{hex}")).map_err(|_| {
        let what = format!("is not 64 hexadecimal digits (it has {} characters)", hex.chars().count());
        ConfigError::invalid("source.archive.sha256", what, "write what `sha256sum` prints for the archive")
    })
}

fn inline_dockerfile(text: String) -> Result<String, ConfigError> {
    let invalid = |what: String, fix: &str| Err(ConfigError::invalid("source.dockerfile", what, fix));
    if text.trim().is_empty() {
        return invalid("is empty".into(), "write the Dockerfile's text, or leave it out");
    }
    if text.len() as u64 > DOCKERFILE_BYTES {
        return invalid(
            format!("has {} bytes, more than the limit of {DOCKERFILE_BYTES}", text.len()),
            "keep the Dockerfile in the source",
        );
    }
    Ok(text)
}
