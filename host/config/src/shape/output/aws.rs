//! Outputs in AWS, and mail: `kinesis`, `sqs`, `sns`, `ses`, `smtp`, `s3`.

use super::{QUEUE, STREAM};
use crate::shape::aws::{OWN_ENDPOINT_URL, OWN_REGION};
use crate::shape::store::{BUCKET, PATH_STYLE, PREFIX};
use crate::shape::{Default, KeySpec, Section, ValueKind};

pub(crate) static STRICT_ORDER: KeySpec = KeySpec {
    name: "strict_order",
    kind: ValueKind::Boolean,
    default: Default::Value("true"),
    about: "true: records of a key never overtake each other; each takes a request of its own. false: a throttled record may be overtaken.",
};
pub(crate) static KINESIS_SECTION: Section = Section {
    name: "kinesis",
    about: "A Kinesis data stream, by name or ARN. At least once.",
    keys: &[&STREAM, &STRICT_ORDER, &OWN_REGION, &OWN_ENDPOINT_URL],
    foreign: &[
        ("stream_name", "write stream = \"NAME\""),
        ("stream_arn", "write stream = \"ARN\""),
        ("arn", "write stream = \"ARN\""),
        ("partitions", "leave it out: the stream has its shards"),
        ("partition_key", "leave it out: a message has its key from the plugin"),
    ],
};
pub(crate) static SQS_SECTION: Section = Section {
    name: "sqs",
    about: "A queue of SQS, by name or URL. At least once; a FIFO queue drops repeated messages for 5 minutes.",
    keys: &[&QUEUE, &OWN_REGION, &OWN_ENDPOINT_URL],
    foreign: &[
        ("queue_url", "write queue = \"URL\""),
        ("queue_name", "write queue = \"NAME\""),
        ("queue_arn", "write queue = \"NAME\", with region = \"…\" if it differs from that of [aws]"),
        ("arn", "write queue = \"NAME\", with region = \"…\" if it differs from that of [aws]"),
        ("message_group_id", "leave it out: a message's group is its key from the plugin"),
    ],
};

pub(crate) static TOPIC_ARN: KeySpec = KeySpec {
    name: "topic_arn",
    kind: ValueKind::Text,
    default: Default::Nothing,
    about: "The topic. Without it, messages go as text messages to the number in their attribute `to`.",
};
pub(crate) static PHONE_NUMBER: KeySpec = KeySpec {
    name: "phone_number",
    kind: ValueKind::Text,
    default: Default::Nothing,
    about: "The number for messages without an attribute `to`, such as \"+15555550100\".",
};
pub(crate) static SNS_SECTION: Section = Section {
    name: "sns",
    about: "A topic of SNS, or text messages. At least once; a FIFO topic drops repeated messages for 5 minutes.",
    keys: &[&TOPIC_ARN, &PHONE_NUMBER, &OWN_REGION, &OWN_ENDPOINT_URL],
    foreign: &[
        ("topic", "write topic_arn = \"ARN\""),
        ("target_arn", "write topic_arn = \"ARN\""),
        ("arn", "write topic_arn = \"ARN\""),
        ("phone", "write phone_number = \"+15555550100\""),
        ("to", "write phone_number = \"+15555550100\", or leave it out: the message's attribute `to`"),
    ],
};

pub(crate) static FROM: KeySpec =
    KeySpec { name: "from", kind: ValueKind::Text, default: Default::Required, about: "The sender's mail address." };
pub(crate) static TO: KeySpec = KeySpec {
    name: "to",
    kind: ValueKind::OneOrMore,
    default: Default::Depends("only those in the message's attribute `to`"),
    about: "The mail address, or several, for messages without an attribute `to`.",
};
pub(crate) static SUBJECT: KeySpec = KeySpec {
    name: "subject",
    kind: ValueKind::Text,
    default: Default::Depends("that in the message's attribute `subject`"),
    about: "The subject of messages without an attribute `subject`.",
};
pub(crate) static RATE: KeySpec = KeySpec {
    name: "rate",
    kind: ValueKind::Integer { min: 1, max: 100_000 },
    default: Default::Depends("the rate of the account"),
    about: "Most receivers a second.",
};
pub(crate) static AMBIGUOUS: KeySpec = KeySpec {
    name: "ambiguous",
    kind: ValueKind::Choice(&["retry", "dead-letter"]),
    default: Default::Value("retry"),
    about: "What happens to a mail that may have been sent: after a timeout, or an error of the service.",
};
pub(crate) static SES_SECTION: Section = Section {
    name: "ses",
    about: "Mails, sent by SES. At least once.",
    keys: &[&FROM, &TO, &SUBJECT, &RATE, &AMBIGUOUS, &OWN_REGION, &OWN_ENDPOINT_URL],
    foreign: &[
        ("source", "write from = \"ADDRESS\""),
        ("from_email_address", "write from = \"ADDRESS\""),
        ("sender", "write from = \"ADDRESS\""),
        ("destination", "write to = \"ADDRESS\""),
        ("to_addresses", "write to = [\"ADDRESS\"]"),
    ],
};

pub(crate) static SERVER: KeySpec = KeySpec {
    name: "url",
    kind: ValueKind::Text,
    default: Default::Required,
    about: "The mail server: smtp://user:password@host:port, or smtps:// for TLS from the start.",
};
pub(crate) static SMTP_SECTION: Section = Section {
    name: "smtp",
    about: "Mails, sent by a mail server. At least once.",
    keys: &[&SERVER, &FROM, &TO, &SUBJECT],
    foreign: &[
        ("host", "write url = \"smtp://HOST:PORT\""),
        ("server", "write url = \"smtp://HOST:PORT\""),
        ("username", "write url = \"smtp://user:${SMTP_PASSWORD}@HOST:PORT\""),
        ("password", "write url = \"smtp://user:${SMTP_PASSWORD}@HOST:PORT\""),
    ],
};

pub(crate) static S3_SECTION: Section = Section {
    name: "s3",
    about: "A bucket of S3, an object per message, for given-up events with their payload. At least once; a repetition overwrites the object.",
    keys: &[&BUCKET, &PREFIX, &PATH_STYLE, &OWN_REGION, &OWN_ENDPOINT_URL],
    foreign: &[("bucket_name", "write bucket = \"NAME\""), ("path", "write prefix = \"PATH/\"")],
};
