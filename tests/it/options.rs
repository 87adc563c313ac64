//! Every option of a build on every engine and builder: its effect is there, or the run is refused before the daemon hears of a
//! build. There is no third way: an option that is dropped without a word fails here.

use podwright::engine::BuildOption as O;
use podwright::engine::BuildOption;

use crate::directory::destination;
use crate::harness::ledger;
use crate::harness::prelude::*;
use crate::harness::run::Run;

/// What came of an option with one builder.
pub enum Cell {
    Honoured(Box<(Run, Image)>),
    Refused,
}

/// A run with these arguments, whose end is one of the two.
pub fn cell(option: BuildOption, builder: &str, context: &Context, prepare: impl Fn(Agent) -> Agent) -> Cell {
    let name: String = option.field().chars().filter(char::is_ascii_alphanumeric).collect();
    let (reference, _) = destination(&format!("option-{name}-{builder}").to_lowercase());
    let run = prepare(Agent::build().directory(context.path()).args(&["-d", &reference, "--builder", builder])).run();
    if run.code != 12 {
        let run = run.ok();
        let image = Image::in_registry(Registry::shared(), run.digest());
        return Cell::Honoured(Box::new((run, image)));
    }
    let run = run.failed(12, "Unsupported", "prepare");
    assert_eq!(run.count("POST", "/build") + run.count("POST", "/session"), 0, "{}", run.story());
    let words = run.words();
    assert!(words.contains(option.field()) && words.contains("it works with"), "{words}");
    Cell::Refused
}

/// Whether the option was honoured, its effect being looked at; it is written down for the table of the whole run.
pub fn became(option: BuildOption, builder: &str, cell: Cell, effect: impl FnOnce(&Run, &Image) -> bool) -> bool {
    let honoured = match cell {
        Cell::Honoured(end) => {
            assert!(effect(&end.0, &end.1), "{} was dropped without a word by {builder}\n{}", option.field(), end.0.story());
            true
        }
        Cell::Refused => false,
    };
    ledger::record_option(option.field(), builder, honoured);
    honoured
}

/// The same, where the effect is a file of the image with these bytes.
fn writes(option: BuildOption, builder: &str, dockerfile: &str, arguments: &[&str], (path, bytes): (&str, &[u8])) -> bool {
    let cell = cell(option, builder, &Context::with(dockerfile), |agent| agent.args(arguments));
    became(option, builder, cell, |_, image| image.holds(path, bytes))
}

#[test]
fn target_arguments_and_labels_reach_the_build() {
    promise!(1);
    let dockerfile = "FROM BASE AS first\nARG WHO=nobody\nRUN echo first $WHO > /x\nFROM BASE\nRUN echo second > /x\n";
    for builder in builders() {
        assert!(writes(O::Target, builder, dockerfile, &["--target", "first"], ("x", b"first nobody\n")));
        assert!(writes(O::Args, builder, dockerfile, &["--target", "first", "--build-arg", "WHO=me, you"], ("x", b"first me, you\n")));
        let labelled = cell(O::Labels, builder, &Context::with(dockerfile), |agent| agent.args(&["--label", "team=a=b,c"]));
        assert!(became(O::Labels, builder, labelled, |_, image| image.label("team") == Some("a=b,c")));
    }
}

#[test]
fn d4_a_base_is_asked_for_and_no_step_is_taken_from_the_cache_where_that_is_wanted() {
    promise!(1);
    for builder in builders() {
        // The node has another image under the name than the registry.
        let (base, _) = destination(&format!("option-poisoned-{builder}"));
        let real = Context::with("FROM BASE\nRUN echo real > /who\n");
        Agent::build().directory(real.path()).args(&["-d", &base, "--builder", builder]).run().ok();
        let poison = Context::with("FROM BASE\nRUN echo poison > /who\n");
        Agent::build().directory(poison.path()).args(&["--no-push", "-t", &base, "--builder", builder]).run().ok();
        let dockerfile = format!("FROM {base}\nRUN cp /who /x\n");
        assert!(writes(O::Pull, builder, &dockerfile, &[], ("x", b"real\n")));

        let uuid = Context::with("FROM BASE\nRUN cat /proc/sys/kernel/random/uuid > /x\n");
        let agent = || Agent::build().directory(uuid.path()).args(&["--no-push", "-t", "cached:1", "--builder", builder]).run().ok();
        // BuildKit counts the base itself as cached, whatever is wanted.
        let cached = |run: &Run| {
            let steps = run.events_named("build.step");
            steps.iter().any(|step| step.data["cached"] == true && step.data["name"].as_str().unwrap().contains("RUN cat"))
        };
        agent();
        assert!(cached(&agent()), "{builder} has no cache to leave out");
        let anew = cell(O::NoCache, builder, &uuid, |agent| agent.args(&["--no-cache"]));
        assert!(became(O::NoCache, builder, anew, |run, _| !cached(run)));
    }
}

