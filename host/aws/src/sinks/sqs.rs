//! Messages for an SQS queue, standard or FIFO.

use super::requests::{self, BatchRequests, RefusedEntry, group};
use super::{attributes, fault_of, text};
use crate::client::Clients;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::{MessageAttributeValue, SendMessageBatchRequestEntry};
use esclusa_flow::BoxFuture;
use esclusa_flow::effect::OutboxMessage;
use esclusa_flow::engine::{SendError, Sink};
use esclusa_flow::fault::Fault;
use esclusa_flow::settings::ServiceLocation;
use std::sync::Arc;

/// Most messages and bytes of a request: the bytes of the older quota, since a queue may still have it. A single larger
/// message goes alone, for the queue to judge (failures.md Q7).
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html>, 2026-11.
const LIMITS: (usize, usize) = (10, 256 << 10);

/// A queue to write to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqsSinkSettings {
    /// Name or URL. A name ending in `.fifo` is a FIFO queue.
    pub queue: String,
    /// Where it is.
    pub place: ServiceLocation,
}

/// A sink to a queue; finds its URL. FIFO: the group is the message's key, and the deduplication id is the message's
/// id, which SQS remembers for five minutes (failures.md E8); messages of a group go one by one, in order.
///
/// # Errors
/// A [`Fault`] that names the queue.
pub async fn open(clients: &Clients, settings: &SqsSinkSettings) -> Result<Arc<dyn Sink>, Fault> {
    let client = clients.sqs(&settings.place);
    let url = if settings.queue.contains("://") {
        settings.queue.clone()
    } else {
        let found = client.get_queue_url().queue_name(&settings.queue).send().await;
        found
            .map_err(|e| crate::fault::of(&format!("find the queue {:?}", settings.queue), &e))?
            .queue_url
            .unwrap_or_default()
    };
    Ok(Arc::new(SqsSink { client, fifo: url.ends_with(".fifo"), url }))
}

struct SqsSink {
    client: Client,
    url: String,
    fifo: bool,
}

impl Sink for SqsSink {
    fn send<'a>(&'a self, messages: &'a [OutboxMessage]) -> BoxFuture<'a, Vec<Result<(), SendError>>> {
        Box::pin(requests::send(self, messages))
    }
}

impl SqsSink {
    fn entry(&self, index: usize, message: &OutboxMessage) -> Result<SendMessageBatchRequestEntry, Fault> {
        let mut entry = SendMessageBatchRequestEntry::builder().id(index.to_string()).message_body(text(message)?);
        if self.fifo {
            entry = entry.message_group_id(group(message)).message_deduplication_id(&message.id);
        }
        for (name, value) in attributes(message, None) {
            let value = MessageAttributeValue::builder().data_type("String").string_value(value).build();
            entry = entry.message_attributes(name, value.map_err(|error| Fault::Bug(error.to_string()))?);
        }
        entry.build().map_err(|error| Fault::Bug(error.to_string()))
    }
}

impl BatchRequests for SqsSink {
    fn limits(&self) -> (usize, usize) {
        LIMITS
    }

    fn order<'a>(&self, message: &'a OutboxMessage) -> Option<&'a str> {
        self.fifo.then(|| group(message))
    }

    fn request<'a>(&'a self, messages: Vec<&'a OutboxMessage>) -> BoxFuture<'a, Vec<Result<(), Fault>>> {
        Box::pin(async move {
            let doing = &format!("send to the queue {:?}", self.url);
            let entry = |index: usize, message: &OutboxMessage| self.entry(index, message);
            let send = |entries| async move {
                let request = self.client.send_message_batch().queue_url(&self.url);
                let answer = request.set_entries(Some(entries)).send().await;
                let answer = answer.map_err(|error| fault_of(doing, &error))?;
                let refused = answer.failed.into_iter().map(|entry| RefusedEntry {
                    id: entry.id,
                    code: entry.code,
                    message: entry.message,
                    sender_fault: entry.sender_fault,
                });
                Ok(refused.collect())
            };
            requests::request_batch(doing, &messages, entry, send).await
        })
    }
}
