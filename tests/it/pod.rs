//! What is the pod's stays in the pod: a build is given its source and nothing else (D9; CVE-2021-3344 was a builder that mounted its
//! own credentials into every image it made).

use std::process::Command;

use crate::directory::destination;
use crate::failures::docker_config;
use crate::harness::prelude::*;
use crate::harness::run::Run;

const IDENTITY: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// A pod full of secrets: its own identity, credentials in files and in the environment. The harness looks for each of them in
/// everything that a run says, asks for and makes, the pushed image among it.
struct Pod {
    token: Canary,
    stray: Canary,
    inline: Canary,
    file: Canary,
}

impl Pod {
    fn new() -> Self {
        let canary = |name: &str| Canary::token(name);
        Self { token: canary("identity"), stray: canary("variable"), inline: canary("inline login"), file: canary("login in a file") }
    }

    fn all(&self) -> [Canary; 4] {
        [&self.token, &self.stray, &self.inline, &self.file].map(Canary::clone)
    }

    /// Builds in it with these arguments, and gives the image.
    fn build(&self, agent: Agent, reference: &str, builder: &str) -> (Run, Image) {
        let agent = self.all().iter().fold(agent, Agent::canary);
        let file = docker_config(&Registry::shared().host(), "ada", &self.file.value);
        let agent = agent
            .secret_files(IDENTITY, &[("token", &self.token.value), ("ca.crt", "the cluster's")])
            .secret_dir("--registry-secret", "/secrets/registry", &[("config.json", &file)])
            .secret_files("/secrets/unnamed", &[("password", &self.token.value)])
            .env("STRAY_TOKEN", &self.stray.value)
            .env("DOCKER_AUTH_CONFIG", &docker_config("registry.example", "ada", &self.inline.value));
        let run = agent.args(&["-d", reference, "--builder", builder, "--no-cache"]).run().ok();
        let image = Image::in_registry(Registry::shared(), run.digest());
        image.assert_holds_no(&self.all());
        (run, image)
    }
}

#[test]
fn d9_an_image_of_everything_holds_the_source_and_nothing_of_the_pod() {
    promise!(6);
    let pod = Pod::new();
    let mut context = Context::new().file("Dockerfile", "FROM scratch\nCOPY . /\n").file("text", "of the source").dir("run");
    if !Engine::shared().podman {
        // Such a link is a link: nobody follows it, on this side or on the node's.
        context = context.link("run/secrets", "/var/run/secrets").link("token", format!("{IDENTITY}/token"));
    }
    let tar = Command::new("tar").arg("-cf-").arg("-C").arg(context.path()).arg(".").output().unwrap().stdout;
    for builder in builders() {
        let (reference, _) = destination(&format!("pod-directory-{builder}"));
        let (_, image) = pod.build(Agent::build().directory(context.path()), &reference, builder);
        assert_same(&image.flattened(), &on_disk(context.path()), builder);
        let (reference, _) = destination(&format!("pod-archive-{builder}"));
        let (_, image) = pod.build(Agent::build().args(&["--archive", "-"]).stdin(&tar), &reference, builder);
        assert_same(&image.flattened(), &on_disk(context.path()), builder);
    }
}

#[test]
fn d9_a_step_sees_no_mount_and_no_variable_of_the_pod() {
    promise!(6);
    let pod = Pod::new();
    let dockerfile = "FROM BASE\nRUN env > /env; cat /proc/self/mountinfo > /mounts; \
                      ls -R /secrets /run/secrets /var/run/secrets /var/run/docker.sock /workspace /src > /found 2>/dev/null; true\n";
    let context = Context::with(dockerfile);
    for builder in builders() {
        let (reference, _) = destination(&format!("pod-step-{builder}"));
        let (run, image) = pod.build(Agent::build().directory(context.path()), &reference, builder);
        assert!(image.holds("found", b""), "{builder}\n{}", run.story());
        assert!(image.flattened().contains_key(&b"env"[..]) && image.flattened().contains_key(&b"mounts"[..]));
    }
}
