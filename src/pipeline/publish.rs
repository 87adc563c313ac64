//! The push phase: every destination in turn, each tried until it is proved, given up for good, or the time is up.

use std::time::Duration;

use super::Services;
use super::draft::Draft;
use super::push::{self, Parcel, Proof, PushError};
use super::retry::{Failed, Policy, retrying};
use super::tidy::Names;
use crate::config::settings::Push;
use crate::engine::Engine;
use crate::event::{Event, ImagePushed, PushRetry, millis};
use crate::model::keychain::Keychain;
use crate::model::result::TagStatus;
use crate::model::{Classified, Reference};
use crate::support::backoff::Backoff;

/// Pushes to every destination; the first that fails ends it, and those after it stay as they are.
pub async fn all<E: Engine, K: Keychain>(
    parcel: &Parcel<'_, E, K>,
    wanted: &Push,
    services: &Services,
    names: &mut Names,
    draft: &mut Draft,
) -> Result<(), PushError> {
    let engine = parcel.engine;
    for (index, reference) in wanted.destinations.iter().enumerate() {
        let tried = retrying(
            policy(wanted),
            async |_| {
                names.borrow(engine, reference).await?;
                push::once(parcel, reference).await
            },
            |failed| services.events.emit(Event::PushRetry(retry(reference, &failed))),
        )
        .await;
        if let Err(error) = names.give_back(engine).await {
            let message = format!("the local name {reference} could not be put back: {error}");
            services.events.emit(Event::Notice { message, hint: None });
        }
        match tried {
            Ok((proof, attempts)) => {
                services.events.emit(Event::ImagePushed(pushed(reference, &proof, attempts)));
                record(draft, index, reference, proof);
            }
            Err(error) => {
                if let Some(tag) = draft.image.as_mut().and_then(|image| image.tags.get_mut(index)) {
                    tag.status = TagStatus::Failed;
                }
                return Err(error);
            }
        }
    }
    Ok(())
}

fn policy(wanted: &Push) -> Policy {
    let backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(30) };
    Policy { attempts: wanted.retries.max.saturating_add(1), within: wanted.retries.within, backoff }
}

fn retry(reference: &Reference, failed: &Failed<'_, PushError>) -> PushRetry {
    PushRetry {
        r#ref: reference.clone(),
        attempt: failed.attempt,
        of: failed.of,
        delay_ms: millis(failed.delay),
        reason: format!("{}: {}", failed.error.reason().name(), failed.error),
    }
}

fn pushed(reference: &Reference, proof: &Proof, attempts: u32) -> ImagePushed {
    ImagePushed {
        r#ref: reference.clone(),
        tag: reference.tag().to_owned(),
        digest: proof.digest.clone(),
        media_type: proof.media_type.clone(),
        size: proof.size,
        attempts,
    }
}

fn record(draft: &mut Draft, index: usize, reference: &Reference, proof: Proof) {
    let Some(image) = &mut draft.image else { return };
    if let Some(tag) = image.tags.get_mut(index) {
        tag.status = if proof.verified_by.is_some() { TagStatus::Pushed } else { TagStatus::Unverified };
        tag.digest = Some(proof.digest.clone());
        tag.verified_by = proof.verified_by;
    }
    let pinned = reference.pinned(&proof.digest);
    if !image.refs.contains(&pinned) {
        image.refs.push(pinned);
    }
    image.config_digest = image.config_digest.take().or(proof.config_digest);
    image.media_type = image.media_type.take().or(proof.media_type);
    image.size = image.size.or(proof.size);
    image.digest = Some(proof.digest);
}
