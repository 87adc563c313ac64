//! An OCI artifact as a tree: which of its layers are tars and which single files, each read as an archive is, one over the
//! other. How the blobs come is somebody else's business; here each is held against its digest and size.
//!
//! What is read, by the words of those who make them:
//! - images and Shipwright's bundles: layers of `application/vnd.oci.image.layer.v1.tar…` or `…docker.image.rootfs.diff.tar…`;
//! - Flux: `application/vnd.cncf.flux.content.v1.tar+gzip` (fluxcd.io, "OCI artifacts");
//! - ORAS: a file's name is the title annotation, and a directory is a tar that the unpack annotation marks (oras.land, "File
//!   annotations"; oras-go, content/file).
//!
//! A media type says whether a layer is a tar; how it is compressed, its first bytes do.

use std::io::Read;
use std::ops::ControlFlow;
use std::path::PathBuf;

use url::Url;

use super::SourceError;
use super::archive::{self, ArchiveError, ArchiveOptions, Asker, Expected, Format, LayeredTree};
use crate::model::artifact::{Artifact, Layer};
use crate::model::tree::Revision;
use crate::model::{Classified, Digest, Reason, Reference, TreePath};
use crate::support::clock;
use crate::support::limits::{LAYERS, LAYERS_MOST, Limits, SOURCE_BYTES, SOURCE_ENTRIES};
use crate::support::url::redact_url;

/// image-spec, annotations.md, "Pre-Defined Annotation Keys".
const TITLE: &str = "org.opencontainers.image.title";
const SOURCE: &str = "org.opencontainers.image.source";
const REVISION: &str = "org.opencontainers.image.revision";
const CREATED: &str = "org.opencontainers.image.created";

/// Of a layer whose tar is to be unpacked (oras-go, content/file/file.go, `AnnotationUnpack`).
const UNPACK: &str = "io.deis.oras.content.unpack";

/// Flux's tars are trees, whatever they are titled.
const FLUX: &str = "application/vnd.cncf.flux.content.";

/// Characters of an annotation that are kept.
const ANNOTATION: usize = 512;

/// How an artifact is to be read.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory the spools are made in.
    pub workspace: PathBuf,
    pub limits: Limits,
    /// The directory that becomes the tree's root.
    pub subdir: TreePath,
    /// As it was asked for.
    pub reference: Reference,
    /// What that stands for.
    pub digest: Digest,
}

#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    #[error("the artifact {0} has no layers, and so no files")]
    Empty(Reference),
    #[error("the artifact {reference} has {count} layers, more than the limit {LAYERS} of {LAYERS_MOST}")]
    Layers { reference: Reference, count: usize },
    #[error("{reference} is an index of {count} manifests, and none of them is the source more than another")]
    Index { reference: Reference, count: usize },
    #[error("{0} is an index of an index")]
    Nested(Reference),
    #[error("the layer {digest} is refused: it is neither a tar by its media type, {media_type:?}, nor a file with a title")]
    Form { digest: Digest, media_type: String },
    #[error("the layer {digest} is refused: its title {title:?} names no file of a source: {rule}")]
    Title { digest: Digest, title: String, rule: String },
    #[error("the layer {digest} of the artifact: {cause}")]
    Layer {
        digest: Digest,
        #[source]
        cause: ArchiveError,
    },
    #[error("the layers of the artifact: {0}")]
    Whole(#[source] ArchiveError),
}

impl Classified for ArtifactError {
    fn reason(&self) -> Reason {
        match self {
            Self::Layer { cause, .. } | Self::Whole(cause) => cause.reason(),
            _ => Reason::SourceRefused,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Layer { cause, .. } | Self::Whole(cause) => cause.hint(),
            Self::Index { .. } => Some("name one of its manifests by its own digest".into()),
            Self::Form { .. } => Some("push the source by `flux push artifact` or `oras push`, or as an image".into()),
            _ => None,
        }
    }
}

/// Opens a layer's blob.
pub type Open<'a, E> = dyn FnMut(&Layer) -> Result<Box<dyn Read>, E> + 'a;

/// Takes all layers in, the lowest first, and puts them together. Blocks, as `archive::receive` does. `progress` is told the
/// bytes of all of them that came.
pub fn receive<E: From<SourceError>>(
    artifact: &Artifact,
    options: &Options,
    open: &mut Open<'_, E>,
    progress: &mut archive::Progress<'_>,
) -> Result<LayeredTree, E> {
    let forms = forms(artifact, options).map_err(SourceError::from)?;
    let mut whole = LayeredTree::new(format!("artifact\n{}", options.reference.name()));
    let mut came = 0;
    for (layer, form) in artifact.layers.iter().zip(forms) {
        let reader = open(layer)?;
        let mut told = |bytes| progress(came + bytes);
        add(&mut whole, layer, form, reader, options, &mut told).map_err(SourceError::from)?;
        came += layer.size;
    }
    let mut whole = whole.rooted(&options.subdir).map_err(ArtifactError::Whole).map_err(SourceError::from)?;
    whole.revision = revision(artifact, options, whole.newest());
    Ok(whole)
}

