//! What is tried again, how often and how long: the one place that decides it.

use std::time::Duration;

use tokio::time::Instant;

use super::fetch::FetchError;
use super::push::PushError;
use crate::config::Settings;
use crate::config::settings::Builder;
use crate::engine::EngineError;
use crate::model::{Classified, Reason};
use crate::support::backoff::{Backoff, random};

/// The bounds of trying again.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Tries in all, the first included.
    pub attempts: u32,
    /// No try begins later than this after the first.
    pub within: Duration,
    pub backoff: Backoff,
}

impl Policy {
    /// For reading a source over a network.
    pub const SOURCE: Self = Self {
        attempts: 3,
        within: Duration::from_mins(2),
        backoff: Backoff { first: Duration::from_millis(500), most: Duration::from_secs(10) },
    };
}

impl Policy {
    /// For an engine that is not there: it may be back at any moment, and asking costs little.
    pub const fn absence(within: Duration) -> Self {
        let backoff = Backoff { first: Duration::from_millis(250), most: Duration::from_secs(2) };
        Self { attempts: u32::MAX, within, backoff }
    }
}

/// An error that knows whether another try of the same thing may mend it.
pub trait Transient: Classified {
    fn is_transient(&self) -> bool;
}

impl Transient for FetchError {
    fn is_transient(&self) -> bool {
        self.reason() == Reason::SourceUnavailable
    }
}

impl Transient for EngineError {
    /// What a daemon may not have once it is back. That this pod may not open its socket, or that it is the wrong one, stays so.
    fn is_transient(&self) -> bool {
        self.is_absence() || self.is_loss()
    }
}

impl Transient for PushError {
    fn is_transient(&self) -> bool {
        match self {
            // A name or a tag that another run moved is set anew.
            Self::Engine(error) => matches!(error, EngineError::PushUnavailable(_) | EngineError::NameMoved(_)) || error.is_transient(),
            Self::Mismatch { .. } => true,
            Self::ReadBack(error) => error.is_transient(),
            Self::Credentials { .. } => false,
        }
    }
}

/// What may let a build that failed succeed the second time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// To ask for it once more, as the engine has most of it by now.
    Again,
    /// To take nothing from the engine's cache.
    WithoutCache,
    /// To make room on the node's disk.
    MakeRoom,
    /// To take the builder that needs no session.
    Classic,
}

/// What a failed build is worth, as far as the request leaves it open and the operator allows it.
pub fn remedy(error: &EngineError, settings: &Settings) -> Option<Remedy> {
    match error {
        EngineError::Busy(_) => Some(Remedy::Again),
        EngineError::CacheDamaged(_) if !settings.build.options.no_cache => Some(Remedy::WithoutCache),
        EngineError::DiskFull(_) if settings.policy.prune => Some(Remedy::MakeRoom),
        EngineError::NoSession { .. } if settings.build.builder == Builder::Auto => Some(Remedy::Classic),
        _ => None,
    }
}

/// What one try that will be followed by another looked like.
pub struct Failed<'a, E> {
    /// From 1.
    pub attempt: u32,
    pub of: u32,
    pub delay: Duration,
    pub error: &'a E,
}

