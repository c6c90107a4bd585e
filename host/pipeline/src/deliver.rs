//! Delivers one batch: asks the state machine what to do, and does it.

mod call;

use crate::commit::{self, Facts, Prepared};
use crate::meter::{Waiting, epoch_millis};
use crate::outbox::{self, Recorded};
use crate::route::{LoadedPlugin, Mode, Route, changed};
use crate::shared::Shared;
use crate::sieve::{self, Sifting};
use esclusa_flow::batch::{Batch, Token};
use esclusa_flow::call_output::{CallOutput, Reply};
use esclusa_flow::delivery::{Delivery, Moment, Settlement, Step};
use esclusa_flow::effect::OutboxMessage;
use esclusa_flow::engine::{CommitError, Committed, PendingMessages};
use esclusa_flow::fault::Fault;
use esclusa_flow::retry::mix_text;
use esclusa_flow::sharding::Sharding;
use esclusa_flow::source::{Lane, Settled};
use esclusa_flow::verdict::Verdict;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How a delivery ended.
#[derive(Debug, PartialEq, Eq)]
pub enum DeliveryEnd {
    /// Everything is settled.
    Settled,
    /// The plugin stopped the route; what is not settled is not done.
    Halted,
    /// The route stops; what is not settled is not done.
    Stopped,
    /// The lane belongs to somebody else; nothing more may be committed.
    Lost,
}

/// A batch on its way.
pub struct Delivering<'a> {
    route: &'a Route,
    shared: &'a Shared,
    batch: Batch,
    split: Option<Sharding>,
    delivery: Delivery,
    /// The filter, if it is still at work on the batch.
    sifting: Option<Sifting>,
    /// The position committed last.
    previous: Option<Token>,
    version: Arc<LoadedPlugin>,
    output: CallOutput,
    /// Events taken and neither settled nor given back.
    open: u64,
}

impl<'a> Delivering<'a> {
    /// Takes a batch over.
    pub fn new(route: &'a Route, shared: &'a Shared, batch: Batch) -> Self {
        let count = batch.len() as u64;
        route.meter.change(|r| {
            r.received = r.received.saturating_add(count);
            r.in_flight = r.in_flight.saturating_add(count);
        });
        let seed = batch.columns.get(0).map_or(0, |first| mix_text(first.id()));
        let split = route.split();
        let delivery = Delivery::new(&batch.columns, batch.origin.ordered, route.spec.policy, seed);
        let delivery = delivery.refusing(&batch.claims);
        let mut delivery = match split {
            Some(split) => delivery.cut(&split.cuts(&batch.columns)),
            None => delivery,
        };
        let sifting = sieve::sift(route, &batch.columns).map(|sifted| delivery.sifted(sifted)).err();
        let previous = batch.previous.clone();
        let version = route.version();
        let output = CallOutput::default();
        Delivering { route, shared, batch, split, delivery, sifting, previous, version, output, open: count }
    }
}

impl Drop for Delivering<'_> {
    fn drop(&mut self) {
        self.route.meter.change(|r| {
            r.received = r.received.saturating_sub(self.open);
            r.in_flight = r.in_flight.saturating_sub(self.open);
            r.waiting = None;
        });
    }
}

