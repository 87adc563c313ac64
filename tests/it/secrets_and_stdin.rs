//! What a request's own directories may lead to, and what a standard input that never ends may hold up.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::directory::destination;
use crate::harness::prelude::*;

const SOURCE: &str = "FROM scratch\nCOPY Dockerfile /\n";

/// A secret directory whose keys are these links.
fn links(dir: &Path, links: &[(&str, &str)]) {
    fs::create_dir(dir).unwrap();
    for (name, target) in links {
        symlink(target, dir.join(name)).unwrap();
    }
}

#[test]
fn no_link_in_a_registrys_secret_leads_out_of_what_may_be_read() {
    promise!(6);
    let canary = Canary::token("another volume's token");
    let table: [(&[(&str, &str)], Option<&str>); 4] = [
        (&[("config.json", "/proc/self/environ")], None),
        (&[("..data", "/proc/self"), ("config.json", "..data/environ")], None),
        (&[("config.json", "/other/token")], Some("/src,/secrets")),
        (&[("username", "/other/token"), ("password", "/other/token")], Some("/src,/secrets")),
    ];
    for (index, (keys, roots)) in table.into_iter().enumerate() {
        let context = Context::new().file("Dockerfile", SOURCE);
        let (reference, _) = destination("linked");
        let agent = Agent::build().directory(context.path()).args(&["-d", &reference, "--registry-secret", "/secrets/registry"]);
        let (secret, other) = (agent.dir.join("secret"), agent.dir.join("other"));
        links(&secret, keys);
        fs::create_dir(&other).unwrap();
        fs::write(other.join("token"), &canary.value).unwrap();
        let agent = agent.readable(&secret, "/secrets/registry").readable(&other, "/other").canary(&canary);
        let agent = roots.into_iter().fold(agent, |agent, roots| agent.env("PODWRIGHT_ALLOW_PATH", roots));
        let run = agent.run().failed(13, "NotPermitted", "prepare");
        assert_eq!(run.count("POST", "/build") + run.count("POST", "/session"), 0, "{index}: {}", run.story());
    }
}
