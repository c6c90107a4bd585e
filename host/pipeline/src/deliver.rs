//! Delivers one batch of a lane: carries out the steps that `esclusa_flow::delivery` decides.

mod call;
mod hold;

use crate::activity::ActivityGuard;
use crate::batch_filter::{self, FilterTask};
use crate::breaker::Held;
use crate::commit::{self, CommitBuilder, PreparedCommit};
use crate::context::LaneContext;
use crate::meter::{self, WaitingEvents, timestamp_now};
use crate::outbox::{self, RecordedOutbox};
use crate::route::{LoadedPlugin, Mode, Route, changed};
use crate::tries::{NextTry, Tries};
use esclusa_flow::batch::{Batch, Token};
use esclusa_flow::breaker::Standstill;
use esclusa_flow::call_output::{CallError, CallOutput, Reply};
use esclusa_flow::counts::Counts;
use esclusa_flow::dead_letter::Handler;
use esclusa_flow::delivery::{Delivery, Moment, NotCommitted, Settlement, Step, Steps, drive};
use esclusa_flow::effect::OutboxMessage;
use esclusa_flow::engine::{CommitError, Committed, KeptAnswer, PendingMessages};
use esclusa_flow::fault::Fault;
use esclusa_flow::index::{CallIndex, EventIndex};
use esclusa_flow::retry::mix_text;
use esclusa_flow::sharding::Sharding;
use esclusa_flow::source::{Lane, Settled};
use esclusa_flow::verdict::Verdict;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How a delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DeliveryEnd {
    /// Every event is settled.
    Settled,
    /// The plugin stopped the route; events that are not settled are not done.
    Halted,
    /// The route stops; events that are not settled are not done.
    Stopped,
    /// The lane belongs to another poller or process; nothing more may be committed.
    Lost,
}

/// A batch of a lane and its delivery.
pub(crate) struct BatchDelivery<'a> {
    delivery: Delivery,
    /// The filter, while it is at work on the batch.
    filtering: Option<FilterTask>,
    work: BatchInWork<'a>,
}

/// A batch, with everything that its steps use.
struct BatchInWork<'a> {
    route: &'a Route,
    context: &'a LaneContext,
    batch: Batch,
    sharding: Option<Sharding>,
    /// The position committed last.
    previous: Option<Token>,
    plugin: Arc<LoadedPlugin>,
    handler: Handler,
    /// Events that are neither settled nor released.
    open: u64,
    calls: Tries<'a>,
    commits: Tries<'a>,
}

impl<'a> BatchDelivery<'a> {
    /// Takes a batch over.
    pub(crate) fn new(route: &'a Route, context: &'a LaneContext, batch: Batch) -> Self {
        let open = batch.len() as u64;
        route.meter.taken(open);
        let seed = route.seed ^ batch.columns.get(0).map_or(0, |first| mix_text(first.id()));
        let sharding = route.sharding();
        let delivery = Delivery::new(&batch.columns, batch.origin.ordered, route.spec.policy, seed);
        let delivery = delivery.giving_up_refused(&batch.claims);
        let mut delivery = match sharding {
            Some(sharding) => delivery.split_before(&sharding.part_starts(&batch.columns)),
            None => delivery,
        };
        let filtering = match batch_filter::filter_batch(route, &batch.columns) {
            Ok(verdicts) => {
                delivery.filtered(verdicts);
                delivery.give_up_hops(&batch.claims, route.spec.max_hops);
                None
            }
            Err(task) => Some(task),
        };
        let (previous, plugin) = (batch.previous.clone(), route.plugin());
        let handler = route.handler(&plugin);
        let (calls, commits) = (Tries::new(&route.meter), Tries::new(&route.meter));
        let work = BatchInWork { route, context, batch, sharding, previous, plugin, handler, open, calls, commits };
        BatchDelivery { delivery, filtering, work }
    }