impl Delivering<'_> {
    /// Delivers the batch. `lane` is told what became of its events, and keeps them meanwhile; a lane that runs ahead
    /// is needed for neither.
    pub async fn run(&mut self, mut lane: Option<&mut (dyn Lane + '_)>) -> DeliveryEnd {
        let (route, mut mode) = (self.route, self.route.watch());
        tokio::select! {
            biased;
            () = self.sift() => {}
            () = keep(&mut lane) => {}
            () = route.stopped() => return DeliveryEnd::Stopped,
        }
        loop {
            let step = self.delivery.step(self.now());
            match step {
                Step::Finished => return DeliveryEnd::Settled,
                Step::Halted(reason) => {
                    tracing::error!(route = %self.route.spec.name, reason, "the plugin stopped the route; `esclusa resume` starts it again");
                    self.route.meter.error("plugin.halt", &reason);
                    self.route.set_mode(Mode::Halted(reason));
                    return DeliveryEnd::Halted;
                }
                Step::Wait(due) => {
                    self.note_wait(due);
                    tokio::select! {
                        () = tokio::time::sleep_until((self.shared.start + due).into()) => {}
                        () = keep(&mut lane) => {}
                        () = changed(&mut mode) => if matches!(*mode.borrow(), Mode::Draining | Mode::Stopped) { return DeliveryEnd::Stopped },
                    }
                    // Whoever waited may go on with a better version.
                    self.version = self.route.version();
                }
                Step::Call(events) => tokio::select! {
                    biased;
                    () = self.call(events, self.route.engine.reads()) => {}
                    () = keep(&mut lane) => {}
                    () = route.stopped() => return DeliveryEnd::Stopped,
                },
                Step::Commit(settlement) => {
                    if let Some(end) = self.commit(settlement, lane.as_deref_mut()).await {
                        return end;
                    }
                }
            }
        }
    }

    /// Waits for the filter. Cancel-safe: it goes on where it was.
    async fn sift(&mut self) {
        if let Some(sifting) = &mut self.sifting {
            let sifted = sifting.end().await;
            self.sifting = None;
            self.delivery.sifted(sifted);
        }
    }

    /// Commits a settlement; gives an end where the delivery cannot go on.
    async fn commit(&mut self, settlement: Settlement, lane: Option<&mut (dyn Lane + '_)>) -> Option<DeliveryEnd> {
        let output = std::mem::take(&mut self.output);
        let replies = output.replies.clone();
        let attempt = |event| self.delivery.attempt(event);
        let Prepared { commit, causes } = commit::prepare(
            &self.facts(),
            &self.batch,
            &settlement,
            output,
            self.previous.as_ref(),
            attempt,
            epoch_millis(),
        );
        let messages = commit.outbox.clone();
        let counts = commit.counts;
        let mut lane = lane;
        let _turn = if messages.is_empty() || self.batch.origin.lane.is_empty() {
            None
        } else {
            tokio::select! {
                turn = self.route.turns.take(self.batch.origin.lane.clone()) => Some(turn),
                () = keep(&mut lane) => None,
                () = self.route.leaving() => return Some(DeliveryEnd::Stopped),
            }
        };
        let began = Instant::now();
        let commit = self.route.engine.commit(commit);
        tokio::pin!(commit);
        let result = tokio::select! {
            biased;
            result = &mut commit => result,
            () = keep(&mut lane) => commit.await,
        };
        match result {
            Ok(committed) => {
                self.note_commit(began.elapsed(), &settlement, &committed, &counts);
                let sent = {
                    let send = self.send(committed, messages);
                    tokio::pin!(send);
                    tokio::select! {
                        biased;
                        sent = &mut send => sent,
                        () = keep(&mut lane) => send.await,
                    }
                };
                if let Some(lane) = lane {
                    self.tell(lane, &settlement, &replies);
                }
                if let Some(reached) = commit::reached(&self.batch, &settlement) {
                    self.previous = Some(reached.clone());
                }
                self.delivery.committed();
                (!sent).then_some(DeliveryEnd::Stopped)
            }
            Err(error) => self.not_committed(error, &settlement, &causes),
        }
    }

    /// Reports a commit that did not happen; gives an end where the delivery cannot go on.
    fn not_committed(
        &mut self,
        error: CommitError,
        settlement: &Settlement,
        causes: &[Option<u32>],
    ) -> Option<DeliveryEnd> {
        let now = self.now();
        match error {
            CommitError::Conflict => {
                self.route.meter.change(|r| r.reruns = r.reruns.saturating_add(1));
                self.delivery.conflicted(now);
            }
            CommitError::TooLarge => self.delivery.too_large(now),
            CommitError::DoneBefore(marks) => self.delivery.done_before(&settlement.marked(&marks)),
            CommitError::Refused(refused) => {
                let refused = commit::caused(refused, causes);
                if let Some((_, why)) = refused.first() {
                    self.route.meter.error("effect.refused", why);
                }
                self.delivery.refused(&refused, now);
            }
            CommitError::Fault(Fault::LeaseLost(why)) => {
                tracing::info!(route = %self.route.spec.name, lane = %self.batch.origin.lane, why, "lane lost before its commit");
                return Some(DeliveryEnd::Lost);
            }
            CommitError::Fault(fault) => {
                tracing::error!(route = %self.route.spec.name, error = %fault, "cannot commit; trying again");
                self.route.meter.error("engine.commit", &fault.to_string());
                self.delivery.stalled(&fault, now);
                if self.route.mode() == Mode::Stopped {
                    return Some(DeliveryEnd::Stopped);
                }
            }
        }
        None
    }

    /// Sends what the commit recorded for the world outside; false where the route leaves before that.
    async fn send(&self, committed: Committed, messages: Vec<OutboxMessage>) -> bool {
        let Some(id) = committed.outbox else { return true };
        let pending = PendingMessages { id, lane: self.batch.origin.lane.to_string(), messages };
        outbox::send(self.route, Recorded::of(self.route, pending)).await
    }

    /// Tells the source what became of its events.
    fn tell(&self, lane: &mut dyn Lane, settlement: &Settlement, replies: &[Reply]) {
        // The first one of an event counts: it is put in last.
        let by_event: BTreeMap<usize, &Reply> =
            replies.iter().rev().map(|reply| (reply.event as usize, reply)).collect();
        let reply = |event: u32| by_event.get(&settlement.called.binary_search(&event).ok()?).copied();
        let settled: Vec<Settled<'_>> = settlement
            .verdicts
            .iter()
            .filter_map(|(event, verdict)| {
                Some(Settled { token: self.batch.claims.get(*event as usize)?.token(), verdict, reply: reply(*event) })
            })
            .collect();
        lane.settled(&settled);
    }

    fn facts(&self) -> Facts {
        Facts {
            settle: self.route.settle,
            marks: self.route.marks,
            external: self.route.sinks.keys().cloned().collect(),
            on_failure: self.route.spec.on_failure.clone(),
            handler: self.route.handler(&self.version),
        }
    }

    fn now(&self) -> Moment {
        Moment { monotonic: self.shared.start.elapsed(), wall: epoch_millis() }
    }

    fn note_wait(&self, due: Duration) {
        let wait = due.saturating_sub(self.shared.start.elapsed());
        let next = epoch_millis().saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        let first = self.delivery.next_event();
        self.route.meter.change(|r| r.waiting = Some(Waiting { attempt: self.delivery.attempt(first), next }));
    }

    fn note_commit(
        &mut self,
        took: Duration,
        settlement: &Settlement,
        committed: &Committed,
        counts: &esclusa_flow::counts::Counts,
    ) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let released = settlement.verdicts.iter().filter(|(_, v)| matches!(v, Verdict::Released(_))).count() as u64;
        let settled = counts.settled();
        self.open = self.open.saturating_sub(settled).saturating_sub(released);
        self.route.meter.change(|r| {
            r.commits = r.commits.saturating_add(1);
            r.commit_micros = r.commit_micros.saturating_add(micros);
            r.skipped_writes = r.skipped_writes.saturating_add(committed.skipped.len() as u64);
            r.counts.merge(counts);
            r.in_flight = r.in_flight.saturating_sub(settled.saturating_add(released));
            r.received = r.received.saturating_sub(released);
            r.released = r.released.saturating_add(released);
        });
        let mut dead = settlement.verdicts.iter().filter_map(|(event, verdict)| match verdict {
            Verdict::Dead(reason) => Some((self.batch.columns.get(*event as usize)?, reason)),
            _ => None,
        });
        if let Some((first, reason)) = dead.next() {
            // A line for each would flood the log where a whole source is bad.
            tracing::error!(route = %self.route.spec.name, events = 1 + dead.count(), first = first.id(), code = reason.code,
                reason = reason.message, "given up; see `esclusa dlq`");
            self.route.meter.error(&reason.code, &reason.message);
        }
    }
}

/// Keeps the lane's batch in its hands; never ends.
async fn keep(lane: &mut Option<&mut (dyn Lane + '_)>) {
    match lane {
        Some(lane) => lane.keep().await,
        None => std::future::pending().await,
    }
}
