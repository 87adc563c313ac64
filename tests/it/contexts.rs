//! What reaches the image is what Docker's own command would have put there: nasty and generated trees, whole projects.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::directory::destination;
use crate::git_source::clone;
use crate::harness::image::Files;
use crate::harness::prelude::*;
use crate::harness::run::Run;

/// A Dockerfile that puts the whole context into `/src`.
pub const COPY_ALL: &str = "FROM BASE\nCOPY . /src\n";

/// What Docker's own command makes of a directory: `/src` of the image.
pub fn reference(context: &Path, name: &str, builder: &str, more: &[&str]) -> Files {
    let engine = Engine::shared();
    let tag = format!("oracle-{name}-{builder}:1");
    let container = UnderWay::enter();
    engine.reference_build(context, &tag, builder, more);
    let image = Image::on_engine(engine, &tag);
    engine.docker_ok(&["rmi", &tag]);
    drop(container);
    image.below("src")
}

/// What the agent makes: `/src` of the image as it was pushed.
pub fn ours(agent: Agent, name: &str, builder: &str) -> (Run, Files) {
    let (reference, _) = destination(&format!("{name}-{builder}"));
    let run = agent.args(&["-d", &reference, "--builder", builder]).run().ok();
    let files = Image::in_registry(Registry::shared(), run.digest()).below("src");
    (run, files)
}

pub fn of_directory(context: &Path) -> Agent {
    Agent::build().directory(context).args(&["--no-cache"])
}

/// What each builder makes of a directory, which is one image: the classic one's, then BuildKit's where there is one.
pub fn by_each(context: &Context, name: &str, more: &[&str]) -> Vec<Files> {
    let made: Vec<Files> = builders().into_iter().map(|builder| ours(of_directory(context.path()).args(more), name, builder).1).collect();
    let mut without_set_ids = made.clone();
    // The classic builder's chown takes set-id bits from files, whoever asks it to build.
    let nodes = without_set_ids.iter_mut().flat_map(|files| files.values_mut());
    nodes.filter(|node| node.kind == "file").for_each(|node| node.mode &= 0o1777);
    for pair in without_set_ids.windows(2) {
        assert_same(&pair[0], &pair[1], &format!("{name}: classic | buildkit"));
    }
    made
}

/// Each builder makes of a directory what Docker's command makes of it with the same builder; and one image, all.
pub fn assert_as_docker(context: &Context, name: &str, ours_more: &[&str], reference_more: &[&str]) -> Files {
    let mut all = by_each(context, name, ours_more);
    for (builder, made) in builders().iter().zip(&all) {
        let wanted = reference(context.path(), name, builder, reference_more);
        assert_same(made, &wanted, &format!("{name}, {builder}: ours | docker's"));
    }
    all.pop().unwrap()
}

fn raw(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes.to_vec()))
}

