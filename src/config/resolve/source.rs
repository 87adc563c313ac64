//! The source: exactly one, where it is, and what of it is the context.

use super::upload;
use crate::config::address::{self, Place, tree_path};
use crate::config::error::ConfigError;
use crate::config::git_context;
use crate::config::policy::Policy;
use crate::config::request;
use crate::config::settings::{ArchiveFormat, ArchiveFrom, ArchiveSource, ArtifactSource, DirectorySource, GitSource, Source, SourceKind};
use crate::model::{Digest, Reference, TreePath};
use crate::support::limits::DOCKERFILE_BYTES;

/// Before an artifact's name, as Flux and Helm write it.
pub const OCI: &str = "oci://";

const CHOICES: &str =
    "name one of source.git, source.archive, source.artifact, source.directory and source.prepared, or source.dockerfile alone";

pub fn resolve(source: request::Source, policy: &Policy) -> Result<Source, ConfigError> {
    let dockerfile = source.dockerfile.map(inline_dockerfile).transpose()?;
    let kinds = [
        source.git.map(|source| git(source, policy).map(SourceKind::Git)),
        source.archive.map(|source| archive(source, policy).map(SourceKind::Archive)),
        source.artifact.map(|source| artifact(source, policy).map(SourceKind::Artifact)),
        source.directory.map(|source| directory(source, policy).map(SourceKind::Directory)),
        source.prepared.map(|path| policy.readable_tree("source.prepared", &path).map(SourceKind::Prepared)),
    ];
    let mut named = kinds.into_iter().flatten();
    let kind = match (named.next(), named.next()) {
        (Some(kind), None) => kind?,
        (None, _) if dockerfile.is_some() => SourceKind::Empty,
        (None, _) => return Err(ConfigError::invalid("source", "names no source", CHOICES)),
        (Some(_), Some(_)) => return Err(ConfigError::invalid("source", "names more than one source", CHOICES)),
    };
    Ok(Source { kind, dockerfile })
}

