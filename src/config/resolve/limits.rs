//! What bounds RUN steps, as a request writes it.

use crate::config::error::ConfigError;
use crate::config::policy::Policy;
use crate::config::request::{Cpus, StepLimitsDoc};
use crate::config::settings::Inherit;
use crate::engine::StepLimits;
use crate::support::cgroup::Quota;

/// No engine takes less memory (moby, daemon/daemon_unix.go: `linuxMinMemory`).
const LEAST_MEMORY: u64 = 6 << 20;

/// Microseconds: what the engines reckon with by themselves.
const PERIOD: u64 = 100_000;

/// CPUs: the kernel's least quota of a period, and more than any node has.
const LEAST_CPUS: f64 = 0.01;
const MOST_CPUS: f64 = 4096.0;

/// The bounds that are written out. A bound of memory is one: there is no swap beside it, unlike docker's, which adds as much again.
pub fn written(document: &StepLimitsDoc, policy: &Policy) -> Result<StepLimits, ConfigError> {
    let memory = super::size("build.limits.memory", document.memory.as_ref())?;
    if memory.is_some_and(|bytes| bytes < LEAST_MEMORY || i64::try_from(bytes).is_err()) {
        return Err(ConfigError::invalid("build.limits.memory", "is no memory that a step can have", "write 6m or more, such as 512m"));
    }
    let cpu = document.cpus.as_ref().map(cpus).transpose()?;
    let parent = document.cgroup_parent.as_deref().map(|path| parent(path, policy)).transpose()?;
    Ok(StepLimits { memory, memory_and_swap: memory, cpu, parent })
}

/// What becomes of this pod's own bounds; `None` where they are not asked for.
pub fn inherited(document: &StepLimitsDoc) -> Result<Option<Inherit>, ConfigError> {
    match (document.inherit.unwrap_or_default(), document.strict.unwrap_or_default()) {
        (true, true) => Ok(Some(Inherit::Strictly)),
        (true, false) => Ok(Some(Inherit::AsFarAsItGoes)),
        (false, true) => Err(ConfigError::invalid(
            "build.limits.strict",
            "is about what is inherited, and nothing is",
            "add build.limits.inherit (--limits-inherit); a bound that is written out is held or refused anyway",
        )),
        (false, false) => Ok(None),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked before")]
fn cpus(written: &Cpus) -> Result<Quota, ConfigError> {
    let number = match written {
        Cpus::Number(number) => Some(*number),
        Cpus::Text(text) => match text.strip_suffix('m') {
            Some(thousandths) => thousandths.parse::<u32>().ok().map(|number| f64::from(number) / 1e3),
            None => text.parse().ok(),
        },
    };
    match number.filter(|number| (LEAST_CPUS..=MOST_CPUS).contains(number)) {
        Some(number) => Ok(Quota { quota: (number * 1e5).round() as u64, period: PERIOD }),
        None => Err(ConfigError::invalid("build.limits.cpus", "is no number of CPUs", "write a number from 0.01 on, such as 1.5 or 1500m")),
    }
}

fn parent(path: &str, policy: &Policy) -> Result<String, ConfigError> {
    const FIELD: &str = "build.limits.cgroupParent";
    let plain = !path.is_empty() && path.len() <= 4096 && !path.chars().any(|c| c.is_control() || c.is_whitespace());
    if !plain || path.split('/').any(|part| part == "..") {
        return Err(ConfigError::invalid(FIELD, "is no control group", "write its path, such as /kubepods/pod1, or its slice"));
    }
    if !policy.cgroup_parent {
        return Err(ConfigError::not_permitted(FIELD, "puts RUN steps below a control group of the node's", "cgroup-parent"));
    }
    Ok(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::request::Size;

    #[test]
    fn cpus_are_written_as_docker_or_kubernetes_writes_them() {
        let text = |text: &str| cpus(&Cpus::Text(text.into())).ok().map(|quota| quota.quota);
        for (written, want) in [("1.5", 150_000), ("2", 200_000), ("0.01", 1_000), ("250m", 25_000), ("1500m", 150_000)] {
            assert_eq!(text(written), Some(want), "{written}");
        }
        for bad in ["", "0", "-1", "0.001", "1.5m", "m", "NaN", "inf", "1e9", "two"] {
            assert_eq!(text(bad), None, "{bad}");
        }
        assert_eq!(cpus(&Cpus::Number(0.5)).unwrap().quota, 50_000);
    }

    #[test]
    fn a_bound_of_memory_leaves_no_swap() {
        let memory = |size| StepLimitsDoc { memory: Some(size), ..StepLimitsDoc::default() };
        let limits = written(&memory(Size::Text("512m".into())), &Policy::default()).unwrap();
        assert_eq!((limits.memory, limits.memory_and_swap), (Some(512 << 20), Some(512 << 20)));
        assert!(written(&memory(Size::Bytes(1 << 20)), &Policy::default()).is_err());
        assert!(written(&memory(Size::Bytes(u64::MAX)), &Policy::default()).is_err());
    }

    #[test]
    fn d2_a_control_group_of_the_nodes_is_named_by_permission_alone() {
        let mut policy = Policy::default();
        assert!(matches!(parent("/kubepods/pod1", &policy), Err(ConfigError::NotPermitted { .. })));
        policy.allow("--allow", "cgroup-parent").unwrap();
        assert!(parent("/kubepods/pod1", &policy).is_ok() && parent("builds.slice", &policy).is_ok());
        for bad in ["", "/a/../b", "a b", "a\nb"] {
            assert!(matches!(parent(bad, &policy), Err(ConfigError::Invalid { .. })), "{bad:?}");
        }
    }
}
