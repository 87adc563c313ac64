//! The one writable directory (promise 9): said where it is missing, read-only or full, by every source that needs one.

use crate::archives::tarball;
use crate::harness::prelude::*;

/// A source that needs a workspace: so many bytes that no compression makes small, from git or as an archive.
fn source(of: &str, server: &GitServer, bytes: usize) -> Agent {
    let mut noise = vec![0; bytes];
    getrandom::fill(&mut noise).unwrap();
    if of == "archive" {
        let context = Context::new().file("Dockerfile", "FROM scratch\nCOPY . /\n").file("noise", noise);
        return Agent::build().args(&["--no-push", "--strip-components", "1", "--archive", "-"]).stdin(&tarball(&context, false));
    }
    let repository = server.repository(&format!("noise{bytes}"));
    repository.write("Dockerfile", "FROM scratch\nCOPY . /\n").write("noise", noise);
    repository.commit("first");
    Agent::build().args(&["--no-push", "--git", &server.url(&repository), "--allow", "plain-http"])
}

#[test]
fn a_workspace_that_is_missing_or_read_only_is_said_where_one_is_needed() {
    promise!(9);
    let server = GitServer::start(&GitDemands::default());
    for of in ["archive", "git"] {
        for (workspace, word) in [(Workspace::Missing, "is not there"), (Workspace::ReadOnly, "cannot write")] {
            let run = source(of, &server, 100).workspace(workspace).run().failed(10, "RequestInvalid", "prepare");
            assert!(run.words().contains("/workspace") && run.words().contains(word), "{of}: {}", run.words());
        }
    }
}

#[test]
fn a_full_workspace_is_said() {
    promise!(9);
    let server = GitServer::start(&GitDemands::default());
    for of in ["archive", "git"] {
        let run = source(of, &server, 4 << 20).workspace(Workspace::Small("1m")).run().failed(27, "WorkspaceFull", "fetch");
        assert!(run.words().contains("/workspace"), "{of}: {}", run.words());
        assert_eq!(run.count("POST", "/build"), 0, "{}", run.story());
    }
}
