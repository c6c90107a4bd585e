//! Sends the messages of a commit before its progress is settled, until each is confirmed or refused for good.
//!
//! It does not give up by itself: the commit would be repeated, and its writes with it. Dropping the future leaves the
//! batch undone, and it is delivered again with the same message ids.

use crate::shards::wall_millis;
use esclusa_flow::dead_letter::{DeadLetter, OutboxOrigin};
use esclusa_flow::effect::OutboxMessage;
use esclusa_flow::engine::{Commit, Sink};
use esclusa_flow::outbox::{Outbox, SendObserver};
use esclusa_flow::retry::{Backoff, mix};
use esclusa_flow::timestamp::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Waits between tries.
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(100), max: Duration::from_secs(30) };

/// Sends messages, in order for each output; gives those that were refused for good.
pub async fn send(
    sinks: &BTreeMap<String, Arc<dyn Sink>>,
    messages: Vec<OutboxMessage>,
    commit: &Commit,
    witness: Arc<dyn SendObserver>,
) -> Vec<DeadLetter> {
    let Commit { route, source, lane, handler, .. } = commit;
    let (seed, _) = uuid::Uuid::new_v4().as_u64_pair();
    let mut outbox = Outbox::new(messages, witness);
    loop {
        let sender = OutboxOrigin { route, source, lane, handler, now: Timestamp::from_millis(wall_millis()) };
        let Some(again) = outbox.attempt(sinks, &sender, None, |_, _| {}).await else {
            return std::mem::take(&mut outbox.dead);
        };
        let wait = again.wait(&BACKOFF, mix(seed));
        outbox.waits(wait);
        tokio::time::sleep(wait).await;
    }
}
