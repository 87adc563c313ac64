//! What a line of `run.finished` is left with when the document is too long for it.

use super::*;
use crate::model::result::{EngineInfo, Image, TagResult, TagStatus};
use crate::model::tree::Revision;
use crate::model::{Digest, ImageId, Reference};

/// Every list long, every text as long as its type lets it be, or longer.
fn enormous() -> Document {
    let host = format!("{}.example:5000", "h".repeat(60));
    let digest = |n: usize| Digest::parse(&format!("sha256:{n:064x}")).unwrap();
    let reference = |n: usize| Reference::parse(&format!("{host}/{}/{n}:{}", "p/q".repeat(50), "t".repeat(128))).unwrap();
    let tag = |n: usize| TagResult { r#ref: reference(n), status: TagStatus::Pushed, digest: Some(digest(n)), verified_by: None };
    let text = || "\u{202e}\"long\\".repeat(3000);
    let failed = FailedStep { name: text(), exit_code: Some(7), log: vec![text(); 50] };
    let mut document = document(Some(failed));
    if let Some(failure) = &mut document.error {
        failure.causes = vec![text(); 40];
        failure.hint = Some(text());
    }
    document.name = Some("n".repeat(128));
    let some = || Some(text());
    document.source = Some(Revision {
        kind: "git".into(),
        url: some(),
        r#ref: some(),
        commit: some(),
        author: some(),
        committer: some(),
        subject: some(),
        date: some(),
        digest: some(),
        size: Some(u64::MAX),
        subdir: some(),
        origin: some(),
        origin_revision: some(),
    });
    document.engine = Some(EngineInfo { engine: text(), version: text(), capabilities: vec![text(); 50], ..EngineInfo::default() });
    document.image = Some(Image {
        image_id: ImageId::parse(digest(0).as_str()).unwrap(),
        config_digest: Some(digest(1)),
        digest: Some(digest(2)),
        media_type: Some("application/vnd.oci.image.manifest.v1+json".into()),
        size: Some(u64::MAX),
        platforms: vec![text(); 30],
        refs: (0..40).map(|n| reference(n).pinned(&digest(n))).collect(),
        tags: (0..40).map(tag).collect(),
        kept: (0..40).map(reference).collect(),
    });
    document
}

/// What the schema of the result requires of a map of this name, from the types themselves.
fn required(name: Option<&str>) -> Vec<String> {
    let schema = schemars::generate::SchemaSettings::draft2020_12().for_serialize().into_generator();
    let schema = schema.into_root_schema_for::<Document>().to_value();
    let of = name.map_or(&schema, |name| &schema["$defs"][name]);
    of["required"].as_array().unwrap_or_else(|| panic!("{name:?}: {schema}")).iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

#[test]
fn an_end_that_must_be_shortened_keeps_to_its_schema_and_to_whole_digests() {
    let mut few = enormous();
    few.image.as_mut().unwrap().tags.truncate(1);
    few.engine = document(None).engine;
    for document in [enormous(), few] {
        let events = json([Event::RunFinished(Box::new(document.clone()))]);
        let data = &events[0]["data"];
        let maps = [(None, ""), (Some("Failure"), "/error"), (Some("EngineInfo"), "/engine"), (Some("Image"), "/image")];
        for (name, at) in maps.into_iter().chain([(Some("Steps"), "/steps"), (Some("FailedStep"), "/steps/failed")]) {
            let Some(map) = data.pointer(at) else { continue };
            let missing: Vec<String> = required(name).into_iter().filter(|field| map.get(field).is_none()).collect();
            assert!(missing.is_empty(), "{at}: {missing:?}");
        }
        let whole = document.image.unwrap();
        assert_eq!(data["image"]["digest"], whole.digest.unwrap().as_str());
        let refs = data["image"]["refs"].as_array().unwrap();
        assert!(!refs.is_empty());
        refs.iter().zip(&whole.refs).for_each(|(said, whole)| assert_eq!(said, whole));
        assert_eq!(data["image"]["tags"][0]["digest"], whole.tags[0].digest.as_ref().unwrap().as_str());
        assert_eq!((&data["schema"], &data["error"]["reason"]), (&SCHEMA.into(), &"StepFailed".into()));
    }
}
