//! What the batches of SQS and SNS have in common: entries with the index of their message as id, and a result each.

use super::entry_fault;
use esclusa_flow::effect::OutboxMessage;
use esclusa_flow::fault::Fault;

/// The group of a FIFO queue's or topic's messages without a key.
const GROUP: &str = "esclusa";

/// The group of a message.
pub fn group(message: &OutboxMessage) -> &str {
    message.send.key.as_deref().filter(|key| !key.is_empty()).unwrap_or(GROUP)
}

/// An entry that a service did not take.
pub struct Refused {
    /// Its id: the index of its message.
    pub id: String,
    /// The service's code.
    pub code: String,
    /// In words.
    pub message: Option<String>,
    /// The message is at fault, and not the service.
    pub sender_fault: bool,
}

/// Sends messages as the entries of one request; results align with them. A message that no entry can be made of is not
/// sent, and nothing is asked of the service where none is left.
pub async fn request<E, F: Future<Output = Result<Vec<Refused>, Fault>>>(
    doing: &str,
    messages: &[&OutboxMessage],
    entry: impl Fn(usize, &OutboxMessage) -> Result<E, Fault>,
    send: impl FnOnce(Vec<E>) -> F,
) -> Vec<Result<(), Fault>> {
    let mut entries = Vec::with_capacity(messages.len());
    let made = messages.iter().enumerate().map(|(index, message)| entry(index, message).map(|e| entries.push(e)));
    let mut results: Vec<Result<(), Fault>> = made.collect();
    if entries.is_empty() {
        return results;
    }
    match send(entries).await {
        Ok(refused) => {
            for Refused { id, code, message, sender_fault } in refused {
                if let Some(slot) = id.parse().ok().and_then(|index: usize| results.get_mut(index)) {
                    *slot = Err(entry_fault(doing, &code, message.as_deref().unwrap_or_default(), sender_fault));
                }
            }
            results
        }
        Err(fault) => results.into_iter().map(|result| result.and(Err(fault.clone()))).collect(),
    }
}