/// One kind of nastiness, below a directory of its name.
type Nasty = (&'static str, fn(Context, &Path) -> Context);

const NASTY: &[Nasty] = &[
    ("long names", |tree, at| {
        let (name, dir) = ("n".repeat(255), at.join("d".repeat(255)));
        tree.file(at.join("m".repeat(101)), "101").file(at.join(&name), "255").file(dir.join("e".repeat(255)).join(&name), "3 * 255")
    }),
    ("spaces and newlines", |tree, at| {
        let tree = tree.file(at.join(" lead"), "1").file(at.join("trail "), "2").file(at.join("new\nline"), "3").file(at.join(" / "), "4");
        tree.file(at.join("tab\there"), "5").file(at.join("\n"), "6").file(at.join("quote'\"\\back"), "7").file(at.join("*?[x]"), "8")
    }),
    ("case", |tree, at| tree.file(at.join("readme"), "1").file(at.join("README"), "2").file(at.join("Readme/x"), "3")),
    ("depth", |tree, at| {
        let deep: PathBuf = (0..60).map(|level| format!("level-{level}")).collect();
        tree.file(at.join(deep).join("bottom"), "deep")
    }),
    ("nothing", |tree, at| tree.dir(at.join("empty")).dir(at.join("empty too/below")).file(at.join("no bytes"), "")),
    ("hard links", |tree, at| {
        let tree = tree.file(at.join("b/first"), "one body").hard_link(at.join("b/second"), at.join("b/first"));
        tree.dir(at.join("a"))
            .hard_link(at.join("a/earlier"), at.join("b/first"))
            .dir(at.join("c"))
            .hard_link(at.join("c/z"), at.join("b/first"))
    }),
    ("links", |tree, at| {
        let tree =
            tree.dir(at.join("dir")).file(at.join("dir/file"), "x").link(at.join("to-dir"), "dir").link(at.join("to-dir-slash"), "dir/");
        let tree = tree.link(at.join("dangling"), "no/such").link(at.join("absolute"), "/etc/passwd");
        let out = if Engine::shared().podman { "no/such/etc" } else { "../../../../etc" };
        let tree = tree.link(at.join("out"), out);
        let tree =
            tree.link(at.join("self"), "self").link(at.join("ping"), "pong").link(at.join("pong"), "ping").link(at.join("root"), "/");
        tree.link(at.join("long"), "t/".repeat(150))
    }),
    ("modes", |tree, at| {
        let modes = [0o600, 0o400, 0o644, 0o755, 0o4755, 0o2755, 0o6711, 0o1644, 0o777, 0o666];
        let named = |tree: Context, mode| tree.file(at.join(format!("f{mode:o}")), "x").mode(at.join(format!("f{mode:o}")), mode);
        let tree = modes.into_iter().fold(tree, named);
        let dirs = |tree: Context, mode| tree.dir(at.join(format!("d{mode:o}"))).mode(at.join(format!("d{mode:o}")), mode);
        [0o700, 0o500, 0o1777, 0o2775, 0o777].into_iter().fold(tree, dirs)
    }),
    ("arguments", |tree, at| tree.file(at.join("-rf"), "1").file(at.join("--help"), "2").file(at.join("-"), "3").file(at.join("~"), "4")),
    ("order", |tree, at| {
        let tree =
            tree.file(at.join("foo/inside"), "1").file(at.join("foo.txt"), "2").file(at.join("foo-a"), "3").file(at.join("foo a"), "4");
        tree.file(at.join("foo0"), "5").file(at.join("fo"), "6").file(at.join("foo-dir/x"), "7").file(at.join("foo/-"), "8")
    }),
    ("unicode", |tree, at| {
        // The same letter composed and decomposed are two names.
        tree.file(at.join("\u{e9}"), "1").file(at.join("e\u{301}"), "2").file(at.join("日本語/файл"), "3").file(at.join("\u{202e}txt"), "4")
    }),
];

fn nasty() -> Context {
    NASTY.iter().fold(Context::with(COPY_ALL), |tree, (name, plant)| plant(tree.dir(name), Path::new(name)))
}

#[test]
fn a_nasty_tree_reaches_the_image_as_by_dockers_own_command() {
    promise!(1);
    let files = assert_as_docker(&nasty(), "nasty", &[], &[]);
    assert!(NASTY.iter().all(|(name, _)| files.contains_key(name.as_bytes())), "the oracle saw too little");
}

/// An engine that takes no such names is not to be blamed on the Dockerfile.
pub fn assert_kept_or_refused(agent: Agent, name: &str, builder: &str, wanted: &Files) {
    if builder == "classic" || Engine::shared().takes_any_bytes() {
        return assert_same(&ours(agent, name, builder).1, wanted, &format!("{name} {builder}"));
    }
    let run = agent.args(&["--no-push", "--builder", builder]).run().failed(12, "Unsupported", "build");
    assert!(run.words().contains("UTF-8") && run.words().contains("builder: classic"), "{}", run.words());
}

#[test]
fn names_that_are_no_utf8_keep_their_bytes() {
    promise!(1);
    let tree = Context::with(COPY_ALL).file(raw(b"latin-\xe9"), "1").file(raw(b"\xff\xfe/\x80"), "2").file(raw(b"\xc3"), "3");
    let tree = tree.link("raw", raw(b"\xff\xfe"));
    let on_disk = on_disk(tree.path());
    let tar = Command::new("tar").arg("-cf-").arg("-C").arg(tree.path()).arg(".").output().unwrap().stdout;
    for builder in builders() {
        let archived = Agent::build().stdin(&tar).args(&["--archive", "-", "--no-cache"]);
        for (way, agent) in [("directory", of_directory(tree.path())), ("archive", archived)] {
            assert_kept_or_refused(agent, &format!("no-utf8-{way}"), builder, &on_disk);
        }
    }
    // BuildKit's own client does not get such names across, so Docker's command shows by one builder only what it should be.
    assert_same(&reference(tree.path(), "no-utf8", "classic", &[]), &on_disk, "docker's");
}

#[test]
fn a_link_that_leads_out_of_the_context_is_kept_as_it_is_or_refused() {
    promise!(1);
    let tree = Context::with("FROM BASE\nCOPY . /src\n").link("out", "../x").dir("dir").link("dir/in", "../x");
    for builder in builders() {
        let agent = of_directory(tree.path());
        if Engine::shared().podman {
            let run = agent.args(&["--no-push", "--builder", builder]).run().failed(12, "Unsupported", "build");
            assert!(run.words().contains("\\\"out\\\"") && run.count("POST", "/build") == 0, "{}", run.story());
            let ignoring = Context::with("FROM BASE\nCOPY . /src\n").link("out", "../x").file(".dockerignore", "out\n");
            ours(of_directory(ignoring.path()), "link-out", builder);
            continue;
        }
        assert_same(&ours(agent, "link-out", builder).1, &on_disk(tree.path()), builder);
    }
}

#[derive(Clone, Debug)]
enum Grown {
    File(Vec<u8>, u32),
    Dir(u32),
    Link(Vec<String>),
}

fn name() -> impl Strategy<Value = String> {
    let letters = prop::sample::select("abfo.- _~*?[\\!#%$\t\nüAB日\"'".chars().collect::<Vec<_>>());
    let free = vec(letters, 1..10).prop_map(|letters| letters.into_iter().collect::<String>());
    // Few names for many files, so that some are prefixes of others.
    let shared = prop::sample::select(vec!["foo", "foo.txt", "foo-a", "f", "..."]).prop_map(str::to_owned);
    prop_oneof![free, shared].prop_filter("no name", |name| name != "." && name != "..")
}

fn grown() -> impl Strategy<Value = Vec<(Vec<String>, Grown)>> {
    let mode = |modes: &[u32]| prop::sample::select(modes.to_vec());
    let file = (vec(any::<u8>(), 0..3000), mode(&[0o644, 0o755, 0o600, 0o444, 0o4755, 0o2750, 0o666])).prop_map(|(b, m)| Grown::File(b, m));
    let dir = mode(&[0o755, 0o700, 0o1777, 0o2755]).prop_map(Grown::Dir);
    let link = vec(name(), 1..4).prop_map(Grown::Link);
    vec((vec(name(), 1..5), prop_oneof![4 => file, 1 => dir, 1 => link]), 1..40)
}

fn plant(mut tree: Context, at: &Path, entries: Vec<(Vec<String>, Grown)>) -> Context {
    for (path, what) in entries {
        let path = at.join(path.iter().collect::<PathBuf>());
        let parent = tree.path().join(path.parent().unwrap());
        // Where a file or a link stands in the way, the entry does not grow.
        if fs::create_dir_all(&parent).is_err() || !parent.canonicalize().unwrap().starts_with(tree.path().join(at)) {
            continue;
        }
        if tree.path().join(&path).symlink_metadata().is_ok() {
            continue;
        }
        tree = match what {
            Grown::File(content, mode) => tree.file(&path, content).mode(&path, mode),
            Grown::Dir(mode) => tree.dir(&path).mode(&path, mode),
            Grown::Link(target) => tree.link(&path, target.join("/")),
        };
    }
    tree
}

#[test]
fn generated_trees_reach_the_image_as_by_dockers_own_command() {
    promise!(1);
    let seed = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), seed);
    let mut tree = Context::with(COPY_ALL);
    for number in 0..8 {
        let entries = grown().new_tree(&mut runner).unwrap().current();
        tree = plant(tree, Path::new(&format!("tree{number}")), entries);
    }
    let files = assert_as_docker(&tree, "generated", &[], &[]);
    let count = |kind: &str| files.values().filter(|node| node.kind == kind).count();
    assert!(count("file") > 60 && count("dir") > 60 && count("link") > 10, "{} {} {}", count("file"), count("dir"), count("link"));
}

