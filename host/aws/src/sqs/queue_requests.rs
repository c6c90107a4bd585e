//! The requests to one queue: find it, receive, delete and set visibility, with a result for each entry of a batch.

use super::SqsSettings;
use super::drained::{Drained, DrainedAnswer, QueueBacklog};
use super::received_message::{ReceivedMessage, received};
use crate::fault;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry,
    MessageSystemAttributeName, QueueAttributeName,
};
use esclusa_flow::fault::Fault;
use futures_util::future::join_all;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

/// Most messages of a request.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html>, 2026-11.
pub(crate) const TEN: usize = 10;
/// Requests of a batch at the same time.
const AT_ONCE: usize = 8;
/// How long a poller waits before it asks, so that other pollers share the answer.
const GATHER: Duration = Duration::from_millis(20);
/// How often the failed entries of a batch are sent before the caller gets the fault.
const ROUNDS: u32 = 4;
/// Codes of entries whose receipt is not valid any more: the message was deleted, or another consumer received it
/// meanwhile. With and without the prefix of the query protocol.
const LOST: &[&str] = &["ReceiptHandleIsInvalid", "MessageNotInflight", "InvalidParameterValue"];

/// A queue of one place.
#[derive(Debug)]
pub struct SqsQueue {
    client: Client,
    url: String,
    /// The last part of its URL.
    pub name: String,
    /// True for a FIFO queue: messages have groups, and each group has an order.
    pub fifo: bool,
    /// How long a received message stays invisible; whole seconds.
    pub visibility: Duration,
    /// Receipts that were not valid any more when they were to be settled or extended.
    late: AtomicU64,
}

/// A change of received messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageChange {
    /// Deletes them.
    Delete,
    /// Sets the time for which they stay invisible from now on: extends them, or releases them. Zero is at once.
    SetVisibility,
}

impl SqsQueue {
    /// Finds the queue and reads its visibility timeout.
    ///
    /// # Errors
    /// A [`Fault`] that names the queue.
    pub async fn find(client: Client, settings: &SqsSettings) -> Result<Self, Fault> {
        let name = settings.queue.rsplit(['/', ':']).next().unwrap_or(&settings.queue).to_owned();
        let url = if settings.queue.contains("://") {
            settings.queue.clone()
        } else {
            // arn:aws:sqs:REGION:ACCOUNT:NAME
            let account = settings.queue.rsplit(':').nth(1).map(str::to_owned);
            let found = client.get_queue_url().queue_name(&name).set_queue_owner_aws_account_id(account).send().await;
            let found = found.map_err(|error| fault::of(&format!("find the queue {:?}", settings.queue), &error))?;
            found.queue_url.unwrap_or_default()
        };
        let fifo = name.ends_with(".fifo");
        let mut queue = SqsQueue { client, url, name, fifo, visibility: Duration::ZERO, late: AtomicU64::new(0) };
        let attributes = queue.attributes(&[QueueAttributeName::VisibilityTimeout]).await?;
        let own = Duration::from_secs(number(&attributes, &QueueAttributeName::VisibilityTimeout));
        let seconds = i32::from(Seconds(settings.visibility_timeout.unwrap_or(own)));
        queue.visibility = Duration::from_secs(seconds.max(1).unsigned_abs().into());
        Ok(queue)
    }

    /// True if the other is the same queue, read with the same visibility timeout.
    pub fn is(&self, other: &SqsQueue) -> bool {
        self.url == other.url && self.visibility == other.visibility
    }

    async fn attributes(&self, names: &[QueueAttributeName]) -> Result<HashMap<QueueAttributeName, String>, Fault> {
        let request = self.client.get_queue_attributes().queue_url(&self.url).set_attribute_names(Some(names.to_vec()));
        let answer = request
            .send()
            .await
            .map_err(|e| fault::of(&format!("read attributes of the queue {:?}", self.name), &e))?;
        Ok(answer.attributes.unwrap_or_default())
    }

