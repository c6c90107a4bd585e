//! Permits to run guests. A part of them is reserved for routes that have no guest running: plugins of other routes that
//! compute for ever, on as many calls as they are given, do not make them wait.

use tokio::sync::{AcquireError, Semaphore, SemaphorePermit};

/// The permits of a sandbox.
pub(crate) struct RunPermits {
    all: Semaphore,
    reserved: Semaphore,
}

impl RunPermits {
    /// So many for everybody, and some more.
    pub(crate) fn new(instances: u32) -> Self {
        RunPermits {
            all: Semaphore::new(instances as usize),
            reserved: Semaphore::new(RunPermits::reserve(instances) as usize),
        }
    }

    /// How many are reserved besides `instances`.
    pub(crate) const fn reserve(instances: u32) -> u32 {
        let quarter = instances / 4;
        if quarter == 0 { 1 } else { quarter }
    }

    /// For the first guest of a route, or one that no route has yet.
    pub(crate) async fn first(&self) -> Result<SemaphorePermit<'_>, AcquireError> {
        tokio::select! {
            biased;
            permit = self.all.acquire() => permit,
            permit = self.reserved.acquire() => permit,
        }
    }

    /// For a further guest of a route.
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
