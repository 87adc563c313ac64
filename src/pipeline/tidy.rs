//! What a run makes on the node, and takes away again: its temporary name, and the names it sets to push.
//!
//! Runs on one node push at once, and each must leave a destination's local name as it was before any of them. So a run that
//! borrows a name marks, by a name of its own, what it found: the image that the name pointed to, or its own image where there
//! was none. Whoever finds the name on another run's image follows that mark, also when the other run is long dead.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::engine::{Engine, EngineError, LocalImage};
use crate::model::{Digest, ImageId, Reference};
use crate::support::clock;

/// Every name of ours on a node begins with this; whoever sweeps up after dead runs goes by it.
pub const PREFIX: &str = "podwright-tmp/";

/// The tag under which a run builds.
pub(super) const BUILT: &str = ":latest";

/// How much longer than its deadline a run may take to be gone: its grace, and clocks that are set.
const SLACK: Duration = Duration::from_mins(5);

/// The run's own repository on the engine: until when it can live, and which it is.
fn repository(run: &str, left: Duration) -> String {
    format!("{PREFIX}{}-{run}", clock::unix().saturating_add_unsigned((left + SLACK).as_secs()))
}

/// The repositories of the runs that built this image and have not ended.
fn owners(image: &LocalImage) -> impl Iterator<Item = &str> {
    image.tags.iter().filter_map(|tag| tag.strip_suffix(BUILT)).filter(|name| name.starts_with(PREFIX))
}

/// The mark of a run on what a borrowed name pointed to before, or on its own image where that was nothing.
pub(super) fn mark(owner: &str, name: &str, before: bool) -> String {
    let hash = Digest::sha256(Sha256::digest(name));
    format!("{owner}:{}-{}", if before { "before" } else { "nothing" }, &hash.hex()[..16])
}

/// The names that are set now, and what each pointed to before.
#[derive(Default)]
pub struct Names {
    /// The run's own repository, from when the engine may have a name in it.
    own: Option<String>,
    id: Option<ImageId>,
    parent: Option<ImageId>,
    borrowed: Vec<(Reference, Option<ImageId>)>,
}

impl Names {
    /// The name to build under. From here on the engine may have it, for as long as the run has left.
    pub fn begin(&mut self, run: &str, left: Duration) -> String {
        format!("{}{BUILT}", self.own.insert(repository(run, left)))
    }

    pub fn built(&mut self, id: &ImageId) {
        self.id = Some(id.clone());
    }

    /// What the classic builder made the image from: with the image itself its cache has the whole chain, and without it the
    /// next run of the same source would get another id and another digest.
    pub fn built_from(&mut self, parent: Option<ImageId>) {
        self.parent = parent;
    }

    fn mark(&self, reference: &Reference, before: bool) -> String {
        mark(self.own.as_deref().unwrap_or_default(), &reference.to_string(), before)
    }

    /// Remembers what a destination's local name points to, before it is set for the push; and before it is set once more, what
    /// somebody else made of it meanwhile.
    pub async fn borrow<E: Engine>(&mut self, engine: &E, reference: &Reference) -> Result<(), EngineError> {
        let Some(id) = self.id.clone() else { return Ok(()) };
        let before = self.original(engine, &reference.to_string()).await?;
        let mark = self.mark(reference, before.is_some());
        let on = before.clone().unwrap_or_else(|| id.clone());
        match self.borrowed.iter_mut().find(|(borrowed, _)| borrowed == reference) {
            None => self.borrowed.push((reference.clone(), before)),
            // What is no news: that it is gone, or that it is still as this run has set it.
            Some((_, known)) if before.is_none() || before.as_ref() == Some(&id) || before == *known => return Ok(()),
            Some((_, known)) => *known = before,
        }
        engine.tag(&on, &mark).await
    }

    /// What a name pointed to before any run borrowed it.
    async fn original<E: Engine>(&self, engine: &E, name: &str) -> Result<Option<ImageId>, EngineError> {
        let mut seen = None;
        loop {
            let Some(image) = engine.inspect(name).await? else { return Ok(None) };
            let others: Vec<&str> = owners(&image).filter(|owner| Some(*owner) != self.own.as_deref()).collect();
            for owner in &others {
                if let Some(before) = engine.inspect(&mark(owner, name, true)).await? {
                    return Ok(Some(before.id));
                }
                if engine.inspect(&mark(owner, name, false)).await?.is_some() {
                    return Ok(None);
                }
            }
            // No run borrowed it, unless it was given back just now.
            if others.is_empty() || seen.as_ref() == Some(&image.id) {
                return Ok(Some(image.id));
            }
            seen = Some(image.id);
        }
    }

    /// Gives every borrowed name back: to what it pointed to before, or to nothing. A name that somebody else set meanwhile
    /// is theirs and stays. Broken off, it can be begun again.
    pub async fn give_back<E: Engine>(&mut self, engine: &E) -> Result<(), EngineError> {
        while let Some((reference, before)) = self.borrowed.last() {
            let name = reference.to_string();
            let now = engine.inspect(&name).await?;
            if now.map(|image| image.id) == self.id {
                match before {
                    Some(image) => engine.tag(image, &name).await?,
                    None => engine.untag(&name).await?,
                }
            }
            if before.is_some() {
                let_go(engine, &self.mark(reference, true), self.id.as_ref()).await?;
            }
            engine.untag(&self.mark(reference, false)).await?;
            self.borrowed.pop();
        }
        Ok(())
    }

    /// Takes the temporary name away. What was built stays in the engine's cache.
    async fn end<E: Engine>(&mut self, engine: &E) -> Result<(), EngineError> {
        if let Some(own) = &self.own {
            let_go(engine, &format!("{own}{BUILT}"), self.parent.as_ref()).await?;
        }
        self.own = None;
        Ok(())
    }

    /// Everything, whatever fails; the first failure is told. A build that was left before its end may still set its name a moment
    /// later.
    pub async fn abandon<E: Engine>(&mut self, engine: &E, left_in_build: bool) -> Result<(), EngineError> {
        let again = self.own.as_ref().filter(|_| left_in_build).map(|own| format!("{own}{BUILT}"));
        let mut told = self.give_back(engine).await;
        told = told.and(self.end(engine).await);
        if let Some(name) = again {
            tokio::time::sleep(Duration::from_millis(700)).await;
            told = told.and(engine.untag(&name).await);
        }
        told
    }
}

/// Takes a name of ours from an image that stays: a daemon deletes an image with its last name, so the name goes to another
/// one first.
pub(super) async fn let_go<E: Engine>(engine: &E, name: &str, to: Option<&ImageId>) -> Result<(), EngineError> {
    if let Some(to) = to {
        match engine.tag(to, name).await {
            // That one is gone: then the first goes with its name.
            Ok(()) | Err(EngineError::NameMoved(_)) => {}
            Err(error) => return Err(error),
        }
    }
    engine.untag(name).await
}
