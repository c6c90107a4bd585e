//! The delivery of one batch, as a state machine: it takes the results of calls and commits, and gives the next step.
//!
//! It knows no clock, no plugin and no engine: the caller asks [`Delivery::step`] for the next step, carries it out, and
//! reports the result. It keeps invariant 3 (in an ordered lane only a contiguous prefix is settled) and its half of
//! invariant 8 (every event gets exactly one verdict). The unit of work is a [`BatchPart`]: a run of events that are
//! called and committed together. A failing part waits, is bisected, or its events are given up or released. Plugins are
//! pure, so a call can be made again at no harm: no output survives a failure.

mod drive;
mod failure;

pub use drive::{NotCommitted, Steps, drive};

use crate::batch::Claim;
use crate::breaker::Standstill;
use crate::call_output::{CallError, CallFailure, CallOutput, Disposition};
use crate::event::Columns;
use crate::index::{CallIndex, EventIndex};
use crate::retry::RetryPolicy;
use crate::timestamp::Timestamp;
use crate::verdict::{Reason, Verdict};
use failure::BatchPart;
use std::collections::VecDeque;
use std::time::Duration;

/// The time, on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Time since a fixed start; never goes back. Waits are measured on it.
    pub monotonic: Duration,
    /// The wall clock; may jump. Only the age of events is measured on it.
    pub wall: Timestamp,
}

/// The next step of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Call the plugin with these events, then report with [`Delivery::called`].
    Call(Vec<EventIndex>),
    /// Commit this with the output of its call, then report with [`Delivery::committed`] or [`Delivery::not_committed`].
    Commit(Settlement),
    /// Nothing to do before this time on the monotonic clock.
    Wait(Duration),
    /// The plugin asked to stop the route, with this reason. Events that are not settled are not done.
    Halted(String),
    /// Every event has its verdict and is settled.
    Finished,
}

/// The verdicts of a part's events, for one commit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settlement {
    /// The events of the call whose output is committed; empty if no call was needed.
    pub called: Vec<EventIndex>,
    /// Index and verdict, ascending. In an ordered lane the events follow the last committed ones without a gap.
    pub verdicts: Vec<(EventIndex, Verdict)>,
}

impl Settlement {
    /// True if the commit carries out an effect of the call's output: if the whole batch caused it, or an event that is done.
    /// `cause` is the event's place in the call.
    #[must_use]
    pub fn keeps(&self, cause: Option<CallIndex>) -> bool {
        let Some(cause) = cause else { return true };
        let Some(event) = self.called.get(cause.at()) else { return false };
        let verdict = self.verdicts.binary_search_by_key(event, |(e, _)| *e).ok().and_then(|i| self.verdicts.get(i));
        matches!(verdict, Some((_, Verdict::Done)))
    }

    /// The events of the call that are done, ascending: those whose effects are carried out.
    pub fn done(&self) -> impl Iterator<Item = CallIndex> + '_ {
        CallIndex::all(self.called.len()).filter(|local| self.keeps(Some(*local)))
    }

    /// The events that are given up, with their reasons.
    pub fn dead(&self) -> impl Iterator<Item = (EventIndex, &Reason)> {
        self.verdicts.iter().filter_map(|(event, verdict)| match verdict {
            Verdict::Dead(reason) => Some((*event, reason)),
            _ => None,
        })
    }

    /// How many events are released to their queue.
    #[must_use]
    pub fn released(&self) -> usize {
        self.verdicts.iter().filter(|(_, verdict)| matches!(verdict, Verdict::Released(_))).count()
    }

    /// The events that an earlier commit has done already. `records` are the places of their dedup records in
    /// [`crate::engine::Commit::dedup`], which is in the order of [`Settlement::done`].
    #[must_use]
    pub fn done_before(&self, records: &[usize]) -> Vec<CallIndex> {
        let done: Vec<CallIndex> = self.done().collect();
        records.iter().filter_map(|record| done.get(*record).copied()).collect()
    }
}

/// The delivery of one batch.
#[derive(Debug, Clone)]
pub struct Delivery {
    policy: RetryPolicy,
    ordered: bool,
    seed: u64,
    /// When the source accepted each event, milliseconds since the Unix epoch.
    timestamps: Vec<u64>,
    /// Failed tries so far, those of earlier deliveries included.
    tries: Vec<u32>,
    /// Verdicts that the next call cannot change.
    decided: Vec<Option<Verdict>>,
    /// In an ordered lane ascending and without gaps; the front part is in work.
    parts: VecDeque<BatchPart>,
    /// The verdicts of the front part after its call, until they are committed.
    settlement: Option<Settlement>,
    /// The output that is committed with the settlement.
    output: CallOutput,
    /// The events of the call in work.
    calling: Vec<EventIndex>,
    halted: Option<String>,
    /// The last time that the route stood still.
    stood_still: Option<Standstill>,
}

