//! The labels every image gets: where it comes from. None varies from run to run of the same source, for a label that did
//! would change every digest and spoil every cache.

use crate::event::Pairs;
use crate::model::tree::Revision;

/// OCI image-spec, annotations.md, "Pre-Defined Annotation Keys"; and what those have no word for. The request's own win.
pub fn of(revision: &Revision, wanted: &Pairs) -> Pairs {
    let known = [
        ("org.opencontainers.image.revision", revision.commit.as_ref()),
        ("org.opencontainers.image.source", revision.url.as_ref()),
        ("org.opencontainers.image.created", revision.date.as_ref()),
        ("podwright.source.kind", Some(&revision.kind)),
        ("podwright.source.ref", revision.r#ref.as_ref()),
        ("podwright.source.digest", revision.digest.as_ref()),
        ("podwright.source.subdir", revision.subdir.as_ref()),
    ];
    let mut labels: Pairs = known.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?.clone()))).collect();
    labels.extend(wanted.clone());
    labels
}
