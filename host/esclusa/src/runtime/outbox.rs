//! Sends what commits recorded for the world outside, until each message is confirmed or given up.
//!
//! A message that an outlet refuses for good becomes a dead letter of its own; replaying that one sends the
//! message again, without calling the plugin. A crash leaves the outbox recorded: it is sent again at the next
//! start, with the same message ids (at-least-once).

use super::meter::epoch_millis;
use super::route::Route;
use esclusa_flow::dead::DeadLetter;
use esclusa_flow::effect::Message;
use esclusa_flow::engine::Pending;
use esclusa_flow::fault::Fault;
use std::time::Duration;

/// Sends a recorded outbox and confirms it. Returns when nothing of it is left; waits as long as that takes.
/// Dropping the future leaves the outbox recorded.
pub async fn send(route: &Route, pending: Pending) {
    let mut dead = Vec::new();
    let (mut left, mut round) = (pending.messages, 0u32);
    loop {
        left = attempt(route, left, round, &mut dead, &pending.lane).await;
        if left.is_empty() {
            break;
        }
        tokio::time::sleep(route.spec.policy.backoff.wait(round, pending.id)).await;
        round = round.saturating_add(1);
    }
    let mut pause = Duration::from_millis(50);
    while let Err(fault) = route.engine.confirm(&route.spec.name, pending.id, dead.clone()).await {
        route.meter.error("outbox.confirm", &fault.to_string());
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(2).min(Duration::from_secs(5));
    }
    if !dead.is_empty() {
        tracing::error!(route = %route.spec.name, messages = dead.len(), "messages were given up; see `esclusa dlq ls`");
    }
}

/// Sends `messages` once, output by output and in order; gives what is left.
async fn attempt(
    route: &Route,
    messages: Vec<Message>,
    round: u32,
    dead: &mut Vec<DeadLetter>,
    lane: &str,
) -> Vec<Message> {
    let mut left = Vec::new();
    let mut rest = messages;
    while let Some(first) = rest.first() {
        let output = first.send.output.clone();
        let (mine, others): (Vec<_>, Vec<_>) = rest.into_iter().partition(|m| m.send.output == output);
        rest = others;
        let results = match route.outlets.get(&output) {
            Some(outlet) => outlet.send(&mine).await,
            None => {
                vec![Err(Fault::Permanent(format!("output {output:?} is not in routes.toml any more"))); mine.len()]
            }
        };
        let mut results = results.into_iter();
        for message in mine {
            match results.next().unwrap_or_else(|| Err(Fault::Bug("an outlet gave too few results".to_owned()))) {
                Ok(()) => route.meter.change(|r| r.sent = r.sent.saturating_add(1)),
                Err(fault) => {
                    let exhausted = route.spec.policy.max_retry_attempts.is_some_and(|max| round >= max);
                    route.meter.error("outbox.send", &format!("output {output:?}: {fault}"));
                    if exhausted || matches!(fault, Fault::Permanent(_)) {
                        dead.push(letter(route, lane, message, &fault, round));
                    } else {
                        left.push(message);
                    }
                }
            }
        }
    }
    left
}

fn letter(route: &Route, lane: &str, message: Message, fault: &Fault, round: u32) -> DeadLetter {
    let now = epoch_millis();
    let version = route.version();
    DeadLetter {
        route: route.spec.name.to_string(),
        source: route.spec.source.to_string(),
        kind: route.kind.to_string(),
        lane: lane.to_owned(),
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
        plugin: route.spec.plugin.display().to_string(),
        digest: version.plugin.digest().to_owned(),
        output: Some(message.send.output),
    }
}
