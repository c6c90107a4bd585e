//! SendOrder by lane: messages of a lane go out in the order in which they were committed, whoever commits them.
//!
//! A message group of a queue is free for the next worker with the commit, before the messages of that commit are sent.
//! Whoever commits takes the turn first, so that the next one waits behind it.

use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::OwnedMutexGuard;

type Lock = Arc<tokio::sync::Mutex<()>>;

/// The turns of a route.
#[derive(Debug, Default)]
pub struct SendOrder(Mutex<HashMap<Arc<str>, Lock>>);

/// A turn, taken or waited for.
#[derive(Debug)]
pub struct SendSlot<'a> {
    turns: &'a SendOrder,
    lane: Arc<str>,
    guard: Option<OwnedMutexGuard<()>>,
}

impl SendOrder {
    /// Takes the turn of a lane, behind those who asked before.
    pub async fn take(&self, lane: Arc<str>) -> SendSlot<'_> {
        let lock = self.lock().entry(lane.clone()).or_default().clone();
        // Made first: dropped while it waits, it leaves nothing behind.
        let mut turn = SendSlot { turns: self, lane, guard: None };
        turn.guard = Some(lock.lock_owned().await);
        turn
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Lock>> {
        self.0.lock()
    }
}

impl Drop for SendSlot<'_> {
    fn drop(&mut self) {
        drop(self.guard.take());
        let mut turns = self.turns.lock();
        if turns.get(&self.lane).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            turns.remove(&self.lane);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use tokio::sync::mpsc;

    #[tokio::test]
    async fn a_lane_has_its_turns_in_order_and_no_other_waits() {
        let turns = SendOrder::default();
        let (lane, other): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        let first = turns.take(lane.clone()).await;
        drop(turns.take(other).await);
        let (told, mut order) = mpsc::unbounded_channel();
        let again = |number: u32| {
            let (turns, lane, told) = (&turns, lane.clone(), told.clone());
            async move {
                let _turn = turns.take(lane).await;
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
        assert!(turns.lock().is_empty(), "nothing is left of them");
    }
}
