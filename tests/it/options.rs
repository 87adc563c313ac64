//! Every option of a build on every engine and builder: its effect is there, or the run is refused before the daemon hears of a
//! build. There is no third way: an option that is dropped without a word fails here.

use crate::directory::{BUILDERS, destination};
use crate::harness::prelude::*;
use crate::harness::run::Run;

/// What came of an option with one builder.
enum Cell {
    Honoured(Run, Image),
    /// In its words.
    Refused(String),
}

/// A run with these arguments, whose end is one of the two.
fn cell(name: &str, builder: &str, context: &Context, prepare: impl Fn(Agent) -> Agent) -> Cell {
    let (reference, _) = destination(&format!("option-{name}-{builder}").to_lowercase());
    let agent = prepare(Agent::build().directory(context.path()).args(&["-d", &reference, "--builder", builder]));
    let run = agent.run();
    if run.code != 12 {
        let run = run.ok();
        let image = Image::in_registry(Registry::shared(), run.digest());
        println!("{name} {builder} on {}: honoured", Engine::shared().name());
        return Cell::Honoured(run, image);
    }
    let run = run.failed(12, "Unsupported", "prepare");
    assert_eq!(run.count("POST", "/build") + run.count("POST", "/session"), 0, "{}", run.story());
    println!("{name} {builder} on {}: refused: {}", Engine::shared().name(), run.words());
    Cell::Refused(run.words())
}

/// The option's effect, a file of the image with these bytes, wherever it is not refused; whether it was honoured.
fn writes(name: &str, builder: &str, dockerfile: &str, arguments: &[&str], effect: (&str, &[u8])) -> bool {
    match cell(name, builder, &Context::with(dockerfile), |agent| agent.args(arguments)) {
        Cell::Honoured(run, image) => {
            assert!(image.holds(effect.0, effect.1), "{name} {builder} was dropped without a word\n{}", run.story());
            true
        }
        Cell::Refused(words) => {
            assert!(words.contains(&format!("build.{name}")) && words.contains("it works with"), "{words}");
            false
        }
    }
}

/// Whether the engine is this one or a newer one.
fn is_from(version: u32) -> bool {
    Engine::shared().version.split('.').next().unwrap().parse::<u32>().unwrap() >= version
}

#[test]
fn hosts_shared_memory_and_bounds_reach_the_steps_or_are_refused() {
    promise!(1);
    for builder in BUILDERS {
        let hosts = "FROM BASE\nRUN grep -wE 'db|six' /etc/hosts | tr '\\t' ' ' | sort > /x\n";
        let arguments = ["--add-host", "db:10.9.8.7", "--add-host", "six=fd00::9"];
        assert!(writes("addHosts", builder, hosts, &arguments, ("x", b"10.9.8.7 db\nfd00::9 six\n")));
        let shm = "FROM BASE\nRUN df -k /dev/shm | awk 'NR==2 {print $2}' > /x\n";
        let shm = writes("shmSize", builder, shm, &["--shm-size", "33m"], ("x", b"33792\n"));
        let bounds = "FROM BASE\nRUN echo $(ulimit -Sn) $(ulimit -Hn) > /x\n";
        let bounds = writes("ulimits", builder, bounds, &["--ulimit", "nofile=101:202"], ("x", b"101 202\n"));
        let expected = builder == "classic" || is_from(23);
        assert_eq!((shm, bounds), (expected, expected), "{builder}");
    }
}

#[test]
fn d2_the_network_of_the_node_is_reached_by_permission_alone() {
    promise!(1);
    // Only the node has the bridge itself; without a network there is nothing but the loopback.
    let dockerfile = "FROM BASE\nRUN grep -c docker0 /proc/net/dev > /x || true\nRUN grep -c eth0 /proc/net/dev > /y || true\n";
    for builder in BUILDERS {
        let context = Context::with(dockerfile);
        let unasked = Agent::build().directory(context.path()).args(&["--no-push", "-t", "x", "--network", "host", "--builder", builder]);
        unasked.run().failed(13, "NotPermitted", "prepare");
        assert!(writes("network", builder, dockerfile, &["--network", "host", "--allow", "host-network"], ("x", b"1\n")));
        assert!(writes("network", builder, dockerfile, &["--network", "none"], ("y", b"0\n")));
    }
}