    /// Delivers the batch. `lane` keeps its events from others meanwhile, and gets their verdicts after each commit.
    /// `None` for a lane that runs ahead.
    pub(crate) async fn run(
        &mut self,
        mut lane: Option<&mut (dyn Lane + '_)>,
        activity: &ActivityGuard,
    ) -> DeliveryEnd {
        let (route, mode) = (self.work.route, self.work.route.watch());
        tokio::select! {
            biased;
            () = self.filter() => {}
            () = keep(&mut lane) => {}
            () = route.stopped() => return DeliveryEnd::Stopped,
        }
        let mut steps = LaneSteps { work: &mut self.work, lane, mode, activity, probes: 0, held: None };
        drive(&mut self.delivery, &mut steps).await.err().unwrap_or(DeliveryEnd::Settled)
    }

    /// Makes the first call of this batch while the batch before is still in work.
    pub(crate) async fn call_ahead(&mut self) {
        // A plugin that has read a table will most likely read again: its call would be cancelled, and its work lost.
        if self.work.plugin.has_read() || self.work.route.breaker.is_open() {
            return;
        }
        self.filter().await;
        self.delivery.note_standstill(self.work.route.breaker.stood_still());
        // Only a call: commits and waits have their turn after the batch before.
        let Step::Call(events) = self.delivery.step(self.work.now()) else { return };
        // Its result is kept in the delivery, which asks for the commit as its first step when the batch has its turn.
        if let Some(result) = self.work.call_unless_it_reads(&self.delivery, &events).await {
            self.work.called(&result);
            if self.work.note_for_breaker(&events, &result) {
                self.delivery.called(result, self.work.now());
            }
        }
    }

    /// Waits for the filter. Cancel-safe: it goes on meanwhile.
    async fn filter(&mut self) {
        if let Some(filtering) = &mut self.filtering {
            let verdicts = filtering.end().await;
            self.filtering = None;
            self.delivery.filtered(verdicts);
            self.delivery.give_up_hops(&self.work.batch.claims, self.work.route.spec.max_hops);
        }
    }
}

impl Drop for BatchInWork<'_> {
    fn drop(&mut self) {
        self.route.meter.dropped(self.open);
    }
}

impl BatchInWork<'_> {
    fn now(&self) -> Moment {
        Moment { monotonic: self.context.start.elapsed(), wall: timestamp_now() }
    }

    /// Sends the messages that the commit recorded for the world outside; false if the route drains or stops before they are sent.
    async fn send(&self, committed: &Committed, messages: Arc<Vec<OutboxMessage>>) -> bool {
        let Some(id) = committed.outbox else { return true };
        let lane = self.batch.origin.lane.to_string();
        let pending = PendingMessages { id, lane, messages: Arc::unwrap_or_clone(messages) };
        outbox::send(self.route, RecordedOutbox::of(self.route, pending)).await
    }

    /// The events of a settlement with their verdicts and the plugin's replies.
    fn settled<'s>(&'s self, settlement: &'s Settlement, replies: &'s [Reply]) -> Vec<Settled<'s>> {
        // Reversed, so that the first reply to an event overwrites the later ones.
        let by_event: BTreeMap<usize, &Reply> = replies.iter().rev().map(|reply| (reply.event.at(), reply)).collect();
        let reply = |event: EventIndex| by_event.get(&settlement.called.binary_search(&event).ok()?).copied();
        settlement
            .verdicts
            .iter()
            .filter_map(|(event, verdict)| {
                Some(Settled { token: self.batch.claims.get(event.at())?.token(), verdict, reply: reply(*event) })
            })
            .collect()
    }

    /// The answers that the commit of a settlement has to keep.
    fn answers(&self, lane: &dyn Lane, settlement: &Settlement, replies: &[Reply]) -> Vec<KeptAnswer> {
        let answers = lane.answers(&self.settled(settlement, replies));
        let done: Vec<usize> =
            if answers.is_empty() { Vec::new() } else { settlement.done().map(CallIndex::at).collect() };
        let kept = answers.into_iter().filter_map(|(at, answer)| {
            let (event, verdict) = settlement.verdicts.get(at)?;
            let called = settlement.called.binary_search(event).ok();
            // An event that was done before has its answer already.
            (called.is_some() || matches!(verdict, Verdict::Dead(_))).then_some(())?;
            Some(KeptAnswer { done: called.and_then(|called| done.binary_search(&called).ok()), ..answer })
        });
        kept.collect()
    }

    fn note_commit(&mut self, took: Duration, settlement: &Settlement, committed: &Committed, counts: Counts) {
        self.commits.worked();
        let released = settlement.released() as u64;
        self.open = self.open.saturating_sub(counts.settled()).saturating_sub(released);
        let skipped_writes = committed.skipped.len() as u64;
        self.route.meter.settled(&meter::SettledCommit { counts, released, skipped_writes, took });
        if let Some((first, reason)) = settlement.dead().next() {
            // One line for all: a line for each event would flood the log if a whole source is bad.
            let first = self.batch.columns.get(first.at()).map(|event| event.id().to_owned()).unwrap_or_default();
            tracing::error!(route = %self.route.spec.name, events = settlement.dead().count(), first, code = reason.code,
                reason = reason.message, "given up; see `esclusa dlq`");
            self.route.meter.error(&reason.code, &reason.message);
        }
    }

    /// Logs and counts a commit that did not happen. `called`: it had the output of a call. `Err`: the delivery cannot go on.
    fn not_committed(&mut self, error: &CommitError, called: bool) -> Result<(), DeliveryEnd> {
        let name = &self.route.spec.name;
        if called && !matches!(error, CommitError::Fault(_)) {
            self.commits.worked();
        }
        match error {
            CommitError::Conflict => self.route.meter.reran(),
            // Without a call no event is to blame: dead letters that are refused are written again and again.
            CommitError::TooLarge if !called => {
                self.commits.failed("limit.commit", "the dead letters are too large to commit", NextTry::Answers);
            }
            CommitError::TooLarge | CommitError::DoneBefore(_) => {}
            CommitError::Refused(refused) => {
                let why = refused.first().map_or("", |(_, why)| why);
                if called {
                    self.route.meter.error("effect.refused", why);
                } else {
                    self.commits.failed("effect.refused", why, NextTry::Answers);
                }
            }
            CommitError::Fault(Fault::LeaseLost(why)) => {
                tracing::info!(route = %name, lane = %self.batch.origin.lane, why, "lane lost before its commit");
                return Err(DeliveryEnd::Lost);
            }
            CommitError::Fault(fault) => {
                tracing::error!(route = %name, error = %fault, code = fault.code(), "cannot commit; trying again");
                self.commits.failed(fault.code().unwrap_or("engine.commit"), &fault.to_string(), NextTry::Answers);
                // The delivery would try again for ever: an engine that fails must not hold up a stop.
                if self.route.mode() == Mode::Stopped {
                    return Err(DeliveryEnd::Stopped);
                }
            }
        }
        Ok(())
    }
}