impl Delivery {
    /// Starts the delivery of `events`. `seed` varies the jitter.
    #[must_use]
    pub fn new(events: &Columns, ordered: bool, policy: RetryPolicy, seed: u64) -> Self {
        let count = events.len();
        Delivery {
            policy,
            ordered,
            seed,
            timestamps: events.timestamps.clone(),
            tries: events.attempts.iter().map(|a| a.saturating_sub(1)).collect(),
            decided: vec![None; count],
            parts: if count == 0 {
                VecDeque::new()
            } else {
                VecDeque::from([BatchPart::new(EventIndex::all(count).collect())])
            },
            settlement: None,
            output: CallOutput::default(),
            calling: Vec::new(),
            halted: None,
            stood_still: None,
        }
    }

    /// Tells when the route stood still: that time does not count for the age of events.
    pub fn note_standstill(&mut self, stood_still: Option<Standstill>) {
        self.stood_still = stood_still;
    }

    /// Decides events that the plugin does not get: filtered ones, and those whose filter takes too long. Called before the
    /// first step.
    pub fn filtered(&mut self, verdicts: Vec<(EventIndex, Verdict)>) {
        for (event, verdict) in verdicts {
            // An event that the source refuses is dead already, and stays so whatever the filter says.
            if self.undecided(event) {
                self.decide(event, verdict);
            }
        }
    }

    /// Begins with several parts, each called and committed by itself. `starts`: the events at which a new part begins,
    /// ascending.
    #[must_use]
    pub fn split_before(mut self, starts: &[EventIndex]) -> Self {
        for start in starts {
            if let Some((before, after)) = self.parts.pop_back().map(|part| part.split_at(*start)) {
                self.parts.extend([before, after].into_iter().filter(|part| !part.events.is_empty()));
            }
        }
        self
    }

    /// Gives up events that their source refuses, without a call.
    #[must_use]
    pub fn giving_up_refused(mut self, claims: &[Claim]) -> Self {
        for (event, reason) in
            EventIndex::all(claims.len()).zip(claims).filter_map(|(event, claim)| Some((event, claim.refusal()?)))
        {
            self.decide(event, Verdict::Dead(reason.clone()));
        }
        self
    }

    /// Gives up events that have come by `max_hops` routes or more; zero: none. Called after [`Delivery::filtered`]: a filter may
    /// be what stops a loop.
    pub fn give_up_hops(&mut self, claims: &[Claim], max_hops: u32) {
        for (event, claim) in EventIndex::all(claims.len()).zip(claims) {
            if max_hops > 0 && claim.hops() >= max_hops && self.undecided(event) {
                let hops = claim.hops();
                let message =
                    format!("it has come by {hops} routes and max_hops is {max_hops}: routes may feed each other");
                self.decide(event, Verdict::Dead(Reason::new("limit.hops", message)));
            }
        }
    }

    /// How often the event was tried, this time included. The plugin sees this as `attempt`.
    #[must_use]
    pub fn attempt(&self, event: EventIndex) -> u32 {
        self.tries.get(event.at()).copied().unwrap_or_default().saturating_add(1)
    }

    /// The first event of the part in work.
    #[must_use]
    pub fn next_event(&self) -> Option<EventIndex> {
        self.parts.front().and_then(|part| part.events.first().copied())
    }

    /// The events that have no verdict yet.
    pub fn open_events(&self) -> impl Iterator<Item = EventIndex> + Clone {
        self.parts.iter().flat_map(|part| &part.events).copied().filter(|event| self.undecided(*event))
    }

    /// The next step. Asking again without a report in between gives the same step.
    pub fn step(&mut self, now: Moment) -> Step {
        if let Some(reason) = &self.halted {
            return Step::Halted(reason.clone());
        }
        // The last call went well, but its commit was not reported yet.
        if let Some(settlement) = &self.settlement {
            return Step::Commit(settlement.clone());
        }
        if !self.ordered {
            // No order to keep: the part that is due first goes first. The sort is stable, so parts that are due at the same time
            // keep their places.
            self.parts.make_contiguous().sort_by_key(|p| p.due);
        }
        let Some(part) = self.parts.front() else { return Step::Finished };
        if part.due > now.monotonic {
            return Step::Wait(part.due);
        }
        let events = part.events.clone();
        // Before each call and not once at the start: events grow old while their part waits for its next try.
        self.expire(&events, now.wall);
        self.calling = events.into_iter().filter(|e| self.undecided(*e)).collect();
        // Every event was filtered, expired or given up. Their verdicts still need a commit: it moves the position past them.
        if self.calling.is_empty() {
            let settlement = self.settle(&CallOutput::default());
            self.settlement = Some(settlement.clone());
            return Step::Commit(settlement);
        }
        Step::Call(self.calling.clone())
    }

