//! The way in as a whole: precedence, refusals, and what is still known of a request that was turned down.

mod precedence;
mod refusals;

use std::collections::BTreeMap;

use serde_json::Value;

use super::settings::SourceKind;
use super::*;
use crate::model::{Classified, Reason};

/// A request that needs nothing more.
const GOOD: &str = "source: {git: {url: 'https://git.example.com/web.git'}}\npush: {destinations: [reg.svc:5000/web:1]}\n";

fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Loads a document with variables and flags.
fn loaded(document: &str, env: &[(&str, &str)], flags: &[(&str, Value)]) -> Result<Settings, Box<Rejected>> {
    let mut overrides = Overrides::default();
    for (path, value) in flags {
        overrides.layer.set(path, value.clone());
    }
    let mut env = variables(env);
    if !document.is_empty() {
        env.insert("PODWRIGHT_REQUEST".into(), document.into());
    }
    load(&overrides, &env, &mut std::io::empty())
}

fn good(document: &str) -> Settings {
    loaded(document, &[], &[]).unwrap_or_else(|rejected| panic!("{document}: {}", rejected.error))
}

#[test]
fn the_contracts_example_comes_through_as_far_as_it_is_built() {
    let settings = good(
        "apiVersion: podwright/v1
name: web
source:
  git: {url: 'https://git.example.com/team/web.git', ref: main, commit: 6f1e2d3c4b5a69788796a5b4c3d2e1f00f1e2d3c, subdir: services/web, secret: /secrets/git}
  dockerfile: |
    FROM scratch
build:
  dockerfile: docker/Dockerfile
  target: release
  args: {VERSION: '1.2'}
  labels: {team: web}
  platform: linux/amd64
  builder: buildkit
  pull: true
  noCache: false
  network: none
  keep: ['web:dev']
push:
  destinations: [registry.svc:5000/team/web:1.2, registry.svc:5000/team/web:latest]
  secret: /secrets/registry
  retries: {max: 3, within: 5m}
  verify: off
workspace: /workspace
result: {file: /out/result.json, terminationMessage: /dev/termination-log}
limits: {sourceBytes: 512m, objectBytes: 1048576}
deadline: 1h30m
",
    );
    let SourceKind::Git(git) = &settings.source.kind else { panic!("{:?}", settings.source) };
    assert_eq!((git.reference.as_ref().unwrap().as_str(), git.subdir.display().as_str()), ("main", "services/web"));
    assert_eq!(settings.source.dockerfile.as_deref(), Some("FROM scratch\n"));
    assert_eq!(settings.build.dockerfile.display(), "docker/Dockerfile");
    let push = settings.push.as_ref().unwrap();
    assert_eq!((push.destinations.len(), push.retries.max, push.retries.within.as_secs()), (2, 3, 300));
    assert_eq!(push.verify, settings::Verify::Off);
    assert_eq!((settings.limits.source_bytes, settings.limits.object_bytes), (512 << 20, 1 << 20));
    assert_eq!(settings.deadline.as_secs(), 5400);
    assert_eq!(settings.registry_secret.as_deref(), Some(std::path::Path::new("/secrets/registry")));
}

#[test]
fn what_nobody_says_has_the_contracts_default() {
    let settings = loaded(GOOD, &[("TMPDIR", "/scratch")], &[]).unwrap();
    let SourceKind::Git(git) = &settings.source.kind else { panic!() };
    assert!(git.reference.is_none() && git.commit.is_none() && git.subdir.is_root());
    assert_eq!(settings.build.dockerfile.display(), "Dockerfile");
    assert_eq!(settings.push.unwrap().retries, settings::Retries::default());
    assert_eq!(settings.workspace, ["/scratch", "/workspace", "/tmp"].map(std::path::PathBuf::from));
    assert_eq!(settings.limits, crate::support::limits::Limits::default());
    assert!(settings.deadline.as_secs() == 3600 && settings.result == ResultSinks::default());
}

#[test]
fn equal_requests_have_equal_digests_however_they_are_written() {
    let plain = good(GOOD).request_digest;
    let json = r#"{"push":{"destinations":["reg.svc:5000/web:1"]},"name":null,"source":{"git":{"url":"https://git.example.com/web.git"}}}"#;
    assert_eq!(good(json).request_digest, plain);
    assert_eq!(good(&GOOD.replace("https://", "https://me:hush@")).request_digest, plain, "credentials are no part of it");
    let flags =
        [("source.git.url", "https://git.example.com/web.git".into()), ("push.destinations", serde_json::json!(["reg.svc:5000/web:1"]))];
    assert_eq!(loaded("", &[], &flags).unwrap().request_digest, plain);
    assert_ne!(good(&GOOD.replace("web:1", "web:2")).request_digest, plain);
}

#[test]
fn secrets_that_came_by_url_or_variable_are_handed_over_and_never_printed() {
    use secrecy::ExposeSecret;
    let document = GOOD.replace("https://", "https://me:hush-one@");
    let settings = loaded(&document, &[("HTTPS_PROXY", "http://me:hush-two@proxy:3128")], &[]).unwrap();
    let secrets: Vec<String> = settings.secrets().iter().map(|secret| secret.expose_secret().to_owned()).collect();
    assert_eq!(secrets, ["hush-one", "hush-two"]);
    assert!(!format!("{settings:?}").contains("hush"));
    let token = good(&GOOD.replace("https://", "https://hush-token:x-oauth-basic@"));
    assert_eq!(token.secrets()[0].expose_secret(), "hush-token", "the name is the token");
}