/// The steps of a lane's delivery. During each step the lane keeps the batch from others, unless it runs ahead.
struct LaneSteps<'w, 'a, 'l, 'd> {
    work: &'w mut BatchInWork<'a>,
    lane: Option<&'l mut (dyn Lane + 'd)>,
    mode: watch::Receiver<Mode>,
    activity: &'w ActivityGuard,
    /// Probes with events of the batch so far.
    probes: usize,
    /// Set while an open breaker holds the batch.
    held: Option<Held<'a>>,
}

impl Steps for LaneSteps<'_, '_, '_, '_> {
    type End = DeliveryEnd;

    fn now(&self) -> Moment {
        self.work.now()
    }

    fn stood_still(&self) -> Option<Standstill> {
        self.work.route.breaker.stood_still()
    }

    async fn wait(&mut self, delivery: &Delivery, due: Duration) -> Result<(), DeliveryEnd> {
        let work = &mut *self.work;
        let wait = due.saturating_sub(work.context.start.elapsed());
        let next = timestamp_now().after(wait);
        let attempt = delivery.next_event().map_or(0, |event| delivery.attempt(event));
        work.route.meter.waits(WaitingEvents { attempt, next });
        tokio::select! {
            () = tokio::time::sleep_until(work.context.start + due) => {}
            () = keep(&mut self.lane) => {}
            () = changed(&mut self.mode) => {
                // A route that drains finishes calls and commits in work, but does not wait for another try.
                if matches!(*self.mode.borrow(), Mode::Draining | Mode::Stopped) {
                    return Err(DeliveryEnd::Stopped);
                }
            }
        }
        // The plugin may have been replaced during the wait: the next try takes the new one.
        work.renew_plugin();
        Ok(())
    }

