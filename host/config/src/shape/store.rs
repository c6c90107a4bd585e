//! `[table.NAME]` and `[objects.NAME]`.

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
    about: "Secondary indexes by name, each with a partition_key and, if wanted, a sort_key.",
};
pub static CHANGES: Key = Key {
    name: "changes",
    kind: Kind::Boolean,
    default: Default::Value("false"),
    about: "Keep a feed of changes, which a source of kind table-changes reads.",
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

/// `[table.NAME]`.
pub static TABLES: Family = Family {
    name: "table",
    about: "A table that plugins read and write.",
    kinds: &[&EMBEDDED_SECTION],
    elsewhere: &["dynamodb"],
    unknown_kind: Code::TABLE_UNKNOWN_KIND,
    kind_unavailable: Code::TABLE_KIND_UNAVAILABLE,
};

pub static PATH: Key = Key {
    name: "path",
    kind: Kind::Path,
    default: Default::Required,
    about: "The directory; it is made if it is missing.",
};
pub static DIRECTORY_SECTION: Section =
    Section { name: "directory", about: "Objects as files of a directory.", keys: &[&PATH], foreign: &[] };

/// `[objects.NAME]`.
pub static OBJECTS: Family = Family {
    name: "objects",
    about: "A store of objects that plugins write to.",
    kinds: &[&DIRECTORY_SECTION],
    elsewhere: &["s3"],
    unknown_kind: Code::OBJECTS_UNKNOWN_KIND,
    kind_unavailable: Code::OBJECTS_KIND_UNAVAILABLE,
};
