//! What RUN steps may mount: secrets and agents of ssh. They reach the step, and nothing of them stays anywhere.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use podwright::engine::BuildOption as O;

use crate::harness::prelude::*;
use crate::harness::ssh::Key;
use crate::options::{Cell, became, cell};

/// A step that shows a secret to a digest and to the log, where it must be masked.
const SHOWING: &str = "FROM BASE
RUN --mount=type=secret,id=npm --mount=type=secret,id=tok sha256sum < /run/secrets/npm > /npm && sha256sum < /run/secrets/tok > /tok \
&& cat /run/secrets/npm /run/secrets/tok && test ! -s /run/secrets/none
RUN test ! -s /run/secrets/npm
";

fn hash(content: &str) -> Vec<u8> {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(content.as_bytes());
    format!("{digest:x}  -\n").into_bytes()
}

#[test]
fn d6_secrets_reach_the_step_that_mounts_them_and_nothing_else() {
    promise!(1, 6);
    for builder in builders() {
        let (file, variable) = (Canary::token("npm"), Canary::token("tok"));
        let context = Context::with(SHOWING);
        let given = cell(O::Secrets, builder, &context, |agent| {
            agent.secret_files("/secrets/build", &[("token", &file.value)]).env("A_TOKEN", &variable.value).canary(&variable).args(&[
                // Of a secret no cache knows anything.
                "--no-cache",
                "--secret",
                "id=npm,src=/secrets/build/token",
                "--secret",
                "id=tok,env=A_TOKEN",
            ])
        });
        let honoured = became(O::Secrets, builder, given, |run, image| {
            // Masked, and not merely missing.
            assert!(run.story().contains("[redacted]"), "{}", run.story());
            image.assert_holds_no(&[file.clone(), variable.clone()]);
            image.holds("npm", &hash(&file.value)) && image.holds("tok", &hash(&variable.value))
        });
        assert_eq!(honoured, builder == "buildkit");
    }
}

#[test]
fn a_secret_that_is_not_given_or_not_there_is_named() {
    promise!(6);
    let context = Context::with("FROM BASE\nRUN --mount=type=secret,id=npm,required=true cat /run/secrets/npm\n");
    let agent = || Agent::build().directory(context.path()).args(&["--no-push", "-t", "none", "--builder", "buildkit"]);
    if Engine::shared().podman {
        // There is no BuildKit whose mounts could be asked for.
        agent().run().failed(12, "Unsupported", "prepare");
        return;
    }
    let run = agent().run().failed(40, "BuildRejected", "build");
    assert!(run.words().contains("npm") && run.words().contains("build.secrets"), "{}", run.words());
    let run = agent().args(&["--secret", "id=npm,src=/secrets/gone"]).run().failed(11, "SecretInvalid", "build");
    assert!(run.words().contains("/secrets/gone"), "{}", run.words());
    for (secret, code, reason) in [
        ("id=npm,src=/proc/1/environ", 13, "NotPermitted"),
        ("id=npm,env=DOCKER_AUTH_CONFIG", 10, "RequestInvalid"),
        ("id=npm,env=NONE", 10, "RequestInvalid"),
    ] {
        agent().args(&["--secret", secret]).env("DOCKER_AUTH_CONFIG", "{}").run().failed(code, reason, "prepare");
    }
}

/// Asks an agent of ssh for its keys, and to forget them all: prints how many there are, and each first byte of an answer.
const ASKING: &str = r#"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
static unsigned char answer[65536];
static void ask(int fd, unsigned char type) {
    unsigned char packet[5] = {0, 0, 0, 1, type}, head[4];
    if (write(fd, packet, 5) != 5 || read(fd, head, 4) != 4) exit(3);
    unsigned length = head[2] << 8 | head[3], have = 0;
    while (have < length) {
        long got = read(fd, answer + have, length - have);
        if (got <= 0) exit(4);
        have += got;
    }
}
int main(void) {
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    strncpy(at.sun_path, getenv("SSH_AUTH_SOCK"), sizeof at.sun_path - 1);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&at, sizeof at)) return 2;
    ask(fd, 19);
    printf("%d ", answer[0]);
    ask(fd, 11);
    printf("%d %d\n", answer[0], answer[4]);
    return 0;
}
"#;

/// A context whose step writes down what the agent said.
fn asking() -> Context {
    let context = Context::with("FROM BASE\nCOPY ask /ask\nRUN --mount=type=ssh /ask > /x\n")
        .file("required", format!("FROM {}\nRUN --mount=type=ssh,required=true true\n", base()));
    let source = context.path().join("ask.c");
    fs::write(&source, ASKING).unwrap();
    let ask = context.path().join("ask");
    succeeded(Command::new("cc").args(["-static", "-o"]).arg(&ask).arg(&source));
    fs::set_permissions(&ask, fs::Permissions::from_mode(0o755)).unwrap();
    context
}

#[test]
fn d6_a_step_may_sign_with_the_keys_it_is_lent_and_cannot_change_them() {
    promise!(1, 6);
    let context = asking();
    let key = Key::new_in(&Engine::shared().new_dir("k"), "lent", "ed25519", &[]);
    for builder in builders() {
        let lent = cell(O::Ssh, builder, &context, |agent| {
            agent
                .secret_files("/secrets/git", &[("ssh-privatekey", &key.private())])
                .args(&["--ssh", "default=/secrets/git/ssh-privatekey"])
        });
        // To forget its keys it refused (5); it has one (12, 1).
        assert_eq!(became(O::Ssh, builder, lent, |_, image| image.holds("x", b"5 12 1\n")), builder == "buildkit");
    }
    let Cell::Refused = cell(O::Ssh, "classic", &context, |agent| agent.args(&["--ssh", "default=/none"])) else { panic!("classic") };
    if Engine::shared().podman {
        return;
    }
    let none = Agent::build().directory(context.path()).args(&["--no-push", "-t", "none", "--no-cache", "--builder", "buildkit"]);
    let run = none.run().failed(42, "StepFailed", "build");
    let notices = run.events_named("notice");
    assert!(notices.iter().any(|notice| notice.data["message"].as_str().unwrap().contains("build.ssh")), "{}", run.story());
    let required = Agent::build().directory(context.path()).args(&["--no-push", "-t", "none", "-f", "required", "--builder", "buildkit"]);
    let run = required.run().failed(40, "BuildRejected", "build");
    assert!(run.words().contains("build.ssh"), "{}", run.words());
}
