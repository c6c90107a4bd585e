//! The leases that this worker holds. The coordinator, the renewal, the progress store and the lanes share them.
//!
//! A lane belongs to one *hold*. A lease that was lost and taken again is a new hold: the old lane neither reads nor
//! settles any more, and the lease is not taken again before the old lane is gone (failures.md K5, K7).

use super::Lease;
use parking_lot::{Mutex, MutexGuard};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

/// The leases that this worker holds.
#[derive(Debug)]
pub(crate) struct LeaseRegistry {
    state: Mutex<RegistryState>,
    /// How long a lease is valid after its last renewal.
    pub duration: Duration,
    /// Wakes the coordinator: a lane or a shard has ended.
    pub changed: Notify,
}

#[derive(Debug, Default)]
struct RegistryState {
    epoch: u64,
    holds: HashMap<String, LeaseHold>,
    /// Lanes that exist, by lease; a lane outlives its hold if that is lost.
    lanes: HashMap<String, u64>,
    /// Leases that are this worker's by the table but have no lane, with their counters.
    idle: HashMap<String, u64>,
    /// When the workers that leases were taken from stop writing at the latest, by lease. Kept whatever becomes of the holds meanwhile.
    quiet: HashMap<String, Instant>,
    /// A shard has ended: list the shards again, to find its children.
    ended: bool,
    /// See [`LeaseRegistry::settled_in`].
    settled_in: bool,
}

#[derive(Debug)]
struct LeaseHold {
    epoch: u64,
    counter: u64,
    renewed: Instant,
    lost: watch::Sender<bool>,
}

/// A lane's part in a hold. Dropping it ends the lane: if the lease is still held it is taken anew.
#[derive(Debug)]
pub(crate) struct Holding {
    registry: Arc<LeaseRegistry>,
    key: String,
    epoch: u64,
    /// Becomes true when the hold is lost.
    pub lost: watch::Receiver<bool>,
}

impl Holding {
    /// The lease.
    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    /// Notes that the lease was lost.
    pub(crate) fn lose(&self) {
        self.registry.lose(&self.key);
    }

    /// Notes that the shard is finished, and wakes the coordinator.
    pub(crate) fn finish(&self) {
        self.registry.lose(&self.key);
        let mut state = self.registry.state();
        (state.ended, state.settled_in) = (true, false);
        drop(state);
        self.registry.changed.notify_one();
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        self.registry.drop_lane(&self.key, self.epoch);
    }
}

