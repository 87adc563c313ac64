//! How long to wait before trying again.

use std::time::Duration;

/// Exponential back-off with full jitter (AWS architecture blog, "Exponential Backoff And Jitter"): attempt n waits a random
/// time between half of and all of `first * 2^(n-1)`, at most `most`.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    pub first: Duration,
    pub most: Duration,
}

impl Backoff {
    /// The wait after the attempt with this number (from 1). `random` is any number; only its spread matters.
    pub fn after(&self, attempt: u32, random: u64) -> Duration {
        let doubled = self.first.saturating_mul(1u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX)).min(self.most);
        let half = doubled / 2;
        let span = u64::try_from(half.as_millis()).unwrap_or(u64::MAX).max(1);
        half + Duration::from_millis(random % (span + 1))
    }
}

/// A number nobody can guess; zero where the kernel gives none, and then no run begins (`run_id`).
pub fn random() -> u64 {
    getrandom::u64().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_bound_and_never_below_half() {
        let backoff = Backoff { first: Duration::from_secs(1), most: Duration::from_secs(30) };
        for (attempt, seconds) in [(1, 1), (2, 2), (3, 4), (5, 16), (6, 30), (40, 30)] {
            for random in [0, 1, 999, u64::MAX] {
                let wait = backoff.after(attempt, random);
                assert!(wait <= Duration::from_secs(seconds) + Duration::from_millis(1), "{attempt} {wait:?}");
                assert!(wait >= Duration::from_secs(seconds) / 2, "{attempt} {wait:?}");
            }
        }
    }
}
