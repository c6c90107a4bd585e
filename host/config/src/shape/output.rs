//! `[output.NAME]`.

pub mod aws;

use super::source::PARTITIONS;
use super::{Default, Family, Key, Kind, Section};
use crate::codes::Code;

pub static STREAM: Key = Key {
    name: "stream",
    kind: Kind::Text,
    default: Default::Depends("the output's name"),
    about: "The stream's name.",
};
pub static STREAM_SECTION: Section = Section {
    name: "stream",
    about: "A stream of the embedded engine. Exactly once.",
    keys: &[&STREAM, &PARTITIONS],
    foreign: &[("retention", "the source that reads the stream says how long its events are kept")],
};

pub static QUEUE: Key =
    Key { name: "queue", kind: Kind::Text, default: Default::Depends("the output's name"), about: "The queue's name." };
pub static QUEUE_SECTION: Section =
    Section { name: "queue", about: "A queue of the embedded engine. Exactly once.", keys: &[&QUEUE], foreign: &[] };

pub static PATH: Key = Key { name: "path", kind: Kind::Path, default: Default::Required, about: "The file." };
pub static FILE_SECTION: Section = Section {
    name: "file",
    about: "A file, to which each message is appended as a line. At least once.",
    keys: &[&PATH],
    foreign: &[],
};

pub static CONSOLE_SECTION: Section =
    Section { name: "console", about: "Standard output, a line per message. At least once.", keys: &[], foreign: &[] };

pub static URL: Key =
    Key { name: "url", kind: Kind::Text, default: Default::Required, about: "The http or https URL." };
pub static HEADERS: Key =
    Key { name: "headers", kind: Kind::Texts, default: Default::Nothing, about: "Further headers by name." };
pub static TIMEOUT: Key = Key {
    name: "timeout",
    kind: Kind::Duration { min: "100ms", max: "5m", endless: false },
    default: Default::Value("10s"),
    about: "How long a request may take.",
};
pub static WEBHOOK_SECTION: Section = Section {
    name: "webhook",
    about: "Messages are POSTed to a URL, with the effect's id as a header. At least once.",
    keys: &[&URL, &HEADERS, &TIMEOUT],
    foreign: &[],
};

/// `[output.NAME]`.
pub static FAMILY: Family = Family {
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
    ],
    unknown_kind: Code::OUTPUT_UNKNOWN_KIND,
};