fn git(source: request::Git, policy: &Policy) -> Result<GitSource, ConfigError> {
    let url = source.url.ok_or_else(|| ConfigError::invalid("source.git.url", "is missing", "write https://host/path"))?;
    let context = git_context::split("source.git.url", &url)?;
    let (address, credential) = address::git("source.git.url", &context.url, policy)?;
    let reference = either("source.git.ref", source.r#ref, context.reference)?;
    let commit = either("source.git.commit", source.commit, context.commit)?;
    let below = either("source.git.subdir", source.subdir, context.subdir)?;
    let reference = reference.map(|text| address::git_ref("source.git.ref", &text)).transpose()?;
    let subdir = subdir("source.git.subdir", below)?;
    let keep_git_dir = source.keep_git_dir.unwrap_or_default();
    if keep_git_dir && !subdir.is_root() {
        let what = "is asked for, with a subdir that is not the root of the repository";
        return Err(ConfigError::invalid("source.git.keepGitDir", what, "leave one of the two out"));
    }
    if source.history.is_some_and(|depth| depth != 1) && !keep_git_dir {
        let what = "is more than one commit, and nothing of it is in the context";
        return Err(ConfigError::invalid("source.git.history", what, "leave it out, or set keepGitDir"));
    }
    Ok(GitSource {
        address,
        credential,
        secret: secret("source.git.secret", source.secret, policy)?,
        reference: reference.filter(|reference| reference.as_str() != "HEAD"),
        commit: commit.map(|text| address::commit("source.git.commit", &text)).transpose()?,
        subdir,
        submodules: source.submodules.or(context.submodules).unwrap_or_default(),
        secrets: source.secrets.iter().map(|(place, path)| elsewhere(place, path, policy)).collect::<Result<_, _>>()?,
        history: source.history.unwrap_or(1),
        keep_git_dir,
        lfs: source.lfs.unwrap_or_default(),
    })
}

fn elsewhere(place: &str, path: &str, policy: &Policy) -> Result<(Place, std::path::PathBuf), ConfigError> {
    let field = "source.git.secrets";
    Ok((Place::parse(field, place)?, policy.readable_file(field, path)?))
}

/// What a field says, or the URL; both only where they say the same.
fn either(field: &str, given: Option<String>, of_url: Option<String>) -> Result<Option<String>, ConfigError> {
    match (given, of_url) {
        (Some(given), Some(of_url)) if given != of_url => {
            Err(ConfigError::invalid(field, "says something else than the URL does", "say it in one of the two places"))
        }
        (given, of_url) => Ok(given.or(of_url)),
    }
}

fn archive(source: request::Archive, policy: &Policy) -> Result<ArchiveSource, ConfigError> {
    let secret = secret("source.archive.secret", source.secret, policy)?;
    let upload = source.upload.map(|wanted| upload::resolve(wanted, policy)).transpose()?;
    let from = match (source.url, source.path, source.stdin.unwrap_or_default(), upload) {
        (Some(url), None, false, None) => {
            let (address, credential) = address::web("source.archive.url", &url, policy)?;
            ArchiveFrom::Url { address, credential, secret }
        }
        (None, _, _, _) if secret.is_some() => {
            return Err(ConfigError::invalid("source.archive.secret", "is given, but the archive has no url", "leave the secret out"));
        }
        (None, Some(path), false, None) => ArchiveFrom::Path(policy.readable_file("source.archive.path", &path)?),
        (None, None, true, None) => ArchiveFrom::Stdin,
        (None, None, false, Some(upload)) => ArchiveFrom::Upload(upload),
        (None, None, false, None) => {
            return Err(ConfigError::invalid("source.archive", "says not where it is", "name one of url, path, stdin and upload"));
        }
        _ => return Err(ConfigError::invalid("source.archive", "is in more than one place", "name one of url, path, stdin and upload")),
    };
    let format = source.format.unwrap_or_default();
    let strip_components = source.strip_components.unwrap_or_default();
    let name = file_name(format, source.name.as_deref())?;
    if name.is_some() && (strip_components > 0 || source.subdir.is_some()) {
        let fix = "leave them out, and write the whole path in source.archive.name";
        return Err(ConfigError::invalid("source.archive.format", "is `file`, which has neither components to strip nor a subdir", fix));
    }
    Ok(ArchiveSource {
        from,
        sha256: source.sha256.map(|text| digest("sha256", 64, &text)).transpose()?,
        sha512: source.sha512.map(|text| digest("sha512", 128, &text)).transpose()?,
        format,
        name,
        strip_components,
        subdir: subdir("source.archive.subdir", source.subdir)?,
    })
}

fn artifact(source: request::Artifact, policy: &Policy) -> Result<ArtifactSource, ConfigError> {
    const FIELD: &str = "source.artifact.ref";
    let fix = "write registry/repository@sha256:…";
    let text = source.r#ref.ok_or_else(|| ConfigError::invalid(FIELD, "is missing", fix))?;
    let name = text.strip_prefix(OCI).unwrap_or(&text);
    let reference = Reference::parse(name).map_err(|why| ConfigError::invalid(FIELD, format!("is refused: {why}"), fix))?;
    Ok(ArtifactSource {
        reference,
        secret: secret("source.artifact.secret", source.secret, policy)?,
        subdir: subdir("source.artifact.subdir", source.subdir)?,
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

/// A single file needs a place in the context, and an archive has places of its own.
fn file_name(format: ArchiveFormat, name: Option<&str>) -> Result<Option<TreePath>, ConfigError> {
    const FIELD: &str = "source.archive.name";
    match (format, name) {
        (ArchiveFormat::File, None) => {
            Err(ConfigError::invalid(FIELD, "is missing", "write the path that the file has in the context, such as app.jar"))
        }
        (ArchiveFormat::File, Some(name)) => match tree_path(FIELD, name)? {
            root if root.is_root() => Err(ConfigError::invalid(FIELD, "names a directory", "write the path of a file")),
            path => Ok(Some(path)),
        },
        (_, Some(_)) => {
            Err(ConfigError::invalid(FIELD, "is given, but the archive is no single file", "add `format: file`, or leave the name out"))
        }
        (_, None) => Ok(None),
    }
}

fn digest(algorithm: &str, length: usize, text: &str) -> Result<Digest, ConfigError> {
    let hex = text.strip_prefix(&format!("{algorithm}:")).unwrap_or(text).to_ascii_lowercase();
    Digest::parse(&format!("{algorithm}:{hex}")).map_err(|_| {
        let what = format!("is not {length} hexadecimal digits (it has {} characters)", hex.chars().count());
        let fix = format!("write what `{algorithm}sum` prints for the archive");
        ConfigError::invalid(format!("source.archive.{algorithm}"), what, fix)
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
