//! Failures of the part in work: it waits for its next try, is bisected, or its events are given up or released.

use super::{Delivery, Moment, NotCommitted, Settlement};
use crate::engine::CommitError;
use crate::fault::Fault;
use crate::index::{CallIndex, EventIndex};
use crate::retry::mix;
use crate::verdict::{Reason, Verdict};
use std::collections::BTreeSet;
use std::time::Duration;

/// Conflicts after which a part of several events is bisected: one of its events may stand in another's way.
const CONFLICTS_BEFORE_BISECT: u32 = 2;
/// Conflicts after which a single event counts as failed.
const CONFLICTS_BEFORE_FAILURE: u32 = 20;
/// Unit of the wait after a conflict: the competitor needs about a commit's time to get out of the way. The first conflict is
/// tried again at once.
const CONFLICT_WAIT: Duration = Duration::from_millis(1);

/// Retries of a call that will fail again. Not zero: a reused instance may have failed only because an earlier call left bad
/// state in it.
const FATED_RETRIES: u32 = 1;

/// Why a part failed as a whole: decides when it is bisected, if the route bisects, and how often it is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The plugin asked for the batch again. The part is bisected when its retries are used up.
    Asked,
    /// One of the events makes the call or the commit fail. The part is bisected at once.
    Failed,
    /// The plugin failed, and will fail again with the same events. The part is bisected at once.
    Fated,
}

/// Events that are called and committed together, ascending.
#[derive(Debug, Clone)]
pub(super) struct BatchPart {
    pub events: Vec<EventIndex>,
    /// The next call is not made before this time on the monotonic clock.
    pub due: Duration,
    /// Commits in a row that met a conflict.
    pub conflicts: u32,
    /// Calls or commits in a row that the host could not carry out.
    pub faults: u32,
}

impl BatchPart {
    pub(super) fn new(events: Vec<EventIndex>) -> Self {
        BatchPart { events, due: Duration::ZERO, conflicts: 0, faults: 0 }
    }

    /// Splits the part before `event`; the first piece may be empty.
    pub(super) fn split_at(self, event: EventIndex) -> (BatchPart, BatchPart) {
        let (before, after) = self.events.into_iter().partition(|e| *e < event);
        (BatchPart::new(before), BatchPart::new(after))
    }
}

impl Delivery {
    /// Reports that the commit of `settlement` did not happen.
    pub fn not_committed(&mut self, not: NotCommitted, settlement: &Settlement, now: Moment) {
        let NotCommitted { error, causes } = not;
        match error {
            CommitError::Conflict => self.conflicted(now),
            CommitError::TooLarge => self.too_large(now),
            CommitError::DoneBefore(records) => self.done_before(&settlement.done_before(&records)),
            CommitError::Refused(refused) => {
                let cause = |action: usize| causes.get(action).copied().flatten();
                let refused: Vec<_> = refused.into_iter().map(|(action, why)| (cause(action), why)).collect();
                self.refused(&refused, now);
            }
            CommitError::Fault(fault) => self.stalled(&fault, now),
        }
    }

    /// Reports that a guard of the last commit did not hold: the events are called again, on fresh reads.
    pub(super) fn conflicted(&mut self, now: Moment) {
        self.settlement = None;
        let (seed, several) = (self.seed, self.calling.len() > 1);
        let Some(part) = self.parts.front_mut() else { return };
        part.conflicts = part.conflicts.saturating_add(1);
        if several && part.conflicts >= CONFLICTS_BEFORE_BISECT {
            self.bisect(now.monotonic);
        } else if part.conflicts >= CONFLICTS_BEFORE_FAILURE {
            part.conflicts = 0;
            let reason =
                Reason::new("conflict", format!("a guard did not hold {CONFLICTS_BEFORE_FAILURE} times in a row"));
            self.fail(&reason, Cause::Failed, now.monotonic);
        } else if part.conflicts > 1 {
            // The first conflict is tried again at once: the competitor has just committed. If it conflicts
            // again, two lanes are in each other's way: each waits a different time, which its seed gives.
            let wait = CONFLICT_WAIT.saturating_mul(part.conflicts.min(10));
            let jitter = Duration::from_micros(mix(seed ^ u64::from(part.conflicts)) % 1000);
            part.due = now.monotonic.saturating_add(wait).saturating_add(jitter);
        }
    }