#[test]
fn an_image_is_dated_by_its_source_or_the_option_is_refused() {
    promise!(1, 3);
    for builder in BUILDERS {
        let context =
            Context::with("FROM BASE\nRUN cat /proc/sys/kernel/random/uuid > /dev/null\nCOPY text /\nENV A=b\n").file("text", "dated");
        let run = |epoch: &'static str| {
            cell("reproducible", builder, &context, |agent| agent.args(&["--reproducible", "--no-cache"]).env("SOURCE_DATE_EPOCH", epoch))
        };
        match run("1700000000") {
            Cell::Honoured(_, image) => {
                assert_eq!(image.config["created"], "2023-11-14T22:13:20Z", "{builder}: {}", image.config);
                let own = image.config["history"].as_array().unwrap().iter().rev().take(3).map(|step| step["created"].as_str().unwrap());
                assert!(own.clone().all(|time| time == "2023-11-14T22:13:20Z"), "{:?}", own.collect::<Vec<_>>());
                assert!(builder == "buildkit" && is_from(24));
            }
            Cell::Refused(words) => {
                assert!(words.contains("build.reproducible"), "{words}");
                assert!(builder == "classic" || !is_from(24), "{words}");
            }
        }
    }
}

#[test]
fn a_cache_travels_inside_an_image_or_the_option_is_refused() {
    promise!(1);
    let (cache, _) = destination("option-cache");
    let context = Context::with("FROM BASE\nRUN echo once > /once\n");
    for builder in BUILDERS {
        let inline = |agent: Agent| agent.args(&["--build-arg", "BUILDKIT_INLINE_CACHE=1", "-d", &cache]);
        match cell("inlineCache", builder, &context, inline) {
            Cell::Honoured(_, image) => {
                assert!(image.config["moby.buildkit.cache.v0"].is_string(), "{builder}: {}", image.config);
                assert_eq!(builder, "buildkit");
            }
            Cell::Refused(words) => assert!(builder == "classic" && words.contains("BUILDKIT_INLINE_CACHE"), "{words}"),
        }
    }
    // The first run in BUILDERS' order is refused, the second wrote the cache.
    for builder in BUILDERS {
        match cell("cacheFrom", builder, &context, |agent| agent.args(&["--cache-from", &cache])) {
            Cell::Honoured(run, _) => {
                let steps = run.events_named("build.step");
                let imported = steps.iter().find(|step| step.data["name"].as_str().is_some_and(|name| name.contains("importing cache")));
                let imported = imported.unwrap_or_else(|| panic!("{builder} looked at no cache\n{}", run.story()));
                assert!(imported.data["error"].is_null() && imported.data["name"].as_str().unwrap().contains(&cache), "{}", run.story());
                assert_eq!(builder, "buildkit");
            }
            Cell::Refused(words) => assert!(builder == "classic" && words.contains("build.cacheFrom"), "{words}"),
        }
    }
}

#[test]
fn d6_the_pods_proxies_reach_the_steps_and_no_history() {
    promise!(1, 6);
    for builder in BUILDERS {
        let dockerfile = "FROM BASE\nRUN test \"$http_proxy\" = \"$HTTP_PROXY\" && echo \"${http_proxy##*@} $no_proxy\" > /x\n";
        let canary = Canary::token("proxy-password");
        let proxy = format!("http://me:{}@proxy.example:3128", canary.value);
        let told = cell("proxy", builder, &Context::with(dockerfile), |agent| {
            agent.env("HTTP_PROXY", &proxy).env("NO_PROXY", "127.0.0.1,.svc").args(&["--build-proxy", "inherit"])
        });
        let Cell::Honoured(run, image) = told else { panic!("{builder}: refused") };
        assert!(image.holds("x", b"proxy.example:3128 127.0.0.1,.svc\n"), "{builder}\n{}", run.story());
        // The daemon has to be told; nobody else is.
        image.assert_holds_no(std::slice::from_ref(&canary));
        assert!(!String::from_utf8_lossy(&run.stdout).contains(&canary.value) && !run.stderr.contains(&canary.value), "{builder}");
        let silent = cell("proxy", builder, &Context::with("FROM BASE\nRUN echo \"$http_proxy\" > /x\n"), |agent| {
            agent.env("HTTP_PROXY", &proxy).env("NO_PROXY", "127.0.0.1")
        });
        let Cell::Honoured(_, image) = silent else { panic!("{builder}: refused") };
        assert!(image.holds("x", b"\n"), "{builder}: proxies are told unasked");
    }
}

#[test]
fn a_platform_is_the_images_or_the_option_is_refused() {
    promise!(1);
    for builder in BUILDERS {
        let context = Context::new().file("Dockerfile", "FROM scratch\nCOPY text /\n").file("text", "elsewhere");
        match cell("platform", builder, &context, |agent| agent.args(&["--platform", "linux/arm64"])) {
            Cell::Honoured(run, image) => {
                assert_eq!(image.config["architecture"], "arm64", "{builder}\n{}", run.story());
                assert_eq!(run.document()["image"]["platforms"][0].as_str().map(|text| text.starts_with("linux/arm64")), Some(true));
            }
            Cell::Refused(words) => assert!(words.contains("build.platform"), "{words}"),
        }
    }
}
