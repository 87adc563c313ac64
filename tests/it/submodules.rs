//! Submodules: what `git clone --recursive` makes, by the credentials of each place, and within bounds (promises 4 and 6; G8).

use crate::contexts::{ours, reference};
use crate::faults::Faulty;
use crate::git_source::PLAIN;
use crate::harness::git::git;
use crate::harness::prelude::*;
use crate::harness::proxy::{behind, hosts};
use crate::harness::run::Run;

fn context() -> String {
    format!("FROM {}\nCOPY . /src\n", base())
}

fn built(url: &str, more: &[&str]) -> Run {
    Agent::build().args(&["--no-push", "--git", url, "--submodules"]).args(&PLAIN).args(more).run()
}

#[test]
fn what_comes_out_is_what_clone_makes_recursively() {
    promise!(1, 4);
    let server = GitServer::start(&GitDemands::default());
    let innermost = server.repository("innermost");
    innermost.write("deep", "3");
    let old = innermost.commit("first");
    innermost.write("deep", "4");
    innermost.commit("not this one");
    let library = server.repository("library");
    library.write("lib.c", "int x;\n").write(".gitattributes", "*.c text\n");
    library.submodule("vendor/innermost", "../../innermost/.git", &old);
    let inner = library.commit_submodules("nested");
    library.write("lib.c", "moved on\n").commit("the branch goes on");
    let main = server.repository("main");
    main.write("Dockerfile", context()).write("lib.txt", "beside").write("lib/own/README", "x").write("zlast", "z");
    main.commit("first");
    main.submodule("lib/sub", "../../library/.git", &inner).submodule("again", &server.url(&library), &inner);
    main.commit_submodules("with submodules");
    let url = server.url(&main);
    let above = Engine::shared().new_dir("recursive");
    git(&above, &["clone", "-q", "--recursive", &url, "main"]);
    let cloned = above.join("main");
    std::fs::remove_dir_all(cloned.join(".git")).unwrap();
    for left in ["lib/sub/.git", "lib/sub/vendor/innermost/.git", "again/.git", "again/vendor/innermost/.git"] {
        std::fs::remove_file(cloned.join(left)).unwrap();
    }
    assert_eq!(std::fs::read_to_string(cloned.join("again/vendor/innermost/deep")).unwrap(), "3");
    for builder in builders() {
        let wanted = reference(&cloned, "submodules", builder, &[]);
        let (_, made) = ours(Agent::build().args(&["--git", &url, "--no-cache", "--submodules"]).args(&PLAIN), "submodules", builder);
        assert_same(&made, &wanted, &format!("{builder}: ours | clone's"));
    }
}

#[test]
fn a_submodule_of_another_host_has_a_credential_of_its_own() {
    promise!(6);
    let (main_word, other_word) = (Canary::new("main's password"), Canary::new("the other's password"));
    let main_server = GitServer::start(&GitDemands { login: Some(("ada", &main_word.value)), tls: true, ..GitDemands::default() });
    let other_server = GitServer::start(&GitDemands { login: Some(("bob", &other_word.value)), tls: true, ..GitDemands::default() });
    let library = other_server.repository("library");
    library.write("secret", "of another team");
    let commit = library.commit("first");
    let sibling = main_server.repository("sibling");
    sibling.write("file", "beside");
    let beside = sibling.commit("first");
    let main = main_server.repository("main");
    main.write("Dockerfile", context());
    main.commit("first");
    main.submodule("library", &other_server.url(&library), &commit).submodule("sibling", "../../sibling/.git", &beside);
    main.commit_submodules("with submodules");
    let url = main_server.url(&main);
    let build = |more: &[&str]| {
        let own = [("username", "ada"), ("password", main_word.value.as_str()), ("ca.crt", &main_server.ca())];
        let agent = Agent::build().args(&["--no-push", "--git", &url, "--submodules"]).args(more).canary(&main_word).canary(&other_word);
        agent.secret_dir("--source-secret", "/secrets/git", &own)
    };
    let place = format!("https://127.0.0.1:{}/git/", other_server.port());
    let others = [("username", "bob"), ("password", other_word.value.as_str()), ("ca.crt", &other_server.ca())];
    let given = |place: &str| build(&["--git-secret", &format!("{place}=/secrets/other")]).secret_files("/secrets/other", &others).run();
    given(&place).ok();
    // For another path of the same host it is not.
    let run = given(&format!("https://127.0.0.1:{}/elsewhere", other_server.port()));
    assert!(run.code != 0 && run.words().contains("the submodule library"), "{}", run.words());
    let asked = other_server.requests();
    assert!(asked.iter().all(|line| !line.contains(" ada ")), "the other host saw the first one's user: {asked:#?}");
}

