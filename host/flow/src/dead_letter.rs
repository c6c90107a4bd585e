//! A dead letter: an event that was given up, with the reason and everything that a redrive needs.

use crate::effect::OutboxMessage;
use crate::fault::Fault;
use crate::timestamp::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// An event that was given up: enough to understand the reason and to redrive the event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Route that gave it up.
    pub route: String,
    /// Source that it came from.
    pub source: String,
    /// Kind of the source.
    pub kind: String,
    /// Its lane.
    pub lane: String,
    /// The event's id.
    pub event: String,
    /// The event's key.
    pub key: String,
    /// The payload, exactly as delivered.
    #[serde(with = "payload")]
    pub data: Vec<u8>,
    /// Name and value pairs.
    pub attributes: Vec<(String, String)>,
    /// When the source accepted it.
    pub timestamp: Timestamp,
    /// When it was given up.
    pub died: Timestamp,
    /// How often it was tried.
    pub attempts: u32,
    /// Stable code of the reason.
    pub code: String,
    /// The reason in words.
    pub reason: String,
    /// The guest's backtrace, if there is one.
    pub backtrace: Option<String>,
    /// The guest's last log lines.
    pub logs: Vec<String>,
    /// The plugin's path.
    pub plugin: String,
    /// SHA-256 of the plugin.
    pub digest: String,
    /// Set if not the event but one of its messages was given up: the output that did not take the message. A redrive then
    /// sends the message again instead of calling the plugin.
    pub output: Option<String>,
    /// The last redrive that failed; `None`: none has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_redrive: Option<FailedRedrive>,
}

/// A redrive that failed: the dead letter stayed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedRedrive {
    /// When.
    pub at: Timestamp,
    /// The reason in words.
    pub reason: String,
}

/// The plugin that handled events and the kind of their source, as a dead letter names them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Handler {
    /// Kind of the source.
    pub kind: Arc<str>,
    /// The plugin's path.
    pub plugin: Arc<str>,
    /// SHA-256 of the plugin.
    pub digest: Arc<str>,
}

/// The commit that an outbox's messages belong to, for the dead letters of messages that are given up.
#[derive(Debug, Clone, Copy)]
pub struct OutboxOrigin<'a> {
    /// Route name.
    pub route: &'a str,
    /// Source name.
    pub source: &'a str,
    /// Lane of the events.
    pub lane: &'a str,
    /// The plugin that asked for the messages.
    pub handler: &'a Handler,
    /// The time.
    pub now: Timestamp,
}

impl DeadLetter {
    /// The dead letter of a message that its output did not take. A redrive sends the message again, without the plugin.
    #[must_use]
    pub fn of_message(sender: &OutboxOrigin<'_>, message: OutboxMessage, fault: &Fault, attempts: u32) -> Self {
        let Handler { kind, plugin, digest } = sender.handler;
        DeadLetter {
            route: sender.route.to_owned(),
            source: sender.source.to_owned(),
            kind: kind.to_string(),
            lane: sender.lane.to_owned(),
            event: message.id,
            key: message.send.key.unwrap_or_default(),
            data: message.send.data,
            attributes: message.send.attributes,
            timestamp: sender.now,
            died: sender.now,
            attempts,
            code: "outbox.send".to_owned(),
            reason: format!("output {:?}: {fault}", message.send.output),
            backtrace: None,
            logs: Vec::new(),
            plugin: plugin.to_string(),
            digest: digest.to_string(),
            output: Some(message.send.output),
            last_redrive: None,
        }
    }
}

/// Payloads as text if they are UTF-8, else as an array of bytes: readable by people, exact for machines.
mod payload {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    enum Payload {
        #[serde(rename = "text")]
        Text(String),
        #[serde(rename = "bytes")]
        Bytes(Vec<u8>),
    }

    pub(super) fn serialize<S: Serializer>(data: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(data) {
            Ok(text) => Payload::Text(text.to_owned()),
            Err(_) => Payload::Bytes(data.to_vec()),
        }
        .serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        Ok(match Payload::deserialize(deserializer)? {
            Payload::Text(text) => text.into_bytes(),
            Payload::Bytes(bytes) => bytes,
        })
    }
}
