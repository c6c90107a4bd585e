//! Sends the messages that commits recorded for the world outside, until each is confirmed or given up.
//!
//! A message that a sink refuses for good becomes a dead letter of its own; a redrive of it sends the
//! message again, without the plugin. A crash leaves the outbox recorded: it is sent again at the next
//! start, with the same message ids (at-least-once).

use crate::meter::timestamp_now;
use crate::output_meter::SEND;
use crate::route::Route;
use crate::tries::{NextTry, Tries};
use esclusa_flow::dead_letter::OutboxOrigin;
use esclusa_flow::engine::PendingMessages;
use esclusa_flow::outbox::Outbox;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The lane that messages of redrives are recorded under. They have no order, and no lane of a source waits for them: none has this name.
pub const REDRIVES: &str = "redriven dead letters";

/// A recorded outbox that is to be sent: its messages count as waiting from now on.
pub struct RecordedOutbox {
    id: u64,
    lane: String,
    messages: usize,
    outbox: Outbox,
}

impl RecordedOutbox {
    /// An outbox that a commit of the route recorded.
    pub fn of(route: &Route, pending: PendingMessages) -> Self {
        let PendingMessages { id, lane, messages } = pending;
        RecordedOutbox { id, lane, messages: messages.len(), outbox: Outbox::recorded(messages, route.outputs.clone()) }
    }

    /// The lane whose commit recorded it.
    pub(crate) fn lane(&self) -> &str {
        &self.lane
    }

    /// How many messages it has.
    pub(crate) fn messages(&self) -> usize {
        self.messages
    }
}

/// Sends a recorded outbox and confirms it, however long that takes; true once all its messages are sent or given up. False if the
/// route drains or stops before: it does not wait for another try then, and the outbox stays recorded. It also stays recorded if
/// the future is dropped.
pub async fn send(route: &Route, recorded: RecordedOutbox) -> bool {
    let (id, messages) = (recorded.id, recorded.messages);
    let sent = tokio::select! {
        sent = until_confirmed(route, recorded) => sent,
        () = route.stopped() => false,
    };
    if !sent {
        route.unsent.store(true, Ordering::Relaxed);
        tracing::warn!(route = %route.spec.name, outbox = id, messages, "not sent in time; sent at the next start");
    }
    sent
}

async fn until_confirmed(route: &Route, recorded: RecordedOutbox) -> bool {
    let RecordedOutbox { id, lane, mut outbox, .. } = recorded;
    loop {
        // Anew for each try: the plugin may have been replaced meanwhile, and dead letters name the present one.
        let handler = route.handler(&route.plugin());
        let (name, source) = (&route.spec.name, &route.spec.source);
        let sender = OutboxOrigin { route: name, source, lane: &lane, handler: &handler, now: timestamp_now() };
        let before = outbox.unsent();
        let again = outbox.attempt(&route.sinks, &sender, route.spec.message_retries, |message, fault| {
            route.meter.error(SEND, &format!("output {:?}: {fault}", message.send.output));
        });
        let again = again.await;
        let sent = u64::try_from(before.saturating_sub(outbox.unsent())).unwrap_or(u64::MAX);
        route.meter.sent(sent);
        let Some(again) = again else { break };
        let wait = again.wait(&route.spec.policy.backoff, route.seed ^ id);
        outbox.waits(wait);
        if route.unless_leaving(tokio::time::sleep(wait)).await.is_none() {
            return false;
        }
    }
    let (dead, mut pause) = (std::mem::take(&mut outbox.dead), Duration::from_millis(50));
    let mut tries = Tries::new(&route.meter);
    // Tried for ever: an outbox that is never confirmed is sent again at every start.
    while let Err(fault) = route.engine.confirm(&route.spec.name, id, dead.clone()).await {
        tries.failed(fault.code().unwrap_or("outbox.confirm"), &fault.to_string(), NextTry::Answers);
        if route.unless_leaving(tokio::time::sleep(pause)).await.is_none() {
            return false;
        }
        pause = pause.saturating_mul(2).min(Duration::from_secs(5));
    }
    true
}
