//! Drives a delivery to its end. One loop for all deliveries: those of lanes, of `esclusa dlq redrive` and of
//! `esclusa invoke --live`. They differ in their [`Steps`] only.

use super::{Delivery, Moment, Settlement, Step};
use crate::breaker::Standstill;
use crate::call_output::{CallError, CallOutput};
use crate::engine::CommitError;
use crate::index::{CallIndex, EventIndex};
use std::time::Duration;

/// A commit that did not happen.
#[derive(Debug)]
pub struct NotCommitted {
    /// Why.
    pub error: CommitError,
    /// The event of the call that caused each action of the commit; `None`: the batch as a whole.
    pub causes: Vec<Option<CallIndex>>,
}

/// Carries out the steps of a delivery. Each may give an `End`, which ends the delivery early; events that are not settled by
/// then are not done.
pub trait Steps: Send {
    /// Why a delivery ends early.
    type End: Send;

    /// The present moment.
    fn now(&self) -> Moment;

    /// The last time that the route stood still, which does not count for the age of events.
    fn stood_still(&self) -> Option<Standstill> {
        None
    }

    /// Waits until `due` on the monotonic clock.
    fn wait(&mut self, delivery: &Delivery, due: Duration) -> impl Future<Output = Result<(), Self::End>> + Send;

    /// Calls the plugin with these events of the batch.
    fn call(
        &mut self,
        delivery: &Delivery,
        events: &[EventIndex],
    ) -> impl Future<Output = Result<Result<CallOutput, CallError>, Self::End>> + Send;

    /// Commits a settlement; `output` is that of its call.
    fn commit(
        &mut self,
        delivery: &Delivery,
        settlement: &Settlement,
        output: CallOutput,
    ) -> impl Future<Output = Result<Result<(), NotCommitted>, Self::End>> + Send;

    /// The plugin asked to stop the route.
    fn halted(&mut self, reason: String) -> Self::End;
}

/// Takes step after step until every event is settled. If you drop this future, also drop the delivery: its output may
/// have gone with the future. The batch is then not done, and its source delivers it again.
///
/// # Errors
/// The end that a step gave.
pub async fn drive<S: Steps>(delivery: &mut Delivery, steps: &mut S) -> Result<(), S::End> {
    loop {
        delivery.note_standstill(steps.stood_still());
        match delivery.step(steps.now()) {
            Step::Finished => return Ok(()),
            Step::Halted(reason) => return Err(steps.halted(reason)),
            Step::Wait(due) => steps.wait(delivery, due).await?,
            Step::Call(events) => {
                let result = steps.call(delivery, &events).await?;
                delivery.called(result, steps.now());
            }
            Step::Commit(settlement) => {
                // Moved and not cloned: an output may be large. If the commit does not happen, the events are called again.
                let output = delivery.take_output();
                match steps.commit(delivery, &settlement, output).await? {
                    Ok(()) => delivery.committed(),
                    Err(not) => delivery.not_committed(not, &settlement, steps.now()),
                }
            }
        }
    }
}