#[test]
fn a_tarball_is_built_as_dockers_own_command_builds_what_it_unpacks_to() {
    promise!(1, 4);
    let dir = Engine::shared().new_dir("t");
    let (tarball, unpacked) = (dir.join("source.tgz"), dir.join("unpacked"));
    let tree = nasty().file(".dockerignore", "*/no bytes\n");
    for format in ["gnu", "pax"] {
        succeeded(Command::new("tar").arg(format!("--format={format}")).arg("-czf").arg(&tarball).arg("-C").arg(tree.path()).arg("."));
        let _ = fs::remove_dir_all(&unpacked);
        fs::create_dir(&unpacked).unwrap();
        succeeded(Command::new("tar").arg("-xpzf").arg(&tarball).arg("-C").arg(&unpacked));
        for builder in builders() {
            let wanted = reference(&unpacked, &format!("tarball-{format}"), builder, &[]);
            let by_path = Agent::build().readable(&tarball, "/in/source.tgz").args(&["--archive", "/in/source.tgz"]);
            let by_stdin = Agent::build().stdin(&fs::read(&tarball).unwrap()).args(&["--archive", "-"]);
            for (way, agent) in [("path", by_path), ("stdin", by_stdin)] {
                let (_, made) = ours(agent.args(&["--no-cache"]), &format!("tarball-{format}-{way}"), builder);
                assert_same(&made, &wanted, &format!("{format}, by {way}, {builder}"));
            }
        }
    }
}

