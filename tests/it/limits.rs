//! What bounds RUN steps: what the request writes holds or is refused, what this pod has is inherited as far as the engine goes, and
//! a step that the kernel ends for want of memory is told from one that fails.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use podwright::engine::BuildOption as O;

use crate::harness::prelude::*;
use crate::harness::run::Run;
use crate::options::{became, cell};

/// Control groups of a test's own, laid out as the kubelet lays out a pod's; they end with this.
struct Pod {
    name: String,
}

impl Pod {
    /// A pod with this much memory, MiB, and half a CPU.
    fn new(memory: u64) -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("podwright-test-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let pod = Self { name };
        for hierarchy in hierarchies() {
            fs::create_dir_all(hierarchy.join(pod.agent())).unwrap();
            let group = hierarchy.join(pod.path());
            let set = |file: &str, value: String| {
                if group.join(file).exists() {
                    fs::write(group.join(file), value).unwrap();
                }
            };
            if is_unified() {
                for above in [&*pod.name, &format!("{}/kubepods", pod.name), &pod.path()] {
                    fs::write(hierarchy.join(above).join("cgroup.subtree_control"), "+memory +cpu").unwrap();
                }
                set("memory.max", (memory << 20).to_string());
                set("memory.swap.max", "0".into());
                set("cpu.max", "50000 100000".into());
            } else {
                set("memory.limit_in_bytes", (memory << 20).to_string());
                set("memory.memsw.limit_in_bytes", (memory << 20).to_string());
                // What bounds the pod alone is out of sight of its containers: they have a bound of their own.
                let agent = hierarchy.join(pod.agent());
                if agent.join("cpu.cfs_quota_us").exists() {
                    fs::write(agent.join("cpu.cfs_quota_us"), "50000").unwrap();
                }
            }
        }
        pod
    }

    fn path(&self) -> String {
        format!("{}/kubepods/pod1", self.name)
    }

    fn agent(&self) -> String {
        format!("{}/agent", self.path())
    }

    fn enter(&self, agent: Agent) -> Agent {
        let groups: Vec<PathBuf> = hierarchies().iter().map(|hierarchy| hierarchy.join(self.agent())).collect();
        agent.in_groups(&groups, &hierarchies())
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        let roots = fs::read_dir("/sys/fs/cgroup").unwrap().map_while(Result::ok).map(|entry| entry.path());
        roots.chain(["/sys/fs/cgroup".into()]).for_each(|root| remove(&root.join(&self.name)));
    }
}

/// A control group goes away as a directory does whose files do not count.
fn remove(group: &Path) {
    let Ok(entries) = fs::read_dir(group) else { return };
    entries.map_while(Result::ok).filter(|entry| entry.file_type().unwrap().is_dir()).for_each(|entry| remove(&entry.path()));
    let _ = fs::remove_dir(group);
}

fn is_unified() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

/// Where memory and CPU time are bounded on this machine.
fn hierarchies() -> Vec<PathBuf> {
    if is_unified() {
        return vec!["/sys/fs/cgroup".into()];
    }
    let known = ["/sys/fs/cgroup/memory", "/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"].map(PathBuf::from);
    known.into_iter().filter(|path| path.is_dir() && !path.is_symlink()).collect()
}

/// What a step sees of its bounds: bytes of memory, microseconds of each 100 ms.
const SEEN: &str = "RUN cd /sys/fs/cgroup; cat memory/memory.limit_in_bytes memory.max 2>/dev/null > /memory; \
                    cut -d' ' -f1 cpu/cpu.cfs_quota_us cpu,cpuacct/cpu.cfs_quota_us cpu.max 2>/dev/null | head -n 1 > /cpu; true\n";

/// More than these steps may have.
const GREEDY: &str = "RUN dd if=/dev/zero of=/dev/null bs=200M count=1\n";

fn limits_of(run: &Run) -> serde_json::Value {
    run.events_named("engine.connected")[0].data["limits"].clone()
}

#[test]
fn d5_a_bound_that_is_written_holds_or_the_run_is_refused() {
    promise!(1);
    let context = Context::with(&format!("FROM BASE\n{SEEN}"));
    for builder in builders() {
        let memory = cell(O::Memory, builder, &context, |agent| agent.args(&["--no-cache", "--memory", "64m"]));
        let memory = became(O::Memory, builder, memory, |run, image| {
            assert_eq!(limits_of(run)["memory"], 64 << 20, "{}", run.story());
            image.holds("memory", b"67108864\n")
        });
        let cpus = cell(O::Cpus, builder, &context, |agent| agent.args(&["--no-cache", "--cpus", "0.25"]));
        let cpus = became(O::Cpus, builder, cpus, |_, image| image.holds("cpu", b"25000\n"));
        let pod = Pod::new(512);
        let below = format!("/{}/builds", pod.path());
        let parent = cell(O::CgroupParent, builder, &context, |agent| {
            agent.args(&["--no-cache", "--allow", "cgroup-parent", "--cgroup-parent", &below])
        });
        let parent = became(O::CgroupParent, builder, parent, |_, _| {
            // The engine makes what is not there, and leaves it.
            hierarchies()[0].join(below.trim_start_matches('/')).is_dir()
        });
        let expected = builder == "classic";
        assert_eq!((memory, cpus, parent), (expected, expected, expected && !Engine::shared().podman), "{builder}");
    }
}

