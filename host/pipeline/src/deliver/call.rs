//! Calls of the plugin: in turn, ahead of their turn, or several at the same time.

use super::BatchInWork;
use crate::tries::NextTry;
use esclusa_flow::BoxFuture;
use esclusa_flow::call_output::{CallError, CallFailure, CallOutput, Disposition, EventOutcome};
use esclusa_flow::delivery::Delivery;
use esclusa_flow::event::Columns;
use esclusa_flow::fault::Fault;
use esclusa_flow::granted_reads::GrantedReads;
use esclusa_flow::index::{CallIndex, EventIndex};
use esclusa_flow::item::Item;
use esclusa_flow::reads::{
    ItemPage, ObjectBytes, ObjectList, ObjectPage, ObjectRead, ReadError, Reads, Selection, TableScan,
};
use esclusa_flow::settings::KeySchema;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// The code of calls that the host could not make.
const HOST: &str = "host.call";

impl BatchInWork<'_> {
    /// Calls the plugin while the batch before is still in work. `None` if the plugin reads a table: it must see the writes of
    /// the batch before, so the call is cancelled at its first read, and made again after that batch's commit.
    pub(super) async fn call_unless_it_reads(
        &self,
        delivery: &Delivery,
        events: &[EventIndex],
    ) -> Option<Result<CallOutput, CallError>> {
        let early = Arc::new(EarlyReads(Notify::new()));
        tokio::select! {
            biased;
            result = self.call(delivery, events, early.clone()) => return Some(result),
            () = early.0.notified() => {}
        }
        // No later batch is called ahead by this version of the plugin.
        self.plugin.reads.store(true, Ordering::Relaxed);
        None
    }

    pub(super) async fn call(
        &self,
        delivery: &Delivery,
        events: &[EventIndex],
        reads: Arc<dyn Reads>,
    ) -> Result<CallOutput, CallError> {
        let reads = Arc::new(GrantedReads::new(&self.route.spec.grants, reads));
        let calls = self.sharding.map(|sharding| sharding.calls(&self.batch.columns, events)).unwrap_or_default();
        if calls.len() > 1 {
            self.call_sharded(delivery, events, calls, reads).await
        } else {
            self.call_once(delivery, events, reads).await
        }
    }

    async fn call_once(
        &self,
        delivery: &Delivery,
        events: &[EventIndex],
        reads: Arc<GrantedReads>,
    ) -> Result<CallOutput, CallError> {
        // The usual call takes the columns as they came, without a copy.
        let fresh = self.is_fresh(delivery, events);
        let columns = if fresh { self.batch.columns.clone() } else { self.select(delivery, events).into() };
        let began = Instant::now();
        let result = self.plugin.plugin.call(&self.batch.origin, &columns, reads.clone()).await;
        self.checked(result, columns.len(), &reads, began.elapsed())
    }

    /// Makes several calls at the same time and joins their outputs. If one fails the others are cancelled: the delivery decides
    /// for the events of all.
    async fn call_sharded(
        &self,
        delivery: &Delivery,
        events: &[EventIndex],
        calls: Vec<Vec<CallIndex>>,
        reads: Arc<GrantedReads>,
    ) -> Result<CallOutput, CallError> {
        let mut running = JoinSet::new();
        for (number, positions) in calls.iter().enumerate() {
            let own: Vec<EventIndex> =
                positions.iter().filter_map(|position| events.get(position.at()).copied()).collect();
            let columns = Arc::new(self.select(delivery, &own));
            let (plugin, origin) = (Arc::clone(&self.plugin), self.batch.origin.clone());
            let reads = reads.clone();
            running.spawn(async move {
                let began = Instant::now();
                (number, plugin.plugin.call(&origin, &columns, reads).await, began.elapsed())
            });
        }
        let mut outputs: Vec<CallOutput> = calls.iter().map(|_| CallOutput::default()).collect();
        while let Some(done) = running.join_next().await {
            let (number, result, took) =
                done.map_err(|error| CallError::Host(Fault::Transient(format!("a call ended early: {error}"))))?;
            let count = calls.get(number).map_or(0, Vec::len);
            let output = self.checked(result, count, &reads, took)?;
            if let Some(slot) = outputs.get_mut(number) {
                *slot = output;
            }
        }
        let mut all = CallOutput::default();
        outputs.into_iter().zip(&calls).for_each(|(output, positions)| all.append(output, positions));
        Ok(all)
    }

    /// Checks the output of a call with so many events, and counts the call.
    fn checked(
        &self,
        result: Result<CallOutput, CallError>,
        count: usize,
        reads: &GrantedReads,
        took: Duration,
    ) -> Result<CallOutput, CallError> {
        let result = result.and_then(|output| match self.route.spec.check(&output, count) {
            Ok(()) => Ok(output),
            Err(failure) => {
                // An output that breaks the rules does so again, unless it depends on a read.
                let fated = !reads.asked() && failure.kind.repeats(false);
                Err(CallError::Failed(Box::new(CallFailure { fated, ..*failure })))
            }
        });
        self.note_call(took, result.as_ref().err());
        result
    }

    /// True if this is the whole batch, called for the first time.
    fn is_fresh(&self, delivery: &Delivery, events: &[EventIndex]) -> bool {
        let attempts = &self.batch.columns.attempts;
        events.len() == self.batch.len()
            && events.iter().all(|event| attempts.get(event.at()) == Some(&delivery.attempt(*event)))
    }

    /// The columns of some events, with their attempts.
    fn select(&self, delivery: &Delivery, events: &[EventIndex]) -> Columns {
        let mut columns = self.batch.columns.select(events.iter().map(|event| event.at()));
        columns.attempts = events.iter().map(|event| delivery.attempt(*event)).collect();
        columns
    }

    /// Notes whether the host could make a call of the delivery.
    pub(super) fn called(&mut self, result: &Result<CallOutput, CallError>) {
        if let Err(CallError::Host(fault)) = result {
            return self.calls.failed(fault.code().unwrap_or(HOST), &fault.to_string(), NextTry::Answers);
        }
        self.calls.worked();
        let again = |outcome: &EventOutcome| matches!(outcome.disposition, Disposition::Retry(_));
        if result.as_ref().is_ok_and(|output| !output.outcomes.iter().any(again)) {
            return;
        }
        // A commit that failed before is not tried again soon: by now it is the plugin that wants to be called again.
        self.commits.worked();
    }

    fn note_call(&self, took: Duration, error: Option<&CallError>) {
        self.route.meter.called(took, error.is_some());
        let (code, message) = match error {
            None => return,
            Some(CallError::Retry(reason)) => ("plugin.retry", reason.clone()),
            Some(CallError::Halt(_)) => return,
            Some(CallError::Failed(failure)) => (failure.kind.code(), failure.message.clone()),
            Some(CallError::Host(fault)) => (HOST, fault.to_string()),
        };
        tracing::warn!(route = %self.route.spec.name, lane = %self.batch.origin.lane, code, error = message, "plugin call failed");
        if code != HOST {
            self.route.meter.error(code, &message);
        }
    }
}

