//! The control group that this process is in, and what bounds it there (cgroups(7); kernel, admin-guide/cgroup-v1/memory.rst and
//! admin-guide/cgroup-v2.rst). It only reads.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Bytes read of one file of the kernel's: a node has some hundred mounts.
const MOST: u64 = 1 << 20;

/// The number of the first cgroup namespace, that of the node itself (kernel, include/linux/proc_ns.h: `PROC_CGROUP_INIT_INO`).
const OF_THE_NODE: &str = "cgroup:[4026531835]";

/// Above this a version 1 hierarchy means no bound: it counts pages in a signed number.
const UNBOUNDED: u64 = 1 << 62;

/// CPU time in each period, both in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    pub quota: u64,
    pub period: u64,
}

impl Quota {
    /// As many CPUs as that is.
    #[expect(clippy::cast_precision_loss, reason = "microseconds of some seconds")]
    pub fn cpus(self) -> f64 {
        self.quota as f64 / self.period as f64
    }
}

/// What bounds this process and whatever shares its group. What is `None` is not bounded, or not to be seen from here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Bytes of memory and swap together.
    pub memory_and_swap: Option<u64>,
    pub cpu: Option<Quota>,
    /// Where the group is, as the node's own processes name it; a cgroup namespace hides that.
    pub path: Option<String>,
    /// Whether version 2 holds it: there a group that has processes can have no groups below it that are bounded.
    pub unified: bool,
}

/// What holds of this process.
pub fn own() -> Own {
    read_below(Path::new("/"))
}

/// Whether this node has swap at all.
pub fn node_swaps() -> bool {
    let meminfo = text(Path::new("/proc/meminfo")).unwrap_or_default();
    meminfo.lines().find_map(|line| line.strip_prefix("SwapTotal:")).is_some_and(|rest| !rest.trim().starts_with("0 "))
}

fn read_below(root: &Path) -> Own {
    let groups = text(&root.join("proc/self/cgroup")).unwrap_or_default();
    let mounts = text(&root.join("proc/self/mountinfo")).unwrap_or_default();
    let find = |controller| Group::find(root, &groups, &mounts, controller);
    let memory = find("memory");
    let mut own = memory.as_ref().map(Group::memory).unwrap_or_default();
    own.cpu = find("cpu").and_then(|group| group.cpu());
    let namespace = std::fs::read_link(root.join("proc/self/ns/cgroup"));
    if namespace.map_or(true, |link| link.as_os_str() == OF_THE_NODE) {
        own.path = memory.map(|group| group.path).filter(|path| path != "/");
    }
    own
}

/// A controller's group.
struct Group {
    /// As the kernel names it.
    path: String,
    unified: bool,
    /// Its directory, and below which mount that lies.
    dir: PathBuf,
    mount: PathBuf,
}

impl Group {
    fn find(root: &Path, groups: &str, mounts: &str, controller: &str) -> Option<Self> {
        // `4:memory:/docker/1f…`, and `0::/…` for version 2.
        let mut lines = groups.lines().filter_map(|line| line.split_once(':')?.1.split_once(':'));
        let (named, unified) = match lines.clone().find(|(names, _)| names.split(',').any(|name| name == controller)) {
            Some((_, path)) => (path, false),
            None => (lines.find(|(names, _)| names.is_empty())?.1, true),
        };
        let (top, at) = mounts.lines().find_map(|line| mount(line, controller, unified))?;
        let below = Path::new(named).strip_prefix(top).ok()?;
        let mount = root.join(at.trim_start_matches('/'));
        Some(Self { path: named.to_owned(), unified, dir: mount.join(below), mount })
    }

    fn memory(&self) -> Own {
        let unified = self.unified;
        if unified {
            let memory = self.least(|dir| number(&dir.join("memory.max")));
            let swap = self.least(|dir| number(&dir.join("memory.swap.max")));
            return Own { memory, memory_and_swap: memory.zip(swap).map(|(memory, swap)| memory + swap), unified, ..Own::default() };
        }
        // What holds here, the groups above counted, which may be out of sight.
        let stat = text(&self.dir.join("memory.stat")).unwrap_or_default();
        let bound = |name: &str| {
            let value = stat.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
            value.filter(|bytes| *bytes < UNBOUNDED)
        };
        let (memory, memory_and_swap) = (bound("hierarchical_memory_limit "), bound("hierarchical_memsw_limit "));
        Own { memory, memory_and_swap, unified, ..Own::default() }
    }

    fn cpu(&self) -> Option<Quota> {
        let quota = |dir: &Path| {
            let (quota, period) = if self.unified {
                let both = text(&dir.join("cpu.max"))?;
                let (quota, period) = both.trim().split_once(' ')?;
                (quota.parse().ok()?, period.parse().ok()?)
            } else {
                (number(&dir.join("cpu.cfs_quota_us"))?, number(&dir.join("cpu.cfs_period_us"))?)
            };
            (period > 0).then_some(Quota { quota, period })
        };
        let all = self.dirs().filter_map(quota);
        all.min_by(|a, b| a.cpus().total_cmp(&b.cpus()))
    }

