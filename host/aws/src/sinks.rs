//! Sinks: messages for Kinesis, SQS, SNS, SES and S3.
//!
//! Every entry of a batch has a result of its own (failures.md E1, E2): an entry that failed for now is tried again
//! alone, and a message that can never be sent does not hold up the others. A message with a key is not sent before
//! earlier ones of its key (invariant 3). A receiver may see a message twice, with the same id.

pub mod kinesis;
mod requests;
pub mod s3;
pub mod ses;
pub mod sns;
pub mod sqs;

use crate::fault;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use esclusa_flow::effect::OutboxMessage;
use esclusa_flow::fault::Fault;
use esclusa_flow::hops;
use std::error::Error;
use std::time::Duration;

/// Codes that mean that the message is wrong, and not the stream, queue or permission. An operator can repair those,
/// and no message is lost meanwhile (failures.md E7).
const UNFIT: &[&str] = &[
    "ValidationException",
    "ValidationError",
    "InvalidArgumentException",
    "InvalidParameter",
    "InvalidParameterValue",
    "InvalidParameterException",
    "InvalidMessageContents",
    "BatchRequestTooLong",
    "MessageTooLong",
    "MessageRejected",
    "BadRequestException",
    "InvalidAttributeValue",
    "ParameterValueInvalid",
    "MissingParameter",
    "KeyTooLongError",
    "EntityTooLarge",
];

/// The fault of a failed request for its messages: permanent only if the messages are wrong.
fn fault_of<E>(doing: &str, error: &SdkError<E, HttpResponse>) -> Fault
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match fault::of(doing, error) {
        Fault::Permanent(reason) if !error.code().is_some_and(unfit) => Fault::Transient(reason),
        fault => fault,
    }
}

/// The fault of a failed entry of a batch.
fn entry_fault(doing: &str, code: &str, message: &str, sender_fault: bool) -> Fault {
    let reason = format!("{doing}: {}: {}", fault::brief(code), fault::brief(message));
    if sender_fault && unfit(code) {
        Fault::Permanent(reason)
    } else if code.contains("Throttl") || code.contains("ThroughputExceeded") {
        Fault::Throttled { reason, after: Duration::from_millis(100) }
    } else {
        Fault::Transient(reason)
    }
}

fn unfit(code: &str) -> bool {
    UNFIT.contains(&code.rsplit('.').next().unwrap_or(code))
}

/// The payload as text, for services that take nothing else.
fn text(message: &OutboxMessage) -> Result<&str, Fault> {
    std::str::from_utf8(&message.send.data)
        .map_err(|_| Fault::Permanent("the payload is not UTF-8 text, and this output takes nothing else".to_owned()))
}

/// The value of an attribute that is not empty.
fn attribute<'a>(message: &'a OutboxMessage, name: &str) -> Option<&'a str> {
    message.send.attributes.iter().find(|(n, v)| n == name && !v.is_empty()).map(|(_, v)| v.as_str())
}

/// Most attributes of a message: a queue takes no more, and a topic's message with more does not reach its queues.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html>, 2026-11.
const ATTRIBUTES: usize = 10;

/// The attributes that go along with a message, without `but`. The count of its hops stays behind if there is no room for it: the message
/// matters more.
fn attributes<'a>(message: &'a OutboxMessage, but: Option<&str>) -> impl Iterator<Item = (&'a str, &'a str)> {
    let given = message.send.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let all: Vec<_> = given.filter(|(name, value)| Some(*name) != but && !value.is_empty()).collect();
    let full = all.len() > ATTRIBUTES;
    all.into_iter().filter(move |(name, _)| !full || *name != hops::ATTRIBUTE)
}

/// Bytes of a message as the services count them: payload, attributes and their types.
fn size(message: &OutboxMessage) -> usize {
    let attributes: usize = message.send.attributes.iter().map(|(n, v)| n.len() + v.len() + "String".len()).sum();
    message.send.data.len() + message.send.key.as_ref().map_or(0, String::len) + attributes
}
