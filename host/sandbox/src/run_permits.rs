//! Permits to run guests. Some are reserved for routes that have no guest running, so that such a route never waits for
//! the plugins of other routes, even if those compute for ever.

use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};

/// The permits of a sandbox.
pub(crate) struct RunPermits {
    all: Semaphore,
    reserved: Semaphore,
}

impl RunPermits {
    /// `instances` permits for all routes, and the reserve besides.
    pub(crate) fn new(instances: u32) -> Self {
        RunPermits {
            all: Semaphore::new(instances as usize),
            reserved: Semaphore::new(RunPermits::reserve(instances) as usize),
        }
    }

    /// Number of reserved permits besides `instances`: a quarter, at least one.
    pub(crate) const fn reserve(instances: u32) -> u32 {
        let quarter = instances / 4;
        if quarter == 0 { 1 } else { quarter }
    }

    /// A permit for the first guest of a route, or for a plugin that no route uses yet: a reserved one if no other is free.
    pub(crate) async fn first(&self) -> Result<SemaphorePermit<'_>, AcquireError> {
        tokio::select! {
            biased;
            permit = self.all.acquire() => permit,
            permit = self.reserved.acquire() => permit,
        }
    }

    /// A permit for a further guest of a route.
    pub(crate) async fn further(&self) -> Result<SemaphorePermit<'_>, AcquireError> {
        self.all.acquire().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    fn now<T>(future: impl Future<Output = T>) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        }
    }

    #[test]
    fn the_first_guest_of_a_route_runs_though_others_have_all_that_they_can_get() {
        let permits = RunPermits::new(8);
        let greedy: Vec<_> = std::iter::from_fn(|| now(permits.further())).collect();
        assert_eq!(greedy.len(), 8);
        let first: Vec<_> = std::iter::from_fn(|| now(permits.first())).collect();
        assert_eq!(first.len(), 2);
        drop(greedy);
        assert!(now(permits.first()).is_some() && now(permits.further()).is_some());
    }
}
