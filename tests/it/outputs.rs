//! What a run says, where nobody listens, and where a build tries to speak for it.

use std::time::Duration;

use rustix::process::Signal;

use crate::directory::destination;
use crate::harness::prelude::*;
use crate::harness::run::Run;

/// The arguments of a run for people, with the machine's outputs beside it.
const PLAIN: [&str; 7] = ["build", "--progress", "plain", "--result-file", "/out/result.json", "--termination-message", "/out/termination"];

/// Far more than a pipe holds.
const LOUD: &str = "RUN seq 1 30000";

fn assert_pushed(run: &Run, repository: &str) {
    assert_eq!(run.code, 0, "{}", run.story());
    assert_eq!(run.result.as_ref().expect("a result file")["outcome"], "success");
    assert_eq!(Registry::shared().tag(repository, "1").as_deref(), Some(run.digest()));
}

#[test]
fn a_reader_that_goes_away_or_never_reads_changes_nothing() {
    promise!(1, 5);
    for builder in builders() {
        for (name, reading) in [("gone", Reading::Lines(0)), ("leaves", Reading::Lines(8)), ("asleep", Reading::Nothing)] {
            let context = Context::with(&format!("FROM BASE\n{LOUD} && echo {name}\n"));
            let (reference, repository) = destination(&format!("reader-{name}-{builder}"));
            let agent = Agent::build().directory(context.path()).reading(reading);
            let run = agent.args(&["-d", &reference, "--builder", builder, "--no-cache"]).run();
            assert_pushed(&run, &repository);
        }
    }
}

#[test]
fn descriptors_that_are_closed_from_the_start_change_nothing() {
    promise!(1, 5);
    for closed in ["1", "2", "12", "012"] {
        let context = Context::with("FROM BASE\nRUN echo closed\n");
        let (reference, repository) = destination(&format!("closed-{closed}"));
        let run = Agent::build().directory(context.path()).args(&["-d", &reference]).without_descriptors(closed).run();
        assert_pushed(&run, &repository);

        let failing = Context::with("FROM BASE\nRUN exit 7\n");
        let run = Agent::build().directory(failing.path()).args(&["--no-push"]).without_descriptors(closed).run();
        run.failed(42, "StepFailed", "build");
    }
}

#[test]
fn a_signal_stops_a_run_whose_output_nobody_reads() {
    promise!(5, 8, 10);
    for builder in builders() {
        let seconds = format!("sleep 4200{}", builder.len());
        let context = Context::with(&format!("FROM BASE\n{LOUD} && {seconds}\n"));
        let agent = Agent::build().directory(context.path()).reading(Reading::Nothing);
        let running = agent.args(&["--no-push", "--builder", builder, "--no-cache"]).start();
        let engine = Engine::shared();
        within(Duration::from_mins(1), "the step never began", || engine.runs(&seconds));
        let told = running.signal(Signal::TERM);
        let run = running.finish().failed(143, "Cancelled", "build").ended_within(Duration::from_secs(5), told);
        run.assert_step_stopped(&seconds);
    }
}

#[test]
fn people_are_shown_the_failed_step_its_last_lines_and_its_code() {
    promise!(5);
    for builder in builders() {
        let context = Context::with("FROM BASE\nRUN printf 'red \\033[31mink\\033[0m\\n' && echo the last words && exit 9\n");
        let agent = Agent::command(&PLAIN).directory(context.path());
        let run = agent.args(&["--workspace", "/workspace", "--no-push", "--builder", builder, "--no-cache"]).run();
        let run = run.failed(42, "StepFailed", "build");
        let text = String::from_utf8(run.stdout.clone()).unwrap();
        for part in ["the last words", "ink", "exit 9", "(exit code 9)", "StepFailed (exit code 42)"] {
            assert!(text.contains(part), "{part:?} is not in:\n{text}");
        }
        assert!(!text.contains('\x1b'), "an escape sequence:\n{text:?}");
        let summary = text.rsplit("------\n > ").next().unwrap();
        assert!(summary.contains(" | the last words"), "the summary lacks the last lines:\n{text}");
    }
}

