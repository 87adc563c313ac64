//! What the documents say, held against the program.

// A panic is how a test says that it failed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use podwright::model::Reason;
use serde_json::{Value, json};

fn document(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

fn podwright(args: &[&str], request: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_podwright")).args(args).env_clear().env("PODWRIGHT_REQUEST", request).output().unwrap()
}

/// The first fenced block of this language that holds the text.
fn block(markdown: &str, language: &str, holding: &str) -> String {
    let fence = format!("```{language}\n");
    let mut blocks = markdown.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap());
    blocks.find(|block| block.contains(holding)).unwrap_or_else(|| panic!("no {language} block holds {holding:?}")).to_owned()
}

fn is_a_good_request(request: &str) {
    let output = podwright(&["plan"], request);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(plan["would"].as_array().is_some_and(|would| would.len() >= 3), "{plan}");
}

#[test]
fn the_readmes_table_of_exit_codes_is_the_programs() {
    let readme = document("README.md");
    for reason in Reason::all() {
        let retry = if reason.retryable() { "yes" } else { "no" };
        let row = format!("| {} | {} | {retry} | {} |", reason.code(), reason.name(), reason.meaning());
        assert!(readme.contains(&row), "the README lacks {row:?}");
    }
    let rows = readme.lines().filter(|line| line.starts_with("| ") && line[2..3].parse::<u8>().is_ok());
    assert_eq!(rows.count(), Reason::all().count() + 1, "the README has a code that the program lacks");
}

#[test]
fn the_readmes_request_is_one() {
    is_a_good_request(&block(&document("README.md"), "yaml", "apiVersion: podwright/v1"));
}

#[test]
fn the_readmes_command_is_understood() {
    let command = block(&document("README.md"), "sh", "--git").replace("\\\n", " ");
    let words: Vec<&str> = command.split_whitespace().collect();
    assert_eq!(words[0], "podwright");
    let output = Command::new(env!("CARGO_BIN_EXE_podwright")).arg("plan").args(&words[1..]).env_clear().output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_jobs_request_is_one_and_its_retries_are_the_tables() {
    let job: Value = serde_saphyr::from_str(&document("deploy/kubernetes-job.yaml")).unwrap();
    let container = &job["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["env"][0]["name"], "PODWRIGHT_REQUEST");
    is_a_good_request(container["env"][0]["value"].as_str().unwrap());
    let retry: Vec<u8> = Reason::all().filter(|reason| reason.retryable()).map(Reason::code).collect();
    // A drained node stops the agent with a code of its own, which is nobody's failure.
    let rules = json!([
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]},
        {"action": "FailJob", "onExitCodes": {"containerName": container["name"], "operator": "NotIn", "values": retry}},
    ]);
    assert_eq!(job["spec"]["podFailurePolicy"]["rules"], rules);
}

#[test]
fn the_two_containers_share_one_good_request() {
    let job: Value = serde_saphyr::from_str(&document("deploy/kubernetes-init.yaml")).unwrap();
    let pod = &job["spec"]["template"]["spec"];
    let (fetch, build) = (&pod["initContainers"][0], &pod["containers"][0]);
    assert_eq!(fetch["env"], build["env"]);
    is_a_good_request(build["env"][0]["value"].as_str().unwrap());
    let mounts = |container: &Value| container["volumeMounts"].as_array().unwrap().iter().map(|m| m["name"].clone()).collect::<Vec<_>>();
    assert!(!mounts(fetch).contains(&json!("docker")) && !mounts(build).contains(&json!("git")), "each has what it needs");
    // The directory that one writes is the one the other reads, and each is a command line that is understood.
    assert_eq!(fetch["args"][2], build["args"][2]);
    assert_eq!((&fetch["args"][0], &build["args"][0], &build["args"][1]), (&json!("fetch"), &json!("build"), &json!("--prepared")));
}

#[test]
fn the_files_the_readme_names_are_there() {
    let readme = document("README.md");
    for file in [
        "images/demo.sh",
        "tests/run.sh",
        "tests/matrix.sh",
        "deploy/kubernetes-job.yaml",
        "deploy/kubernetes-init.yaml",
        "docs/upload.md",
        "docs/engine.md",
        "tests/bench.sh",
    ] {
        assert!(readme.contains(file), "{file} is not in the README");
        assert!(Path::new(env!("CARGO_MANIFEST_DIR")).join(file).exists(), "{file} is not there");
    }
}

#[test]
fn the_table_of_options_is_the_programs() {
    let document = document("docs/engine.md");
    let table = podwright::engine::docker::options::table();
    assert!(document.contains(&format!("-->\n{table}<!-- /options -->")), "docs/engine.md has another table than this:\n{table}");
}

#[test]
fn every_schema_is_json() {
    for name in ["request", "event", "result"] {
        let output = podwright(&["schema", name], "");
        let schema: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(schema["$schema"].is_string(), "{name}");
    }
}

/// The compile stage of Dockerfile.builder has no more than this, and no test can pull the image it compiles in.
#[test]
fn what_the_dockerignore_lets_in_is_a_whole_package() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let checkout = tempfile::tempdir().unwrap();
    let ignored = document(".dockerignore");
    let let_in = ignored.lines().filter_map(|line| line.strip_prefix('!')).filter(|path| !path.starts_with("target/"));
    for path in let_in {
        let to = checkout.path().join(path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        assert!(Command::new("cp").arg("-a").arg(root.join(path)).arg(to).status().unwrap().success(), "{path}");
    }
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["fetch", "--offline", "--locked"]).current_dir(checkout.path());
    let output = cargo.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_form_of_archive_and_every_limit_has_its_row() {
    let sources = document("docs/sources.md");
    let schema: Value = serde_json::from_slice(&podwright(&["schema", "request"], "").stdout).unwrap();
    let forms: Vec<String> = schema["$defs"]["ArchiveFormat"]["oneOf"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|choice| choice["enum"].as_array().cloned().unwrap_or_else(|| vec![choice["const"].clone()]))
        .filter_map(|name| name.as_str().map(str::to_owned))
        .collect();
    assert!(forms.len() >= 8, "{forms:?} of {}", schema["$defs"]["ArchiveFormat"]);
    for form in forms {
        assert!(sources.contains(&format!("| `{form}` |")), "{form} has no row");
    }
    for limit in schema["$defs"]["LimitsDoc"]["properties"].as_object().unwrap().keys() {
        assert!(sources.contains(&format!("| `limits.{limit}`")), "{limit} has no row");
    }
}
