//! Messages of SQS as events.

use aws_sdk_sqs::types::{Message, MessageSystemAttributeName};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use esclusa_flow::event::{ATTRIBUTE_WIDTH, EVENT_WIDTH, NewEvent};
use esclusa_flow::hops;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// A received message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedMessage {
    /// The proof with which it is settled.
    pub receipt: Receipt,
    /// The message; all routes that it is for share it.
    pub event: Arc<MessageEvent>,
}

/// Longest that a message can stay invisible after its receipt, by extensions as well, less a margin for the way.
/// <https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-visibility-timeout.html>, 2026-11.
pub(crate) const LONGEST: Duration = Duration::from_secs(12 * 3600 - 10);

/// The receipt of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Receipt handle.
    pub handle: Box<str>,
    /// Message group of a FIFO queue; empty in standard queues.
    pub group: Box<str>,
    /// When it was received.
    pub received: Instant,
    /// No other consumer sees the message before this time.
    pub until: Instant,
}

impl Receipt {
    /// True if an extension by at least a second is within SQS' limit.
    pub fn extensible(&self) -> bool {
        self.until + Duration::from_secs(1) <= self.received + LONGEST
    }
}

/// A message as an event that owns its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageEvent {
    id: String,
    group: String,
    data: Vec<u8>,
    attributes: Vec<(String, String)>,
    timestamp: u64,
    attempt: u32,
    hops: u32,
}

impl MessageEvent {
    /// The message's id in SQS, the same at each receipt.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// How often it was received, this time included.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    /// How many routes it has come by.
    pub fn hops(&self) -> u32 {
        self.hops
    }

    /// Calls `with` on its parts, borrowed.
    pub fn view<T>(&self, with: impl FnOnce(&NewEvent<'_>) -> T) -> T {
        let attributes: Vec<_> = self.attributes.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        with(&NewEvent {
            id: &self.id,
            key: &self.group,
            data: &self.data,
            attributes: &attributes,
            timestamp: self.timestamp,
            attempt: self.attempt,
        })
    }

    /// Bytes, as [`esclusa_flow::event::EventRef::size`] counts them.
    pub fn size(&self) -> usize {
        let attributes: usize = self.attributes.iter().map(|(n, v)| n.len() + v.len() + 4 * ATTRIBUTE_WIDTH).sum();
        self.id.len() + self.group.len() + self.data.len() + attributes + 4 * EVENT_WIDTH + 12
    }
}

/// Attributes of the system that differ between deliveries, or are fields of the event: a redelivered event must be the
/// same but for its attempt.
fn varies(name: &MessageSystemAttributeName) -> bool {
    matches!(
        name,
        MessageSystemAttributeName::ApproximateReceiveCount
            | MessageSystemAttributeName::ApproximateFirstReceiveTimestamp
            | MessageSystemAttributeName::SentTimestamp
    )
}

/// A received message; `None` if it lacks its id or receipt, which SQS always gives. `asked` is when the receive
/// began: the message stays invisible at least until `visibility` after it.
pub(crate) fn received(message: Message, fifo: bool, asked: Instant, visibility: Duration) -> Option<ReceivedMessage> {
    let system = message.attributes.unwrap_or_default();
    let number = |name| system.get(&name).and_then(|value: &String| value.parse::<u64>().ok());
    let group = system.get(&MessageSystemAttributeName::MessageGroupId).cloned().unwrap_or_default();
    let attempt = number(MessageSystemAttributeName::ApproximateReceiveCount).unwrap_or(1);
    let timestamp = number(MessageSystemAttributeName::SentTimestamp).unwrap_or_default();
    let mut attributes: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in message.message_attributes.unwrap_or_default() {
        let text = match (value.string_value, value.binary_value) {
            (Some(text), _) => text,
            (None, Some(binary)) => STANDARD.encode(binary),
            (None, None) => continue,
        };
        attributes.insert(name, text);
    }
    let lasting = system.iter().filter(|(name, _)| !varies(name));
    attributes.extend(lasting.map(|(name, value)| (name.as_str().to_owned(), value.clone())));
    let mut attributes: Vec<_> = attributes.into_iter().collect();
    let hops = hops::take(&mut attributes, hops::ATTRIBUTE);
    Some(ReceivedMessage {
        receipt: Receipt {
            handle: message.receipt_handle?.into(),
            group: if fifo { group.as_str().into() } else { "".into() },
            received: asked,
            until: asked + visibility,
        },
        event: Arc::new(MessageEvent {
            id: message.message_id?,
            group,
            data: message.body.unwrap_or_default().into_bytes(),
            attributes,
            timestamp,
            attempt: u32::try_from(attempt).unwrap_or(u32::MAX).max(1),
            hops,
        }),
    })
}
