//! Calls of the plugin: in turn, ahead of their turn, or several at a time.

use super::Delivering;
use esclusa_flow::BoxFuture;
use esclusa_flow::call_output::{CallError, CallFailure, CallOutput};
use esclusa_flow::delivery::Step;
use esclusa_flow::engine::{ReadError, Reads, Selection};
use esclusa_flow::event::Columns;
use esclusa_flow::fault::Fault;
use esclusa_flow::grants::GrantedReads;
use esclusa_flow::item::Item;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::JoinSet;

impl Delivering<'_> {
    /// Calls the plugin for the first time while the batch before is still in work. A plugin that reads must see what
    /// that one wrote: where it begins to read the call is dropped, to be made in its turn.
    pub async fn call_ahead(&mut self) {
        if self.version.reads.load(Ordering::Relaxed) {
            return;
        }
        self.sift().await;
        let Step::Call(events) = self.delivery.step(self.now()) else { return };
        let untimely = Arc::new(Untimely(Notify::new()));
        tokio::select! {
            biased;
            () = self.call(events, untimely.clone()) => return,
            () = untimely.0.notified() => {}
        }
        self.version.reads.store(true, Ordering::Relaxed);
    }

    pub(super) async fn call(&mut self, events: Vec<u32>, reads: Arc<dyn Reads>) {
        let reads = Arc::new(GrantedReads::new(&self.route.spec.grants, reads));
        let calls = self.split.map(|split| split.calls(&self.batch.columns, &events)).unwrap_or_default();
        let result = if calls.len() > 1 {
            self.call_split(&events, calls, reads).await
        } else {
            self.call_once(&events, reads).await
        };
        let now = self.now();
        self.delivery.called(result.as_ref(), now);
        self.output = result.unwrap_or_default();
    }

    async fn call_once(&self, events: &[u32], reads: Arc<GrantedReads>) -> Result<CallOutput, CallError> {
        let columns = if self.is_fresh(events) { self.batch.columns.clone() } else { self.select(events).into() };
        let began = Instant::now();
        let result = self.version.plugin.call(&self.batch.origin, &columns, reads.clone()).await;
        self.checked(result, columns.len(), &reads, began.elapsed())
    }

    /// Makes several calls at the same time and puts their outputs together. One that fails ends the others: what is to be
    /// done about it is decided for all of their events.
    async fn call_split(
        &self,
        events: &[u32],
        calls: Vec<Vec<u32>>,
        reads: Arc<GrantedReads>,
    ) -> Result<CallOutput, CallError> {
        let mut running = JoinSet::new();
        for (number, positions) in calls.iter().enumerate() {
            let own: Vec<u32> =
                positions.iter().filter_map(|position| events.get(*position as usize).copied()).collect();
            let columns = Arc::new(self.select(&own));
            let (version, origin) = (Arc::clone(&self.version), self.batch.origin.clone());
            let reads = reads.clone();
            running.spawn(async move {
                let began = Instant::now();
                (number, version.plugin.call(&origin, &columns, reads).await, began.elapsed())
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

    /// Checks what a call with so many events gave, and notes it.
    fn checked(
        &self,
        result: Result<CallOutput, CallError>,
        count: usize,
        reads: &GrantedReads,
        took: Duration,
    ) -> Result<CallOutput, CallError> {
        let result = result.and_then(|output| match self.route.spec.grants.check(&output, count) {
            Ok(()) => Ok(output),
            Err(failure) => {
                let fated = !reads.asked() && failure.kind.repeats(false);
                Err(CallError::Failed(Box::new(CallFailure { fated, ..*failure })))
            }
        });
        self.note_call(took, result.as_ref().err());
        result
    }

    /// True where this is the whole batch, called for the first time.
    fn is_fresh(&self, events: &[u32]) -> bool {
        let attempts = &self.batch.columns.attempts;
        events.len() == self.batch.len()
            && events.iter().all(|event| attempts.get(*event as usize) == Some(&self.delivery.attempt(*event)))
    }

    /// The columns of some events, with their attempts.
    fn select(&self, events: &[u32]) -> Columns {
        let mut columns = self.batch.columns.select(events);
        columns.attempts = events.iter().map(|e| self.delivery.attempt(*e)).collect();
        columns
    }

    fn note_call(&self, took: Duration, error: Option<&CallError>) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.route.meter.change(|r| {
            r.calls = r.calls.saturating_add(1);
            r.call_micros = r.call_micros.saturating_add(micros);
            r.failed_calls = r.failed_calls.saturating_add(u64::from(error.is_some()));
            r.waiting = None;
        });
        let (code, message) = match error {
            None => return,
            Some(CallError::Retry(reason)) => ("plugin.retry", reason.clone()),
            Some(CallError::Halt(_)) => return,
            Some(CallError::Failed(failure)) => (failure.kind.code(), failure.message.clone()),
            Some(CallError::Host(fault)) => ("host.call", fault.to_string()),
        };
        tracing::warn!(route = %self.route.spec.name, lane = %self.batch.origin.lane, code, error = message, "plugin call failed");
        self.route.meter.error(code, &message);
    }
}

/// Reads that come too early: they tell, and never answer.
struct Untimely(Notify);

impl Reads for Untimely {
    fn get<'a>(&'a self, _: &'a str, _: &'a Item) -> BoxFuture<'a, Result<Option<Item>, ReadError>> {
        self.0.notify_one();
        Box::pin(std::future::pending())
    }

    fn query<'a>(&'a self, _: &'a Selection) -> BoxFuture<'a, Result<Vec<Item>, ReadError>> {
        self.0.notify_one();
        Box::pin(std::future::pending())
    }
}