#[test]
fn hosts_shared_memory_and_bounds_reach_the_steps_or_are_refused() {
    promise!(1);
    for builder in builders() {
        let hosts = "FROM BASE\nRUN grep -wE 'db|six' /etc/hosts | tr '\\t' ' ' | sort > /x\n";
        let arguments = ["--add-host", "db:10.9.8.7", "--add-host", "six=fd00::9"];
        assert!(writes(O::AddHosts, builder, hosts, &arguments, ("x", b"10.9.8.7 db\nfd00::9 six\n")));
        let gateway = "FROM BASE\nRUN grep -w node /etc/hosts | tr '\\t' ' ' > /x\n";
        let gateway = writes(O::HostGateway, builder, gateway, &["--add-host", "node:host-gateway"], ("x", b"10.213.0.1 node\n"));
        assert_eq!(gateway, !Engine::shared().podman, "{builder}");
        let shm = "FROM BASE\nRUN df -k /dev/shm | awk 'NR==2 {print $2}' > /x\n";
        let shm = writes(O::ShmSize, builder, shm, &["--shm-size", "33m"], ("x", b"33792\n"));
        let bounds = "FROM BASE\nRUN echo $(ulimit -Sn) $(ulimit -Hn) > /x\n";
        let bounds = writes(O::Ulimits, builder, bounds, &["--ulimit", "nofile=101:202"], ("x", b"101 202\n"));
        let expected = builder == "classic" || Engine::shared().is_docker_from(23);
        assert_eq!((shm, bounds), (expected, expected), "{builder}");
    }
}

#[test]
fn d2_the_network_of_the_node_is_reached_by_permission_alone() {
    promise!(1);
    // Only the node has the bridge itself; without a network there is no card.
    let host = format!("FROM BASE\nRUN grep -c {} /proc/net/dev > /x || true\n", Engine::shared().bridge());
    let none = "FROM BASE\nRUN grep -c eth0 /proc/net/dev > /x || true\n";
    for builder in builders() {
        let context = Context::with(&host);
        let unasked = Agent::build().directory(context.path()).args(&["--no-push", "-t", "x", "--network", "host", "--builder", builder]);
        unasked.run().failed(13, "NotPermitted", "prepare");
        // Of what nobody asked for, a step gets a card of its own, and not the node's.
        let unasked = |dockerfile: &str| {
            let run = cell(O::HostNetwork, builder, &Context::with(dockerfile), |agent| agent.args(&["--no-cache"]));
            let Cell::Honoured(end) = run else { panic!("{builder}: refused") };
            end.1
        };
        assert!(unasked(&host).holds("x", b"0\n") && unasked(none).holds("x", b"1\n"), "{builder}");
        assert!(writes(O::HostNetwork, builder, &host, &["--no-cache", "--network", "host", "--allow", "host-network"], ("x", b"1\n")));
        assert!(writes(O::NoNetwork, builder, none, &["--no-cache", "--network", "none"], ("x", b"0\n")));
    }
}

#[test]
fn an_image_is_dated_by_its_source_or_the_option_is_refused() {
    promise!(1, 3);
    let context = Context::with("FROM BASE\nCOPY text /\nRUN echo a > /a\nENV A=b\n").file("text", "dated");
    for builder in builders() {
        let dated = cell(O::Reproducible, builder, &context, |agent| {
            agent.args(&["--reproducible", "--no-cache"]).env("SOURCE_DATE_EPOCH", "1700000000")
        });
        let honoured = became(O::Reproducible, builder, dated, |_, image| {
            let steps = image.config["history"].as_array().unwrap();
            let mut times = steps.iter().rev().take(3).map(|step| &step["created"]).chain([&image.config["created"]]);
            times.all(|time| time == "2023-11-14T22:13:20Z")
        });
        assert_eq!(honoured, builder == "buildkit" && Engine::shared().is_docker_from(24), "{builder}");
    }
}

