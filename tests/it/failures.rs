//! What bad input and broken surroundings get: the contract's code and reason, in words that help.

use std::process::Command;

use crate::directory::destination;
use crate::faults::Faulty;
use crate::harness::prelude::*;

#[test]
fn a_failing_step_is_its_own_code_and_last_lines() {
    promise!(5);
    for builder in builders() {
        let context = Context::with("FROM BASE\nRUN echo before the end && exit 7\n");
        let (reference, repository) = destination("failing-step");
        let run = Agent::build().directory(context.path()).args(&["-d", &reference, "--builder", builder]).run();
        let run = run.failed(42, "StepFailed", "build");
        let failed = &run.document()["steps"]["failed"];
        assert_eq!(failed["exit_code"], 7, "{failed}");
        assert!(failed["log"].to_string().contains("before the end"), "{failed}");
        assert_eq!(Registry::shared().tags(&repository), [""; 0], "something was pushed after a failed build");
        assert_eq!(run.count("POST", "/images/*/push"), 0);
    }
}

#[test]
fn a_missing_or_wrong_dockerfile_is_named() {
    for builder in builders() {
        for (context, word) in
            [(Context::new().file("other", ""), "\\\"Dockerfile\\\""), (Context::new().file("Dockerfile", "FRM scratch\n"), "FR")]
        {
            let run = Agent::build().directory(context.path()).args(&["--no-push", "--builder", builder]).run();
            let run = run.failed(41, "DockerfileInvalid", "build");
            assert!(run.words().to_uppercase().contains(&word.to_uppercase()), "{word} is not in: {}", run.words());
        }
    }
}

