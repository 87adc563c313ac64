//! Claims about the two sinks, with real files.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use secrecy::SecretString;

use super::*;
use crate::model::result::{FailedStep, Image, SCHEMA, Steps, TagResult, TagStatus, Timing, VerifiedBy};
use crate::model::tree::Revision;
use crate::model::{Digest, Failure, ImageId, Outcome, Phase, Reference};

fn digest(letter: &str) -> Digest {
    Digest::parse(&format!("sha256:{}", letter.repeat(64))).unwrap()
}

fn success() -> Document {
    let reference = Reference::parse("registry.svc:5000/team/web:1.2").unwrap();
    Document {
        schema: SCHEMA,
        run: "01J0000000".into(),
        name: Some("web".into()),
        outcome: Outcome::Success,
        exit_code: 0,
        error: None,
        source: Some(Revision { kind: "git".into(), commit: Some("a".repeat(40)), ..Revision::default() }),
        image: Some(Image {
            image_id: ImageId::parse(digest("b").as_str()).unwrap(),
            config_digest: Some(digest("b")),
            digest: Some(digest("c")),
            media_type: Some("application/vnd.oci.image.manifest.v1+json".into()),
            size: Some(1234),
            platforms: vec!["linux/amd64".into()],
            refs: vec![reference.pinned(&digest("c"))],
            tags: vec![TagResult {
                r#ref: reference,
                status: TagStatus::Pushed,
                digest: Some(digest("c")),
                verified_by: Some(VerifiedBy::Pod),
            }],
            kept: Vec::new(),
        }),
        engine: None,
        timing: Timing(vec![(Phase::Build, 1200)]),
        steps: Steps { total: 5, cached: 2, failed: None },
        warnings: 0,
    }
}

fn failure(message: &str) -> Document {
    let mut failure = Failure::plain(Phase::Build, Reason::StepFailed, message);
    failure.causes = vec!["cause".repeat(100); 20];
    failure.hint = Some("hint ".repeat(100));
    let failed = FailedStep { name: "RUN make ".repeat(50), exit_code: Some(7), log: vec!["line".repeat(100); 50] };
    Document {
        outcome: Outcome::Failure,
        exit_code: 42,
        error: Some(failure),
        image: None,
        steps: Steps { total: 5, cached: 2, failed: Some(failed) },
        ..success()
    }
}

fn message_of(document: &Value, most: usize) -> Value {
    let text = termination::message(document.clone(), most, &Redactor::default());
    assert!(text.len() <= most, "{} > {most}: {text}", text.len());
    serde_json::from_str(&text).unwrap()
}

#[test]
fn a_success_keeps_what_an_orchestrator_needs() {
    let value = message_of(&success().to_value(), termination::BYTES);
    assert_eq!(value["image"]["digest"], digest("c").as_str());
    assert_eq!(value["image"]["refs"][0], format!("registry.svc:5000/team/web@{}", digest("c")));
    assert_eq!(value["source"]["commit"], "a".repeat(40));
    assert_eq!((&value["outcome"], &value["exit_code"]), (&"success".into(), &0.into()));
}

#[test]
fn any_message_fits_any_budget_and_parses() {
    for unit in ["x", "é", "😀", "\"", "\n", "\u{1}", "\u{202e}", "a\u{7f}"] {
        let document = failure(&unit.repeat(20_000)).to_value();
        for most in (64..1_200).step_by(37).chain([4096]) {
            let value = message_of(&document, most);
            assert_eq!((&value["outcome"], &value["exit_code"]), (&"failure".into(), &42.into()));
            if most >= 100 {
                assert_eq!(value["error"]["reason"], "StepFailed", "{most}");
            }
            if most >= termination::BYTES {
                assert_eq!(value["steps"]["failed"]["exit_code"], 7);
                let text = value["error"]["message"].as_str().unwrap();
                assert!(text.len() > 40 && text.ends_with('…'), "{text}");
            }
        }
    }
}

#[test]
fn fields_go_in_one_fixed_order() {
    let document = failure("it broke").to_value();
    let mut before: Option<usize> = None;
    for most in (64..2_000).rev().step_by(13) {
        let fields = json::line(&message_of(&document, most)).len();
        assert!(before.is_none_or(|before| fields <= before), "a smaller budget never says more");
        before = Some(fields);
    }
}

#[test]
fn both_sinks_are_written_and_masked() {
    let directory = tempfile::tempdir().unwrap();
    let redactor = Redactor::default();
    redactor.add(&SecretString::from("hunter2-\"hunter2\"\n"));
    let sinks =
        ResultSinks { file: Some(directory.path().join("result.json")), termination_message: Some(directory.path().join("message")) };
    fs::write(sinks.termination_message.as_ref().unwrap(), "what was there before".repeat(1000)).unwrap();
    write(&failure("denied for hunter2-\"hunter2\" here"), &sinks, &redactor).unwrap();
    for path in [sinks.file.unwrap(), sinks.termination_message.unwrap()] {
        let text = fs::read_to_string(&path).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(value["error"]["reason"], "StepFailed");
        assert_eq!(value["error"]["message"], "denied for [redacted] here");
        assert!(!text.contains("hunter2"), "{text}");
    }
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2, "no temporary file is left");
}

#[test]
fn the_termination_message_keeps_the_mounted_file() {
    use std::os::unix::fs::MetadataExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("termination-log");
    fs::write(&path, "").unwrap();
    let inode = fs::metadata(&path).unwrap().ino();
    let sinks = ResultSinks { termination_message: Some(path.clone()), ..ResultSinks::default() };
    write(&success(), &sinks, &Redactor::default()).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode, "a bind-mounted file is written, never replaced");
}

#[test]
fn what_cannot_be_written_names_path_cause_and_user() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing/result.json");
    let file = ResultSinks { file: Some(missing.clone()), ..ResultSinks::default() };
    let error = write(&success(), &file, &Redactor::default()).unwrap_err();
    assert_eq!(error.reason(), Reason::ReportFailed);
    let text = error.to_string();
    assert!(text.contains(missing.to_str().unwrap()) && text.contains("No such file") && text.contains("uid "), "{text}");
    assert!(error.hint().unwrap().contains("missing"));

    let termination = ResultSinks { termination_message: Some(missing), ..ResultSinks::default() };
    assert_eq!(write(&success(), &termination, &Redactor::default()).unwrap_err().reason(), Reason::ReportFailed);

    let busy = ReportError::File { path: "/out/result.json".into(), uid: 1, cause: io::ErrorKind::ResourceBusy.into() };
    assert!(busy.hint().unwrap().contains("mount its directory"));

    let taken = directory.path().join("directory");
    fs::create_dir(&taken).unwrap();
    fs::set_permissions(&taken, fs::Permissions::from_mode(0o755)).unwrap();
    let error = write(&success(), &ResultSinks { file: Some(taken), ..ResultSinks::default() }, &Redactor::default()).unwrap_err();
    assert!(error.to_string().contains("directory"), "{error}");
}

#[test]
fn a_default_path_that_is_not_there_is_skipped() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("termination-log");
    assert!(termination::write_existing(&path, b"{}").is_err());
    assert!(!path.exists(), "it is never created");
    assert!(write(&success(), &ResultSinks::default(), &Redactor::default()).is_ok());
}