#[test]
fn a_cache_travels_inside_an_image_or_the_option_is_refused() {
    promise!(1);
    let (cache, _) = destination("option-cache");
    let context = Context::with("FROM BASE\nRUN echo once > /once\n");
    // Those of the builder that can, before those who use them.
    for builder in builders() {
        let inline = ["--build-arg", "BUILDKIT_INLINE_CACHE=1", "-d", &cache];
        let written = cell(O::InlineCache, builder, &context, |agent| agent.args(&inline));
        let written = became(O::InlineCache, builder, written, |_, image| image.config["moby.buildkit.cache.v0"].is_string());
        assert_eq!(written, builder == "buildkit");
    }
    for builder in builders() {
        let used = cell(O::CacheFrom, builder, &context, |agent| agent.args(&["--cache-from", &cache]));
        let used = became(O::CacheFrom, builder, used, |run, _| {
            let importing = format!("importing cache manifest from {cache}");
            let steps = run.events_named("build.step");
            steps.iter().any(|step| step.data["name"] == *importing && step.data["error"].is_null())
        });
        assert_eq!(used, builder == "buildkit");
    }
}

#[test]
fn d6_the_pods_proxies_reach_the_steps_and_no_history() {
    promise!(1, 6);
    for builder in builders() {
        let dockerfile = "FROM BASE\nRUN test \"$http_proxy\" = \"$HTTP_PROXY\" && echo \"${http_proxy##*@} $no_proxy\" > /x\n";
        let canary = Canary::token("proxy-password");
        let proxy = format!("http://me:{}@proxy.example:3128", canary.value);
        let told = cell(O::Proxy, builder, &Context::with(dockerfile), |agent| {
            agent.env("HTTP_PROXY", &proxy).env("NO_PROXY", "127.0.0.1,.svc").args(&["--build-proxy", "inherit"])
        });
        assert!(became(O::Proxy, builder, told, |run, image| {
            // The daemon has to be told; nobody else is.
            image.assert_holds_no(std::slice::from_ref(&canary));
            assert!(!String::from_utf8_lossy(&run.stdout).contains(&canary.value) && !run.stderr.contains(&canary.value), "{builder}");
            image.holds("x", b"proxy.example:3128 127.0.0.1,.svc\n")
        }));
        let silent = Context::with("FROM BASE\nRUN echo \"$http_proxy\" > /x\n");
        let silent = cell(O::Proxy, builder, &silent, |agent| agent.env("HTTP_PROXY", &proxy).env("NO_PROXY", "127.0.0.1"));
        let Cell::Honoured(end) = silent else { panic!("{builder}: refused") };
        assert!(end.1.holds("x", b"\n"), "{builder}: proxies are told unasked");
    }
}

#[test]
fn a_platform_is_the_images_or_the_option_is_refused() {
    promise!(1);
    for builder in builders() {
        let context = Context::new().file("Dockerfile", "FROM scratch\nCOPY text /\n").file("text", "elsewhere");
        let elsewhere = cell(O::Platform, builder, &context, |agent| agent.args(&["--platform", "linux/arm64"]));
        became(O::Platform, builder, elsewhere, |run, image| {
            let said = run.document()["image"]["platforms"][0].as_str().unwrap().to_owned();
            image.config["architecture"] == "arm64" && said.starts_with("linux/arm64")
        });
    }
}

#[test]
fn a_tag_is_read_back_by_the_daemon_or_the_option_is_refused() {
    promise!(1);
    let context = Context::new().file("Dockerfile", "FROM scratch\nCOPY text /\n").file("text", "read back");
    for builder in builders() {
        let by_engine = cell(O::VerifyByEngine, builder, &context, |agent| agent.args(&["--verify", "engine"]));
        let honoured =
            became(O::VerifyByEngine, builder, by_engine, |run, _| run.document()["image"]["tags"][0]["verified_by"] == "engine");
        assert_eq!(honoured, !Engine::shared().podman, "{builder}");
    }
}