impl LeaseRegistry {
    /// A registry without leases; each is valid for `duration` after a renewal.
    pub(crate) fn new(duration: Duration) -> Self {
        LeaseRegistry { state: Mutex::default(), duration, changed: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, RegistryState> {
        self.state.lock()
    }

    /// Notes that a lease was just taken from a worker that lives: that one may write until it notices, with its next renewal or when a
    /// lease's duration has passed since the last one.
    pub(crate) fn note_theft(&self, key: &str) {
        let mut state = self.state();
        let now = Instant::now();
        state.quiet.retain(|_, until| *until > now);
        state.quiet.insert(key.to_owned(), now + self.duration);
    }

    /// When the worker that the lease was taken from stops writing at the latest; `None`: it has stopped already.
    pub(crate) fn quiet(&self, key: &str) -> Option<Instant> {
        self.state().quiet.get(key).copied().filter(|until| *until > Instant::now())
    }

    /// Adds a lease that was taken by a request sent at `at`.
    pub(crate) fn hold(self: &Arc<Self>, lease: &Lease, at: Instant) -> Holding {
        let mut state = self.state();
        state.epoch += 1;
        let epoch = state.epoch;
        let (sender, lost) = watch::channel(false);
        let hold = LeaseHold { epoch, counter: lease.counter, renewed: at, lost: sender };
        if let Some(before) = state.holds.insert(lease.key.clone(), hold) {
            // The lane of the hold before must end first: two lanes of one shard would both give its events.
            before.lost.send_replace(true);
        }
        state.lanes.insert(lease.key.clone(), epoch);
        state.idle.remove(&lease.key);
        Holding { registry: Arc::clone(self), key: lease.key.clone(), epoch, lost }
    }

    /// True if every lease that can be read is held by this worker, or by another one that lives.
    pub(crate) fn settled_in(&self) -> bool {
        self.state().settled_in
    }

    /// Notes the result of a round. A round that began before a shard ended does not know the shard's children.
    pub(crate) fn note_round(&self, settled_in: bool) {
        let mut state = self.state();
        state.settled_in = settled_in && !state.ended;
    }

    /// True if the lease is held.
    pub(crate) fn holds(&self, key: &str) -> bool {
        self.state().holds.contains_key(key)
    }

    /// Waits until the lease is lost, or was not renewed within its duration: from then on others may have it. At once
    /// if that is so already. Cancel-safe.
    pub(crate) async fn lapsed(&self, key: &str) {
        loop {
            let (mut lost, end) = match self.state().holds.get(key) {
                Some(hold) => (hold.lost.subscribe(), hold.renewed + self.duration),
                None => return,
            };
            if end <= Instant::now() {
                return;
            }
            tokio::select! {
                // Either way the hold is gone.
                _ = lost.wait_for(|lost| *lost) => {}
                () = sleep_until(end) => {}
            }
        }
    }

    /// True if a lane of the lease exists, held or not.
    pub(crate) fn has_lane(&self, key: &str) -> bool {
        self.state().lanes.contains_key(key)
    }

    /// The leases to renew, with their counters.
    pub(crate) fn renewals(&self) -> Vec<(String, u64)> {
        self.state().holds.iter().map(|(key, hold)| (key.clone(), hold.counter)).collect()
    }

    /// Notes a counter that a renewal with a lost answer has set. The time of that renewal is not known, so the lease
    /// is not valid for longer.
    pub(crate) fn recounted(&self, key: &str, counter: u64) {
        if let Some(hold) = self.state().holds.get_mut(key) {
            hold.counter = counter;
        }
    }

    /// Notes a renewal that was sent at `at` and set the counter.
    pub(crate) fn renewed(&self, key: &str, counter: u64, at: Instant) {
        if let Some(hold) = self.state().holds.get_mut(key) {
            hold.counter = counter;
            hold.renewed = at;
        }
    }

    /// The leases that were not renewed within their duration: others may have taken them.
    pub(crate) fn overdue(&self, now: Instant) -> Vec<String> {
        let late = |hold: &LeaseHold| hold.renewed + self.duration <= now;
        self.state().holds.iter().filter(|(_, hold)| late(hold)).map(|(key, _)| key.clone()).collect()
    }

    /// Notes that the lease was lost.
    pub(crate) fn lose(&self, key: &str) {
        if let Some(hold) = self.state().holds.remove(key) {
            hold.lost.send_replace(true);
        }
    }

    /// Notes that the lane of hold `epoch` is gone.
    fn drop_lane(&self, key: &str, epoch: u64) {
        let mut state = self.state();
        if state.lanes.get(key) == Some(&epoch) {
            state.lanes.remove(key);
        }
        if state.holds.get(key).is_some_and(|hold| hold.epoch == epoch)
            && let Some(hold) = state.holds.remove(key)
        {
            // By the table the lease is still ours: without this it could only expire, since nobody would release it.
            state.idle.insert(key.to_owned(), hold.counter);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// Ends all holds; gives the leases that are this worker's by the table, with their counters, to be released. Not those whose worker
    /// of before may still write: a worker that sees a lease without an owner reads at once, so they have to expire.
    pub(crate) fn give_up(&self) -> Vec<(String, u64)> {
        let mut state = self.state();
        let mut ours: Vec<_> = state.idle.drain().collect();
        for (key, hold) in state.holds.drain() {
            hold.lost.send_replace(true);
            ours.push((key, hold.counter));
        }
        let now = Instant::now();
        ours.retain(|(key, _)| state.quiet.get(key).is_none_or(|until| *until <= now));
        ours
    }

    /// True once after a shard has ended.
    pub(crate) fn take_ended(&self) -> bool {
        std::mem::take(&mut self.state().ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::position::Checkpoint;

    fn lease(counter: u64) -> Lease {
        Lease {
            key: "s".into(),
            owner: Some("me".into()),
            counter,
            checkpoint: Checkpoint::TrimHorizon,
            pending: None,
            parents: Vec::new(),
            hashes: None,
            opened: None,
            first: false,
        }
    }

    #[tokio::test]
    async fn a_lease_taken_again_is_not_the_one_that_was_lost() {
        // K5, K7
        let registry = Arc::new(LeaseRegistry::new(Duration::from_secs(1)));
        let first = registry.hold(&lease(1), Instant::now());
        registry.lose("s");
        assert!(*first.lost.borrow() && !registry.holds("s") && registry.has_lane("s"));
        let second = registry.hold(&lease(2), Instant::now());
        drop(first);
        assert!(registry.holds("s") && registry.has_lane("s") && !*second.lost.borrow());
        drop(second);
        assert!(!registry.holds("s") && !registry.has_lane("s"));
    }

    #[tokio::test]
    async fn leases_of_lanes_that_ended_are_handed_over_too() {
        let registry = Arc::new(LeaseRegistry::new(Duration::from_secs(1)));
        drop(registry.hold(&lease(4), Instant::now()));
        assert_eq!(registry.give_up(), [("s".to_owned(), 4)]);
        let lane = registry.hold(&lease(5), Instant::now());
        assert_eq!(registry.give_up(), [("s".to_owned(), 5)]);
        assert!(*lane.lost.borrow());
        lane.lose();
        drop(lane);
        assert!(registry.give_up().is_empty(), "what was lost is not ours to hand over");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_taken_from_a_living_worker_stays_quiet_and_is_not_handed_over_before_that_one_has_stopped() {
        let second = Duration::from_secs(1);
        let (registry, start) = (Arc::new(LeaseRegistry::new(second)), Instant::now());
        registry.note_theft("s");
        let lane = registry.hold(&lease(1), start);
        assert_eq!(registry.quiet("s"), Some(start + second));
        // Its lane could not be opened: the lease is taken anew.
        drop(lane);
        sleep_until(start + second / 2).await;
        let lane = registry.hold(&lease(2), Instant::now());
        assert_eq!(registry.quiet("s"), Some(start + second));
        lane.lose();
        drop(lane);
        assert_eq!(registry.quiet("s"), Some(start + second), "also if another worker had it meanwhile");
        let lane = registry.hold(&lease(3), Instant::now());
        assert!(registry.give_up().is_empty(), "it expires by itself");
        assert!(*lane.lost.borrow());
        drop(lane);
        drop(registry.hold(&lease(4), Instant::now()));
        sleep_until(start + second).await;
        assert_eq!(registry.quiet("s"), None);
        assert_eq!(registry.give_up(), [("s".to_owned(), 4)]);
    }

    #[tokio::test]
    async fn a_lease_that_cannot_be_renewed_is_given_up_in_time() {
        // K9
        let registry = Arc::new(LeaseRegistry::new(Duration::from_secs(1)));
        let start = Instant::now();
        let _lane = registry.hold(&lease(1), start);
        let second = Duration::from_secs(1);
        assert!(registry.overdue(start + second / 2).is_empty());
        registry.renewed("s", 2, start + second / 2);
        assert!(registry.overdue(start + second).is_empty());
        assert_eq!(registry.overdue(start + second * 2), ["s"]);
        assert_eq!(registry.renewals(), [("s".to_owned(), 2)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hold_lapses_with_its_duration_or_when_it_is_lost() {
        let second = Duration::from_secs(1);
        let (registry, start) = (Arc::new(LeaseRegistry::new(second)), Instant::now());
        let _lane = registry.hold(&lease(1), start);
        let renewed = async {
            sleep_until(start + second / 2).await;
            registry.renewed("s", 2, start + second / 2);
            registry.recounted("s", 3);
        };
        tokio::join!(registry.lapsed("s"), renewed);
        assert_eq!(Instant::now(), start + second * 3 / 2, "a counter alone does not prolong it");
        registry.renewed("s", 4, Instant::now());
        let lose = async { registry.lose("s") };
        tokio::join!(registry.lapsed("s"), lose);
        assert_eq!(Instant::now(), start + second * 3 / 2, "at once");
    }
}