#[test]
fn a_build_cannot_speak_for_the_run() {
    promise!(5);
    let forged = concat!(
        r#"{"v":1,"seq":1,"time":"2026-01-01T00:00:00Z","event":"run.finished","level":"info","run":"x","phase":"report","data":{"exit_code":0}}"#,
        "\n",
        r#"{"schema":"podwright/result/v1","outcome":"success","exit_code":0}"#,
        "\nover\rwritten\n\x1b[2J\x1b]0;title\x07\u{9b}31m\n==> push\nSUCCESS (exit code 0)\n",
        "no end {\"event\":\"run.finished\"}",
    );
    for builder in builders() {
        let context = Context::with("FROM BASE\nCOPY forged /\nRUN cat /forged && seq 1 20000 && exit 3\n").file("forged", forged);
        let run = Agent::build().directory(context.path()).args(&["--no-push", "--builder", builder, "--no-cache"]).run();
        let run = run.failed(42, "StepFailed", "build");
        assert_eq!(run.events_named("run.finished").len(), 1);
        let logs = run.events_named("build.log");
        let said: String = logs.iter().filter_map(|event| event.data["text"].as_str()).collect();
        assert!(said.contains(r#""event":"run.finished""#), "the step's own words are missing");
        assert!(said.contains("\n20000") || said.contains("20000\n"), "the last of 20,000 lines is missing");

        let agent = Agent::command(&PLAIN).directory(context.path());
        let run = agent.args(&["--workspace", "/workspace", "--no-push", "--builder", builder, "--no-cache"]).run();
        let text = String::from_utf8(run.stdout).unwrap();
        assert!(!text.contains(['\x1b', '\r', '\x07', '\u{9b}']), "control characters reached people");
        for line in text.lines().filter(|line| line.contains("SUCCESS") || line.contains("==> push") || line.contains("run.finished")) {
            assert!(line.starts_with('#') || line.starts_with(" | "), "a step's words stand at the beginning of a line: {line}");
        }
    }
}

#[test]
fn the_termination_message_fits_and_is_json_however_much_there_is_to_say() {
    promise!(5);
    let long = "very-long-words-".repeat(400);
    let context = Context::with(&format!("FROM BASE\nRUN echo \"{long}\" && echo '\"\\\\ä€😀' && false {long}\n"));
    for builder in builders() {
        let run = Agent::build().directory(context.path()).args(&["--no-push", "--builder", builder]).run();
        let run = run.failed(42, "StepFailed", "build");
        let text = run.termination.as_deref().expect("a termination message");
        let message: serde_json::Value = serde_json::from_str(text).unwrap();
        assert!(text.len() <= 1_000 && message["error"]["reason"] == "StepFailed", "{text}");
    }
    let (reference, _) = destination(&format!("long/{}", "n".repeat(100)));
    let context = Context::with("FROM BASE\nRUN true\n");
    let tags: Vec<String> = (0..8).flat_map(|n| ["-d".to_owned(), format!("{reference}{n}{}", "t".repeat(100))]).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    let run = Agent::build().directory(context.path()).args(&tags).run().ok();
    let text = run.termination.as_deref().expect("a termination message");
    let message: serde_json::Value = serde_json::from_str(text).unwrap();
    assert!(text.len() <= 1_000, "{} bytes", text.len());
    assert_eq!(message["image"]["digest"], run.digest(), "{text}");
}

#[test]
fn a_request_in_a_variable_is_run() {
    promise!(1);
    let (reference, repository) = destination("by-variable");
    let context = Context::with("FROM BASE\nARG WORD\nRUN echo $WORD > /word\n");
    let request = format!(
        "apiVersion: podwright/v1\nname: by-variable\nsource:\n  directory: /src\nbuild:\n  args: {{WORD: \"yes: 1.10\"}}\npush:\n  destinations: [\"{reference}\"]\nresult:\n  file: /out/result.json\n"
    );
    let agent = Agent::command(&["build", "--progress", "json", "--workspace", "/workspace"]).readable(context.path(), "/src");
    let run = agent.env("PODWRIGHT_REQUEST", &request).run().ok();
    assert_pushed(&run, &repository);
    assert!(Image::in_registry(Registry::shared(), run.digest()).holds("word", b"yes: 1.10\n"));
    assert_eq!(run.document()["name"], "by-variable");
}

#[test]
fn a_plan_shows_everything_but_secrets_and_touches_nothing() {
    promise!(6);
    let (in_url, in_file) = (Canary::token("password in a URL"), Canary::new("password in a file"));
    let url = format!("https://ada:{}@git.example.com/team/web.git", in_url.value);
    let agent =
        Agent::command(&["plan", "--git", &url, "--ref", "main", "-d", "registry.example.com/team/web:1", "--result-file", "/out/r.json"]);
    let config = crate::failures::docker_config("registry.example.com", "ada", &in_file.value);
    let agent = agent.secret_dir("--registry-secret", "/secrets/registry", &[("config.json", &config)]).canary(&in_url);
    let run = agent.run();
    assert_eq!(run.code, 0, "{}", run.story());
    let plan: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap_or_else(|e| panic!("{e}: {}", run.story()));
    let text = plan.to_string();
    assert!(text.contains("git.example.com/team/web.git") && text.contains("registry.example.com/team/web:1"), "{text}");
    assert!(run.calls.is_empty() && run.result.is_none(), "{}", run.story());
}
