//! How long a request is tried again, with jitter: processes that met once must not meet again at the next try.

use esclusa_flow::fault::Fault;
use esclusa_flow::retry::{Backoff, mix};
use std::time::{Duration, Instant};

/// Waits between tries. A transaction that met another one needs about that one's time.
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(20), max: Duration::from_secs(2) };

/// The time that one request has, all its tries together.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    until: Instant,
    tries: u32,
    seed: u64,
}

impl RetryBudget {
    /// The budget of a write: 30 seconds. Far below the ten minutes for which DynamoDB remembers the token of a
    /// transaction.
    /// <https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html>, November 2026.
    #[must_use]
    pub(crate) fn for_write() -> Self {
        Self::lasting(Duration::from_secs(30))
    }

    /// The budget of a read, while a plugin waits: 5 seconds.
    #[must_use]
    pub(crate) fn for_read() -> Self {
        Self::lasting(Duration::from_secs(5))
    }

    fn lasting(time: Duration) -> Self {
        let now = Instant::now();
        RetryBudget { until: now.checked_add(time).unwrap_or(now), tries: 0, seed: random() }
    }

    /// Waits before the next try.
    ///
    /// # Errors
    /// The fault itself, if trying again is of no use or the budget is used up.
    pub(crate) async fn wait(&mut self, fault: Fault) -> Result<(), Fault> {
        let least = match &fault {
            Fault::Transient(_) => Duration::ZERO,
            Fault::Throttled { after, .. } => *after,
            _ => return Err(fault),
        };
        if Instant::now() >= self.until {
            return Err(fault);
        }
        tokio::time::sleep(BACKOFF.wait(self.tries, self.seed).max(least)).await;
        self.tries = self.tries.saturating_add(1);
        Ok(())
    }
}

/// Between three quarters of `wait` and all of it, so that processes and pollers do not all ask at the same moment.
pub(crate) fn jitter(wait: Duration) -> Duration {
    let random = random() % 256;
    wait.saturating_mul(768 + random as u32) / 1024
}

/// A number that differs from process to process and from call to call.
pub(crate) fn random() -> u64 {
    mix(uuid::Uuid::new_v4().as_u64_pair().0)
}
