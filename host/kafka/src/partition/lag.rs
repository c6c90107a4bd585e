//! What a partition shows of itself: its place, how far it is behind, and its gaps.

use super::{Ownership, Partition, State};
use crate::gathered::Gathered;
use esclusa_flow::fault::Fault;
use esclusa_flow::lag::{LanePlace, ShardLag};

impl Partition {
    /// The broker has told the offsets of the oldest record and behind the last one.
    pub(crate) fn measured(&self, oldest: Option<i64>, end: Option<i64>) {
        let mut state = self.state.lock();
        state.end = end.or(state.end);
        if let (Some(from), Some(oldest)) = (state.jumped, oldest) {
            state.jumped = None;
            if oldest > from {
                self.lag.add_gap();
                tracing::warn!(
                    lane = self.id,
                    from,
                    oldest,
                    "records were deleted before the route had read them: a gap"
                );
            }
        }
        self.show(&state, |_| {});
    }

    pub(super) fn show(&self, state: &State, change: impl FnOnce(&mut ShardLag)) {
        if matches!(state.ownership, Ownership::Gone(_)) {
            // It may be here again by now, as another one of the same name.
            return;
        }
        let whole = |offset: i64| u64::try_from(offset).unwrap_or_default();
        // Control records at the end are counted by the broker, and nobody gets them.
        let done = state.at_end && state.unsettled >= state.next;
        let end = whole(state.end.unwrap_or(state.next).max(state.next));
        let position = whole(state.unsettled);
        let records = if done { 0 } else { end.saturating_sub(position) };
        self.lag.change(&self.id, |lag| {
            lag.place = Some(LanePlace { position, end, records });
            if state.at_end {
                lag.behind_millis = Some(0);
            }
            change(lag);
        });
    }
}

impl State {
    /// What the broker said, if records are there that have not come since, and none was gathered. Without such records nothing would tell
    /// that it is over.
    pub(super) fn lasting_fault(&self, gathered: &Gathered) -> Option<Fault> {
        let (fault, end) = self.fault.as_ref()?;
        (gathered.claims.is_empty() && (!self.at_end || self.end > *end)).then(|| fault.clone())
    }
}
