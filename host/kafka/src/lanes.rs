//! The last lane of each name of a route, with its partition as it came to the lane.
//!
//! A lane may outlive its partition's assignment: its batch waits for another try, while the partition goes to another member and
//! comes back. Such a lane commits nothing, wherever the partition is by then (invariant 5): a commit asks the partition
//! that its lane has, and not the one that bears the name now. A commit names its lane, so there is one lane of a name at a time.

use crate::partition::Partition;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// The lanes of a route, over all members that it has been.
#[derive(Default)]
pub(crate) struct Lanes {
    last: Mutex<BTreeMap<String, LastLane>>,
    ended: Notify,
}

struct LastLane {
    partition: Arc<Partition>,
    exists: bool,
}

impl Lanes {
    /// Takes a partition for a lane, which has to end it; `None`: a lane of its name exists, or it leaves. `Some(true)`: the reader has to
    /// go back to what is settled.
    pub(crate) fn begin(&self, partition: &Arc<Partition>) -> Option<bool> {
        let mut last = self.last.lock();
        if last.get(&partition.id).is_some_and(|lane| lane.exists) {
            return None;
        }
        let used = partition.take()?;
        last.insert(partition.id.clone(), LastLane { partition: partition.clone(), exists: true });
        Some(used)
    }

    /// The lane that had the partition is gone.
    pub(crate) fn end(&self, partition: &Partition) {
        partition.give_back();
        if let Some(lane) = self.last.lock().get_mut(&partition.id) {
            lane.exists = false;
        }
        self.ended.notify_waiters();
    }

    /// The partition that a lane has or has had; `None`: there was no such lane.
    pub(crate) fn partition(&self, lane: &str) -> Option<Arc<Partition>> {
        self.last.lock().get(lane).map(|lane| lane.partition.clone())
    }

    /// Waits until a lane has ended. Cancel-safe.
    pub(crate) fn ended(&self) -> Notified<'_> {
        self.ended.notified()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::Beginning;
    use esclusa_flow::batch::Token;
    use esclusa_flow::fault::Fault;

    fn partition(begin: Beginning) -> Arc<Partition> {
        Partition::new(("t", 0), None, begin, Arc::default(), Arc::default())
    }

    // The group has the positions, so a partition that comes knows none: a batch that began at its start goes on from there, too.
    #[test]
    fn a_partition_that_comes_back_is_read_and_settled_only_after_the_lane_of_its_last_stay_has_ended() {
        let lanes = Lanes::default();
        let (first, second) =
            (partition(Beginning::default()), partition(Beginning { next: 80, ..Beginning::default() }));
        assert_eq!(lanes.begin(&first), Some(false));
        first.end("it was let go");
        assert_eq!(lanes.begin(&second), None, "its lane of before is there");
        let commits = || lanes.partition("t-0").map(|partition| partition.check(None));
        assert!(matches!(commits(), Some(Err(Fault::LeaseLost(_)))), "{:?}", commits());
        lanes.end(&first);
        assert!(matches!(commits(), Some(Err(Fault::LeaseLost(_)))), "it came of the lane of before");
        assert_eq!(lanes.begin(&second), Some(false));
        assert_eq!(commits(), Some(Ok(())));
        second.settle(&Token::Offset(80)).unwrap();
        lanes.end(&second);
        assert_eq!(lanes.begin(&second), Some(true), "it was read before");
    }
}