/// Runs the operation until it succeeds, fails for good, or the policy ends; the last error is the one that is returned.
/// Says each failed try that another one follows, and how many tries it took.
pub async fn retrying<T, E: Transient>(
    policy: Policy,
    mut operation: impl AsyncFnMut(u32) -> Result<T, E>,
    mut say: impl FnMut(Failed<'_, E>),
) -> Result<(T, u32), E> {
    let begun = Instant::now();
    let mut attempt = 1;
    loop {
        let error = match operation(attempt).await {
            Ok(value) => return Ok((value, attempt)),
            Err(error) => error,
        };
        let delay = policy.backoff.after(attempt, random());
        if !error.is_transient() || attempt >= policy.attempts || begun.elapsed() + delay > policy.within {
            return Err(error);
        }
        say(Failed { attempt, of: policy.attempts, delay, error: &error });
        tokio::time::sleep(delay).await;
        attempt += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Reference;
    use crate::registry::RegistryError;

    #[derive(Debug, thiserror::Error)]
    #[error("try {0}")]
    struct Flaky(u32, Reason);

    impl Classified for Flaky {
        fn reason(&self) -> Reason {
            self.1
        }
    }

    impl Transient for Flaky {
        fn is_transient(&self) -> bool {
            self.1.retryable()
        }
    }

    const POLICY: Policy = Policy {
        attempts: 4,
        within: Duration::from_mins(1),
        backoff: Backoff { first: Duration::from_millis(1), most: Duration::from_millis(4) },
    };

    async fn attempts(policy: Policy, mut outcome: impl FnMut(u32) -> Result<u32, Flaky>) -> (Result<(u32, u32), Flaky>, u32) {
        let mut said = 0;
        let result = retrying(policy, async |attempt| outcome(attempt), |_| said += 1).await;
        (result, said)
    }

    #[tokio::test]
    async fn a_transient_failure_is_tried_again_until_it_is_well() {
        let (result, said) = attempts(POLICY, |n| if n < 3 { Err(Flaky(n, Reason::PushUnavailable)) } else { Ok(n) }).await;
        assert_eq!((result.unwrap(), said), ((3, 3), 2));
    }

    #[tokio::test]
    async fn the_last_error_is_the_one_that_is_told() {
        let (result, said) = attempts(POLICY, |n| Err(Flaky(n, Reason::PushUnavailable))).await;
        assert_eq!((result.unwrap_err().0, said), (4, 3));
    }

    #[tokio::test]
    async fn what_cannot_get_better_is_tried_once_even_after_a_transient_failure() {
        let (result, said) = attempts(POLICY, |n| Err(Flaky(n, Reason::PushAuth))).await;
        assert_eq!((result.unwrap_err().0, said), (1, 0));
        let (result, said) = attempts(POLICY, |n| Err(Flaky(n, if n == 1 { Reason::PushUnavailable } else { Reason::PushDenied }))).await;
        assert_eq!((result.unwrap_err().0, said), (2, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn no_try_begins_after_the_time_is_up() {
        let slow = Policy {
            within: Duration::from_secs(3),
            backoff: Backoff { first: Duration::from_secs(2), most: Duration::from_mins(1) },
            ..POLICY
        };
        let (result, _) = attempts(slow, |n| Err(Flaky(n, Reason::SourceUnavailable))).await;
        assert_eq!(result.unwrap_err().0, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_is_waited_for_as_long_as_was_said_and_what_no_waiting_mends_is_not() {
        let begun = Instant::now();
        let mut tries = 0;
        let absent = async |_| {
            tries += 1;
            Err::<(), _>(EngineError::NoSocket("/s".into()))
        };
        let ended = retrying(Policy::absence(Duration::from_mins(1)), absent, |_| {}).await;
        assert!(ended.is_err() && begun.elapsed() > Duration::from_secs(57) && begun.elapsed() <= Duration::from_mins(1));
        assert!((30..80).contains(&tries), "{tries}");
        for (error, wait) in [
            (EngineError::NoSocket("/s".into()), 0),
            (EngineError::SocketPermission { path: "/s".into(), who: String::new() }, 60),
            (EngineError::Incompatible { endpoint: "e".into(), why: String::new() }, 60),
        ] {
            let mut error = Some(error);
            let once = async |_| Err::<(), _>(error.take().expect("a second try"));
            let _ = retrying(Policy::absence(Duration::from_secs(wait)), once, |_| {}).await;
        }
    }

    #[test]
    fn only_what_another_push_can_mend_is_pushed_again() {
        let engine = |error: EngineError| PushError::Engine(error).is_transient();
        assert!(engine(EngineError::PushUnavailable("503".into())) && engine(EngineError::NameMoved("x".into())));
        assert!(engine(EngineError::Lost { doing: "push", why: "reset".into() }) && engine(EngineError::NoSocket("/s".into())));
        assert!(!engine(EngineError::Broken { doing: "push", status: 500, message: String::new() }));
        assert!(!engine(EngineError::PushUntrusted("x509".into())) && !engine(EngineError::Downgraded("index".into())));
        let host = || "r.example".to_owned();
        let read = |error: RegistryError| PushError::ReadBack(error).is_transient();
        assert!(read(RegistryError::Unavailable { host: host(), status: 503, said: String::new() }));
        assert!(!read(RegistryError::Protocol { host: host(), problem: "no JSON".into() }));
        assert!(!read(RegistryError::Tls { host: host(), problem: "unknown issuer".into() }));
        assert!(!read(RegistryError::NotFound { reference: Reference::parse("r.example/a:1").unwrap() }));
    }
}
