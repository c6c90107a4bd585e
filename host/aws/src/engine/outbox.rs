//! Sends the messages of a commit before its progress is settled, until each is confirmed or refused for good.
//!
//! It does not give up by itself: the commit would be repeated, and its writes with it. Dropping the future leaves the
//! batch undone, and it is delivered again with the same message ids.

use esclusa_flow::dead::DeadLetter;
use esclusa_flow::effect::Message;
use esclusa_flow::engine::{Commit, Outlet};
use esclusa_flow::fault::Fault;
use esclusa_flow::retry::{Backoff, mix};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Waits between tries.
const BACKOFF: Backoff = Backoff { base: Duration::from_millis(100), max: Duration::from_secs(30) };

/// Sends messages, in order for each output; gives those that were refused for good.
pub async fn send(
    outlets: &BTreeMap<String, Arc<dyn Outlet>>,
    messages: Vec<Message>,
    commit: &Commit,
) -> Vec<DeadLetter> {
    let mut dead = Vec::new();
    let (mut left, mut round) = (messages, 0u32);
    let (seed, _) = uuid::Uuid::new_v4().as_u64_pair();
    loop {
        let mut least = Duration::ZERO;
        left = attempt(outlets, left, round, commit, &mut dead, &mut least).await;
        if left.is_empty() {
            return dead;
        }
        tokio::time::sleep(BACKOFF.wait(round, mix(seed)).max(least)).await;
        round = round.saturating_add(1);
    }
}

/// Sends `messages` once, output by output; gives what is left.
async fn attempt(
    outlets: &BTreeMap<String, Arc<dyn Outlet>>,
    messages: Vec<Message>,
    round: u32,
    commit: &Commit,
    dead: &mut Vec<DeadLetter>,
    least: &mut Duration,
) -> Vec<Message> {
    let (mut left, mut rest) = (Vec::new(), messages);
    while let Some(first) = rest.first() {
        let output = first.send.output.clone();
        let (mine, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(|m| m.send.output == output);
        rest = others;
        let results = match outlets.get(&output) {
            Some(outlet) => outlet.send(&mine).await,
            None => vec![Err(Fault::Permanent("it is not in routes.toml".to_owned())); mine.len()],
        };
        let mut results = results.into_iter();
        for message in mine {
            let fault = match results.next() {
                Some(Ok(())) => continue,
                Some(Err(fault)) => fault,
                None => Fault::Bug("an outlet gave too few results".to_owned()),
            };
            tracing::warn!(route = %commit.route, output, round, error = %fault, "an output did not take a message");
            match fault {
                Fault::Permanent(_) => dead.push(letter(commit, message, &fault, round)),
                Fault::Throttled { after, .. } => {
                    *least = after.max(*least);
                    left.push(message);
                }
                _ => left.push(message),
            }
        }
    }
    left
}

/// A message as a dead letter. Replaying it sends the message again, so it needs no plugin.
fn letter(commit: &Commit, message: Message, fault: &Fault, round: u32) -> DeadLetter {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    DeadLetter {
        route: commit.route.to_string(),
        source: commit.source.to_string(),
        kind: String::new(),
        lane: commit.lane.to_string(),
        event: message.id,
        key: message.send.key.unwrap_or_default(),
        data: message.send.data,
        attributes: message.send.attributes,
        timestamp: now,
        died: now,
        attempts: round.saturating_add(1),
        code: "outbox.send".to_owned(),
        reason: format!("output {:?}: {fault}", message.send.output),
        backtrace: None,
        logs: Vec::new(),
        plugin: String::new(),
        digest: String::new(),
        output: Some(message.send.output),
    }
}
