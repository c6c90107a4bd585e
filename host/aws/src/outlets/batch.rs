//! What the batches of SQS and SNS have in common: entries with the index of their message as id, and a result each.

use super::entry_fault;
use esclusa_flow::effect::Message;
use esclusa_flow::fault::Fault;

/// The group of a FIFO queue's or topic's messages without a key.
const GROUP: &str = "esclusa";

/// The group of a message.
pub fn group(message: &Message) -> &str {
    message.send.key.as_deref().filter(|key| !key.is_empty()).unwrap_or(GROUP)
}

/// One result for each message of a request.
pub struct Results(Vec<Result<(), Fault>>);

impl Results {
    /// Makes the entries, and the results of messages that none can be made of; the others are sent until told otherwise.
    pub fn of<E>(messages: &[&Message], entry: impl Fn(usize, &Message) -> Result<E, Fault>) -> (Vec<E>, Self) {
        let mut entries = Vec::with_capacity(messages.len());
        let results =
            messages.iter().enumerate().map(|(index, message)| entry(index, message).map(|e| entries.push(e)));
        let results = results.collect();
        (entries, Results(results))
    }

    /// The entry with this id was refused.
    pub fn refuse(&mut self, doing: &str, id: &str, code: &str, message: Option<&str>, sender_fault: bool) {
        let slot = id.parse().ok().and_then(|index: usize| self.0.get_mut(index));
        if let Some(slot) = slot {
            *slot = Err(entry_fault(doing, code, message.unwrap_or_default(), sender_fault));
        }
    }

    /// The results after an answer.
    pub fn answered(self) -> Vec<Result<(), Fault>> {
        self.0
    }

    /// The results after a request that failed as a whole.
    pub fn failed(self, fault: &Fault) -> Vec<Result<(), Fault>> {
        self.0.into_iter().map(|result| result.and(Err(fault.clone()))).collect()
    }
}