#[test]
fn a_rejected_request_still_says_where_its_result_goes() {
    let document = format!("{GOOD}name: web\nresult: {{file: /out/a.json}}\nnonsense: 1\n");
    let rejected = loaded(&document, &[], &[]).unwrap_err();
    assert_eq!((rejected.known.name.as_deref(), rejected.known.result.file.unwrap().to_str().unwrap()), (Some("web"), "/out/a.json"));
    let env = [("PODWRIGHT_RESULT_FILE", "/out/b.json"), ("PODWRIGHT_NONSENSE", "1")];
    assert_eq!(loaded(GOOD, &env, &[]).unwrap_err().known.result.file.unwrap().to_str(), Some("/out/b.json"));
    let flags = [("result.file", "/out/c.json".into()), ("build.builder", "nonsense".into())];
    assert_eq!(loaded(&document, &env[..1], &flags).unwrap_err().known.result.file.unwrap().to_str(), Some("/out/c.json"));
    let bad = loaded("result: {file: /proc/self/mem}", &[], &[]).unwrap_err();
    assert_eq!(bad.known.result, ResultSinks::default(), "a forbidden place is none");
}

#[test]
fn the_request_can_come_on_standard_input_and_then_the_archive_cannot() {
    let overrides = Overrides { request: Some("-".into()), ..Overrides::default() };
    let read = |text: &str| load(&overrides, &variables(&[]), &mut text.as_bytes());
    assert!(read(GOOD).is_ok());
    let error = read("source: {archive: {stdin: true}}\npush: none\n").unwrap_err().error;
    assert_eq!((error.path(), error.reason()), ("source.archive.stdin", Reason::RequestInvalid));
}

#[test]
fn a_request_file_is_read_and_a_missing_one_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("request.yaml");
    std::fs::write(&path, GOOD).unwrap();
    let file = path.to_str().unwrap();
    let from = |file: &str| load(&Overrides { request: Some(file.into()), ..Overrides::default() }, &variables(&[]), &mut std::io::empty());
    assert!(from(file).is_ok());
    assert!(load(&Overrides::default(), &variables(&[("PODWRIGHT_REQUEST_FILE", file)]), &mut std::io::empty()).is_ok());
    let error = from("/no/such/request.yaml").unwrap_err().error;
    assert!(error.to_string().contains("/no/such/request.yaml"), "{error}");
    assert!(from("missing.yaml").unwrap_err().error.to_string().contains("\"missing.yaml\""));
    for value in ["{source: {git: hush}}", "https://me:hush@a.b"] {
        assert!(!from(value).unwrap_err().error.to_string().contains("hush"), "{value}");
    }
    let error = load(&Overrides::default(), &variables(&[("PODWRIGHT_BUILD_ARGS_FILE", "hush")]), &mut std::io::empty()).unwrap_err().error;
    assert!(!error.to_string().contains("hush"), "{error}");
}

#[test]
fn every_field_of_the_schema_has_a_flag_and_a_variable() {
    let schema = check::schema();
    let mut paths = Vec::new();
    leaves(&schema, &schema, "", &mut paths);
    paths.retain(|path| path != "apiVersion");
    for path in &paths {
        let general = ["git", "archive", "artifact", "directory"]
            .iter()
            .fold(path.clone(), |path, kind| path.replace(&format!("source.{kind}."), "source.*."));
        assert!(fields::at(path).is_some() || fields::at(&general).is_some(), "{path} cannot be set by flag or variable");
    }
    for field in fields::FIELDS {
        let path = field.path.replace('*', "git");
        assert!(field.path == fields::NO_PUSH || paths.contains(&path), "{path} is not in the schema");
    }
    for path in fields::NOT_BUILT.iter().filter(|path| !path.contains('=')) {
        assert!(!paths.iter().any(|built| built == path), "{path} is built");
    }
}

/// The paths of all fields that hold no further fields.
fn leaves(schema: &Value, root: &Value, path: &str, found: &mut Vec<String>) {
    let schema = schema.get("$ref").and_then(Value::as_str).and_then(|at| root.pointer(&at[1..])).unwrap_or(schema);
    let choices = schema.get("anyOf").and_then(Value::as_array);
    let objects: Vec<&Value> = choices.into_iter().flatten().collect();
    match schema.get("properties").and_then(Value::as_object) {
        Some(properties) => {
            for (name, below) in properties {
                leaves(below, root, format!("{path}.{name}").trim_start_matches('.'), found);
            }
        }
        None if !objects.is_empty() => objects.iter().for_each(|choice| leaves(choice, root, path, found)),
        None if found.iter().any(|other| other == path) || schema["type"] == "null" => {}
        None if ["source.directory", "push"].contains(&path) => {}
        None => found.push(path.to_owned()),
    }
}
