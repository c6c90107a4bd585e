//! `[table.NAME]` and `[objects.NAME]`.

use super::aws::{OWN_ENDPOINT_URL, OWN_REGION};
use super::{Default, KeySpec, KindFamily, Section, ValueKind};
use crate::codes::Code;

pub(crate) static PARTITION_KEY: KeySpec = KeySpec {
    name: "partition_key",
    kind: ValueKind::Text,
    default: Default::Required,
    about: "The attribute that is the partition key.",
};
pub(crate) static SORT_KEY: KeySpec = KeySpec {
    name: "sort_key",
    kind: ValueKind::Text,
    default: Default::Nothing,
    about: "The attribute that is the sort key.",
};
pub(crate) static INDEXES: KeySpec = KeySpec {
    name: "indexes",
    kind: ValueKind::Sections(&INDEX_SECTION),
    default: Default::Nothing,
    about: "Secondary indexes by name, each with a partition_key and, optionally, a sort_key.",
};
pub(crate) static CHANGES: KeySpec = KeySpec {
    name: "changes",
    kind: ValueKind::Boolean,
    default: Default::Value("false"),
    about: "true: the table keeps a feed of its changes, for 7 days, for sources of kind table-changes.",
};
pub(crate) static TTL: KeySpec = KeySpec {
    name: "ttl",
    kind: ValueKind::Text,
    default: Default::Nothing,
    about: "The attribute that holds the time of expiry, a whole number of seconds since 1970. The engine deletes expired items.",
};
pub(crate) static INDEX_SECTION: Section =
    Section { name: "indexes", about: "A secondary index.", keys: &[&PARTITION_KEY, &SORT_KEY], foreign: &[] };
pub(crate) static EMBEDDED_SECTION: Section = Section {
    name: "embedded",
    about: "A table of the embedded engine.",
    keys: &[&PARTITION_KEY, &SORT_KEY, &INDEXES, &CHANGES, &TTL],
    foreign: &[
        ("pk", "write partition_key = \"ATTRIBUTE\""),
        ("hash_key", "write partition_key = \"ATTRIBUTE\""),
        ("sk", "write sort_key = \"ATTRIBUTE\""),
        ("range_key", "write sort_key = \"ATTRIBUTE\""),
        ("time_to_live", "write ttl = \"ATTRIBUTE\""),
        ("name", "an embedded table is known by its name in this file; leave it out"),
    ],
};

pub(crate) static TABLE_NAME: KeySpec = KeySpec {
    name: "name",
    kind: ValueKind::Text,
    default: Default::Depends("its name in this file"),
    about: "The table's name in DynamoDB.",
};
pub(crate) static EXPECTED_KEY: KeySpec = KeySpec {
    name: "partition_key",
    kind: ValueKind::Text,
    default: Default::Depends("that of the table"),
    about: "The attribute that is the partition key. The router compares it with the table's.",
};
pub(crate) static EXPECTED_CHANGES: KeySpec = KeySpec {
    name: "changes",
    kind: ValueKind::Boolean,
    default: Default::Value("false"),
    about: "true: the table keeps a stream with new and old images, for sources of kind dynamodb-stream.",
};
const TTL_OF_DYNAMODB: &str = "DynamoDB keeps this setting itself: aws dynamodb update-time-to-live --table-name NAME \
    --time-to-live-specification Enabled=true,AttributeName=ATTRIBUTE";
pub(crate) static DYNAMODB_SECTION: Section = Section {
    name: "dynamodb",
    about: "An existing table in DynamoDB. Keys and indexes may be left out.",
    keys: &[&TABLE_NAME, &EXPECTED_KEY, &SORT_KEY, &INDEXES, &EXPECTED_CHANGES, &OWN_REGION, &OWN_ENDPOINT_URL],
    foreign: &[
        ("table_name", "write name = \"NAME\""),
        ("table", "write name = \"NAME\""),
        ("arn", "write name = \"NAME\", with region = \"…\" if it differs from that of [aws]"),
        ("table_arn", "write name = \"NAME\", with region = \"…\" if it differs from that of [aws]"),
        ("hash_key", "write partition_key = \"ATTRIBUTE\", or leave it out"),
        ("range_key", "write sort_key = \"ATTRIBUTE\", or leave it out"),
        ("ttl", TTL_OF_DYNAMODB),
        ("time_to_live", TTL_OF_DYNAMODB),
        ("stream_enabled", "write changes = true, or leave it out"),
    ],
};

/// `[table.NAME]`.
pub(crate) static TABLES: KindFamily = KindFamily {
    name: "table",
    about: "A table that plugins read and write.",
    kinds: &[&EMBEDDED_SECTION, &DYNAMODB_SECTION],
    unknown_kind: Code::TABLE_UNKNOWN_KIND,
};

pub(crate) static PATH: KeySpec = KeySpec {
    name: "path",
    kind: ValueKind::Path,
    default: Default::Required,
    about: "The directory; the router creates it if it is missing.",
};
pub(crate) static DIRECTORY_SECTION: Section =
    Section { name: "directory", about: "Objects as files of a directory.", keys: &[&PATH], foreign: &[] };

pub(crate) static BUCKET: KeySpec =
    KeySpec { name: "bucket", kind: ValueKind::Text, default: Default::Required, about: "The bucket's name." };
pub(crate) static PREFIX: KeySpec = KeySpec {
    name: "prefix",
    kind: ValueKind::Text,
    default: Default::Value(""),
    about: "A text in front of every path.",
};
pub(crate) static PATH_STYLE: KeySpec = KeySpec {
    name: "path_style",
    kind: ValueKind::Boolean,
    default: Default::Value("false"),
    about: "true: the bucket is in the path of requests, as most servers other than AWS need it.",
};
pub(crate) static S3_SECTION: Section = Section {
    name: "s3",
    about: "Objects in a bucket of S3.",
    keys: &[&BUCKET, &PREFIX, &PATH_STYLE, &OWN_REGION, &OWN_ENDPOINT_URL],
    foreign: &[
        ("bucket_name", "write bucket = \"NAME\""),
        ("path", "write prefix = \"PATH/\""),
        ("force_path_style", "write path_style = true"),
    ],
};

/// `[objects.NAME]`.
pub(crate) static OBJECTS: KindFamily = KindFamily {
    name: "objects",
    about: "A store of objects that plugins write to or read from.",
    kinds: &[&DIRECTORY_SECTION, &S3_SECTION],
    unknown_kind: Code::OBJECTS_UNKNOWN_KIND,
};
