//! What an image and its build are told of the source: labels, and build arguments on request. None varies from run to run of the
//! same source, for one that did would change every digest and spoil every cache.

use crate::event::Pairs;
use crate::model::tree::Revision;

/// OCI image-spec, annotations.md, "Pre-Defined Annotation Keys"; and what those have no word for. The request's own win.
pub fn labels(revision: &Revision, wanted: &Pairs) -> Pairs {
    let known = [
        ("org.opencontainers.image.revision", revision.commit.as_ref()),
        ("org.opencontainers.image.source", revision.url.as_ref()),
        ("org.opencontainers.image.created", revision.date.as_ref()),
        ("podwright.source.kind", Some(&revision.kind)),
        ("podwright.source.ref", revision.r#ref.as_ref()),
        ("podwright.source.author", revision.author.as_ref()),
        ("podwright.source.committer", revision.committer.as_ref()),
        ("podwright.source.subject", revision.subject.as_ref()),
        ("podwright.source.digest", revision.digest.as_ref()),
        ("podwright.source.subdir", revision.subdir.as_ref()),
    ];
    with(&known, wanted)
}

/// By the names of the first builders of this lineage (OpenShift 2014: `SOURCE_URI`, `SOURCE_REF`, `SOURCE_ID`, `CONTEXT_DIR`), with
/// the date beside them. The request's own win.
pub fn arguments(revision: &Revision, wanted: &Pairs, asked: bool) -> Pairs {
    if !asked {
        return wanted.clone();
    }
    let known = [
        ("SOURCE_URI", revision.url.as_ref()),
        ("SOURCE_REF", revision.r#ref.as_ref()),
        ("SOURCE_ID", revision.commit.as_ref().or(revision.digest.as_ref())),
        ("SOURCE_DATE", revision.date.as_ref()),
        ("CONTEXT_DIR", revision.subdir.as_ref()),
    ];
    with(&known, wanted)
}

fn with(known: &[(&str, Option<&String>)], wanted: &Pairs) -> Pairs {
    let mut pairs: Pairs = known.iter().filter_map(|(key, value)| Some(((*key).to_owned(), (*value)?.clone()))).collect();
    pairs.extend(wanted.clone());
    pairs
}