    /// The numbers of messages that SQS knows of.
    ///
    /// # Errors
    /// A [`Fault`] that names the queue.
    pub(crate) async fn backlog(&self) -> Result<QueueBacklog, Fault> {
        let attributes = self
            .attributes(&[
                QueueAttributeName::ApproximateNumberOfMessages,
                QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
                QueueAttributeName::ApproximateNumberOfMessagesDelayed,
            ])
            .await?;
        Ok(QueueBacklog {
            visible: number(&attributes, &QueueAttributeName::ApproximateNumberOfMessages),
            in_flight: number(&attributes, &QueueAttributeName::ApproximateNumberOfMessagesNotVisible),
            delayed: number(&attributes, &QueueAttributeName::ApproximateNumberOfMessagesDelayed),
        })
    }

    /// Whether nothing will come for a route without a new message, for a pull that began at `began` and found nothing.
    /// Asks the queue at most every second, for all pollers of the route, which share `answer`; pollers that ask
    /// meanwhile wait for its answer. `waiting_for_others`: the number of messages in flight that the route has
    /// finished.
    ///
    /// # Errors
    /// A [`Fault`].
    pub async fn drained(
        &self,
        answer: &Mutex<DrainedAnswer>,
        began: Instant,
        waiting_for_others: impl Fn() -> u64,
    ) -> Result<Drained, Fault> {
        let mut answer = answer.lock().await;
        if let Some(known) = answer.for_pull(began, Instant::now()) {
            return Ok(known);
        }
        // Pollers often ask at the same moment: one request answers them all.
        sleep(GATHER).await;
        let (asked, waiting_for_others) = (Instant::now(), waiting_for_others());
        let backlog = self.backlog().await?;
        if backlog.withheld() {
            tracing::warn!(queue = %self.name, visible = backlog.visible, in_flight = backlog.in_flight,
                "the queue gives out nothing because of the messages in flight: some consumer does not settle them");
        }
        let drained =
            QueueBacklog { in_flight: backlog.in_flight.saturating_sub(waiting_for_others), ..backlog }.drained();
        answer.note(asked, drained);
        Ok(if drained { Drained::Yes } else { Drained::No })
    }

    /// Receives up to `most` messages, by as many requests at once as it takes; waits up to `wait` for the first one.
    ///
    /// # Errors
    /// A [`Fault`] if one request failed and no other gave a message.
    pub async fn receive(&self, most: usize, wait: Duration) -> Result<Vec<ReceivedMessage>, Fault> {
        let sizes = (0..most.max(1)).step_by(TEN).map(|first| TEN.min(most.max(1) - first)).take(AT_ONCE);
        let (mut messages, mut failed) = (Vec::new(), None);
        for answer in join_all(sizes.map(|size| self.receive_ten(size, wait))).await {
            match answer {
                Ok(mut some) => messages.append(&mut some),
                Err(fault) => failed = Some(fault),
            }
        }
        match failed {
            Some(fault) if messages.is_empty() => Err(fault),
            _ => Ok(messages),
        }
    }

    async fn receive_ten(&self, most: usize, wait: Duration) -> Result<Vec<ReceivedMessage>, Fault> {
        let asked = Instant::now();
        let request = self
            .client
            .receive_message()
            .queue_url(&self.url)
            .max_number_of_messages(i32::try_from(most).unwrap_or(1))
            .visibility_timeout(Seconds(self.visibility).into())
            .wait_time_seconds(Seconds(wait).into())
            .message_system_attribute_names(MessageSystemAttributeName::All)
            .message_attribute_names("All");
        let answer =
            request.send().await.map_err(|e| fault::of(&format!("receive from the queue {:?}", self.name), &e))?;
        // The time of their invisibility began at the request, or at the end of a long poll.
        let asked = if wait.is_zero() { asked } else { Instant::now() };
        let messages = answer.messages.unwrap_or_default().into_iter();
        Ok(messages.filter_map(|message| received(message, self.fifo, asked, self.visibility)).collect())
    }

