//! Messages for an SNS topic, standard or FIFO, or as texts to phones.

use super::requests::{self, BatchRequests, RefusedEntry, group};
use super::{attribute, attributes, fault_of, text};
use crate::client::Clients;
use aws_sdk_sns::Client;
use aws_sdk_sns::types::{MessageAttributeValue, PublishBatchRequestEntry};
use esclusa_flow::BoxFuture;
use esclusa_flow::effect::OutboxMessage;
use esclusa_flow::engine::{SendError, Sink};
use esclusa_flow::fault::Fault;
use esclusa_flow::settings::ServiceLocation;
use std::sync::Arc;

/// Most messages and bytes of a request. <https://docs.aws.amazon.com/sns/latest/api/API_PublishBatch.html>, 2026-11.
const LIMITS: (usize, usize) = (10, 256 << 10);

/// The receiver of the messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnsTarget {
    /// A topic's ARN. One ending in `.fifo` is a FIFO topic: group and deduplication as for queues.
    Topic(String),
    /// SMS to the phone number in the message's attribute `to`, or else to this one (E.164: `+34911234567`).
    Sms(Option<String>),
}

/// A sink to SNS. The attribute `subject` is the subject of a topic's mails; all other attributes go along, so that
/// subscriptions can filter by them.
#[must_use]
pub fn open(clients: &Clients, place: &ServiceLocation, target: SnsTarget) -> Arc<dyn Sink> {
    let client = clients.sns(place);
    match target {
        SnsTarget::Topic(arn) => Arc::new(TopicSink { client, arn }),
        SnsTarget::Sms(number) => Arc::new(SmsSink { client, number }),
    }
}

struct TopicSink {
    client: Client,
    arn: String,
}

struct SmsSink {
    client: Client,
    number: Option<String>,
}

impl Sink for TopicSink {
    fn send<'a>(&'a self, messages: &'a [OutboxMessage]) -> BoxFuture<'a, Vec<Result<(), SendError>>> {
        Box::pin(requests::send(self, messages))
    }
}

impl TopicSink {
    fn fifo(&self) -> bool {
        self.arn.ends_with(".fifo")
    }

    fn entry(&self, index: usize, message: &OutboxMessage) -> Result<PublishBatchRequestEntry, Fault> {
        let mut entry = PublishBatchRequestEntry::builder().id(index.to_string()).message(text(message)?);
        entry = entry.set_subject(attribute(message, "subject").map(str::to_owned));
        if self.fifo() {
            entry = entry.message_group_id(group(message)).message_deduplication_id(&message.id);
        }
        for (name, value) in attributes(message, Some("subject")) {
            let value = MessageAttributeValue::builder().data_type("String").string_value(value).build();
            entry = entry.message_attributes(name, value.map_err(|error| Fault::Bug(error.to_string()))?);
        }
        entry.build().map_err(|error| Fault::Bug(error.to_string()))
    }
}

impl BatchRequests for TopicSink {
    fn limits(&self) -> (usize, usize) {
        LIMITS
    }

    fn order<'a>(&self, message: &'a OutboxMessage) -> Option<&'a str> {
        self.fifo().then(|| group(message))
    }

    fn request<'a>(&'a self, messages: Vec<&'a OutboxMessage>) -> BoxFuture<'a, Vec<Result<(), Fault>>> {
        Box::pin(async move {
            let doing = &format!("publish to the topic {:?}", self.arn);
            let entry = |index: usize, message: &OutboxMessage| self.entry(index, message);
            let send = |entries| async move {
                let request = self.client.publish_batch().topic_arn(&self.arn);
                let answer = request.set_publish_batch_request_entries(Some(entries)).send().await;
                let answer = answer.map_err(|error| fault_of(doing, &error))?;
                let refused = answer.failed.unwrap_or_default().into_iter().map(|entry| RefusedEntry {
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

impl Sink for SmsSink {
    fn send<'a>(&'a self, messages: &'a [OutboxMessage]) -> BoxFuture<'a, Vec<Result<(), SendError>>> {
        Box::pin(requests::send(self, messages))
    }
}

impl BatchRequests for SmsSink {
    fn limits(&self) -> (usize, usize) {
        (1, usize::MAX)
    }

    fn order<'a>(&self, _message: &'a OutboxMessage) -> Option<&'a str> {
        None
    }

    fn request<'a>(&'a self, messages: Vec<&'a OutboxMessage>) -> BoxFuture<'a, Vec<Result<(), Fault>>> {
        Box::pin(async move {
            let mut results = Vec::with_capacity(messages.len());
            for message in messages {
                results.push(self.publish(message).await);
            }
            results
        })
    }
}

impl SmsSink {
    async fn publish(&self, message: &OutboxMessage) -> Result<(), Fault> {
        let Some(number) = attribute(message, "to").or(self.number.as_deref()) else {
            return Err(Fault::Permanent(
                "nobody to text: no attribute \"to\", and no phone_number in routes.toml".to_owned(),
            ));
        };
        let sent = self.client.publish().phone_number(number).message(text(message)?).send().await;
        sent.map(drop).map_err(|error| fault_of("send a text", &error))
    }
}