    /// Reports that the engine can never carry out some effects. `refused`: for each, the event that caused it (`None`: the
    /// whole batch) and the reason. The causing events are given up, the others are called again. If no event was called, the
    /// engine has refused dead letters: the delivery tries the commit again for ever.
    pub(super) fn refused(&mut self, refused: &[(Option<CallIndex>, String)], now: Moment) {
        self.settlement = None;
        // A dead letter that cannot be written must not be dropped: its event would be lost without a trace.
        if self.calling.is_empty() {
            let why = refused.first().map_or_else(String::new, |(_, why)| why.clone());
            return self.stalled(&Fault::Permanent(why), now);
        }
        for (cause, reason) in refused {
            let event = cause.and_then(|c| self.calling.get(c.at()).copied());
            let reason = Reason::new("effect.refused", reason.clone());
            match event {
                Some(event) => self.decide(event, Verdict::Dead(reason)),
                // An effect of the batch as a whole: no event is to blame yet. The part is bisected until one is.
                None => return self.fail(&reason, Cause::Failed, now.monotonic),
            }
        }
    }

    /// Reports that an earlier commit has done some of the call's events. The delivery calls the others again.
    pub(super) fn done_before(&mut self, events: &[CallIndex]) {
        self.settlement = None;
        for event in events.iter().filter_map(|local| self.calling.get(local.at()).copied()).collect::<Vec<_>>() {
            self.decide(event, Verdict::Done);
        }
    }

    /// Reports that the engine cannot commit so much at once: the part is bisected, and its events use up no try. If a single event
    /// is too large, it is given up.
    pub(super) fn too_large(&mut self, now: Moment) {
        self.settlement = None;
        match *self.calling.as_slice() {
            [] => self.stalled(&Fault::Bug("the dead letters are too large to commit".to_owned()), now),
            [event] => {
                let message = "its effects change more than can be committed at once";
                self.decide(event, Verdict::Dead(Reason::new("limit.commit", message)));
            }
            _ => self.bisect(now.monotonic),
        }
    }

    /// Reports that the host could not call or commit. The events use up no try: they are tried again for ever, after waits that
    /// grow.
    pub(super) fn stalled(&mut self, fault: &Fault, now: Moment) {
        self.settlement = None;
        let Some(part) = self.parts.front_mut() else { return };
        // A service that asks for a wait gets it, even a longer one than the policy's longest: nobody but this lane waits. An
        // output's wait is cut (see `RetryWait`), since every other output of the commit would wait for it.
        let least = if let Fault::Throttled { after, .. } = fault { *after } else { Duration::ZERO };
        part.due = now.monotonic.saturating_add(self.policy.backoff.wait(part.faults, self.seed).max(least));
        part.faults = part.faults.saturating_add(1);
    }

    /// The plugin asks to try single events again, each after a wait in milliseconds or the policy's. `retried` is ascending.
    pub(super) fn retry(&mut self, retried: &[(EventIndex, Option<u32>)], now: Duration) {
        let Some(&(first, after)) = retried.first() else { return };
        if self.policy.release || self.ordered {
            // In an ordered lane only the first event uses up a try: later ones wait behind it anyway, and may ask again when it
            // is done. Events of an unordered queue are decided one by one.
            let ordered = self.ordered;
            for (event, after) in retried.iter().take(if ordered { 1 } else { retried.len() }) {
                self.try_again_or_give_up(
                    *event,
                    *after,
                    &Reason::new("retries-exhausted", "the plugin asked to retry it"),
                    Cause::Asked,
                );
            }
            // A released event is decided: it goes back to its queue with the part's commit, so this part need not wait. If the
            // policy does not release, the events before it go on now; it and all later ones wait, so that none overtakes it.
            if !self.policy.release && self.undecided(first) {
                self.defer(first, self.wait(first, after), now);
            }
            return;
        }
        // No order to keep: each retried event becomes a part of its own, so that its wait holds back no other event.
        let mut deferred: Vec<BatchPart> = Vec::new();
        for (event, after) in retried {
            self.try_again_or_give_up(
                *event,
                *after,
                &Reason::new("retries-exhausted", "the plugin asked to retry it"),
                Cause::Asked,
            );
            if self.undecided(*event) {
                let mut part = BatchPart::new(vec![*event]);
                part.due = now.saturating_add(self.wait(*event, *after));
                deferred.push(part);
            }
        }
        if let Some(front) = self.parts.front_mut() {
            let later: BTreeSet<EventIndex> = deferred.iter().flat_map(|part| part.events.iter().copied()).collect();
            // An event that was given up just now stays in the front part: its verdict is committed with the others'.
            front.events.retain(|event| !later.contains(event));
            if front.events.is_empty() {
                self.parts.pop_front();
            }
        }
        self.parts.extend(deferred);
    }

