use std::collections::BTreeMap;

use super::*;
use crate::config::fields::{self, FIELDS, Kind};

fn variables(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn parsed(line: &[&str], env: &[(&str, &str)]) -> Result<Command, UsageError> {
    let args = std::iter::once("podwright").chain(line.iter().copied()).map(OsString::from);
    parse(args, &variables(env))
}

fn build(line: &[&str]) -> Invocation {
    match parsed(line, &[("SET", "from, the=env")]) {
        Ok(Command::Build(invocation)) => *invocation,
        other => panic!("{line:?}: {other:?}"),
    }
}

/// `plan`'s answer to a command line.
fn planned(line: &[&str], env: &[(&str, &str)]) -> Result<String, Failure> {
    let line: Vec<&str> = std::iter::once("plan").chain(line.iter().copied()).collect();
    let command = parsed(&line, env).unwrap();
    answer(&command, &variables(env), &mut std::io::empty()).unwrap()
}

#[test]
fn the_flags_are_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn every_field_has_its_flag() {
    let command = Cli::command();
    let build = command.find_subcommand("build").unwrap();
    for field in FIELDS {
        assert!(build.get_arguments().any(|arg| arg.get_long() == Some(field.flag)), "--{} ({}) is missing", field.flag, field.path);
    }
    let known: Vec<&str> = FIELDS.iter().map(|field| field.flag).chain(["request", "allow", "allow-path", "progress"]).collect();
    for long in build.get_arguments().filter_map(clap::Arg::get_long) {
        assert!(known.contains(&long), "--{long} has no field and so no variable");
    }
}

#[test]
fn the_names_people_know_from_docker_mean_the_same() {
    use serde_json::json;
    let line = [
        "build",
        "-f",
        "docker/Dockerfile",
        "--build-arg",
        "A=1,2=3",
        "--build-arg",
        "SET",
        "--build-arg",
        "UNSET",
        "--target",
        "x",
        "--label",
        "a=b=c",
        "--label",
        "alone",
        "--no-cache",
        "--pull=false",
        "--platform",
        "linux/amd64",
        "--network",
        "none",
        "-t",
        "web:dev",
        "-t",
        "web:2",
        "-d",
        "reg/x:1",
        "--destination",
        "reg/x:2",
        ".",
    ];
    let layer = build(&line).overrides.layer;
    let table = [
        ("build.dockerfile", json!("docker/Dockerfile")),
        ("build.args", json!({"A": "1,2=3", "SET": "from, the=env"})),
        ("build.target", json!("x")),
        ("build.labels", json!({"a": "b=c", "alone": ""})),
        ("build.noCache", json!(true)),
        ("build.pull", json!(false)),
        ("build.network", json!("none")),
        ("build.keep", json!(["web:dev", "web:2"])),
        ("push.destinations", json!(["reg/x:1", "reg/x:2"])),
        ("source.directory.path", json!(".")),
    ];
    for (path, want) in table {
        assert_eq!(layer.get(path), Some(&want), "{path}");
    }
    assert_eq!(layer.get("push"), None);
}

#[test]
fn without_a_command_build_is_meant_but_a_misspelt_command_is_no_directory() {
    assert!(build(&[]).overrides.layer.get("name").is_none());
    assert!(build(&["--git", "https://a.b/c"]).overrides.layer.get("source.git.url").is_some());
    let error = parsed(&["bulid", "."], &[]).unwrap_err();
    assert!(error.to_string().contains("bulid") && error.hint().unwrap().contains("build"), "{error} {:?}", error.hint());
    assert_eq!(parsed(&["doctor"], &[]).unwrap_err().reason().code(), 2, "a later version's");
    assert!(matches!(parsed(&["gc", "--dry-run"], &[]), Ok(Command::Gc { dry_run: true })));
}

#[test]
fn what_cannot_be_understood_says_what_was_meant() {
    let table: [(&[&str], &str, &str); 11] = [
        (&["--destinaton", "x"], "--destinaton", "--destination"),
        (&["--token", "x"], "no flag --token", "build -h"),
        (&["."], "no command", "podwright build ."),
        (&["https://a.b/c.git"], "no command", "podwright build CONTEXT"),
        (&["--no-push", "-d", "x"], "cannot be used with", "help"),
        (&["--git", "a", "--archive", "b"], "cannot be used with", "help"),
        (&["build", ".", "--git", "a"], "cannot be used with", "help"),
        (&["--progress", "tty"], "--progress", "auto, json, plain"),
        (&["--push-retries", "many"], "--push-retries", "a whole number"),
        (&["-f", "-"], "--file -", "--inline-dockerfile"),
        (&["--build-arg", "=x"], "no key", "KEY=VALUE"),
    ];
    for (line, what, fix) in table {
        let error = parsed(line, &[]).unwrap_err();
        assert_eq!(error.reason(), Reason::Usage);
        assert!(error.to_string().contains(what), "{line:?}: {error}");
        assert!(error.hint().unwrap().contains(fix), "{line:?}: {:?}", error.hint());
    }
}

#[test]
fn what_cannot_be_understood_is_not_repeated_where_it_may_be_a_secret() {
    for line in [
        &["build", ".", "https://me:hu@sh@a.b/c.git"][..],
        &["--bulid-arg=TOKEN=hush"],
        &["schema", "https://hush@a.b"],
        &["build", ".", "--build-arg", "A=1", "TOKEN=hush"],
        &["build", ".", "https://me:it'hush@a.b/c.git"],
        &["https://me:hush@a.b/c.git"],
        &["--push-retries", "hush"],
        &["--pull=hush"],
        &["--no-push=hush"],
        &["--progress", "hush"],
        &["-zhush"],
        &["version", "hush"],
    ] {
        let error = parsed(line, &[]).unwrap_err();
        let text = format!("{error} {:?}", error.hint());
        assert!(!text.contains("sh@") && !text.contains("hush"), "{text}");
        assert!(!text.contains("-- "), "a way to write a value is no way to write a flag: {text}");
    }
}

#[test]
fn every_flag_reaches_its_field() {
    for field in FIELDS {
        let value = match (field.path, field.kind) {
            ("source.archive.url", _) => "=https://a.b/c",
            ("source.archive.stdin", _) => "=-",
            (_, Kind::Number) => "=7",
            (_, Kind::Pairs) => "=A=b",
            (fields::NO_PUSH, _) | (_, Kind::Switch) => "",
            (_, Kind::Text | Kind::List | Kind::Lines) => "=/x",
        };
        let flag = format!("--{}{value}", field.flag);
        assert!(build(&[&flag]).overrides.layer.get(field.path).is_some(), "{flag} leaves {} as it was", field.path);
    }
}

#[test]
fn progress_is_a_flag_or_a_variable() {
    let progress = |line: &[&str], env: &[(&str, &str)]| match parsed(line, env) {
        Ok(Command::Build(invocation)) => Some(invocation.progress),
        _ => None,
    };
    assert_eq!(progress(&[], &[]), Some(Progress::Auto));
    assert_eq!(progress(&[], &[("PODWRIGHT_PROGRESS", "plain")]), Some(Progress::Plain));
    assert_eq!(progress(&["--progress", "json"], &[("PODWRIGHT_PROGRESS", "plain")]), Some(Progress::Json));
    assert_eq!(progress(&[], &[("PODWRIGHT_PROGRESS", "tty")]), None);
}

#[test]
fn archives_are_told_by_how_they_are_written() {
    for (written, path) in [("-", "source.archive.stdin"), ("https://a.b/c", "source.archive.url"), ("/in/x", "source.archive.path")] {
        assert!(build(&["--archive", written]).overrides.layer.get(path).is_some(), "{written}");
    }
}

#[test]
fn the_helps_have_an_example_and_every_exit_code() {
    for (line, whole) in [(&["--help"][..], true), (&["build", "--help"], true), (&["build", "-h"], false), (&["plan", "--help"], true)] {
        let Ok(Command::Help(text)) = parsed(line, &[]) else { panic!("{line:?}") };
        assert!(text.contains("Example:"), "{text}");
        let rows =
            Reason::all().filter(|reason| text.contains(&format!("{:>3} ", reason.code())) && text.contains(reason.meaning())).count();
        assert_eq!(rows, if whole { Reason::all().count() } else { 0 }, "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 130) && text.lines().count() < 280, "{text}");
    }
    assert!(matches!(parsed(&["--version"], &[]), Ok(Command::Help(text)) if text.starts_with("podwright ")));
}

#[test]
fn a_plan_shows_what_would_be_done_and_no_secret() {
    let line = [
        "--label",
        "of=hush-url-and-more",
        "--git",
        "https://me:hush-url@git.example.com/web.git",
        "--commit",
        &"a".repeat(40),
        "--subdir",
        "web",
        "-d",
        "reg.svc:5000/web:1",
        "-t",
        "web",
        "--build-arg",
        "TOKEN=hush-arg",
        "--deadline",
        "90m",
        "--registry-secret",
        "/secrets/registry",
    ];
    let env = [("HTTPS_PROXY", "http://me:hush-proxy@p:1"), ("DOCKER_AUTH_CONFIG", "{\"auths\":{\"a\":{\"auth\":\"hush-auth\"}}}")];
    let text = planned(&line, &env).unwrap();
    assert!(!text.contains("hush"), "{text}");
    let plan: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(plan["request"]["source"]["git"]["url"], "https://git.example.com/web.git");
    assert_eq!(plan["request"]["source"]["git"]["credential"], "from the url, for https://git.example.com alone");
    assert_eq!(plan["request"]["push"]["secret"], "/secrets/registry");
    assert_eq!(plan["request"]["deadline"], "1h30m");
    let would: Vec<&str> = plan["would"].as_array().unwrap().iter().filter_map(|step| step.as_str()).collect();
    assert_eq!(would[1], format!("fetch the commit {} of https://git.example.com/web.git", "a".repeat(40)));
    for step in
        ["build Dockerfile with BuildKit where", "keep the image on the node as docker.io/library/web:latest", "push reg.svc:5000/web:1"]
    {
        assert!(would.iter().any(|line| line.starts_with(step)), "{step}: {would:?}");
    }
}

#[test]
fn a_plan_of_each_source_is_a_plan() {
    let table: [(&[&str], &str); 5] = [
        (&["--directory", "/src"], "read the directory /src"),
        (&["--archive", "/in/a.tgz"], "read the archive /in/a.tgz"),
        (&["--archive", "-"], "read an archive from standard input"),
        (&["--archive", "https://b.example/a.tgz?sig=hush"], "fetch the archive https://b.example/a.tgz?sig=[redacted]"),
        (&["--inline-dockerfile", "FROM scratch"], "take an empty context"),
    ];
    for (line, want) in table {
        let line: Vec<&str> = line.iter().copied().chain(["--no-push"]).collect();
        let text = planned(&line, &[]).unwrap();
        assert!(text.contains(want) && text.contains("push nothing") && !text.contains("hush"), "{text}");
    }
}

#[test]
fn a_plan_of_a_bad_request_fails_as_the_build_would() {
    let failure = planned(&["--git", "http://a.b/c", "--no-push"], &[]).unwrap_err();
    assert_eq!((failure.exit_code, failure.phase), (13, Phase::Prepare));
    assert!(failure.hint.unwrap().contains("--allow plain-http"));
}

#[test]
fn version_tells_what_is_linked() {
    let text = answer(&Command::Version { json: true }, &variables(&[]), &mut std::io::empty()).unwrap().unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    for key in ["version", "commit", "libgit2", "tls"] {
        assert!(value.get(key).is_some(), "{key}");
    }
}
