//! What a run makes on the node, and takes away again: its temporary name, and the names it sets to push.

use std::time::Duration;

use crate::engine::{Engine, EngineError, LocalImage};
use crate::model::{ImageId, Reference};
use crate::support::clock;

/// Every name of ours on a node begins with this; whoever sweeps up after dead runs goes by it.
pub const PREFIX: &str = "podwright-tmp/";

/// The run's own name on the engine: when it began, and which it is.
pub fn temporary_name(run: &str) -> String {
    format!("{PREFIX}{}-{run}:latest", clock::unix())
}

/// Whether the image is still at work in some run.
fn is_unfinished(image: &LocalImage) -> bool {
    image.tags.iter().any(|tag| tag.starts_with(PREFIX))
}

/// The names that are set now, and what each pointed to before.
#[derive(Default)]
pub struct Names {
    temporary: Option<String>,
    borrowed: Vec<(Reference, Option<LocalImage>)>,
    id: Option<ImageId>,
}

impl Names {
    /// From here on the engine may have this name.
    pub fn begin(&mut self, temporary: &str) {
        self.temporary = Some(temporary.to_owned());
    }

    pub fn built(&mut self, id: &ImageId) {
        self.id = Some(id.clone());
    }

    /// Remembers what a destination's local name points to, before it is set for the push; and before it is set once more, what
    /// somebody else made of it meanwhile.
    pub async fn borrow<E: Engine>(&mut self, engine: &E, reference: &Reference) -> Result<(), EngineError> {
        let now = engine.inspect(&reference.to_string()).await?;
        let Some((_, before)) = self.borrowed.iter_mut().find(|(borrowed, _)| borrowed == reference) else {
            self.borrowed.push((reference.clone(), now));
            return Ok(());
        };
        if now.as_ref().is_some_and(|image| Some(&image.id) != self.id.as_ref() && !is_unfinished(image)) {
            *before = now;
        }
        Ok(())
    }

    /// Gives every borrowed name back: to what it pointed to before, or to nothing. A name that somebody else set meanwhile
    /// is theirs and stays. Broken off, it can be begun again.
    pub async fn give_back<E: Engine>(&mut self, engine: &E) -> Result<(), EngineError> {
        while let Some((reference, before)) = self.borrowed.last() {
            let now = engine.inspect(&reference.to_string()).await?;
            if now.map(|image| image.id) == self.id {
                match before {
                    // What points to another run's unfinished image was borrowed by that run.
                    Some(image) if !is_unfinished(image) => engine.tag(&image.id, reference).await?,
                    _ => engine.untag(&reference.to_string()).await?,
                }
            }
            self.borrowed.pop();
        }
        Ok(())
    }

    /// Takes the temporary name away.
    pub async fn end<E: Engine>(&mut self, engine: &E) -> Result<(), EngineError> {
        match self.temporary.take() {
            Some(name) => engine.untag(&name).await,
            None => Ok(()),
        }
    }

    /// Everything, in a hurry and whatever fails: a build that was stopped may still set its name a moment later.
    pub async fn abandon<E: Engine>(&mut self, engine: &E, stopped_in_build: bool) {
        let _ = self.give_back(engine).await;
        let again = self.temporary.clone().filter(|_| stopped_in_build);
        let _ = self.end(engine).await;
        if let Some(name) = again {
            tokio::time::sleep(Duration::from_millis(700)).await;
            let _ = engine.untag(&name).await;
        }
    }
}