    /// The call of the front part failed as a whole. The part is bisected, or each of its events uses up a try.
    pub(super) fn fail(&mut self, reason: &Reason, cause: Cause, now: Duration) {
        let several = self.policy.bisect && self.calling.len() > 1;
        // A trap names no event. Bisection finds it in a few calls, and uses up no try of the events that are good.
        if several && cause != Cause::Asked {
            return self.bisect(now);
        }
        let calling = self.calling.clone();
        let exhausted = calling.iter().any(|e| self.exhausted(*e, cause));
        // A plugin that asked for the whole batch gets it until the retries are used up. Then it is bisected before any event is
        // given up, since the others may be good.
        if several && exhausted {
            return self.bisect(now);
        }
        for event in &calling {
            // In a message group, releasing the first event also releases the later ones. They use up no try.
            if self.undecided(*event) {
                self.try_again_or_give_up(*event, None, reason, cause);
            }
        }
        // The part waits as long as its event with the most tries.
        let wait = calling.iter().filter(|e| self.undecided(**e)).map(|e| self.wait(*e, None)).max();
        if let (Some(wait), Some(part)) = (wait, self.parts.front_mut()) {
            part.due = now.saturating_add(wait);
        }
    }

    fn exhausted(&self, event: EventIndex, cause: Cause) -> bool {
        let tries = self.tries.get(event.at()).copied().unwrap_or_default();
        let fated = cause == Cause::Fated && tries >= FATED_RETRIES;
        fated || self.policy.max_retry_attempts.is_some_and(|max| tries >= max)
    }

    /// Counts a failed try of an event. Gives the event up if its retries are used up; else releases it, if the policy says so.
    fn try_again_or_give_up(&mut self, event: EventIndex, after: Option<u32>, reason: &Reason, cause: Cause) {
        if self.exhausted(event, cause) {
            let tries = self.attempt(event);
            let mut reason = reason.clone();
            reason.message = format!("{} (tried {tries} times)", reason.message);
            return self.decide(event, Verdict::Dead(reason));
        }
        // Asked for before this try is counted: see `wait`.
        let wait = self.wait(event, after);
        if let Some(tries) = self.tries.get_mut(event.at()) {
            *tries = tries.saturating_add(1);
        }
        if self.policy.release {
            self.decide(event, Verdict::Released(wait));
            if self.ordered {
                self.release_after(event);
            }
        }
    }

    /// The wait before the next try of an event: the plugin's, if it asks for one, up to the policy's longest; else the backoff.
    fn wait(&self, event: EventIndex, after: Option<u32>) -> Duration {
        let backoff = &self.policy.backoff;
        match after {
            Some(millis) => Duration::from_millis(u64::from(millis)).min(backoff.max),
            None => {
                let tries = self.tries.get(event.at()).copied().unwrap_or_default();
                // The first retry has number 0. If the event stays here, its failed try is already counted, so subtract it.
                backoff.wait(tries.saturating_sub(u32::from(!self.policy.release)), self.seed ^ u64::from(event.0))
            }
        }
    }

    /// Releases all events after `event`: in a message group none may overtake it.
    fn release_after(&mut self, event: EventIndex) {
        for later in EventIndex::all(self.decided.len()).skip(event.at().saturating_add(1)) {
            if !matches!(self.decided.get(later.at()), Some(Some(Verdict::Released(_)))) {
                self.decide(later, Verdict::Released(Duration::ZERO));
            }
        }
    }

    /// Splits the front part before `event`: the events before it go on now, `event` and those after it wait.
    fn defer(&mut self, event: EventIndex, wait: Duration, now: Duration) {
        let Some(front) = self.parts.pop_front() else { return };
        let (before, mut after) = front.split_at(event);
        after.due = now.saturating_add(wait);
        self.parts.push_front(after);
        if !before.events.is_empty() {
            self.parts.push_front(before);
        }
    }

    /// Halves the front part, in the middle of the events that were called: the decided ones need no call, and would make the
    /// halves uneven.
    fn bisect(&mut self, now: Duration) {
        let (Some(&middle), Some(front)) = (self.calling.get(self.calling.len() / 2), self.parts.pop_front()) else {
            return;
        };
        let (mut before, mut after) = front.split_at(middle);
        // Both at once: bisection is a search, and waits between its steps would only hold up the lane.
        before.due = now;
        after.due = now;
        self.parts.push_front(after);
        self.parts.push_front(before);
    }
}
