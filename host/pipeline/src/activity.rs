//! Finds out when no lane has anything left to do, for `run --until-idle`.
//!
//! A lane that pulled and found nothing records how many commits the engine had made before its pull. Everything is idle
//! when every lane has found nothing at the present count: no commit has come since that could have given one of them
//! an event. Lanes with an older record are nudged to pull again.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Notify;

/// Which lanes are busy, and which are idle since which commit.
#[derive(Debug, Default)]
pub struct Activity {
    lanes: Mutex<Lanes>,
    nudge: Notify,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Lanes {
    next: u64,
    /// The count of commits at which a lane found nothing; `None`: it is busy.
    idle_at: HashMap<u64, Option<u64>>,
}

/// Marks a lane as busy or idle. A lane that is gone is neither.
#[derive(Debug)]
pub struct ActivityGuard {
    activity: Arc<Activity>,
    lane: u64,
}

impl Activity {
    /// A guard for a lane, or another task, that is busy from now on.
    pub fn guard(self: &Arc<Self>) -> ActivityGuard {
        let mut lanes = self.lanes.lock();
        lanes.next += 1;
        let lane = lanes.next;
        lanes.idle_at.insert(lane, None);
        ActivityGuard { activity: self.clone(), lane }
    }

    /// Waits until everything is idle. `commit_count` gives the number of commits that the engine has made so far.
    pub async fn wait(&self, commit_count: impl Fn() -> u64) {
        loop {
            // Registered before the look, so that a change in between is not missed.
            let changed = self.changed.notified();
            let now = commit_count();
            let (busy, stale) = self.look(now);
            // Counted once more: a commit during the look may have given an idle lane an event.
            if !busy && !stale && commit_count() == now {
                return;
            }
            if stale && !busy {
                self.nudge.notify_waiters();
            }
            // A lane that becomes busy or idle wakes this. The time-out is for commits that wake no lane.
            let _ = tokio::time::timeout(std::time::Duration::from_millis(20), changed).await;
        }
    }

    /// Waits until idle lanes are to pull again.
    pub(crate) async fn nudged(&self) {
        self.nudge.notified().await;
    }

    /// True if a lane is busy; true if a lane found nothing, but a commit came since.
    fn look(&self, commits: u64) -> (bool, bool) {
        let lanes = self.lanes.lock();
        let busy = lanes.idle_at.values().any(Option::is_none);
        let stale = lanes.idle_at.values().any(|seen| seen.is_some_and(|seen| seen != commits));
        (busy, stale)
    }

    fn write(&self, lane: u64, idle_at: Option<u64>) {
        self.lanes.lock().idle_at.insert(lane, idle_at);
        self.changed.notify_waiters();
    }
}

impl ActivityGuard {
    /// The lane has, or may have, events to deliver.
    pub(crate) fn busy(&self) {
        self.activity.write(self.lane, None);
    }

    /// The lane found no event; `commits` is the engine's count from before its pull.
    pub(crate) fn idle(&self, commits: u64) {
        self.activity.write(self.lane, Some(commits));
    }
}

impl Drop for ActivityGuard {
    fn drop(&mut self) {
        self.activity.lanes.lock().idle_at.remove(&self.lane);
        self.activity.changed.notify_waiters();
    }
}
