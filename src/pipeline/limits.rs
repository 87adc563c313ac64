//! What bounds RUN steps: what the request writes, and where it wants that what bounds this pod.

use crate::config::settings::Inherit;
use crate::engine::{BuildOption, EngineError, StepLimits};
use crate::model::result::{EngineInfo, Limits, Unenforced};
use crate::support::cgroup::Own;

/// What a build is asked to hold, and what is told of it.
#[derive(Debug)]
pub struct Held {
    pub asked: StepLimits,
    /// `None` where nobody wanted a bound.
    pub told: Option<Limits>,
}

/// Fills in from `own` what `written` leaves open, as far as the engine can hold it. `swaps` is whether the node has swap.
pub fn hold(
    written: &StepLimits,
    inherit: Option<Inherit>,
    own: &Own,
    swaps: impl FnOnce() -> bool,
    engine: &EngineInfo,
    honours: impl Fn(BuildOption) -> Result<(), EngineError>,
) -> Result<Held, EngineError> {
    let mut asked = written.clone();
    let mut not_enforced: Vec<Unenforced> = Vec::new();
    let mut leave = |limit: &str, why: String| not_enforced.push(Unenforced { limit: limit.to_owned(), why });
    if inherit.is_some() {
        if let (None, Some(_)) = (written.memory, own.memory) {
            match honours(BuildOption::Memory) {
                Ok(()) => (asked.memory, asked.memory_and_swap) = (own.memory, own.memory_and_swap),
                Err(refused) => leave("memory", refused.to_string()),
            }
        }
        if let (None, Some(_)) = (written.cpu, own.cpu) {
            match honours(BuildOption::Cpus) {
                Ok(()) => asked.cpu = own.cpu,
                Err(refused) => leave("cpus", refused.to_string()),
            }
        }
        if written.parent.is_none() {
            let parent = honours(BuildOption::CgroupParent).map_err(|refused| refused.to_string());
            match parent.and_then(|()| parent_of_steps(own, &engine.cgroup_driver).map_err(str::to_owned)) {
                Ok(parent) => asked.parent = Some(parent),
                Err(why) => leave("cgroup_parent", why),
            }
        }
    }
    if asked.memory_and_swap.is_some() && !engine.swap_limit && swaps() {
        leave("swap", "the node has swap, and its kernel does not bound it".to_owned());
    }
    if let (Some(Inherit::Strictly), Some(first)) = (inherit, not_enforced.first()) {
        return Err(EngineError::Unsupported(format!("build.limits.strict: {} is not enforced: {}", first.limit, first.why)));
    }
    let wanted = inherit.is_some() || *written != StepLimits::default();
    let told = wanted.then(|| Limits {
        memory: asked.memory,
        memory_and_swap: asked.memory_and_swap,
        cpus: asked.cpu.map(crate::support::cgroup::Quota::cpus),
        cgroup_parent: asked.parent.clone(),
        not_enforced,
    });
    Ok(Held { asked, told })
}

/// The group that steps may share with this pod. In Kubernetes that is the pod's, with which the kubelet ends what is in it; elsewhere
/// this process's own, where the kernel lets it have groups below it.
fn parent_of_steps(own: &Own, driver: &str) -> Result<String, &'static str> {
    let path = own.path.as_deref().ok_or("where this pod's control group is on the node cannot be seen from inside of it")?;
    let parent = match of_a_pod(path) {
        Some(pod) => pod,
        None if own.unified => return Err("a group that has processes can have none below it that is bounded (cgroup v2)"),
        None => path,
    };
    match (driver, parent.rsplit_once('/')) {
        ("systemd", Some((_, slice))) if is_slice(slice) => Ok(slice.to_owned()),
        ("systemd", _) => Err("the daemon leaves control groups to systemd, which knows this pod's not as a slice"),
        _ => Ok(parent.to_owned()),
    }
}

/// `/kubepods/burstable/pod1` of `/kubepods/burstable/pod1/2`, and
/// `/kubepods.slice/kubepods-pod1.slice` of `/kubepods.slice/kubepods-pod1.slice/cri-containerd-2.scope`
/// (kubernetes, pkg/kubelet/cm: `GetPodContainerName`).
fn of_a_pod(path: &str) -> Option<&str> {
    let mut end = 0;
    let mut in_kubepods = false;
    for part in path.split_inclusive('/') {
        end += part.len();
        let name = part.trim_end_matches('/');
        let is_pod = name.starts_with("pod") || is_slice(name) && name.contains("-pod");
        if in_kubepods && is_pod {
            return Some(path[..end].trim_end_matches('/'));
        }
        in_kubepods |= name == "kubepods" || name.ends_with("kubepods.slice");
    }
    None
}