#[test]
fn without_a_socket_the_engine_is_unavailable() {
    let context = Context::new().file("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    let run = Agent::build().directory(context.path()).args(&["--no-push", "--limit-engine-wait", "0"]).without_socket().run();
    let run = run.failed(30, "EngineUnavailable", "prepare");
    assert!(run.words().contains("/var/run/docker.sock"), "{}", run.words());
}

#[test]
fn without_the_sockets_group_the_message_names_user_group_and_mode() {
    promise!(9);
    let context = Context::new().file("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    let run = Agent::build().directory(context.path()).args(&["--no-push"]).without_group().run();
    let run = run.failed(31, "EnginePermission", "prepare");
    for part in ["65532", "2375", "660"] {
        assert!(run.words().contains(part), "{part} is not in: {}", run.words());
    }
}

#[test]
fn neither_push_nor_keep_is_an_error() {
    let context = Context::new().file("Dockerfile", "FROM scratch\n");
    Agent::build().directory(context.path()).run().failed(10, "RequestInvalid", "prepare");
}

#[test]
fn a_push_that_fails_twice_is_tried_three_times() {
    promise!(1);
    let registry = Registry::start(&Demands::default());
    let faulty = Faulty::before(registry.port());
    let context = Context::with("FROM BASE\nRUN echo retried > /retried\n");
    faulty.unavailable(2, "PUT", "/v2/team/web/manifests/*");
    let reference = format!("{}/team/web:1", faulty.host());
    let run = Agent::build().directory(context.path()).args(&["-d", &reference]).run().ok();
    assert_eq!(registry.tag("team/web", "1").as_deref(), Some(run.digest()));
    assert_eq!(faulty.relay.count("PUT", "/v2/team/web/manifests/*"), 3);
    // The newest daemons try a manifest again by themselves; what they do not, the agent does.
    let retries: Vec<_> = run.events_named("push.retry").iter().map(|event| event.data["attempt"].clone()).collect();
    let own = run.count("POST", "/images/*/push") - 1;
    assert_eq!(retries, (1..=own).collect::<Vec<_>>(), "{}", run.story());
    if Engine::shared().store == "graph" {
        assert_eq!(own, 2, "the graph driver's daemon tries nothing again: {}", run.story());
    }
}

#[test]
fn a_registry_that_is_not_there_is_unavailable() {
    promise!(8);
    let port = crate::harness::process::new_port();
    let context = Context::with("FROM BASE\nRUN true\n");
    let reference = format!("127.0.0.1:{port}/team/web:1");
    let run = Agent::build().directory(context.path()).args(&["-d", &reference, "--push-retries", "1"]).run();
    let run = run.failed(53, "PushUnavailable", "push");
    assert_eq!(run.count("POST", "/images/*/push"), 2, "{}", run.story());
    assert!(run.words().contains(&port.to_string()), "{}", run.words());
}

#[test]
fn a_push_that_keeps_failing_ends_with_its_last_error_and_says_every_try() {
    promise!(8);
    let registry = Registry::start(&Demands::default());
    let faulty = Faulty::before(registry.port());
    for (times, status) in [(1, 503), (1, 502), (usize::MAX, 504)] {
        faulty.relay.answer(times, "PUT", "/v2/team/web/manifests/*", status, "");
    }
    let context = Context::with("FROM BASE\nRUN true\n");
    let reference = format!("{}/team/web:1", faulty.host());
    let run = Agent::build().directory(context.path()).args(&["-d", &reference, "--push-retries", "2"]).run();
    let run = run.failed(53, "PushUnavailable", "push");
    assert_eq!(run.count("POST", "/images/*/push"), 3, "{}", run.story());
    let retries = run.events_named("push.retry");
    let numbers: Vec<_> = retries.iter().map(|event| (event.data["attempt"].as_u64(), event.data["of"].as_u64())).collect();
    assert_eq!(numbers, [(Some(1), Some(3)), (Some(2), Some(3))], "{}", run.story());
    assert!(run.words().contains("504") && !run.words().contains("503"), "{}", run.words());
    if Engine::shared().store == "graph" {
        // The newest daemons try again by themselves, and tell of their last try.
        let reasons: Vec<_> = retries.iter().map(|event| event.data["reason"].as_str().unwrap()).collect();
        assert!(reasons[0].contains("503") && reasons[1].contains("502"), "{reasons:?}");
    }
    assert_eq!(registry.tags("team/web"), [""; 0]);
}

#[test]
fn a_dockerfile_outside_the_source_or_behind_a_link_is_refused_for_every_source() {
    let context = Context::new().file("Dockerfile", "FROM scratch\nCOPY . /\n").file("app/text", "1").link("app/link", "../Dockerfile");
    let context = context.link("app/dir", "..").file("app/Dockerfile", "FROM scratch\nCOPY . /\n");
    let server = GitServer::start(&GitDemands::default());
    let repository = server.repository("web");
    succeeded(Command::new("cp").arg("-a").arg(context.path().join(".")).arg(&repository.dir));
    repository.commit("first");
    let url = server.url(&repository);
    let tar = Command::new("tar").arg("-cf-").arg("-C").arg(context.path()).arg(".").output().unwrap().stdout;
    let build = |source: &str| match source {
        "directory" => Agent::build().directory(context.path()),
        "git" => Agent::build().args(&["--git", &url, "--allow", "plain-http"]),
        _ => Agent::build().args(&["--archive", "-"]).stdin(&tar),
    };
    for source in ["directory", "git", "archive"] {
        let build = |file: &str| build(source).args(&["--no-push", "--subdir", "app", "-f", file]).run();
        let whole = build("Dockerfile");
        if Engine::shared().podman {
            whole.failed(12, "Unsupported", "build");
        } else {
            whole.ok();
        }
        // What can be seen of the name alone is the request's fault; what only the source shows, the Dockerfile's.
        for (file, word, code, reason) in [
            ("../Dockerfile", "build.dockerfile", 10, "RequestInvalid"),
            ("link", "symbolic link to", 41, "DockerfileInvalid"),
            ("dir/Dockerfile", "is a symbolic link", 41, "DockerfileInvalid"),
        ] {
            let run = build(file).ended(code, reason);
            assert!(run.words().contains(word), "{source}, {file}: {}", run.words());
            assert_eq!(run.count("POST", "/build"), 0, "{}", run.story());
        }
    }
}

#[test]
fn a_wrong_password_is_push_auth_and_leaks_nowhere() {
    promise!(6);
    let (right, wrong) = (Canary::token("right password"), Canary::new("wrong password"));
    let registry = Registry::start(&Demands { login: Some(("ada", &right.value)), tls: false });
    let context = Context::with("FROM BASE\nRUN true\n");
    let config = docker_config(&registry.host(), "ada", &wrong.value);
    let reference = format!("{}/team/web:1", registry.host());
    let agent = Agent::build().directory(context.path()).args(&["-d", &reference]);
    let run = agent.secret_dir("--registry-secret", "/secrets/registry", &[("config.json", &config)]).run();
    let run = run.failed(51, "PushAuth", "push");
    assert_eq!(run.count("POST", "/images/*/push"), 1, "a refused login is not tried again");
}

#[test]
fn credentials_with_symbols_reach_the_registry_and_nothing_else() {
    promise!(1, 6);
    for builder in builders() {
        let canary = Canary::new("password");
        let registry = Registry::start(&Demands { login: Some(("ada", &canary.value)), tls: false });
        let context = Context::with("FROM BASE\nRUN true\n");
        let config = docker_config(&registry.host(), "ada", &canary.value);
        let reference = format!("{}/team/web:1", registry.host());
        let agent = Agent::build().directory(context.path()).args(&["-d", &reference, "--builder", builder]);
        let run = agent.secret_dir("--registry-secret", "/secrets/registry", &[("config.json", &config)]).run().ok();
        let digest = registry.tag("team/web", "1").expect("the tag is there");
        assert_eq!(digest, run.digest());
    }
}

#[test]
fn a_registry_with_its_own_authority_is_pushed_to_and_read_back() {
    promise!(1, 6);
    let canary = Canary::token("password");
    let registry = Registry::start(&Demands { login: Some(("ada", &canary.value)), tls: true });
    let context = Context::with("FROM BASE\nRUN echo tls > /tls\n");
    let config = docker_config(&registry.host(), "ada", &canary.value);
    let reference = format!("{}/team/web:1", registry.host());
    let agent = Agent::build().directory(context.path()).args(&["-d", &reference]);
    let files = [("config.json", config.as_str()), ("ca.crt", &registry.ca())];
    let run = agent.secret_dir("--registry-secret", "/secrets/registry", &files).run().ok();
    assert_eq!(registry.tag("team/web", "1").as_deref(), Some(run.digest()));
}

/// As `docker login` writes it.
pub fn docker_config(host: &str, user: &str, password: &str) -> String {
    use base64::Engine as _;
    let auth = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
    serde_json::json!({"auths": {host: {"auth": auth}}}).to_string()
}