/// What a layer is: a tar, or the one file of this name.
type Form = Option<TreePath>;

/// All that can be judged before a byte of a layer is asked for.
fn forms(artifact: &Artifact, options: &Options) -> Result<Vec<Form>, ArtifactError> {
    let (reference, count) = (options.reference.clone(), artifact.layers.len());
    if count == 0 {
        return Err(ArtifactError::Empty(reference));
    }
    if count > LAYERS_MOST {
        return Err(ArtifactError::Layers { reference, count });
    }
    if artifact.size() > options.limits.source_bytes {
        return Err(ArtifactError::Whole(ArchiveError::limit(SOURCE_BYTES, options.limits.source_bytes, "bytes")));
    }
    artifact.layers.iter().map(|layer| form(layer, count > 1)).collect()
}

fn form(layer: &Layer, of_several: bool) -> Result<Form, ArtifactError> {
    let media_type = layer.media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let unpacked = layer.annotations.get(UNPACK).is_some_and(|value| value == "true") || media_type.starts_with(FLUX);
    let digest = layer.digest.clone();
    match layer.annotations.get(TITLE) {
        _ if unpacked => Ok(None),
        Some(title) => {
            let refused = |rule: String| ArtifactError::Title { digest: digest.clone(), title: shown(title), rule };
            let path = TreePath::parse(title.as_bytes()).map_err(|rule| refused(rule.to_string()))?;
            let whiteout = of_several && path.components().any(|name| name.starts_with(b".wh."));
            match path {
                root if root.is_root() => Err(refused("it is the root".into())),
                _ if whiteout => Err(refused("it is a whiteout".into())),
                path => Ok(Some(path)),
            }
        }
        None if is_tar(&media_type) => Ok(None),
        None => Err(ArtifactError::Form { digest, media_type: shown(&layer.media_type) }),
    }
}

fn is_tar(media_type: &str) -> bool {
    let kind = ["+gzip", ".gzip", "+zstd", ".zstd"].into_iter().find_map(|codec| media_type.strip_suffix(codec)).unwrap_or(media_type);
    [".tar", "+tar", "/tar", "/x-tar"].into_iter().any(|end| kind.ends_with(end))
}

/// Somebody else's words, without what a terminal would obey.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(ANNOTATION).collect()
}

fn add(
    whole: &mut LayeredTree,
    layer: &Layer,
    form: Form,
    reader: Box<dyn Read>,
    options: &Options,
    progress: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<(), ArtifactError> {
    let limits = &options.limits;
    // The bounds go for all layers together.
    let left = Limits {
        source_bytes: limits.source_bytes.saturating_sub(whole.bytes()),
        source_entries: limits.source_entries.saturating_sub(whole.entries()),
        ..limits.clone()
    };
    let archive = ArchiveOptions {
        workspace: options.workspace.clone(),
        limits: left,
        digests: vec![Expected { digest: layer.digest.clone(), by: Asker::Manifest }],
        size: Some(layer.size),
        format: form.is_some().then_some(Format::File),
        name: form.unwrap_or_default(),
        strip_components: 0,
        subdir: TreePath::root(),
        url: None,
        identity: String::new(),
    };
    let whole_limit = |error| match error {
        ArchiveError::Limit { limit, unit, largest, .. } if limit == SOURCE_BYTES => {
            ArchiveError::Limit { limit, value: limits.source_bytes, unit, largest }
        }
        ArchiveError::Limit { limit, unit, largest, .. } if limit == SOURCE_ENTRIES => {
            ArchiveError::Limit { limit, value: limits.source_entries, unit, largest }
        }
        other => other,
    };
    // One byte more than it has tells that it has more.
    let tree = archive::layer(reader.take(layer.size.saturating_add(1)), &archive, progress);
    let tree = tree.map_err(whole_limit).map_err(|cause| ArtifactError::Layer { digest: layer.digest.clone(), cause })?;
    whole.push(tree).map_err(ArtifactError::Whole)
}

fn revision(artifact: &Artifact, options: &Options, newest: Option<i64>) -> Revision {
    let said = |name: &str| artifact.annotations.get(name).map(|text| shown(text)).filter(|text| !text.is_empty());
    let Options { reference, digest, subdir, .. } = options;
    Revision {
        kind: "artifact".into(),
        url: Some(format!("oci://{}", reference.pinned(digest))),
        r#ref: reference.digest().is_none().then(|| reference.tag().to_owned()),
        date: said(CREATED).or_else(|| newest.and_then(clock::at)),
        digest: Some(digest.to_string()),
        size: Some(artifact.size()),
        subdir: (!subdir.is_root()).then(|| subdir.display()),
        origin: said(SOURCE).map(|text| Url::parse(&text).map_or(text, |url| redact_url(&url))),
        origin_revision: said(REVISION),
        ..Revision::default()
    }
}

#[cfg(test)]
mod tests;
