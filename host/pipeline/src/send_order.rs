//! Messages of a lane go out in the order of their commits, also if several tasks commit for the lane.
//!
//! With its commit a message group of a queue is free for the next poller, before the messages of that commit are sent.
//! So a task takes the lane's slot before it commits, and the next poller's messages wait behind it.

use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::OwnedMutexGuard;

type LaneLock = Arc<tokio::sync::Mutex<()>>;

/// One slot for each lane of a route.
#[derive(Debug, Default)]
pub(crate) struct SendOrder(Mutex<HashMap<Arc<str>, LaneLock>>);

/// A lane's slot, taken or waited for. Dropping it lets the next task go.
#[derive(Debug)]
pub(crate) struct SendSlot<'a> {
    order: &'a SendOrder,
    lane: Arc<str>,
    guard: Option<OwnedMutexGuard<()>>,
}

impl SendOrder {
    /// Takes the slot of a lane, behind the tasks that asked before. Cancel-safe.
    pub(crate) async fn take(&self, lane: Arc<str>) -> SendSlot<'_> {
        let lock = self.lock().entry(lane.clone()).or_default().clone();
        // Made before the wait: if this future is dropped while it waits, the slot's drop removes the lane's entry.
        let mut slot = SendSlot { order: self, lane, guard: None };
        slot.guard = Some(lock.lock_owned().await);
        slot
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, LaneLock>> {
        self.0.lock()
    }
}

impl Drop for SendSlot<'_> {
    fn drop(&mut self) {
        // Released first: the guard holds a count of the lock, too.
        drop(self.guard.take());
        let mut order = self.order.lock();
        if order.get(&self.lane).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            order.remove(&self.lane);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use tokio::sync::mpsc;

    #[tokio::test]
    async fn a_lane_has_its_slots_in_order_and_no_other_lane_waits() {
        let slots = SendOrder::default();
        let (lane, other): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let first = slots.take(lane.clone()).await;
        drop(slots.take(other).await);
        let (told, mut order) = mpsc::unbounded_channel();
        let again = |number: u32| {
            let (slots, lane, told) = (&slots, lane.clone(), told.clone());
            async move {
                let _slot = slots.take(lane).await;
                told.send(number).unwrap();
            }
        };
        {
            let mut given_up = Box::pin(again(9));
            assert!((&mut given_up).now_or_never().is_none());
            let mut waiting = Box::pin(async { tokio::join!(again(1), again(2)) });
            assert!((&mut waiting).now_or_never().is_none());
            drop(given_up);
            drop(first);
            waiting.await;
        }
        assert_eq!((order.try_recv(), order.try_recv()), (Ok(1), Ok(2)));
        assert!(slots.lock().is_empty(), "nothing is left of them");
    }
}
