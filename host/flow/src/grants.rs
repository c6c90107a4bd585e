//! The tables, object stores and outputs that a route may touch (invariant 6): a pure check of a call output.

use crate::bounds;
use crate::call_output::{CallFailure, CallOutput, FailureKind};
use crate::effect::Action;
use crate::index::CallIndex;
use crate::reply_headers;
use std::collections::BTreeSet;

/// Names of routes.toml that a route may touch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Grants {
    /// Tables that may be read and written.
    pub tables: BTreeSet<String>,
    /// Object stores that may be written.
    pub objects: BTreeSet<String>,
    /// Object stores that may be read.
    pub read_objects: BTreeSet<String>,
    /// Outputs that may be sent to.
    pub outputs: BTreeSet<String>,
}

impl Grants {
    /// The object stores that may be written or read, each once.
    pub fn stores(&self) -> impl Iterator<Item = &String> {
        self.objects.union(&self.read_objects)
    }

    /// Checks a call output against the grants, against the limits of [`bounds`], and against the number of events of the call.
    /// All or nothing: if one effect is bad, none is carried out.
    ///
    /// # Errors
    /// A [`CallFailure`] of kind [`FailureKind::Denied`], [`FailureKind::Item`] or [`FailureKind::Contract`] that names the first
    /// effect or outcome that is wrong.
    pub fn check(&self, output: &CallOutput, events: usize) -> Result<(), Box<CallFailure>> {
        for (i, effect) in output.effects.iter().enumerate() {
            if effect.cause.is_some_and(|cause| cause.at() >= events) {
                return Err(out_of_range(&format!("effect {i} is caused by"), effect.cause, events));
            }
            let (kind, set) = match &effect.action {
                Action::Put(_) | Action::Update(_) | Action::Delete(_) => ("tables", &self.tables),
                Action::PutObject(_) => ("objects", &self.objects),
                Action::Send(_) => ("outputs", &self.outputs),
            };
            let target = effect.action.target();
            if !set.contains(target) {
                let granted: Vec<_> = set.iter().map(String::as_str).collect();
                return Err(CallFailure::new(
                    FailureKind::Denied,
                    format!(
                        "effect {i} names {target:?}, which is not in the route's {kind} = [{}]",
                        granted.join(", ")
                    ),
                ));
            }
            if let Err(why) = bounds::action(&effect.action) {
                return Err(CallFailure::new(FailureKind::Item, format!("effect {i}, for {target:?}: {why}")));
            }
        }
        let mut seen = BTreeSet::new();
        for outcome in &output.outcomes {
            if outcome.event.at() >= events {
                return Err(out_of_range("an outcome names", Some(outcome.event), events));
            }
            if !seen.insert(outcome.event) {
                return Err(CallFailure::new(
                    FailureKind::Contract,
                    format!("event {} has two outcomes", outcome.event.0),
                ));
            }
        }
        if let Some(reply) = output.replies.iter().find(|r| r.event.at() >= events) {
            return Err(out_of_range("a reply names", Some(reply.event), events));
        }
        for reply in &output.replies {
            reply_headers::check(&reply.headers).map_err(|why| {
                CallFailure::new(FailureKind::Contract, format!("the reply to event {}: {why}", reply.event.0))
            })?;
        }
        Ok(())
    }
}

fn out_of_range(what: &str, event: Option<CallIndex>, events: usize) -> Box<CallFailure> {
    let event = event.map_or(0, |event| event.0);
    CallFailure::new(FailureKind::Contract, format!("{what} event {event} of a batch of {events}"))
}
