//! The engine of a run: waited for where it is not there yet, and asked what became of a build whose stream broke off.

use std::sync::Arc;
use std::time::Duration;

use super::retry::{Policy, retrying};
use crate::config::{Settings, settings};
use crate::engine::docker::{Builder, ConnectOptions, Docker};
use crate::engine::{Engine, EngineError, LocalImage};
use crate::event::{Event, EventSink};
use crate::model::{Classified, ImageId};
use crate::registry::DockerKeychain;
use crate::support::limits::ENGINE_WAIT;

/// How long a look at what was built may take in all, also where no engine is waited for: a busy daemon is slow.
const LONGEST_LOOK: Duration = Duration::from_mins(1);

/// Connects, and waits for an engine that is not there yet: a node that begins, a daemon that is being restarted.
pub async fn connect(
    settings: &Settings,
    keychain: &Arc<DockerKeychain>,
    events: &Arc<dyn EventSink>,
) -> Result<Docker<DockerKeychain>, EngineError> {
    let options =
        ConnectOptions { endpoint: settings.ambient.docker_host.clone(), api_version: settings.ambient.docker_api_version.clone() };
    let wish = match settings.build.builder {
        settings::Builder::Auto => None,
        settings::Builder::Buildkit => Some(Builder::BuildKit),
        settings::Builder::Classic => Some(Builder::Classic),
    };
    let waited = settings.limits.engine_wait;
    let connected = retrying(
        Policy::absence(waited),
        async |_| Docker::connect(&options, wish, Arc::clone(keychain), Arc::clone(events)).await,
        |failed| {
            if failed.attempt == 1 {
                say_waiting(events, failed.error, waited);
            }
        },
    );
    match connected.await {
        Ok((engine, _)) => Ok(engine),
        Err(cause) if cause.is_absence() && !waited.is_zero() => Err(EngineError::NeverCame { waited, cause: Box::new(cause) }),
        Err(error) => Err(error),
    }
}

fn say_waiting(events: &Arc<dyn EventSink>, error: &EngineError, most: Duration) {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    let why: Vec<String> = causes.map(ToString::to_string).collect();
    let message = format!("waiting for the engine, at most {ENGINE_WAIT} of {} s: {}", most.as_secs_f32(), why.join(": "));
    events.emit(Event::Notice { message, hint: error.hint() });
}

/// The image that a build came to. Of a build whose stream broke off, the engine is asked for an image by the run's own name: nobody
/// else knows that name, and every builder gives it to the whole image, as the last thing it does (moby, builder-next/exporter and
/// daemon/images/image_tag.go; buildah, commit.go), so that an image which has it is this build.
pub async fn settle<E: Engine>(
    engine: &E,
    outcome: Result<ImageId, EngineError>,
    temporary: &str,
    wait: Duration,
    events: &Arc<dyn EventSink>,
) -> Result<LocalImage, EngineError> {
    let (name, told) = match outcome {
        Ok(id) => (id.to_string(), Ok(id)),
        Err(error) if error.is_loss() => (temporary.to_owned(), Err(error)),
        Err(error) => return Err(error),
    };
    let asked = retrying(
        Policy::absence(wait),
        async |_| engine.inspect(&name).await,
        |failed| {
            if failed.attempt == 1 {
                say_waiting(events, told.as_ref().err().unwrap_or(failed.error), wait);
            }
        },
    );
    let most = wait.max(LONGEST_LOOK);
    let silent = EngineError::Silent { doing: "inspect an image", seconds: most.as_secs() };
    let found = tokio::time::timeout(most, asked).await.unwrap_or(Err(silent));
    match (found, told) {
        (Ok((Some(image), _)), Ok(id)) => Ok(LocalImage { id, ..image }),
        (Ok((Some(image), _)), Err(lost)) => {
            let message = format!("{lost}; the image {} is there under this run's own name, and so the build was done", image.id);
            events.emit(Event::Notice { message, hint: None });
            Ok(image)
        }
        (_, Err(lost)) => Err(lost),
        (Ok((None, _)), Ok(id)) => {
            Err(EngineError::Lost { doing: "build", why: format!("it has no image {id}, and said that it built it") })
        }
        (Err(error), Ok(_)) => Err(error),
    }
}
