//! When to try again, and when to give up. Names and meanings are those of Lambda's event source mappings.

use std::time::Duration;

/// A route's rules for failures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Retries after the first failure; `None`: for ever.
    pub max_retry_attempts: Option<u32>,
    /// Events older than this are given up without a call; `None`: at no age.
    pub max_record_age: Option<Duration>,
    /// Bisect a batch whose call fails, to find the event that fails; this uses up no retries. A batch that conflicts, or is
    /// too large to commit, is bisected in any case.
    pub bisect: bool,
    /// Release a failing event to its queue instead of holding it here. Its attempts are the queue's receives.
    pub release: bool,
    /// Waits between tries.
    pub backoff: Backoff,
}

/// Exponential backoff with jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The first wait, at most.
    pub base: Duration,
    /// No wait is longer.
    pub max: Duration,
}

impl Backoff {
    /// The wait before retry number `retry` (0 is the first): between half and all of `base * 2^retry`, capped
    /// at `max`. `random` picks the wait in that range; equal arguments give equal waits.
    #[must_use]
    pub fn wait(&self, retry: u32, random: u64) -> Duration {
        let full = self.base.saturating_mul(1u32.checked_shl(retry).unwrap_or(u32::MAX)).min(self.max);
        let nanos = u64::try_from(full.as_nanos()).unwrap_or(u64::MAX);
        let half = nanos / 2;
        Duration::from_nanos(half.saturating_add(mix(random ^ u64::from(retry)) % (nanos - half).max(1)))
    }
}

/// Spreads the bits of a number (the finaliser of splitmix64, by Sebastiano Vigna, public domain).
#[must_use]
pub fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A number that depends on every byte of a text.
#[must_use]
pub fn mix_text(text: &str) -> u64 {
    text.bytes().fold(0, |hash, byte| mix(hash ^ u64::from(byte)))
}
