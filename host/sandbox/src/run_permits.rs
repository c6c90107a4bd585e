//! Permits to run guests. Some are a reserve, of which a route has one at most: so a route that has no guest running does not wait
//! for the plugins of other routes, even if those compute for ever.

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

    /// A permit for a plugin that no route uses yet: of the reserve if no other is free.
    pub(crate) async fn of_new(&self) -> Result<SemaphorePermit<'_>, AcquireError> {
        tokio::select! {
            biased;
            permit = self.all.acquire() => permit,
            permit = self.reserved.acquire() => permit,
        }
    }

    /// A permit for a guest of a route: of the reserve if no other is free and the route has none of the reserve.
    pub(crate) async fn of_route<'a>(&'a self, token: &'a ReserveToken) -> Result<RunPermit<'a>, AcquireError> {
        let reserved = async {
            // All calls of the route that wait are in the queue for both, so the next one runs when the last one that ran has ended.
            let token = token.0.acquire().await?;
            Ok(RunPermit { _permit: self.reserved.acquire().await?, _token: Some(token) })
        };
        tokio::select! {
            biased;
            permit = self.all.acquire() => Ok(RunPermit { _permit: permit?, _token: None }),
            permit = reserved => permit,
        }
    }
}

/// What a call of a route holds as long as it has a permit of the reserve.
pub(crate) struct ReserveToken(Semaphore);

impl Default for ReserveToken {
    fn default() -> Self {
        ReserveToken(Semaphore::new(1))
    }
}

/// Given back when it is dropped.
pub(crate) struct RunPermit<'a> {
    _permit: SemaphorePermit<'a>,
    _token: Option<SemaphorePermit<'a>>,
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
    fn a_route_without_a_guest_runs_one_though_others_have_all_that_they_can_get() {
        let permits = RunPermits::new(8);
        let (greedy, other, third) = (ReserveToken::default(), ReserveToken::default(), ReserveToken::default());
        let held: Vec<_> = std::iter::from_fn(|| now(permits.of_route(&greedy))).collect();
        assert_eq!(held.len(), 9, "one of the reserve");
        let one = now(permits.of_route(&other));
        assert!(one.is_some() && now(permits.of_route(&other)).is_none());
        // The reserve is at an end.
        assert!(now(permits.of_route(&third)).is_none() && now(permits.of_new()).is_none());
        drop(held);
        assert!(now(permits.of_route(&third)).is_some() && now(permits.of_new()).is_some());
    }

    #[test]
    fn a_call_that_waited_while_another_of_its_route_ran_does_not_wait_for_other_routes() {
        let permits = RunPermits::new(8);
        let (greedy, route) = (ReserveToken::default(), ReserveToken::default());
        let _held: Vec<_> = std::iter::from_fn(|| now(permits.of_route(&greedy))).collect();
        let first = now(permits.of_route(&route));
        let mut waiting: Vec<_> = (0..3).map(|_| Box::pin(permits.of_route(&route))).collect();
        let mut poll = |at: usize| waiting[at].as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(first.is_some() && (0..3).all(|at| poll(at).is_pending()));
        let mut running = first;
        for at in 0..3 {
            drop(running);
            running = match poll(at) {
                Poll::Ready(permit) => Some(permit),
                Poll::Pending => None,
            };
            assert!(running.is_some(), "call {at}");
        }
    }
}
