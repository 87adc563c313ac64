//! git over http and https: exactly the commit that was asked for (promise 4), or a failure that says why.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use crate::contexts::{assert_kept_or_refused, ours, reference};
use crate::directory::destination;
use crate::faults::Faulty;
use crate::harness::git::{Repository, git};
use crate::harness::prelude::*;
use crate::harness::run::Run;

pub const PLAIN: [&str; 2] = ["--allow", "plain-http"];

#[test]
fn what_is_not_there_is_said_by_its_own_reason_and_named() {
    promise!(4);
    let server = GitServer::start(&GitDemands::default());
    let repository = server.repository("web");
    repository.write("Dockerfile", "FROM scratch\nCOPY . /\n");
    repository.commit("first");
    let url = server.url(&repository);
    let build = |url: &str, reference: &str| Agent::build().args(&["--no-push", "--git", url, "--ref", reference]).args(&PLAIN).run();
    let named = |run: Run, part: &str| assert!(run.words().contains(part), "{part} is not in: {}", run.words());
    named(build(&url, "no-such-branch").failed(22, "RevisionNotFound", "fetch"), "no-such-branch");
    let wrong = url.replace("/web/", "/wob/");
    named(build(&wrong, "main").failed(20, "SourceNotFound", "fetch"), &wrong);
    let nobody = format!("http://127.0.0.1:{}/x.git", crate::harness::process::new_port());
    named(build(&nobody, "main").failed(23, "SourceUnavailable", "fetch"), &nobody);
    named(Agent::build().args(&["--no-push", "--git", &url]).run().failed(13, "NotPermitted", "prepare"), "plain-http");
}

#[test]
fn a_login_goes_to_its_server_over_tls_and_nowhere_else() {
    promise!(6);
    let canary = Canary::new("password");
    let server = GitServer::start(&GitDemands { login: Some(("ada", &canary.value)), tls: true, ..GitDemands::default() });
    let repository = server.repository("web");
    repository.write("Dockerfile", "FROM scratch\nCOPY . /\n").write("text", "private");
    repository.commit("first");
    let (ca, url) = (server.ca(), server.url(&repository));
    let build = |url: &str, files: &[(&str, &str)]| {
        let (reference, _) = destination("git-login");
        Agent::build().args(&["-d", &reference, "--git", url]).secret_dir("--source-secret", "/secrets/git", files).canary(&canary).run()
    };
    build(&url, &[("username", "ada"), ("password", &canary.value), ("ca.crt", &ca)]).ok();
    let wrong = Canary::new("wrong password");
    build(&url, &[("username", "ada"), ("password", &wrong.value), ("ca.crt", &ca)]).failed(21, "SourceAuth", "fetch");
    // By an authority that nobody named.
    let run = build(&url, &[("username", "ada"), ("password", &canary.value)]).failed(25, "SourceRefused", "fetch");
    assert!(run.words().contains("ca.crt"), "{}", run.words());
    let mut in_url = url::Url::parse(&url).unwrap();
    in_url.set_username("ada").unwrap();
    in_url.set_password(Some(&canary.value)).unwrap();
    let run = build(in_url.as_str(), &[("ca.crt", &ca)]).ok();
    assert_eq!(run.document()["source"]["url"], url);
    let requests = server.requests();
    let refused = requests.iter().filter(|line| line.contains(" 401 ")).count();
    assert!(refused <= 6, "a refused login is tried without end: {requests:#?}");
}

