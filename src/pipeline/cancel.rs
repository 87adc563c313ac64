//! Why a run stops before its end, and the one token that tells everybody.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::event::{Event, millis};
use crate::model::Reason;

/// How long stopping may take, all in all: Nomad kills after 5 s.
pub const GRACE: Duration = Duration::from_secs(4);

/// The event that says why, and the same for people.
pub fn told(cause: Reason, deadline: Duration) -> (Event, String) {
    let (cause, message) = match cause {
        Reason::DeadlineExceeded => ("deadline", format!("the run's deadline of {} s passed", deadline.as_secs())),
        Reason::Interrupted => ("SIGINT", "the run was stopped by SIGINT".to_owned()),
        _ => ("SIGTERM", "the run was stopped by SIGTERM".to_owned()),
    };
    (Event::Cancelling { cause, grace_ms: millis(GRACE) }, message)
}

/// Shared by the signal handler, the deadline, and whatever runs in threads of its own.
#[derive(Clone, Default)]
pub struct Cancel {
    token: CancellationToken,
    cause: Arc<OnceLock<Reason>>,
}

impl Cancel {
    /// The first cause stays the cause.
    pub fn cancel(&self, cause: Reason) {
        self.cause.get_or_init(|| cause);
        self.token.cancel();
    }

    /// Ends when somebody cancels.
    pub async fn cancelled(&self) -> Reason {
        self.token.cancelled().await;
        self.cause.get().copied().unwrap_or(Reason::Internal)
    }

    /// For whoever waits by itself.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// For threads, between two pieces of work.
    pub fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }
}
