//! Tells when nothing is left to do, for `run --until-idle`.
//!
//! A lane that pulled and found nothing writes down the engine's version from before its pull. Everything is idle
//! when every lane has found nothing at the present version: no commit has come since that could have given one
//! of them something. Lanes whose note is older are nudged to look again.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Notify;

/// The notes of all lanes.
#[derive(Debug, Default)]
pub struct Activity {
    notes: Mutex<Notes>,
    nudge: Notify,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Notes {
    next: u64,
    lanes: HashMap<u64, Option<u64>>,
}

/// A lane's note; gone with the lane.
#[derive(Debug)]
pub struct ActivityGuard {
    idle: Arc<Activity>,
    lane: u64,
}

impl Activity {
    /// A note for something that is busy now.
    pub fn note(self: &Arc<Self>) -> ActivityGuard {
        let mut notes = self.notes.lock();
        notes.next += 1;
        let lane = notes.next;
        notes.lanes.insert(lane, None);
        ActivityGuard { idle: self.clone(), lane }
    }

    /// Waits until everything is idle. `version` gives the engine's present version.
    pub async fn wait(&self, version: impl Fn() -> u64) {
        loop {
            let changed = self.changed.notified();
            let now = version();
            let (busy, stale) = self.look(now);
            if !busy && !stale && version() == now {
                return;
            }
            if stale && !busy {
                self.nudge.notify_waiters();
            }
            // Anything that changes a note wakes this; the tick covers commits that no lane is interested in.
            let _ = tokio::time::timeout(std::time::Duration::from_millis(20), changed).await;
        }
    }

    /// Waits until somebody wants every idle lane to look again.
    pub(crate) async fn nudged(&self) {
        self.nudge.notified().await;
    }

    fn look(&self, version: u64) -> (bool, bool) {
        let notes = self.notes.lock();
        let busy = notes.lanes.values().any(Option::is_none);
        let stale = notes.lanes.values().any(|seen| seen.is_some_and(|v| v != version));
        (busy, stale)
    }

    fn write(&self, lane: u64, note: Option<u64>) {
        self.notes.lock().lanes.insert(lane, note);
        self.changed.notify_waiters();
    }
}

impl ActivityGuard {
    /// There is, or may be, something to do.
    pub(crate) fn busy(&self) {
        self.idle.write(self.lane, None);
    }

    /// Nothing was found; `version` is the engine's from before looking.
    pub(crate) fn idle(&self, version: u64) {
        self.idle.write(self.lane, Some(version));
    }
}

impl Drop for ActivityGuard {
    fn drop(&mut self) {
        self.idle.notes.lock().lanes.remove(&self.lane);
        self.idle.changed.notify_waiters();
    }
}
