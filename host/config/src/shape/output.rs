//! `[output.NAME]`.

pub(crate) mod aws;
pub(crate) mod kafka;

use super::source::PARTITIONS;
use super::{Default, KeySpec, KindFamily, Section, ValueKind};
use crate::codes::Code;

pub(crate) static STREAM: KeySpec = KeySpec {
    name: "stream",
    kind: ValueKind::Text,
    default: Default::Depends("the output's name"),
    about: "The stream's name.",
};
pub(crate) static STREAM_SECTION: Section = Section {
    name: "stream",
    about: "A stream of the embedded engine. Exactly once.",
    keys: &[&STREAM, &PARTITIONS],
    foreign: &[("retention", "the source that reads the stream says how long its events are kept")],
};

pub(crate) static QUEUE: KeySpec = KeySpec {
    name: "queue",
    kind: ValueKind::Text,
    default: Default::Depends("the output's name"),
    about: "The queue's name.",
};
pub(crate) static QUEUE_SECTION: Section =
    Section { name: "queue", about: "A queue of the embedded engine. Exactly once.", keys: &[&QUEUE], foreign: &[] };

pub(crate) static PATH: KeySpec =
    KeySpec { name: "path", kind: ValueKind::Path, default: Default::Required, about: "The file." };
pub(crate) static FILE_SECTION: Section = Section {
    name: "file",
    about: "A file, to which each message is appended as a line. At least once.",
    keys: &[&PATH],
    foreign: &[],
};

pub(crate) static CONSOLE_SECTION: Section =
    Section { name: "console", about: "Standard output, a line per message. At least once.", keys: &[], foreign: &[] };

pub(crate) static URL: KeySpec =
    KeySpec { name: "url", kind: ValueKind::Text, default: Default::Required, about: "The http or https URL." };
pub(crate) static HEADERS: KeySpec =
    KeySpec { name: "headers", kind: ValueKind::Texts, default: Default::Nothing, about: "Further headers by name." };
pub(crate) static TIMEOUT: KeySpec = KeySpec {
    name: "timeout",
    kind: ValueKind::Duration { min: "100ms", max: "5m", endless: false },
    default: Default::Value("10s"),
    about: "How long a request may take.",
};
pub(crate) static WEBHOOK_SECTION: Section = Section {
    name: "webhook",
    about: "Messages are POSTed to a URL, with the effect's id as a header. At least once.",
    keys: &[&URL, &HEADERS, &TIMEOUT],
    foreign: &[],
};

/// `[output.NAME]`.
pub(crate) static FAMILY: KindFamily = KindFamily {
    name: "output",
    about: "An output for messages of plugins and for given-up events.",
    kinds: &[
        &STREAM_SECTION,
        &QUEUE_SECTION,
        &FILE_SECTION,
        &CONSOLE_SECTION,
        &WEBHOOK_SECTION,
        &aws::KINESIS_SECTION,
        &aws::SQS_SECTION,
        &aws::SNS_SECTION,
        &aws::SES_SECTION,
        &aws::SMTP_SECTION,
        &aws::S3_SECTION,
        &kafka::KAFKA_SECTION,
    ],
    unknown_kind: Code::OUTPUT_UNKNOWN_KIND,
};
