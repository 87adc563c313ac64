//! What dead runs left on a node: their names, and the names of destinations that they had borrowed to push by.
//!
//! A name of ours says until when its run can live. Nothing whose time is not over is touched, whoever made it, and nothing
//! that is not named as ours.

use std::collections::BTreeMap;

use serde::Serialize;

use super::tidy::{BUILT, PREFIX, let_go, mark};
use crate::engine::{Engine, EngineError};
use crate::model::{ImageId, Reference};

/// What was found on a node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Swept {
    /// Names that dead runs had left; with a dry run, they are still there.
    pub removed: Vec<String>,
    /// Runs that may be alive.
    pub alive: usize,
}

/// Takes away what is left of runs whose time was over at `now`, in seconds since the epoch.
pub async fn sweep<E: Engine>(engine: &E, now: i64, dry: bool) -> Result<Swept, EngineError> {
    let mut runs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for name in engine.names(&format!("{PREFIX}*")).await? {
        let Some((owner, _)) = name.rsplit_once(':').filter(|(owner, _)| owner.starts_with(PREFIX)) else { continue };
        runs.entry(owner.to_owned()).or_default().push(name);
    }
    let mut swept = Swept::default();
    for (owner, names) in runs {
        if until(&owner).is_none_or(|until| until >= now) {
            swept.alive += 1;
            continue;
        }
        if !dry {
            bury(engine, &owner, &names).await?;
        }
        swept.removed.extend(names);
    }
    swept.removed.sort_unstable();
    Ok(swept)
}

/// `podwright-tmp/1700000000-0123456789ab`
fn until(owner: &str) -> Option<i64> {
    owner.strip_prefix(PREFIX)?.split_once('-')?.0.parse().ok()
}

/// Gives back what a dead run had borrowed, then takes its names away.
async fn bury<E: Engine>(engine: &E, owner: &str, names: &[String]) -> Result<(), EngineError> {
    let mut built: Option<ImageId> = None;
    for name in names.iter().filter(|name| name.ends_with(BUILT) || name.contains(":nothing-")) {
        let Some(image) = engine.inspect(name).await? else { continue };
        for tag in image.tags.iter().filter(|tag| !tag.starts_with(PREFIX)) {
            give_back(engine, owner, tag).await?;
        }
        built = Some(image.id);
    }
    for name in names {
        // What was there before may have no other name by now.
        let to = built.as_ref().filter(|_| name.contains(":before-"));
        let_go(engine, name, to).await?;
    }
    Ok(())
}

async fn give_back<E: Engine>(engine: &E, owner: &str, tag: &str) -> Result<(), EngineError> {
    let Ok(reference) = Reference::parse(tag) else { return Ok(()) };
    let name = reference.to_string();
    if let Some(before) = engine.inspect(&mark(owner, &name, true)).await? {
        return match engine.tag(&before.id, &name).await {
            Err(EngineError::NameMoved(_)) => Ok(()),
            done => done,
        };
    }
    if engine.inspect(&mark(owner, &name, false)).await?.is_some() {
        engine.untag(&name).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_until_when_its_run_can_live() {
        assert_eq!(until("podwright-tmp/1700000000-0123456789ab"), Some(1_700_000_000));
        for other in ["podwright-tmp/x-0123456789ab", "podwright-tmp/1700000000", "web/1700000000-0123456789ab", "podwright-tmp/"] {
            assert_eq!(until(other), None, "{other}");
        }
    }
}
