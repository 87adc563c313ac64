//! What a request may not say, and what it gets for it: before the daemon is asked for anything.

use crate::harness::prelude::*;

const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

#[test]
fn d3_a_frontend_that_nobody_allowed_never_reaches_the_daemon() {
    promise!(7);
    let plain = "FROM scratch\nCOPY Dockerfile /\n";
    let named = Context::new().file("Dockerfile", format!("# syntax=evil.example/x:1\n{plain}"));
    let clean = Context::new().file("Dockerfile", plain);
    for (context, more) in [(&named, &[][..]), (&clean, &["--build-arg", "BUILDKIT_SYNTAX=evil.example/x:1"])] {
        let agent = Agent::build().directory(context.path()).args(&["--no-push", "--builder", "buildkit"]).args(more);
        if Engine::shared().podman && more.is_empty() {
            // What has no BuildKit asks for no frontend.
            agent.run().failed(12, "Unsupported", "prepare");
            continue;
        }
        let run = agent.run().ended(13, "NotPermitted");
        assert!(run.words().contains("frontend="), "{}", run.words());
        assert_eq!(run.count("POST", "/build") + run.count("POST", "/session") + run.count("POST", "/grpc"), 0, "{}", run.story());
    }
}

#[test]
fn d9_the_pods_own_token_is_no_file_for_a_request() {
    promise!(6);
    let canary = Canary::token("service account's token");
    let context = Context::new().file("Dockerfile", "FROM scratch\nCOPY token /\n").file("token", &canary.value);
    let (dir, reference) = (TOKEN.strip_suffix("/token").unwrap(), "127.0.0.1:5000/a/b:1");
    let requests = [
        &["--archive", TOKEN, "--no-push"][..],
        &["--directory", dir, "--no-push"],
        &["--directory", "/var/run/secrets", "--no-push"],
        &["--git", "https://git.example.com/a/b.git", "--source-secret", dir, "--no-push"],
        &["--directory", "/src", "--registry-secret", dir, "-d", reference],
        &["--directory", "/proc/self/task", "--no-push"],
        &["--archive", "/src/../proc/self/environ", "--no-push"],
    ];
    for arguments in requests {
        let agent = Agent::build().args(arguments).canary(&canary);
        let run = agent.readable(context.path(), "/src").readable(&context.path().join("token"), TOKEN).run();
        let run = run.failed(13, "NotPermitted", "prepare");
        assert!(run.calls.is_empty(), "{}", run.story());
    }
}

#[test]
fn d2_the_nodes_network_is_the_operators_to_give() {
    promise!(7);
    let context = Context::new().file("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    let run = Agent::build().directory(context.path()).args(&["--no-push", "--network", "host"]).run();
    let run = run.failed(13, "NotPermitted", "prepare");
    assert!(run.calls.is_empty(), "{}", run.story());
    assert!(run.words().contains("host-network"), "{}", run.words());
}

#[test]
fn a_field_that_nobody_knows_is_named_with_what_was_meant() {
    let run = |name: &str, value: &str| {
        let agent = Agent::command(&["build", "--progress", "json", "--result-file", "/out/result.json"]);
        agent.env(name, value).run().failed(10, "RequestInvalid", "prepare")
    };
    for (request, parts) in [
        ("{sourse: {directory: /src}, push: none}", &["sourse", "did you mean source"][..]),
        ("{source: {git: {url: 'https://a.example/b.git', revision: x}}, push: none}", &["source.git.revision"]),
        ("{source: {directory: /src}, push: {destination: ['a.example/b:1']}}", &["push.destination", "destinations"]),
        ("source: [", &["PODWRIGHT_REQUEST"]),
        ("{source: {directory: /src}, source: {directory: /other}, push: none}", &["source"]),
    ] {
        let run = run("PODWRIGHT_REQUEST", request);
        for part in parts {
            assert!(run.words().contains(part), "{part:?} is not in: {}", run.words());
        }
        assert!(run.calls.is_empty() && run.result.is_some(), "{}", run.story());
    }
    let words = run("PODWRIGHT_RESULT_FIEL", "/out/other.json").words();
    assert!(words.contains("PODWRIGHT_RESULT_FILE"), "{words}");
}

#[test]
fn a_dockerfile_that_cannot_be_parsed_is_the_dockerfiles_fault_with_both_builders() {
    promise!(5);
    for text in
        ["FROM scratch\nCOPY only\n", "FROM scratch\nRUN --no-such-flag true\n", "FROM\n", "COPY a /\n", "# nothing but words\n", ""]
    {
        for builder in builders() {
            let context = Context::new().file("Dockerfile", text).file("a", "");
            let run = Agent::build().directory(context.path()).args(&["--no-push", "--builder", builder]).run();
            assert_eq!(run.code, 41, "{builder}, {text:?}: {}", run.story());
            run.failed(41, "DockerfileInvalid", "build");
        }
    }
}

#[test]
fn d7_a_context_travels_in_chunks_and_no_other_call_has_a_body() {
    promise!(7);
    let context = Context::new().file("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n");
    for builder in builders() {
        let (reference, _) = crate::directory::destination(&format!("chunks-{builder}"));
        let run = Agent::build().directory(context.path()).args(&["-d", &reference, "--builder", builder]).run().ok();
        for call in &run.calls {
            let told = builder == "classic" && call.is("POST", "/build");
            assert_eq!((call.chunked, call.request_bytes > 0), (told, told), "{builder}: {call:?}");
            assert!(call.length.as_deref().is_none_or(|length| length == "0"), "{builder}: {call:?}");
        }
        assert_eq!(run.count("POST", "/build"), 1);
    }
}
