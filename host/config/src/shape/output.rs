//! `[output.NAME]`.

pub(crate) mod aws;

use super::source::PARTITIONS;
use super::{Default, Family, Key, Kind, Section};
use crate::codes::Code;

pub(crate) static STREAM: Key = Key {
    name: "stream",
    kind: Kind::Text,
    default: Default::Depends("the output's name"),
    about: "The stream's name.",
};
pub(crate) static STREAM_SECTION: Section = Section {
    name: "stream",
    about: "A stream of the embedded engine. Exactly once.",
    keys: &[&STREAM, &PARTITIONS],
    foreign: &[("retention", "the source that reads the stream says how long its events are kept")],
};

pub(crate) static QUEUE: Key =
    Key { name: "queue", kind: Kind::Text, default: Default::Depends("the output's name"), about: "The queue's name." };
pub(crate) static QUEUE_SECTION: Section =
    Section { name: "queue", about: "A queue of the embedded engine. Exactly once.", keys: &[&QUEUE], foreign: &[] };

pub(crate) static PATH: Key = Key { name: "path", kind: Kind::Path, default: Default::Required, about: "The file." };
pub(crate) static FILE_SECTION: Section = Section {
    name: "file",
    about: "Appended to a file, a line per message. At least once.",
    keys: &[&PATH],
    foreign: &[],
};

pub(crate) static CONSOLE_SECTION: Section = Section {
    name: "console",
    about: "Written to standard output, a line per message. At least once.",
    keys: &[],
    foreign: &[],
};

pub(crate) static URL: Key =
    Key { name: "url", kind: Kind::Text, default: Default::Required, about: "Where, an http or https URL." };
pub(crate) static HEADERS: Key =
    Key { name: "headers", kind: Kind::Texts, default: Default::Nothing, about: "Further headers by name." };
pub(crate) static TIMEOUT: Key = Key {
    name: "timeout",
    kind: Kind::Duration { min: "100ms", max: "5m", endless: false },
    default: Default::Value("10s"),
    about: "How long a request may take.",
};
pub(crate) static WEBHOOK_SECTION: Section = Section {
    name: "webhook",
    about: "POSTed to a URL, with the effect's id as a header. At least once.",
    keys: &[&URL, &HEADERS, &TIMEOUT],
    foreign: &[],
};

/// `[output.NAME]`.
pub(crate) static FAMILY: Family = Family {
    name: "output",
    about: "Where plugins send messages, and where given-up events go.",
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