    /// Changes messages by receipt handle. Gives the handles that were not valid any more. That is no error: their
    /// messages are deleted, or come again.
    ///
    /// # Errors
    /// A [`Fault`] if entries failed in spite of retries; the others are changed.
    pub async fn change(
        &self,
        change: MessageChange,
        entries: &[(Box<str>, Duration)],
    ) -> Result<Vec<Box<str>>, Fault> {
        let (mut lost, mut failed) = (Vec::new(), None);
        for some in entries.chunks(TEN * AT_ONCE) {
            for result in join_all(some.chunks(TEN).map(|ten| self.change_ten(change, ten))).await {
                match result {
                    Ok(mut some) => lost.append(&mut some),
                    Err(fault) => failed = Some(fault),
                }
            }
        }
        if !lost.is_empty() {
            let total = self.late.fetch_add(lost.len() as u64, Ordering::Relaxed) + lost.len() as u64;
            tracing::warn!(queue = %self.name, messages = lost.len(), total,
                "messages were held longer than their visibility timeout, and may be handled twice");
        }
        failed.map_or(Ok(lost), Err)
    }

    async fn change_ten(
        &self,
        change: MessageChange,
        entries: &[(Box<str>, Duration)],
    ) -> Result<Vec<Box<str>>, Fault> {
        let (mut left, mut lost) = (entries.to_vec(), Vec::new());
        for round in 0..ROUNDS {
            let failed = self.request(change, &left).await?;
            let (mut again, mut reason) = (Vec::new(), None);
            for entry in failed {
                let Some(which) = entry.id.parse().ok().and_then(|index: usize| left.get(index)) else { continue };
                if entry.sender_fault && LOST.contains(&entry.code.rsplit('.').next().unwrap_or_default()) {
                    lost.push(which.0.clone());
                } else {
                    again.push(which.clone());
                    reason = Some(format!("{}: {}", entry.code, fault::brief(&entry.message.unwrap_or_default())));
                }
            }
            let Some(reason) = reason else { return Ok(lost) };
            if round + 1 == ROUNDS {
                return Err(Fault::Transient(format!("settle messages of the queue {:?}: {reason}", self.name)));
            }
            left = again;
            sleep(Duration::from_millis(50) * 2u32.pow(round)).await;
        }
        Ok(lost)
    }

    async fn request(
        &self,
        change: MessageChange,
        entries: &[(Box<str>, Duration)],
    ) -> Result<Vec<BatchResultErrorEntry>, Fault> {
        let broken = |error| Fault::Bug(format!("an entry of a batch: {error}"));
        let numbered = entries.iter().enumerate();
        if change == MessageChange::Delete {
            let entry = |(index, (receipt, _)): (usize, &(Box<str>, Duration))| {
                DeleteMessageBatchRequestEntry::builder().id(index.to_string()).receipt_handle(&**receipt).build()
            };
            let entries = numbered.map(entry).collect::<Result<_, _>>().map_err(broken)?;
            let request = self.client.delete_message_batch().queue_url(&self.url).set_entries(Some(entries));
            let answer = request.send().await;
            Ok(answer.map_err(|e| fault::of(&format!("delete messages of the queue {:?}", self.name), &e))?.failed)
        } else {
            let entry = |(index, (receipt, time)): (usize, &(Box<str>, Duration))| {
                let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(index.to_string());
                entry.receipt_handle(&**receipt).visibility_timeout(Seconds(*time).into()).build()
            };
            let entries = numbered.map(entry).collect::<Result<_, _>>().map_err(broken)?;
            let request = self.client.change_message_visibility_batch().queue_url(&self.url).set_entries(Some(entries));
            let answer = request.send().await;
            Ok(answer
                .map_err(|e| fault::of(&format!("set the visibility of messages of the queue {:?}", self.name), &e))?
                .failed)
        }
    }
}

fn number(attributes: &HashMap<QueueAttributeName, String>, name: &QueueAttributeName) -> u64 {
    attributes.get(name).and_then(|value| value.parse().ok()).unwrap_or_default()
}

/// A time as SQS takes it: whole seconds, rounded up, at most twelve hours.
struct Seconds(Duration);

impl From<Seconds> for i32 {
    fn from(Seconds(time): Seconds) -> i32 {
        let seconds = time.as_secs().saturating_add(u64::from(time.subsec_nanos() > 0));
        i32::try_from(seconds.min(43_200)).unwrap_or(43_200)
    }
}