#[test]
fn a_redirect_to_another_host_takes_no_credentials_along() {
    promise!(6);
    let canary = Canary::new("password");
    let trap = GitServer::start(&GitDemands { tls: true, ..GitDemands::default() });
    let repository = trap.repository("web");
    repository.write("Dockerfile", "FROM scratch\nCOPY . /\n");
    repository.commit("first");
    let server =
        GitServer::start(&GitDemands { login: Some(("ada", &canary.value)), tls: true, sends_on_to: Some(&trap), ..GitDemands::default() });
    let url = server.url(&repository);
    let both = format!("{}{}", server.ca(), trap.ca());
    let agent = Agent::build().args(&["--no-push", "--git", &url]);
    agent.secret_dir("--source-secret", "/secrets/git", &[("username", "ada"), ("password", &canary.value), ("ca.crt", &both)]).run().ok();
    let sent_on = server.requests();
    assert!(sent_on.iter().any(|line| line.contains(" 301 ada Basic ")), "the login never reached its own server: {sent_on:#?}");
    let trapped = trap.requests();
    assert!(trapped.iter().any(|line| line.starts_with("POST /git/web/.git/git-upload-pack 200")), "nobody came: {trapped:#?}");
    assert!(trapped.iter().all(|line| line.ends_with(" - -")), "a credential came along: {trapped:#?}");
}

#[test]
fn a_server_that_keeps_failing_is_tried_three_times_and_its_last_words_are_told() {
    promise!(8);
    let faulty = Faulty::alone();
    let path = "/git/web/.git/info/refs";
    for (times, status, words) in [(1, 503, "the first words"), (1, 502, "the second words"), (usize::MAX, 500, "the last words")] {
        faulty.relay.answer_with(times, "GET", path, status, &[("content-type", "text/plain")], words);
    }
    let url = format!("http://{}/git/web/.git", faulty.host());
    let run = Agent::build().args(&["--no-push", "--git", &url]).args(&PLAIN).run();
    let run = run.failed(23, "SourceUnavailable", "fetch");
    assert_eq!(faulty.relay.count("GET", path), 3, "{}", run.story());
    assert!(run.words().contains("500") && run.words().contains("the last words"), "{}", run.words());
    let said: Vec<_> = run.events_named("notice").iter().map(|notice| notice.data["message"].as_str().unwrap().to_owned()).collect();
    for (number, (status, words)) in [("503", "the first words"), ("502", "the second words")].iter().enumerate() {
        let told = |text: &String| text.contains(&format!("try {} of 3", number + 1)) && text.contains(status) && text.contains(words);
        assert_eq!(said.iter().filter(|text| told(text)).count(), 1, "{said:#?}");
    }
}

/// What `git clone` makes of a repository, at a commit of it, without the repository's own files.
pub fn clone(url: &str, commit: &str) -> PathBuf {
    let dir = Engine::shared().new_dir("clone");
    git(&dir, &["clone", "-q", url, "."]);
    git(&dir, &["checkout", "-q", "--detach", commit]);
    fs::remove_dir_all(dir.join(".git")).unwrap();
    dir
}

