//! Settling: receipts are checked before the commit, and their messages finished or released with it.

use super::{MessageQueue, QueuesByName, keys};
use crate::clock;
use crate::disk::Space;
use crate::transaction::Transaction;
use esclusa_flow::batch::Token;
use esclusa_flow::fault::Fault;
use std::sync::Arc;
use std::time::Duration;

/// A receipt, read.
struct Receipt {
    queue: Arc<MessageQueue>,
    consumer: u32,
    sequence: u64,
    nonce: u64,
}

/// Receipts to settle with a commit. Dropped before [`Self::write`], it leaves their messages in flight as before.
pub(crate) struct ReceiptSettlement {
    delete: Vec<Receipt>,
    release: Vec<(Receipt, Duration)>,
    begun: bool,
}

impl Receipt {
    fn read(token: &Token, queues: &QueuesByName) -> Result<Self, Fault> {
        let Token::Text(text) = token else { return Err(Fault::Bug(format!("{token:?} is no receipt of a queue"))) };
        let mut parts = text.split('.').map(str::parse::<u64>);
        let mut next = || {
            parts.next().and_then(Result::ok).ok_or_else(|| Fault::Bug(format!("{text:?} is no receipt of a queue")))
        };
        let (id, consumer, sequence, nonce) = (next()?, next()?, next()?, next()?);
        let queue = queues.values().find(|queue| u64::from(queue.id) == id);
        let queue = queue.ok_or_else(|| Fault::LeaseLost(format!("the queue of receipt {text:?} is gone")))?;
        Ok(Receipt { queue: Arc::clone(queue), consumer: consumer.try_into().unwrap_or(u32::MAX), sequence, nonce })
    }

    /// Keeps the message in flight if the receipt is valid.
    fn begin_settling(&self) -> Result<(), Fault> {
        let mut state = self.queue.state();
        match state.consumer(self.consumer) {
            Some(consumer) if consumer.holds(self.sequence, self.nonce) => {
                consumer.begin_settling(self.sequence);
                Ok(())
            }
            _ => Err(self.lost()),
        }
    }

    fn cancel_settling(&self) {
        if let Some(consumer) = self.queue.state().consumer(self.consumer) {
            consumer.cancel_settling(self.sequence);
        }
    }

    fn lost(&self) -> Fault {
        Fault::LeaseLost(format!(
            "message {} of queue {:?} became visible again before it was settled: raise visibility_timeout, or make the plugin faster",
            self.sequence, self.queue.name
        ))
    }
}

impl ReceiptSettlement {
    /// Finishes messages that a consumer has taken.
    pub(crate) fn of(
        queue: &Arc<MessageQueue>,
        consumer: u32,
        nonce: u64,
        sequences: impl Iterator<Item = u64>,
    ) -> Self {
        let receipt = |sequence| Receipt { queue: Arc::clone(queue), consumer, sequence, nonce };
        ReceiptSettlement { delete: sequences.map(receipt).collect(), release: Vec::new(), begun: false }
    }

    /// Reads the receipts.
    pub(crate) fn find(delete: &[Token], release: &[(Token, Duration)], queues: &QueuesByName) -> Result<Self, Fault> {
        let delete = delete.iter().map(|token| Receipt::read(token, queues)).collect::<Result<_, _>>()?;
        let release = release
            .iter()
            .map(|(token, wait)| Ok((Receipt::read(token, queues)?, *wait)))
            .collect::<Result<_, Fault>>()?;
        Ok(ReceiptSettlement { delete, release, begun: false })
    }

    fn receipts(&self) -> impl Iterator<Item = &Receipt> {
        self.delete.iter().chain(self.release.iter().map(|(receipt, _)| receipt))
    }

    /// Checks the receipts and keeps their messages in flight. A second call does nothing.
    pub(crate) fn begin(&mut self) -> Result<(), Fault> {
        if self.begun {
            return Ok(());
        }
        for (i, receipt) in self.receipts().enumerate() {
            // All or none: a refused commit leaves every message as it was.
            if let Err(lost) = receipt.begin_settling() {
                self.receipts().take(i).for_each(Receipt::cancel_settling);
                return Err(lost);
            }
        }
        self.begun = true;
        Ok(())
    }

    /// Finishes and releases the messages; releases take effect once the commit is durable.
    pub(crate) fn write(mut self, tx: &mut Transaction<'_>) {
        self.begun = false;
        let now = clock::monotonic();
        for receipt in self.delete.drain(..) {
            finish(&receipt.queue, receipt.consumer, receipt.sequence, tx);
        }
        for (receipt, wait) in self.release.drain(..) {
            tx.after(move || {
                if let Some(consumer) = receipt.queue.state().consumer(receipt.consumer) {
                    consumer.release(receipt.sequence, now + wait);
                }
                receipt.queue.notify();
            });
        }
    }
}

impl Drop for ReceiptSettlement {
    fn drop(&mut self) {
        if self.begun {
            self.receipts().for_each(Receipt::cancel_settling);
        }
    }
}

/// A consumer is done with a message. Deletes the message if all consumers are.
fn finish(queue: &Arc<MessageQueue>, consumer: u32, sequence: u64, tx: &mut Transaction<'_>) {
    let mut state = queue.state();
    if state.finish(sequence, consumer) {
        keys::delete_message(queue.id, sequence, &state.numbers(), tx);
    } else {
        tx.put(Space::Queue, keys::done(queue.id, sequence, consumer), []);
        tx.delete(Space::Queue, keys::received(queue.id, sequence, consumer));
    }
    drop(state);
    let queue = Arc::clone(queue);
    tx.after(move || {
        // Only now may the next message of the group be received, so that its reads see this commit's writes.
        if let Some(consumer) = queue.state().consumer(consumer) {
            consumer.finished(sequence);
        }
        queue.notify();
    });
}

/// Hides messages in flight for `by` from now. If a receipt is not valid any more, it fails after it has extended the
/// others.
pub(crate) fn extend(tokens: &[Token], by: Duration, queues: &QueuesByName) -> Result<(), Fault> {
    let until = clock::monotonic() + by;
    let mut result = Ok(());
    for token in tokens {
        let receipt = Receipt::read(token, queues)?;
        let mut state = receipt.queue.state();
        match state.consumer(receipt.consumer) {
            Some(consumer) if consumer.holds(receipt.sequence, receipt.nonce) => {
                consumer.set_deadline(receipt.sequence, until)
            }
            _ => {
                drop(state);
                result = result.and(Err(receipt.lost()));
            }
        }
    }
    result
}