#[test]
fn d5_what_bounds_the_pod_bounds_its_steps_or_it_is_told_that_it_does_not() {
    promise!(1);
    let context = Context::with(&format!("FROM BASE\n{SEEN}"));
    for builder in builders() {
        let pod = Pod::new(96);
        let inherit = |more: &[&str]| {
            let agent = pod.enter(Agent::build().directory(context.path()));
            agent.args(&["--no-push", "--no-cache", "--builder", builder, "--limits-inherit"]).args(more).run()
        };
        let (name, _) = crate::directory::destination(&format!("inherits-{builder}"));
        let run = inherit(&["-t", &name]).ok();
        let limits = limits_of(&run);
        if builder == "buildkit" {
            let left: Vec<_> = limits["not_enforced"].as_array().unwrap().iter().map(|left| left["limit"].as_str().unwrap()).collect();
            assert_eq!(left, ["memory", "cpus", "cgroup_parent"], "{limits}");
            let refused = inherit(&["--limits-strict"]).failed(12, "Unsupported", "prepare");
            assert!(refused.words().contains("builder: classic") && refused.count("POST", "/build") == 0, "{}", refused.words());
            continue;
        }
        assert_eq!((&limits["memory"], &limits["cpus"]), (&(96 << 20).into(), &0.5.into()), "{limits}");
        if Engine::shared().podman {
            assert_eq!(limits["not_enforced"][0]["limit"], "cgroup_parent", "{limits}");
            inherit(&["--limits-strict"]).failed(12, "Unsupported", "prepare");
        } else {
            assert_eq!(limits["cgroup_parent"], format!("/{}", pod.path()), "{limits}");
            assert_eq!(limits["not_enforced"].as_array().map(Vec::len), Some(0), "{limits}");
            inherit(&["--limits-strict"]).ok();
        }
        let seen = |path: &str| Engine::shared().docker_ok(&["run", "--rm", &name, "cat", path]);
        assert_eq!((seen("/memory").trim(), seen("/cpu").trim()), ("100663296", "50000"));
        Engine::shared().docker_ok(&["rmi", &name]);
    }
}

#[test]
fn a_step_that_exceeds_its_memory_is_told_from_one_that_fails() {
    promise!(1);
    if builder() == "classic" {
        return a_killed_step_fails();
    }
    let greedy = Context::with(&format!("FROM BASE\n{GREEDY}"));
    let failing = |context: &Context, arguments: &[&str]| {
        Agent::build().directory(context.path()).args(&["--no-push", "--builder", "classic"]).args(arguments).run()
    };
    let run = failing(&greedy, &["--memory", "16m"]).failed(45, "OutOfMemory", "build");
    assert_eq!(run.document()["steps"]["failed"]["exit_code"], 137, "{}", run.document());
    // What bounds the group above ends it, too; and it is not lost where the step makes an error of its own of it. The daemon says
    // so by an event that it loses once in a while.
    let pod = Pod::new(32);
    let parent = ["--allow", "cgroup-parent", "--cgroup-parent", &format!("/{}", pod.path())];
    let own = Context::with("FROM BASE\nRUN dd if=/dev/zero of=/dev/null bs=200M count=1 || exit 7\n");
    for (context, arguments) in [(&greedy, &parent[..]), (&own, &["--memory", "16m"])] {
        let codes: Vec<i32> = (0..3).map(|_| failing(context, arguments).code).collect();
        assert!(codes.contains(&45) && codes.iter().all(|code| [45, 42].contains(code)), "{codes:?}");
    }

    // Nothing of that is a step that fails, or is killed without a bound, whatever it prints.
    let killed = Context::with("FROM BASE\nRUN echo ' ---> Running in 0123456789ab'; sh -c 'kill -9 $$' || exit 137\n");
    let run = failing(&killed, &[]).failed(42, "StepFailed", "build");
    assert!(run.words().contains("SIGKILL"), "{}", run.words());
    failing(&Context::with("FROM BASE\nRUN exit 7\n"), &["--memory", "16m"]).failed(42, "StepFailed", "build");
}

/// Podman tells nobody that a step was killed, nor its code.
fn a_killed_step_fails() {
    let greedy = Context::with(&format!("FROM BASE\n{GREEDY}"));
    Agent::build().directory(greedy.path()).args(&["--no-push", "--memory", "16m"]).run().failed(42, "StepFailed", "build");
}