    fn least(&self, bound: impl Fn(&Path) -> Option<u64>) -> Option<u64> {
        self.dirs().filter_map(bound).min()
    }

    /// Its own directory and those above it, as far as they are mounted.
    fn dirs(&self) -> impl Iterator<Item = &Path> {
        self.dir.ancestors().take_while(|dir| dir.starts_with(&self.mount))
    }
}

/// What of a hierarchy is mounted, and where, if this line of mountinfo says so (proc(5)).
fn mount<'a>(line: &'a str, controller: &str, unified: bool) -> Option<(&'a str, &'a str)> {
    let (of_the_mount, of_the_system) = line.split_once(" - ")?;
    let mut fields = of_the_mount.split(' ').skip(3);
    let (top, at) = (fields.next()?, fields.next()?);
    let mut system = of_the_system.split(' ');
    let kind = system.next()?;
    let fits = if unified { kind == "cgroup2" } else { kind == "cgroup" && system.nth(1)?.split(',').any(|name| name == controller) };
    fits.then_some((top, at))
}

/// A whole number; `max` and -1 are none.
fn number(file: &Path) -> Option<u64> {
    text(file)?.trim().parse().ok()
}

fn text(file: &Path) -> Option<String> {
    let mut text = String::new();
    File::open(file).ok()?.take(MOST).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A machine's files, as far as they matter here.
    fn machine(namespace: &str, files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        std::fs::create_dir_all(root.path().join("proc/self/ns")).unwrap();
        symlink(namespace, root.path().join("proc/self/ns/cgroup")).unwrap();
        root
    }

    const V1: &str = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
        32 31 0:29 /docker/1f /sys/fs/cgroup/cpu,cpuacct ro - cgroup cgroup rw,cpu,cpuacct\n\
        33 31 0:30 /docker/1f /sys/fs/cgroup/memory ro master:3 - cgroup cgroup rw,memory\n";

    #[test]
    fn version_1_says_what_holds_with_the_groups_above() {
        let files = [
            ("proc/self/cgroup", "4:memory:/docker/1f\n2:cpu,cpuacct:/docker/1f\n0::/\n"),
            ("proc/self/mountinfo", V1),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            (
                "sys/fs/cgroup/memory/memory.stat",
                "cache 0\nhierarchical_memory_limit 134217728\nhierarchical_memsw_limit 9223372036854771712\n",
            ),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "150000\n"),
            ("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n"),
        ];
        let root = machine(OF_THE_NODE, &files);
        let own = read_below(root.path());
        let want = Own {
            memory: Some(128 << 20),
            memory_and_swap: None,
            cpu: Some(Quota { quota: 150_000, period: 100_000 }),
            path: Some("/docker/1f".into()),
            unified: false,
        };
        assert_eq!(own, want);
        // In a namespace the same is `/`, and says nothing of the node.
        let root = machine("cgroup:[4026532281]", &files);
        assert_eq!(read_below(root.path()), Own { path: None, ..want });
    }

    #[test]
    fn version_2_takes_the_least_of_all_groups_that_are_seen() {
        let pod = "/kubepods.slice/kubepods-pod1.slice";
        let own_line = format!("0::{pod}/cri-containerd-2.scope\n");
        let dir = |file: &str| format!("sys/fs/cgroup{pod}/{file}");
        let files = [
            ("proc/self/cgroup", own_line.as_str()),
            ("proc/self/mountinfo", "29 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"),
            (&dir("memory.max"), "268435456\n"),
            (&dir("memory.swap.max"), "0\n"),
            (&dir("cpu.max"), "200000 100000\n"),
            (&dir("cri-containerd-2.scope/memory.max"), "max\n"),
            (&dir("cri-containerd-2.scope/memory.swap.max"), "max\n"),
            (&dir("cri-containerd-2.scope/cpu.max"), "50000 100000\n"),
        ];
        let own = read_below(machine(OF_THE_NODE, &files).path());
        assert_eq!((own.memory, own.memory_and_swap), (Some(256 << 20), Some(256 << 20)));
        assert!((own.cpu.unwrap().cpus() - 0.5).abs() < f64::EPSILON && own.unified);
        assert_eq!(own.path.unwrap(), format!("{pod}/cri-containerd-2.scope"));
    }

    #[test]
    fn what_cannot_be_seen_is_no_bound() {
        assert_eq!(read_below(machine(OF_THE_NODE, &[]).path()), Own::default());
        // A mount of another part of the hierarchy than this process is in.
        let files = [("proc/self/cgroup", "4:memory:/../x\n"), ("proc/self/mountinfo", V1)];
        assert_eq!(read_below(machine(OF_THE_NODE, &files).path()), Own::default());
    }
}