    /// Reports the result of the call that the last step asked for. The output has passed
    /// [`crate::grants::Grants::check`]; indexes that name no event are ignored.
    pub fn called(&mut self, result: Result<CallOutput, CallError>, now: Moment) {
        match result {
            Ok(output) => {
                let retried = self.retried(&output);
                if retried.is_empty() {
                    self.settlement = Some(self.settle(&output));
                    self.output = output;
                } else {
                    // The effects of the other events are dropped, too: an output is committed as a whole, since the plugin may
                    // have summed up several events in one effect. The others are called again, without the retried ones.
                    self.retry(&retried, now.monotonic);
                }
            }
            Err(CallError::Halt(reason)) => self.halted = Some(reason),
            Err(CallError::Host(fault)) => self.stalled(&fault, now),
            Err(CallError::Retry(reason)) => {
                self.fail(&Reason::new("retries-exhausted", reason), failure::Cause::Asked, now.monotonic);
            }
            Err(CallError::Failed(failure)) => {
                let cause = if failure.fated { failure::Cause::Fated } else { failure::Cause::Failed };
                let CallFailure { kind, message, backtrace, logs, .. } = *failure;
                let reason = Reason { code: kind.code().to_owned(), message, backtrace, logs };
                self.fail(&reason, cause, now.monotonic);
            }
        }
    }

    /// The output of the call whose settlement is to be committed. It can be taken once: if the commit fails, the
    /// delivery calls the events again and gets a new output.
    fn take_output(&mut self) -> CallOutput {
        std::mem::take(&mut self.output)
    }

    /// Reports that the commit of the last step happened.
    pub fn committed(&mut self) {
        if self.settlement.take().is_some() {
            self.parts.pop_front();
        }
    }

    fn undecided(&self, event: EventIndex) -> bool {
        self.decided.get(event.at()).is_some_and(Option::is_none)
    }

    fn decide(&mut self, event: EventIndex, verdict: Verdict) {
        if let Some(slot) = self.decided.get_mut(event.at()) {
            *slot = Some(verdict);
        }
    }

    fn expire(&mut self, events: &[EventIndex], now: Timestamp) {
        let Some(limit) = self.policy.max_record_age else { return };
        for &event in events {
            // An event without a timestamp has no age.
            let Some(accepted) = self.timestamps.get(event.at()).copied() else { continue };
            let accepted = Timestamp::from_millis(accepted);
            let excused = self.stood_still.map_or(Duration::ZERO, |still| still.within(accepted, now));
            let age = now.since(accepted).saturating_sub(excused);
            if age > limit && self.undecided(event) {
                let (age, limit) = (age.as_millis(), limit.as_millis());
                let message = format!("older than max_record_age: {age} ms > {limit} ms");
                self.decide(event, Verdict::Dead(Reason::new("expired", message)));
            }
        }
    }

    /// The events that the plugin asks to try again, ascending, with the wait that it asks for in milliseconds.
    fn retried(&self, output: &CallOutput) -> Vec<(EventIndex, Option<u32>)> {
        let mut retried: Vec<_> = output
            .outcomes
            .iter()
            .filter_map(|o| match o.disposition {
                Disposition::Retry(after) => Some((*self.calling.get(o.event.at())?, after)),
                _ => None,
            })
            .collect();
        retried.sort_unstable();
        retried
    }

    /// The verdicts of the front part after a call without retries.
    fn settle(&self, output: &CallOutput) -> Settlement {
        let mut verdicts: Vec<(EventIndex, Verdict)> = self.parts.front().map_or_else(Vec::new, |part| {
            part.events
                .iter()
                .map(|e| (*e, self.decided.get(e.at()).cloned().flatten().unwrap_or(Verdict::Done)))
                .collect()
        });
        for outcome in &output.outcomes {
            let verdict = match &outcome.disposition {
                Disposition::Reject(reason) => Verdict::Dead(Reason::new("rejected", reason.clone())),
                Disposition::Skip(reason) => Verdict::Skipped(reason.clone()),
                Disposition::Retry(_) => continue,
            };
            let event = self.calling.get(outcome.event.at());
            let slot = event.and_then(|e| verdicts.binary_search_by_key(e, |(v, _)| *v).ok());
            if let Some((_, old)) = slot.and_then(|i| verdicts.get_mut(i)) {
                *old = verdict;
            }
        }
        Settlement { called: self.calling.clone(), verdicts }
    }
}