    async fn call(
        &mut self,
        delivery: &Delivery,
        events: &[EventIndex],
    ) -> Result<Result<CallOutput, CallError>, DeliveryEnd> {
        loop {
            let try_is_due = self.wait_for_turn(delivery).await?;
            let work = &mut *self.work;
            let result = tokio::select! {
                biased;
                result = work.call(delivery, events, work.route.engine.reads()) => result,
                () = keep(&mut self.lane) => return Err(DeliveryEnd::Stopped),
                () = work.route.stopped() => return Err(DeliveryEnd::Stopped),
            };
            work.called(&result);
            if work.note_for_breaker(events, &result) || try_is_due {
                return Ok(result);
            }
        }
    }

    async fn commit(
        &mut self,
        delivery: &Delivery,
        settlement: &Settlement,
        mut output: CallOutput,
    ) -> Result<Result<(), NotCommitted>, DeliveryEnd> {
        let (work, lane) = (&mut *self.work, &mut self.lane);
        let route = work.route;
        // A batch may take several commits, and if the plugin answers at once, no other step sees the stop. Once a commit is on
        // its way it is awaited: only its answer says whether its messages are to be sent.
        if route.mode() == Mode::Stopped {
            return Err(DeliveryEnd::Stopped);
        }
        let replies = std::mem::take(&mut output.replies);
        let builder = CommitBuilder {
            rules: &route.rules,
            handler: &work.handler,
            batch: &work.batch,
            previous: work.previous.as_ref(),
            now: timestamp_now(),
        };
        let PreparedCommit { mut commit, causes } = builder.build(settlement, output, |event| delivery.attempt(event));
        if let Some(lane) = lane.as_deref() {
            commit.answers = work.answers(lane, settlement, &replies);
        }
        let (messages, counts) = (commit.outbox.clone(), commit.counts);
        // The slot comes first: after the commit another poller may get the message group, and has to send after this one. And messages
        // that were recorded before a restart go out first. Pollers without order share a name, and do not wait for each other.
        let _slot = if messages.is_empty() || work.batch.origin.lane.is_empty() && !work.batch.origin.ordered {
            None
        } else {
            tokio::select! {
                slot = route.send_order.take(work.batch.origin.lane.clone()) => Some(slot),
                () = keep(lane) => None,
                () = route.leaving() => return Err(DeliveryEnd::Stopped),
            }
        };
        let began = Instant::now();
        let committing = keeping(lane, route.engine.commit(commit)).await;
        let committed = match committing {
            Ok(committed) => committed,
            Err(error) => {
                return work
                    .not_committed(&error, !settlement.called.is_empty())
                    .map(|()| Err(NotCommitted { error, causes }));
            }
        };
        // Counted at once: the events are settled, and sending the messages may take long.
        work.note_commit(began.elapsed(), settlement, &committed, counts);
        let sent = keeping(lane, work.send(&committed, messages)).await;
        // After the messages: a sender that waits for its reply may rely on them.
        if let Some(lane) = lane {
            lane.settled(&work.settled(settlement, &replies));
        }
        // The next commit of this batch names this position as the one before it.
        if let Some(reached) = commit::reached(&work.batch, settlement) {
            work.previous = Some(reached.clone());
        }
        // Messages that are not sent stay recorded. The lane stops, so that no later message overtakes them.
        if sent { Ok(Ok(())) } else { Err(DeliveryEnd::Stopped) }
    }

    fn halted(&mut self, reason: String) -> DeliveryEnd {
        let route = self.work.route;
        tracing::error!(route = %route.spec.name, reason, "the plugin stopped the route; `esclusa resume` starts it again");
        route.meter.error("plugin.halt", &reason);
        route.set_mode(Mode::Halted(reason));
        DeliveryEnd::Halted
    }
}

/// Does `work` to its end while the lane keeps the batch.
async fn keeping<T>(lane: &mut Option<&mut (dyn Lane + '_)>, work: impl Future<Output = T>) -> T {
    tokio::pin!(work);
    tokio::select! {
        biased;
        done = &mut work => done,
        () = keep(lane) => work.await,
    }
}

/// Keeps the lane's batch; never ends.
async fn keep(lane: &mut Option<&mut (dyn Lane + '_)>) {
    match lane {
        Some(lane) => lane.keep().await,
        None => std::future::pending().await,
    }
}