/// A project of at least 5,000 files: the one that PODWRIGHT_TEST_TREE names, or one that is made up.
fn project(into: &Path) {
    if let Some(tree) = std::env::var_os("PODWRIGHT_TEST_TREE") {
        let copy = r#"tar -C "$1" --exclude=./.git -c . | tar -C "$2" -xp"#;
        succeeded(Command::new("sh").args(["-c", copy, "sh"]).arg(tree).arg(into));
        return;
    }
    for number in 0..5_200_u32 {
        let dir = into.join(format!("part{}/package{}/src{}", number % 7, number % 101, number % 3));
        fs::create_dir_all(&dir).unwrap();
        let file = dir.join(format!("file{number}.rs"));
        fs::write(&file, format!("// {number}\n").repeat(number as usize % 97)).unwrap();
        if number % 13 == 0 {
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        if number % 29 == 0 {
            symlink(format!("file{number}.rs"), dir.join(format!("link{number}"))).unwrap();
        }
    }
    fs::write(into.join(".dockerignore"), "part3/**/*7.rs\n!part3/**/file1*\n").unwrap();
}

#[test]
fn a_whole_project_is_one_image_from_git_from_a_tarball_and_by_dockers_own_command() {
    promise!(1, 4);
    let server = GitServer::start(&GitDemands::default());
    let repository = server.repository("project");
    project(&repository.dir);
    repository.write("Dockerfile.test", COPY_ALL.replace("BASE", base()));
    repository.commit("all of it");
    let url = server.url(&repository);
    let cloned = clone(&url, "HEAD");
    let tarball = Engine::shared().new_dir("t").join("project.tgz");
    succeeded(Command::new("tar").arg("-czf").arg(&tarball).arg("-C").arg(&cloned).arg("."));
    let file = cloned.join("Dockerfile.test");
    for builder in builders() {
        let wanted = reference(&cloned, "project", builder, &["-f", file.to_str().unwrap()]);
        assert!(wanted.values().filter(|node| node.kind == "file").count() > 4_500, "{} entries", wanted.len());
        let git = Agent::build().args(&["--git", &url, "--allow", "plain-http"]);
        let archive = Agent::build().readable(&tarball, "/in/project.tgz").args(&["--archive", "/in/project.tgz"]);
        for (way, agent) in [("git", git), ("tarball", archive)] {
            let (_, made) = ours(agent.args(&["-f", "Dockerfile.test", "--no-cache"]), &format!("project-{way}"), builder);
            assert_same(&made, &wanted, &format!("{way}, {builder}: ours | docker's"));
        }
    }
}
