//! What reaches the image is what Docker's own command would have put there: nasty and generated trees, ignore rules, inline
//! Dockerfiles, and what one node keeps of one source for another.

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

use crate::directory::{BUILDERS, destination};
use crate::git_source::clone;
use crate::harness::image::Files;
use crate::harness::prelude::*;
use crate::harness::run::Run;

const COPY_ALL: &str = "FROM BASE\nCOPY . /src\n";

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

fn of_directory(context: &Path) -> Agent {
    Agent::build().directory(context).args(&["--no-cache"])
}

/// What each builder makes of a directory, which is one image: the classic one's, then BuildKit's.
fn by_both(context: &Context, name: &str, more: &[&str]) -> [Files; 2] {
    let made = BUILDERS.map(|builder| ours(of_directory(context.path()).args(more), name, builder).1);
    let [classic, buildkit] = made.each_ref().map(|files| {
        let mut files = files.clone();
        // The classic builder's chown takes set-id bits from files, whoever asks it to build.
        files.values_mut().filter(|node| node.kind == "file").for_each(|node| node.mode &= 0o1777);
        files
    });
    assert_same(&classic, &buildkit, &format!("{name}: classic | buildkit"));
    made
}

/// Both builders make of a directory what Docker's command makes of it with the same builder; and one image, both.
fn assert_as_docker(context: &Context, name: &str, ours_more: &[&str], reference_more: &[&str]) -> Files {
    let [classic, buildkit] = by_both(context, name, ours_more);
    for (builder, made) in BUILDERS.iter().zip([&classic, &buildkit]) {
        let wanted = reference(context.path(), name, builder, reference_more);
        assert_same(made, &wanted, &format!("{name}, {builder}: ours | docker's"));
    }
    buildkit
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
        let tree =
            tree.link(at.join("dangling"), "no/such").link(at.join("absolute"), "/etc/passwd").link(at.join("out"), "../../../../etc");
        let tree =
            tree.link(at.join("self"), "self").link(at.join("ping"), "pong").link(at.join("pong"), "ping").link(at.join("root"), "/");
        tree.link(at.join("long"), "t/".repeat(150)).link(at.join("raw"), raw(b"\xff\xfe"))
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

#[test]
fn names_that_are_no_utf8_keep_their_bytes() {
    promise!(1);
    let tree = Context::with(COPY_ALL).file(raw(b"latin-\xe9"), "1").file(raw(b"\xff\xfe/\x80"), "2").file(raw(b"\xc3"), "3");
    let on_disk = on_disk(tree.path());
    let tar = Command::new("tar").arg("-cf-").arg("-C").arg(tree.path()).arg(".").output().unwrap().stdout;
    for builder in BUILDERS {
        let archived = Agent::build().stdin(&tar).args(&["--archive", "-", "--no-cache"]);
        for (way, agent) in [("directory", of_directory(tree.path())), ("archive", archived)] {
            let (_, made) = ours(agent, &format!("no-utf8-{way}"), builder);
            assert_same(&made, &on_disk, &format!("{way} {builder}"));
        }
    }
    // BuildKit's own client does not get such names across, so Docker's command shows by one builder only what it should be.
    assert_same(&reference(tree.path(), "no-utf8", "classic", &[]), &on_disk, "docker's");
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

/// A tree for rules to choose from.
fn chosen_from(dockerfile: &str, rules: &str) -> Context {
    let paths = [
        "keep",
        "keeper",
        "other",
        "a.o",
        "sub/b.o",
        "sub/deep/c.o",
        "sub/c",
        "dir/x",
        "dir/y",
        "dir/below/z",
        "rooted",
        "sub/rooted",
        "trailing",
        "gone/back",
        "gone/away",
        "docs/a.md",
        "docs/b.txt",
        "x1.txt",
        "x2.txt",
        "x10.txt",
        "#hash",
        "only/me.o",
        "ü/naïve",
    ];
    let tree =
        Context::new().file(dockerfile, COPY_ALL.replace("BASE", base())).file(".dockerignore", rules).dir("hollow").dir("keeping/hollow");
    paths.into_iter().fold(tree, |tree, path| tree.file(path, path))
}

#[test]
fn ignore_rules_mean_what_they_mean_to_dockers_own_command() {
    // The rules, and what must and what must not be there: so that the oracle is held to something too.
    let table: &[(&str, &str, &[&str], &[&str])] = &[
        (
            "mixed",
            "# a comment\n\n  # and one more\n**/*.o\ndir/*\n!dir/x\n/rooted\ntrailing   \n  docs/../docs/*.md\ngone\n!gone/back\nx?.txt\n./sub/deep\n",
            &["Dockerfile", ".dockerignore", "dir/x", "sub/rooted", "gone/back", "x10.txt", "#hash", "only", "docs/b.txt"],
            &["a.o", "sub/b.o", "dir/y", "dir/below", "rooted", "trailing", "gone/away", "x1.txt", "docs/a.md", "sub/deep"],
        ),
        ("one", "*\n!keep\n", &["keep"], &["keeper", "Dockerfile", ".dockerignore", "sub"]),
        ("some", "*\n!keep*\n!dir\ndir/below\n", &["keep", "keeper", "dir/y", "keeping/hollow"], &["dir/below", "docs"]),
        (
            "last",
            "!keep\nkeep\nsub\n!sub/deep\nsub/deep/c.o\n**/z\nhollow/\n",
            &["sub/deep", "dir/below", "keeping/hollow"],
            &["keep", "sub/c", "sub/deep/c.o", "hollow"],
        ),
        ("itself", ".dockerignore\nDockerfile\n", &["keep"], &[".dockerignore", "Dockerfile"]),
        ("dockerfile", "Dockerfile\nü\n[x]1.txt\n\\#hash\n", &["keep", ".dockerignore"], &["Dockerfile", "ü", "x1.txt", "#hash"]),
        ("all", "**\n!only\n", &["only/me.o"], &["keep", "Dockerfile"]),
        ("windows", "\u{feff}*.o\r\nkeep\r\n", &["keeper", "sub/b.o"], &["a.o", "keep"]),
    ];
    for (name, rules, there, gone) in table {
        let files = assert_as_docker(&chosen_from("Dockerfile", rules), &format!("ignore-{name}"), &[], &[]);
        for path in *there {
            assert!(files.contains_key(path.as_bytes()), "{name}: {path} is missing");
        }
        for path in *gone {
            assert!(!files.contains_key(path.as_bytes()), "{name}: {path} is there");
        }
    }
}

/// Docker's command, of 20.10 and for the classic builder, does not look into an ignored directory that no pattern names.
#[test]
fn what_a_pattern_brings_back_from_an_ignored_directory_is_there_with_both_builders() {
    let tree = chosen_from("Dockerfile", "*\n!**/*.md\n!*/deep\n");
    let [_, made] = by_both(&tree, "brought-back", &[]);
    if !Engine::shared().version.starts_with("20.10.") {
        let wanted = reference(tree.path(), "brought-back", "buildkit", &[]);
        assert_same(&made, &wanted, "ours | docker's");
    }
    assert!(made.contains_key(&b"docs/a.md"[..]) && made.contains_key(&b"sub/deep/c.o"[..]) && !made.contains_key(&b"sub/c"[..]));
}

#[test]
fn a_dockerfile_in_a_directory_that_is_ignored_is_used_and_not_seen() {
    for (name, rules) in [("seen", "docker\n*.o\n"), ("unseen", "docker\n.dockerignore\n")] {
        let tree = chosen_from("docker/Dockerfile", rules);
        let file = tree.path().join("docker/Dockerfile");
        let name = format!("docker-dir-{name}");
        for builder in BUILDERS {
            let mut wanted = reference(tree.path(), &name, builder, &["-f", file.to_str().unwrap()]);
            let (_, mut made) = ours(of_directory(tree.path()).args(&["-f", "docker/Dockerfile"]), &name, builder);
            if builder == "classic" {
                // This daemon takes the Dockerfile away and leaves its directory, which has to be there for the daemon to find it.
                for files in [&mut wanted, &mut made] {
                    files.remove(&b"docker"[..]);
                }
            }
            assert_same(&made, &wanted, &format!("{name}, {builder}: ours | docker's"));
            assert!(!made.keys().any(|path| path.starts_with(b"docker")), "{made:?}");
        }
    }
}

#[test]
fn the_ignore_file_beside_the_dockerfile_beats_the_one_at_the_root() {
    let tree = chosen_from("Dockerfile", "keep\n").file("Dockerfile.dockerignore", "dir\n");
    let wanted = reference(tree.path(), "beside", "buildkit", &[]);
    assert!(wanted.contains_key(&b"keep"[..]) && !wanted.contains_key(&b"dir"[..]), "the oracle");
    // Docker's command knows this file with BuildKit only: the classic builder is held to the same image.
    for builder in BUILDERS {
        let (_, made) = ours(of_directory(tree.path()), "beside", builder);
        assert_same(&made, &wanted, builder);
    }
}

#[test]
fn an_inline_dockerfile_is_never_seen_by_copy() {
    let text = COPY_ALL.replace("BASE", base());
    // Where the source has a Dockerfile of its own, that one is a file like any other.
    let plain = Context::new().file("a/b", "1").file("Dockerfile", "FROM no-such-image\n");
    let ignoring =
        Context::new().file("a/b", "1").file("secret", "2").file("Dockerfile", "x").file(".dockerignore", "secret\n.dockerignore\n");
    let elsewhere = Context::new().file("asked-for", &text);
    let file = elsewhere.path().join("asked-for");
    for (name, tree, want) in [("inline", &plain, 3), ("inline-ignoring", &ignoring, 3)] {
        let files = assert_as_docker(tree, name, &["--inline-dockerfile", &text], &["-f", file.to_str().unwrap()]);
        assert_eq!(files.len(), want, "{files:?}");
    }
}

#[test]
fn an_inline_dockerfile_alone_has_an_empty_context() {
    let text = COPY_ALL.replace("BASE", base());
    for builder in BUILDERS {
        let (_, files) = ours(Agent::build().args(&["--inline-dockerfile", &text]), "inline-alone", builder);
        assert!(files.is_empty(), "{builder}: {files:?}");
    }
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
        for builder in BUILDERS {
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

/// Gives everything below a directory one time, so that nothing but the bytes tells two trees apart.
fn at_one_time(context: &Context) {
    succeeded(Command::new("find").arg(context.path()).args(["-exec", "touch", "-h", "-d", "2024-02-29T12:00:00Z", "{}", "+"]));
}

#[test]
fn two_sources_that_look_alike_never_mix_on_one_node() {
    promise!(3);
    let trees = ["one", "two"].map(|text| {
        let tree = Context::with(COPY_ALL).file("a", text).file("dir/b", text);
        at_one_time(&tree);
        (tree, text)
    });
    // In turns, so that each finds the other's files on the node.
    for (number, (tree, text)) in trees.iter().chain(&trees).enumerate() {
        let (_, files) = ours(Agent::build().directory(tree.path()), &format!("alike-{number}"), "buildkit");
        assert_same(&files, &on_disk(tree.path()), text);
        let tar = Command::new("tar").arg("-cf-").arg("-C").arg(tree.path()).arg(".").output().unwrap().stdout;
        let (_, files) = ours(Agent::build().stdin(&tar).args(&["--archive", "-"]), &format!("alike-tar-{number}"), "buildkit");
        assert_same(&files, &on_disk(tree.path()), &format!("{text}, archived"));
    }
}

#[test]
fn a_volume_that_is_made_anew_is_another_source() {
    promise!(3);
    let tree = Context::with(COPY_ALL);
    for (number, text) in ["one", "two"].iter().enumerate() {
        // File systems give the number of a removed directory to the next one.
        let dockerfile = fs::read(tree.path().join("Dockerfile")).unwrap();
        fs::remove_dir_all(tree.path()).unwrap();
        fs::create_dir(tree.path()).unwrap();
        let anew = Context(tree.path().to_owned()).file("Dockerfile", dockerfile).file("a", text);
        at_one_time(&anew);
        let (_, files) = ours(Agent::build().directory(anew.path()), &format!("anew-{number}"), "buildkit");
        assert_same(&files, &on_disk(anew.path()), text);
    }
}

#[test]
fn of_a_source_that_is_built_again_only_what_changed_is_sent() {
    let tree =
        (0..60).fold(Context::with(COPY_ALL), |tree, number| tree.file(format!("dir{}/file{number}", number % 7), number.to_string()));
    let sent = |run: &Run| run.events_named("context.sent")[0].data["files"].as_u64().unwrap();
    let (first, _) = ours(Agent::build().directory(tree.path()), "again-1", "buildkit");
    assert!(sent(&first) >= 60, "{}", first.story());
    let tree = tree.file("dir3/file3", "changed");
    let (second, files) = ours(Agent::build().directory(tree.path()), "again-2", "buildkit");
    assert_same(&files, &on_disk(tree.path()), "the second");
    // The file, and the Dockerfile, which is asked for by itself.
    assert!(sent(&second) <= 3, "{} files were sent again", sent(&second));
}

/// A project of at least 5,000 files: the one that PODWRIGHT_TEST_TREE names, or one that is made up.
fn project(into: &Path) {
    if let Some(tree) = std::env::var_os("PODWRIGHT_TEST_TREE") {
        succeeded(Command::new("cp").arg("-a").arg(Path::new(&tree).join(".")).arg(into));
        let _ = fs::remove_dir_all(into.join(".git"));
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
    for builder in BUILDERS {
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