/// A repository with all that git keeps of a tree.
fn everything_git_keeps(server: &GitServer) -> Repository {
    let repository = server.repository("kept");
    repository.write("Dockerfile", format!("FROM {}\nCOPY . /src\n", base())).write("text", "old").write("bin/run.sh", "#!/bin/sh\n");
    repository.write("empty", "").write(" new\nline ", "1").write("ünïcode", "2").write("-rf", "3").write("a/b/c/d/e", "4");
    repository
        .write("foo/x", "5")
        .write("foo.txt", "6")
        .write("foo-a", "7")
        .write("text.crlf", "stays\r\n")
        .write(".dockerignore", "*.log\n");
    repository
        .write("a.log", "8")
        .write(".gitattributes", "*.bin -text\n*.rs diff=rust\n*.bat eol=crlf\n*.c ident\n")
        .write("data.bin", [0, 1, 2, 13, 10]);
    repository.write("run.bat", "echo off\r\necho on\r\n").write("main.c", "/* $Id$ */\n");
    fs::set_permissions(repository.dir.join("bin/run.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    for (name, target) in [("link", "a/b"), ("dangling", "no/such"), ("absolute", "/etc/passwd"), ("loop", "loop")] {
        symlink(target, repository.dir.join(name)).unwrap();
    }
    repository
}

#[test]
fn a_commit_becomes_the_image_that_clone_and_dockers_own_command_make() {
    promise!(1, 4);
    let server = GitServer::start(&GitDemands::default());
    let repository = everything_git_keeps(&server);
    repository.commit("first");
    repository.submodule("vendored", "https://git.invalid/vendored.git", &"5".repeat(40)).commit_submodules("with a submodule");
    let url = server.url(&repository);
    let cloned = clone(&url, "HEAD");
    assert!(cloned.join("vendored").is_dir(), "the oracle has no submodule");
    for builder in builders() {
        let wanted = reference(&cloned, "git", builder, &[]);
        let (run, made) = ours(Agent::build().args(&["--git", &url, "--no-cache"]).args(&PLAIN), "git-clone", builder);
        assert_same(&made, &wanted, &format!("{builder}: ours | clone's"));
        assert!(run.events_named("notice").iter().any(|notice| notice.data["message"].as_str().unwrap().contains("vendored")));
    }
}

#[test]
fn a_name_in_git_that_is_no_utf8_keeps_its_bytes() {
    promise!(4);
    let server = GitServer::start(&GitDemands::default());
    let repository = server.repository("latin");
    repository.write("Dockerfile", format!("FROM {}\nCOPY . /src\n", base()));
    repository.write(OsStr::from_bytes(b"caf\xe9/\xff"), "1");
    repository.commit("first");
    let url = server.url(&repository);
    for builder in builders() {
        let agent = Agent::build().args(&["--git", &url]).args(&PLAIN);
        assert_kept_or_refused(agent, "git-latin", builder, &on_disk(&clone(&url, "HEAD")));
    }
}

#[test]
fn a_branch_a_tag_and_a_commit_alone_are_each_what_a_checkout_of_them_is() {
    promise!(4);
    let server = GitServer::start(&GitDemands::default());
    let repository = everything_git_keeps(&server);
    let old = repository.commit("old");
    repository.git(&["tag", "light"]);
    repository.git(&["tag", "-a", "v1", "-m", "annotated"]);
    repository.git(&["checkout", "-q", "-b", "feature/x"]);
    repository.write("text", "side");
    let side = repository.commit("side");
    repository.git(&["checkout", "-q", "main"]);
    repository.write("text", "new");
    let new = repository.commit("new");
    let url = server.url(&repository);
    let check_at = |url: &str, number: &str, arguments: &[&str], commit: &str| {
        let mut wanted = on_disk(&clone(url, commit));
        wanted.remove(&b"a.log"[..]);
        let (run, made) = ours(Agent::build().args(&["--git", url]).args(arguments).args(&PLAIN), &format!("git-ref-{number}"), builder());
        assert_eq!(run.document()["source"]["commit"], commit, "{arguments:?}");
        assert_same(&made, &wanted, &format!("{arguments:?}"));
        let image = Image::in_registry(Registry::shared(), run.digest());
        assert_eq!(image.label("org.opencontainers.image.revision"), Some(commit), "{arguments:?}");
    };
    let check = |number: &str, arguments: &[&str], commit: &str| check_at(&url, number, arguments, commit);
    // One after the other on one node: none is given the files of the one before.
    check("1", &["--ref", "main"], &new);
    check("2", &["--ref", "feature/x"], &side);
    check("3", &["--ref", "light"], &old);
    check("4", &["--ref", "v1", "--commit", &old], &old);
    check("5", &["--commit", &side], &side);
    check("6", &["--ref", "refs/heads/main"], &new);
    // No ref leads there by itself: by version 2 of the protocol, and by version 0 where the server gives any commit and where not.
    repository.git(&["tag", "-d", "light", "v1"]);
    check("7", &["--commit", &old], &old);
    let more = "setenv.add-environment = (\"GIT_PROTOCOL\" => \"version=0\")\n".to_owned();
    let server = GitServer::start(&GitDemands { more, ..GitDemands::default() });
    let copy = server.repository("copy");
    copy.git(&["pull", "-q", &repository.dir.display().to_string(), "main"]);
    copy.git(&["config", "uploadpack.allowReachableSHA1InWant", "true"]);
    check_at(&server.url(&copy), "8", &["--commit", &old], &old);
    copy.git(&["config", "uploadpack.allowReachableSHA1InWant", "false"]);
    check_at(&server.url(&copy), "9", &["--commit", &old], &old);
    let apart = copy.git(&["commit-tree", "-m", "in no branch", "HEAD^{tree}"]);
    let run = Agent::build().args(&["--no-push", "--git", &server.url(&copy), "--commit", apart.trim()]).args(&PLAIN).run();
    run.failed(22, "RevisionNotFound", "fetch");
}

#[test]
fn a_ref_that_has_moved_from_its_pinned_commit_is_not_built() {
    promise!(4);
    let server = GitServer::start(&GitDemands::default());
    let repository = everything_git_keeps(&server);
    let old = repository.commit("old");
    repository.write("text", "new");
    let new = repository.commit("new");
    let url = server.url(&repository);
    let run = Agent::build().args(&["--no-push", "--git", &url, "--ref", "main", "--commit", &old]).args(&PLAIN).run();
    let run = run.failed(22, "RevisionNotFound", "fetch");
    assert!(run.words().contains(&old) && run.words().contains(&new), "{}", run.words());
    assert_eq!(run.count("POST", "/build"), 0);
}

#[test]
fn a_subdir_is_the_context_and_none_is_reached_through_a_link() {
    promise!(4);
    let server = GitServer::start(&GitDemands::default());
    let repository = everything_git_keeps(&server);
    repository.write("services/web/Dockerfile", format!("FROM {}\nCOPY . /src\n", base())).write("services/web/page", "1");
    symlink("services", repository.dir.join("alias")).unwrap();
    repository.commit("first");
    let url = server.url(&repository);
    let wanted = on_disk(&clone(&url, "HEAD").join("services/web"));
    let agent = |subdir: &str| Agent::build().args(&["--git", &url, "--subdir", subdir]).args(&PLAIN);
    for builder in builders() {
        assert_same(&ours(agent("services/web"), "git-subdir", builder).1, &wanted, builder);
    }
    for subdir in ["alias/web", "alias"] {
        let run = agent(subdir).args(&["--no-push"]).run().failed(25, "SourceRefused", "fetch");
        assert!(run.words().contains(subdir) && run.words().contains("link"), "{}", run.words());
    }
    agent("services/wob").args(&["--no-push"]).run().failed(20, "SourceNotFound", "fetch");
}

#[test]
fn a_file_that_cannot_be_had_as_a_checkout_gives_it_is_refused_by_path_and_attribute() {
    promise!(4);
    let pointer = format!("version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize 12345\n", "ab".repeat(32));
    let table = [
        ("lfs", "*.mp4 filter=lfs\n", "media/film.mp4", pointer.as_str(), "LFS"),
        ("utf16", "*.reg working-tree-encoding=UTF-16LE\n", "win/a.reg", "x\0\n\0", "working-tree-encoding=UTF-16LE"),
        ("filter", "*.key filter=git-crypt\n", "keys/a.key", "x\n", "filter=git-crypt"),
    ];
    let server = GitServer::start(&GitDemands::default());
    for (name, attributes, path, content, word) in table {
        let repository = server.repository(name);
        repository.write("Dockerfile", format!("FROM {}\nCOPY . /src\n", base())).write("plain", "1").write(path, content);
        repository.commit("first");
        // Committed as it is: the attribute comes after the file.
        repository.write(".gitattributes", attributes);
        repository.commit("attributes");
        let url = server.url(&repository);
        let agent = || Agent::build().args(&["--git", &url, "--lfs", "refuse"]).args(&PLAIN);
        for builder in builders() {
            let run = agent().args(&["--no-push", "--builder", builder]).run().ended(25, "SourceRefused");
            assert!(run.words().contains(path) && run.words().contains(word), "{name}, {builder}: {}", run.words());
        }
        // What is not shipped stops nothing.
        repository.write(".dockerignore", format!("{}\n", Path::new(path).parent().unwrap().display()));
        repository.commit("ignored");
        for builder in builders() {
            let (_, made) = ours(agent(), &format!("git-ignored-{name}"), builder);
            assert!(made.contains_key(&b"plain"[..]) && !made.contains_key(path.as_bytes()), "{name}, {builder}");
        }
    }
}

#[test]
fn a_git_dir_goes_into_the_context_and_the_url_says_what_to_build() {
    promise!(4);
    let server = GitServer::start(&GitDemands::default());
    let repository = server.repository("kept.git");
    repository
        .write("Dockerfile", "FROM scratch\nCOPY . /src\n")
        .write("text", "1")
        .write("below/Dockerfile", "FROM scratch\nCOPY . /src\n");
    repository.write("below/text", "below");
    repository.commit("first");
    repository.git(&["tag", "-a", "-m", "signed off", "v1"]);
    repository.write("text", "2");
    repository.commit("second");
    let url = server.url(&repository);
    let mut made = Vec::new();
    for builder in builders() {
        let (reference, _) = destination("keep-git-dir");
        let agent = Agent::build().args(&[&format!("{url}?ref=main"), "--keep-git-dir", "--history", "2", "-d", &reference]);
        let run = agent.args(&["--builder", builder]).args(&PLAIN).run().ok();
        let image = Image::in_registry(Registry::shared(), run.digest());
        assert!(image.holds("src/text", b"2") && image.holds("src/.git/HEAD", b"ref: refs/heads/main\n"));
        made.push(image.below("src"));
    }
    for pair in made.windows(2) {
        assert_same(&pair[0], &pair[1], "classic | buildkit");
    }
    let (reference, _) = destination("fragment");
    let run = Agent::build().args(&[&format!("{url}#v1:below"), "-d", &reference]).args(&PLAIN).run().ok();
    assert!(Image::in_registry(Registry::shared(), run.digest()).holds("src/text", b"below"));
    assert_eq!(run.document()["source"]["ref"], "refs/tags/v1");
}

#[test]
fn a_build_is_told_of_its_source_when_it_asks_and_an_image_always() {
    promise!(1);
    let server = GitServer::start(&GitDemands::default());
    let repository = server.repository("told");
    let arguments = "ARG SOURCE_URI\nARG SOURCE_REF\nARG SOURCE_ID\nARG SOURCE_DATE\n";
    repository.write(
        "Dockerfile",
        format!("FROM BASE\n{arguments}RUN echo $SOURCE_URI $SOURCE_REF $SOURCE_ID $SOURCE_DATE >/told\n").replace("BASE", base()),
    );
    let commit = repository.commit("a subject");
    let url = server.url(&repository);
    for builder in builders() {
        let told = |more: &[&str]| {
            let (reference, _) = destination("told");
            let run = Agent::build().args(&["--git", &url, "-d", &reference, "--builder", builder]).args(&PLAIN).args(more).run().ok();
            Image::in_registry(Registry::shared(), run.digest())
        };
        let image = told(&["--source-args"]);
        assert!(image.holds("told", format!("{url} refs/heads/main {commit} 2024-02-29T12:00:00Z\n").as_bytes()), "{builder}");
        let label = |name: &str| image.config["config"]["Labels"][name].clone();
        assert_eq!(label("org.opencontainers.image.revision"), commit.as_str());
        assert_eq!(label("podwright.source.author"), "Ada Tester <ada@example.com>");
        assert_eq!(label("podwright.source.subject"), "a subject");
        let image = told(&["--source-args", "--build-arg", "SOURCE_ID=mine"]);
        assert!(image.holds("told", format!("{url} refs/heads/main mine 2024-02-29T12:00:00Z\n").as_bytes()), "{builder}");
        assert!(told(&[]).holds("told", b"\n"), "{builder}");
    }
}
