//! `[table.NAME]` and `[objects.NAME]`.

use super::aws::{OWN_ENDPOINT_URL, OWN_REGION};
use super::{Default, Family, Key, Kind, Section};
use crate::codes::Code;

pub static PARTITION_KEY: Key = Key {
    name: "partition_key",
    kind: Kind::Text,
    default: Default::Required,
    about: "The attribute that is the partition key.",
};
pub static SORT_KEY: Key =
    Key { name: "sort_key", kind: Kind::Text, default: Default::Nothing, about: "The attribute that is the sort key." };
pub static INDEXES: Key = Key {
    name: "indexes",
    kind: Kind::Sections(&INDEX_SECTION),
    default: Default::Nothing,
    about: "Secondary indexes by name, each with a partition_key and, optionally, a sort_key.",
};
pub static CHANGES: Key = Key {
    name: "changes",
    kind: Kind::Boolean,
    default: Default::Value("false"),
    about: "true: the table keeps a feed of changes for sources of kind table-changes.",
};
pub static INDEX_SECTION: Section =
    Section { name: "indexes", about: "A secondary index.", keys: &[&PARTITION_KEY, &SORT_KEY], foreign: &[] };
pub static EMBEDDED_SECTION: Section = Section {
    name: "embedded",
    about: "A table of the embedded engine.",
    keys: &[&PARTITION_KEY, &SORT_KEY, &INDEXES, &CHANGES],
    foreign: &[
        ("pk", "write partition_key = \"ATTRIBUTE\""),
        ("hash_key", "write partition_key = \"ATTRIBUTE\""),
        ("sk", "write sort_key = \"ATTRIBUTE\""),
        ("range_key", "write sort_key = \"ATTRIBUTE\""),
        ("name", "an embedded table is known by its name in this file; leave it out"),
    ],
};

pub static TABLE_NAME: Key = Key {
    name: "name",
    kind: Kind::Text,
    default: Default::Depends("its name in this file"),
    about: "The table's name in DynamoDB.",
};
pub static EXPECTED_KEY: Key = Key {
    name: "partition_key",
    kind: Kind::Text,
    default: Default::Depends("that of the table"),
    about: "The attribute that is the partition key. The router compares it with the table's.",
};
pub static EXPECTED_CHANGES: Key = Key {
    name: "changes",
    kind: Kind::Boolean,
    default: Default::Value("false"),
    about: "true: the table keeps a stream with new and old images, for sources of kind dynamodb-stream.",
};
pub static DYNAMODB_SECTION: Section = Section {
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
        ("stream_enabled", "write changes = true, or leave it out"),
    ],
};

/// `[table.NAME]`.
pub static TABLES: Family = Family {
    name: "table",
    about: "A table that plugins read and write.",
    kinds: &[&EMBEDDED_SECTION, &DYNAMODB_SECTION],
    unknown_kind: Code::TABLE_UNKNOWN_KIND,
};

pub static PATH: Key = Key {
    name: "path",
    kind: Kind::Path,
    default: Default::Required,
    about: "The directory; the router creates it if it is missing.",
};
pub static DIRECTORY_SECTION: Section =
    Section { name: "directory", about: "Objects as files of a directory.", keys: &[&PATH], foreign: &[] };

pub static BUCKET: Key =
    Key { name: "bucket", kind: Kind::Text, default: Default::Required, about: "The bucket's name." };
pub static PREFIX: Key =
    Key { name: "prefix", kind: Kind::Text, default: Default::Value(""), about: "A text in front of every path." };
pub static PATH_STYLE: Key = Key {
    name: "path_style",
    kind: Kind::Boolean,
    default: Default::Value("false"),
    about: "true: the bucket is in the path of requests, as most servers other than AWS need it.",
};
pub static S3_SECTION: Section = Section {
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
pub static OBJECTS: Family = Family {
    name: "objects",
    about: "A store of objects that plugins write to.",
    kinds: &[&DIRECTORY_SECTION, &S3_SECTION],
    unknown_kind: Code::OBJECTS_UNKNOWN_KIND,
};
