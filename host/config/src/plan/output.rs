//! `[output.NAME]`, checked.

use super::{KafkaConnection, ServiceLocation};
use std::path::PathBuf;
use std::time::Duration;

/// `[output.NAME]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A stream of the embedded engine.
    Stream {
        /// The stream's name.
        stream: String,
        /// Number of partitions.
        partitions: u32,
    },
    /// A queue of the embedded engine.
    Queue {
        /// The queue's name.
        queue: String,
    },
    /// Appended to a file, a line per message.
    File {
        /// The file.
        path: PathBuf,
    },
    /// Written to standard output, a line per message.
    Console,
    /// POSTed to a URL.
    Webhook {
        /// The URL.
        url: String,
        /// Further headers.
        headers: Vec<(String, String)>,
        /// How long a request may take.
        timeout: Duration,
    },
    /// A Kinesis data stream.
    Kinesis {
        /// The stream's name or ARN.
        stream: String,
        /// Records of a key never overtake each other.
        strict_order: bool,
        /// The stream's location.
        place: ServiceLocation,
    },
    /// A queue of SQS.
    Sqs {
        /// The queue's name or URL.
        queue: String,
        /// The queue's location.
        place: ServiceLocation,
    },
    /// SNS: a topic, or a text message.
    Sns {
        /// The topic or phone number.
        receiver: SnsReceiver,
        /// The location of the topic, or of the service that sends text messages.
        place: ServiceLocation,
    },
    /// Mails, sent by SES.
    Ses {
        /// Sender.
        from: String,
        /// Receivers of messages without an attribute `to`.
        to: Vec<String>,
        /// Subject of messages without an attribute `subject`.
        subject: Option<String>,
        /// Most receivers a second; `None`: as the account allows.
        rate: Option<u32>,
        /// Whether a mail that may have been sent is sent again.
        ambiguous: AmbiguousSend,
        /// The location of the service that sends the mails.
        place: ServiceLocation,
    },
    /// Mails, sent by a mail server.
    Smtp {
        /// The server, `smtp://` or `smtps://`, with user and password if it needs them.
        url: String,
        /// Sender.
        from: String,
        /// Receivers of messages without an attribute `to`.
        to: Vec<String>,
        /// Subject of messages without an attribute `subject`.
        subject: Option<String>,
    },
    /// A bucket of S3, an object per message.
    S3 {
        /// The bucket.
        bucket: String,
        /// Prefix of every object's path.
        prefix: String,
        /// The bucket stands in the path of requests instead of the host's name.
        path_style: bool,
        /// The bucket's location.
        place: ServiceLocation,
    },
    /// A topic of Kafka.
    Kafka {
        /// The brokers, and how to reach them.
        connection: KafkaConnection,
        /// The topic.
        topic: String,
    },
}

/// The receiver of messages to SNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnsReceiver {
    /// The subscribers of a topic, by ARN.
    Topic(String),
    /// The phone number in the message's attribute `to`, else this one, E.164.
    Phone(String),
    /// The phone number in the message's attribute `to`.
    Attribute,
}

/// What to do with a mail if the answer of the service leaves open whether it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AmbiguousSend {
    /// Send it again.
    Retry,
    /// Make a dead letter of it.
    DeadLetter,
}

impl Output {
    /// Its kind, as routes.toml has it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Output::Stream { .. } => "stream",
            Output::Queue { .. } => "queue",
            Output::File { .. } => "file",
            Output::Console => "console",
            Output::Webhook { .. } => "webhook",
            Output::Kinesis { .. } => "kinesis",
            Output::Sqs { .. } => "sqs",
            Output::Sns { .. } => "sns",
            Output::Ses { .. } => "ses",
            Output::Smtp { .. } => "smtp",
            Output::S3 { .. } => "s3",
            Output::Kafka { .. } => "kafka",
        }
    }

    /// True if it is on AWS.
    #[must_use]
    pub fn on_aws(&self) -> bool {
        use Output::{Kinesis, S3, Ses, Sns, Sqs};
        matches!(self, Kinesis { .. } | Sqs { .. } | Sns { .. } | Ses { .. } | S3 { .. })
    }

    /// True if the queue or topic drops a message whose id it has seen in the last five minutes.
    #[must_use]
    pub(crate) fn deduplicates(&self) -> bool {
        match self {
            Output::Sqs { queue, .. } => queue.ends_with(".fifo"),
            Output::Sns { receiver: SnsReceiver::Topic(arn), .. } => arn.ends_with(".fifo"),
            _ => false,
        }
    }

    /// True if every message has to name its receiver, in its attribute `to`.
    #[must_use]
    pub(crate) fn needs_receiver(&self) -> bool {
        match self {
            Output::Sns { receiver, .. } => *receiver == SnsReceiver::Attribute,
            Output::Ses { to, .. } | Output::Smtp { to, .. } => to.is_empty(),
            _ => false,
        }
    }
}
