use std::time::Duration;

use super::*;
use crate::event::*;
use crate::model::result::{EngineInfo, FailedStep, Image, Steps, TagResult, TagStatus, Timing, VerifiedBy};
use crate::model::tree::Revision;
use crate::model::{Digest, Failure, ImageId, Outcome, Reason, Reference};

fn digest() -> Digest {
    Digest::sha256([7; 32])
}

fn image_id() -> ImageId {
    ImageId::parse(digest().as_str()).unwrap()
}

fn name() -> Reference {
    Reference::parse("reg.svc:5000/team/web:1").unwrap()
}

fn document() -> Document {
    Document {
        schema: SCHEMA,
        run: "r".into(),
        name: Some("web".into()),
        outcome: Outcome::Failure,
        exit_code: 42,
        error: Some(Failure {
            causes: vec!["because".into()],
            hint: Some("do".into()),
            ..Failure::plain(Phase::Build, Reason::StepFailed, "the step failed")
        }),
        source: Some(Revision { kind: "git".into(), commit: Some("a".repeat(40)), ..Revision::default() }),
        image: Some(Image {
            image_id: image_id(),
            config_digest: Some(digest()),
            digest: Some(digest()),
            media_type: Some("application/json".into()),
            size: Some(1),
            platforms: vec!["linux/amd64".into()],
            refs: vec![name().pinned(&digest())],
            tags: vec![TagResult { r#ref: name(), status: TagStatus::Pushed, digest: Some(digest()), verified_by: Some(VerifiedBy::Pod) }],
            kept: vec![name()],
        }),
        engine: Some(EngineInfo::default()),
        timing: Timing(vec![(Phase::Prepare, 1), (Phase::Build, 2)]),
        steps: Steps { total: 3, cached: 1, failed: Some(FailedStep { name: "RUN".into(), exit_code: Some(7), log: vec!["x".into()] }) },
        warnings: 0,
    }
}

/// One of each kind, with as many fields as it can have.
fn samples() -> Vec<Event> {
    let finished = PhaseFinished { phase: Phase::Fetch, outcome: Outcome::Success, duration_ms: millis(Duration::from_secs(1)) };
    let started = RunStarted {
        agent: "podwright/0".into(),
        request_digest: digest(),
        name: Some("web".into()),
        deadline_ms: Some(1),
        traceparent: Some("00".into()),
    };
    let sent = ContextSent { digest: Some(digest()), largest: vec![LargeFile { path: "a".into(), bytes: 1 }], ..ContextSent::default() };
    let pushed = ImagePushed { r#ref: name(), tag: "1".into(), digest: digest(), media_type: Some("m".into()), size: Some(1), attempts: 1 };
    vec![
        Event::RunStarted(started),
        Event::Heartbeat { elapsed_ms: 1, silent_ms: 1 },
        Event::PhaseStarted { phase: Phase::Fetch },
        Event::PhaseFinished(finished),
        Event::SourceWaiting(SourceWaiting { url: Some("u".into()), socket: Some("s".into()), ..SourceWaiting::default() }),
        Event::SourceProgress(SourceProgress { total_bytes: Some(1), ..SourceProgress::default() }),
        Event::SourceResolved(Box::default()),
        Event::ContextSent(sent),
        Event::EngineConnected(Box::default()),
        Event::BuildStep(Step { inputs: vec!["a".into()], error: Some("e".into()), ..Step::default() }),
        Event::BuildProgress(StepProgress::default()),
        Event::BuildLog(StepLog { partial: true, ..StepLog::default() }),
        Event::BuildWarning(StepWarning { detail: vec!["d".into()], url: Some("u".into()), ..StepWarning::default() }),
        Event::ImageBuilt(ImageBuilt { image_id: image_id(), size: 1, platforms: vec![], duration_ms: 1 }),
        Event::PushProgress(PushProgress { total: Some(1), ..PushProgress::default() }),
        Event::PushRetry(PushRetry { r#ref: name(), attempt: 1, of: 6, delay_ms: 1, reason: "503".into() }),
        Event::ImagePushed(pushed),
        Event::Notice { message: "m".into(), hint: Some("h".into()) },
        Event::Failed(Box::new(Failure::plain(Phase::Build, Reason::Terminated, "stopped"))),
        Event::Cancelling { cause: "SIGTERM", grace_ms: 1 },
        Event::Dropped { events: 1, first_seq: 2, last_seq: 2 },
        Event::RunFinished(Box::new(document())),
    ]
}

/// The schema of one event's data, with the definitions it refers to.
fn data_of(schema: &Value, event: &str) -> Value {
    let kinds = schema["oneOf"].as_array().unwrap();
    let kind = kinds.iter().find(|kind| kind["properties"]["event"]["const"] == event).unwrap();
    let mut data = kind["properties"]["data"].clone();
    if let Some(target) = data["$ref"].as_str() {
        data = schema.pointer(&target[1..]).unwrap().clone();
    }
    data["$defs"] = schema["$defs"].clone();
    data
}

#[test]
fn every_event_is_of_its_schema_and_of_no_other_field() {
    let schema = event();
    let samples = samples();
    let names: Vec<&str> = samples.iter().map(Event::name).collect();
    assert_eq!(names, EVENTS, "one sample for each event");
    assert_eq!(schema["oneOf"].as_array().unwrap().len(), EVENTS.len());
    for sample in samples {
        let data = data_of(&schema, sample.name());
        let mut value = serde_json::to_value(&sample).unwrap();
        assert!(check::check(&value, &data).is_ok(), "{}: {:?}", sample.name(), check::check(&value, &data));
        value["surprise"] = json!(1);
        assert!(check::check(&value, &data).is_err(), "{} lets anything through", sample.name());
    }
}

#[test]
fn a_result_is_of_its_schema() {
    let schema = result();
    let value = document().to_value();
    assert!(check::check(&value, &schema).is_ok(), "{:?}", check::check(&value, &schema));
    for (pointer, wrong) in
        [("/outcome", json!("fine")), ("/schema", json!("v2")), ("/image/tags/0/status", json!("done")), ("/timing", json!([]))]
    {
        let mut value = value.clone();
        *value.pointer_mut(pointer).unwrap() = wrong;
        assert!(check::check(&value, &schema).is_err(), "{pointer}");
    }
    let mut short = value;
    short.as_object_mut().unwrap().remove("exit_code");
    assert!(check::check(&short, &schema).is_err());
}

#[test]
fn the_request_schema_is_closed_and_knows_every_word() {
    let schema = of(SchemaOf::Request);
    assert_eq!(schema["additionalProperties"], false);
    for name in ["source", "build", "push", "result", "limits", "deadline", "workspace", "name", "apiVersion"] {
        assert!(schema["properties"].get(name).is_some(), "{name}");
    }
}