/// Reads of a call that is made ahead of its turn: they notify that the plugin asked, and never answer.
struct EarlyReads(Notify);

impl EarlyReads {
    fn asked<'a, T: Send + 'a>(&'a self) -> BoxFuture<'a, Result<T, ReadError>> {
        self.0.notify_one();
        Box::pin(std::future::pending())
    }
}

impl Reads for EarlyReads {
    fn key_of<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<KeySchema, ReadError>> {
        self.asked()
    }

    fn get<'a>(&'a self, _: &'a str, _: &'a Item) -> BoxFuture<'a, Result<Option<Item>, ReadError>> {
        self.asked()
    }

    fn get_many<'a>(&'a self, _: &'a str, _: &'a [Item]) -> BoxFuture<'a, Result<Vec<Option<Item>>, ReadError>> {
        self.asked()
    }

    fn query<'a>(&'a self, _: &'a Selection) -> BoxFuture<'a, Result<Vec<Item>, ReadError>> {
        self.asked()
    }

    fn scan<'a>(&'a self, _: &'a TableScan) -> BoxFuture<'a, Result<ItemPage, ReadError>> {
        self.asked()
    }

    fn object<'a>(&'a self, _: &'a ObjectRead) -> BoxFuture<'a, Result<Option<ObjectBytes>, ReadError>> {
        self.asked()
    }

    fn objects<'a>(&'a self, _: &'a ObjectList) -> BoxFuture<'a, Result<ObjectPage, ReadError>> {
        self.asked()
    }
}