#[test]
fn g8_what_a_repository_says_of_others_is_held_to_the_rules() {
    promise!(4);
    let server = GitServer::start(&GitDemands::default());
    let library = server.repository("library");
    library.write("file", "1");
    let commit = library.commit("first");
    let named = |name: &str, url: &str, commit: &str| {
        let main = server.repository(name);
        main.write("Dockerfile", context());
        main.commit("first");
        main.submodule("sub", url, commit).commit_submodules("second");
        server.url(&main)
    };
    let good = server.url(&library);
    let words = |run: Run, what: &str| assert!(run.words().contains(what) && run.words().contains("sub"), "{what}: {}", run.words());
    words(built(&named("local", "file:///etc", &commit), &[]).failed(25, "SourceRefused", "fetch"), "file://");
    words(built(&named("option", "--upload-pack=touch", &commit), &[]).failed(25, "SourceRefused", "fetch"), "hyphen");
    words(built(&named("daemon", "git://127.0.0.1/x", &commit), &[]).failed(13, "NotPermitted", "fetch"), "git-protocol");
    let metadata = "http://169.254.169.254/latest/x.git";
    words(built(&named("metadata", metadata, &commit), &[]).failed(25, "SourceRefused", "fetch"), "only this node can see");
    let metadata = "ssh://git@169.254.169.254/x.git";
    words(built(&named("metadata-ssh", metadata, &commit), &[]).failed(11, "SecretInvalid", "fetch"), "key");
    // The user's own address is a name: what listens on this pod's loopback is not for the repository to name.
    let other = GitServer::start(&GitDemands::default());
    let resolved = behind(&other.url(&other.repository("library")));
    for (name, url) in [("near", &good), ("resolved", &resolved)] {
        let near = Agent::build().args(&["--no-push", "--submodules", "--git", &behind(&named(name, url, &commit))]).args(&PLAIN);
        words(near.readable(&hosts(), "/etc/hosts").run().failed(25, "SourceRefused", "fetch"), "this pod itself");
    }
    let missing = "7".repeat(40);
    words(built(&named("missing", &good, &missing), &[]).failed(22, "RevisionNotFound", "fetch"), &missing);
    let gone = good.replace("/library/", "/nowhere/");
    words(built(&named("gone", &gone, &commit), &[]).failed(20, "SourceNotFound", "fetch"), &gone);
    let unmapped = server.repository("unmapped");
    unmapped.write("Dockerfile", context());
    unmapped.commit("first");
    unmapped.git(&["update-index", "--add", "--cacheinfo", &format!("160000,{commit},sub")]);
    unmapped.commit_submodules("second");
    words(built(&server.url(&unmapped), &[]).failed(25, "SourceRefused", "fetch"), ".gitmodules");
}

#[test]
fn g8_submodules_are_bounded_in_number_and_in_depth() {
    promise!(8);
    let server = GitServer::start(&GitDemands::default());
    let chain = server.repository("chain");
    chain.write("Dockerfile", context());
    let mut commit = chain.commit("0");
    // Each commit has the one before as its submodule: as deep as the repository is old.
    for n in 1..12 {
        chain.git(&["rm", "-q", "--cached", "--ignore-unmatch", "self"]);
        let _ = std::fs::remove_file(chain.dir.join(".gitmodules"));
        chain.submodule("self", &server.url(&chain), &commit);
        commit = chain.commit_submodules(&n.to_string());
    }
    let run = built(&server.url(&chain), &[]).failed(25, "SourceRefused", "fetch");
    assert!(run.words().contains("limits.submoduleDepth (--limit-submodule-depth) of 8"), "{}", run.words());
    built(&server.url(&chain), &["--limit-submodule-depth", "11"]).ok();
    let run = built(&server.url(&chain), &["--limit-submodules", "3"]).failed(25, "SourceRefused", "fetch");
    assert!(run.words().contains("limits.submodules (--limit-submodules) of 3"), "{}", run.words());
}

#[test]
fn submodules_of_one_host_share_its_connections() {
    promise!(8);
    let server = GitServer::start(&GitDemands::default());
    let faulty = Faulty::before(server.port());
    let library = server.repository("library");
    library.write("file", "1");
    let commit = library.commit("first");
    let main = server.repository("main");
    main.write("Dockerfile", context());
    main.commit("first");
    for n in 0..20 {
        main.submodule(&format!("sub{n}"), "../../library/.git", &commit);
    }
    main.commit_submodules("second");
    let url = server.url(&main).replace(&server.port().to_string(), &faulty.port.to_string());
    built(&url, &[]).ok();
    // A list and a pack of each; one connection may break.
    assert!(faulty.relay.calls().len() >= 40 && faulty.relay.accepted() <= 4, "{}", faulty.relay.accepted());
}