/// Whether systemd has groups below it.
fn is_slice(name: &str) -> bool {
    name.strip_suffix(".slice").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::support::cgroup::Quota;

    const QUOTA: Quota = Quota { quota: 150_000, period: 100_000 };

    fn pod(path: &str) -> Own {
        Own { memory: Some(128 << 20), memory_and_swap: Some(128 << 20), cpu: Some(QUOTA), path: Some(path.into()), unified: false }
    }

    fn engine(driver: &str) -> EngineInfo {
        EngineInfo { cgroup_driver: driver.into(), swap_limit: true, ..EngineInfo::default() }
    }

    fn none(option: BuildOption) -> Result<(), EngineError> {
        Err(EngineError::Unsupported(format!("{}: not here", option.field())))
    }

    #[test]
    fn steps_share_the_pods_group_or_their_own_agents() {
        let v2 = |path: &str| Own { unified: true, ..pod(path) };
        let slice = "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice";
        let table = [
            (pod("/kubepods/burstable/pod1/2"), "cgroupfs", Some("/kubepods/burstable/pod1")),
            (pod("/kubepods/pod1/2"), "cgroupfs", Some("/kubepods/pod1")),
            (pod("/kubelet/kubepods/pod1/2/nested"), "cgroupfs", Some("/kubelet/kubepods/pod1")),
            (v2(&format!("{slice}/cri-containerd-3.scope")), "systemd", Some("kubepods-burstable-pod1_2.slice")),
            (v2(&format!("{slice}/cri-containerd-3.scope")), "cgroupfs", Some(slice)),
            (
                v2("/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod1.slice/x.scope"),
                "systemd",
                Some("kubelet-kubepods-pod1.slice"),
            ),
            (pod("/docker/1f"), "cgroupfs", Some("/docker/1f")),
            (pod("/podman/kubepods-not/1"), "cgroupfs", Some("/podman/kubepods-not/1")),
            (v2("/docker/1f"), "cgroupfs", None),
            (pod("/system.slice/docker-1f.scope"), "systemd", None),
            (pod("/kubepods/pod1/2"), "systemd", None),
            (Own::default(), "cgroupfs", None),
        ];
        for (own, driver, want) in table {
            assert_eq!(parent_of_steps(&own, driver).ok().as_deref(), want, "{own:?} {driver}");
        }
    }

    #[test]
    fn what_is_written_goes_before_what_is_inherited() {
        let written = StepLimits { memory: Some(64 << 20), memory_and_swap: Some(64 << 20), ..StepLimits::default() };
        let held = hold(&written, Some(Inherit::Strictly), &pod("/docker/1f"), || true, &engine("cgroupfs"), |_| Ok(())).unwrap();
        let want = StepLimits { cpu: Some(QUOTA), parent: Some("/docker/1f".into()), ..written };
        assert_eq!(held.asked, want);
        assert!(held.told.unwrap().not_enforced.is_empty());
    }

    #[test]
    fn d5_what_is_not_enforced_is_told_or_refused_and_never_dropped() {
        let own = pod("/docker/1f");
        let held = hold(&StepLimits::default(), Some(Inherit::AsFarAsItGoes), &own, || true, &engine("cgroupfs"), none).unwrap();
        assert_eq!(held.asked, StepLimits::default());
        let left: Vec<String> = held.told.unwrap().not_enforced.into_iter().map(|left| left.limit).collect();
        assert_eq!(left, ["memory", "cpus", "cgroup_parent"]);
        let strict = hold(&StepLimits::default(), Some(Inherit::Strictly), &own, || true, &engine("cgroupfs"), none).unwrap_err();
        assert!(strict.to_string().contains("memory is not enforced"), "{strict}");
        // A kernel that cannot bound swap matters where there is some.
        let lame = EngineInfo { swap_limit: false, ..engine("cgroupfs") };
        let left = |swaps| hold(&StepLimits::default(), Some(Inherit::AsFarAsItGoes), &own, || swaps, &lame, |_| Ok(())).unwrap();
        assert_eq!(left(true).told.unwrap().not_enforced.len(), 1);
        assert!(left(false).told.unwrap().not_enforced.is_empty());
    }

    #[test]
    fn nobody_is_told_of_what_nobody_wanted() {
        let held = hold(&StepLimits::default(), None, &pod("/docker/1f"), || true, &engine("cgroupfs"), |_| Ok(())).unwrap();
        assert!(held.asked == StepLimits::default() && held.told.is_none());
    }
}
