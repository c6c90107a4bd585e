//! `[table.NAME]` and `[objects.NAME]`.

use super::declared::{Declared, check_name};
use super::{PathResolver, aws_resource};
use crate::codes::Code;
use crate::plan::{KeySchema, Objects, ServiceLocation, TableSchema, TableSpec};
use crate::report::Finding;
use crate::shape::{root, store as shape};
use crate::syntax::section_reader::{self, SectionReader};
use std::collections::BTreeMap;

/// Longest name of a key attribute in DynamoDB, bytes.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Constraints.html>, 2026-09.
const LONGEST_ATTRIBUTE: usize = 255;

/// Reads every table.
pub(super) fn tables(root: &SectionReader<'_>, home: &ServiceLocation) -> Declared<TableSpec> {
    let nothing = || KeySchema { partition: String::new(), sort: None };
    // A table that cannot be read counts as one with changes, so that the sources of its changes are not reported, too.
    let fallback =
        || TableSpec::Embedded(TableSchema { key: nothing(), indexes: BTreeMap::new(), changes: true, ttl: None });
    Declared::read(root, &root::TABLE, &shape::TABLES, |name, reader| table(name, reader, home), fallback)
}

/// Reads every object store.
pub(super) fn objects(root: &SectionReader<'_>, paths: &PathResolver<'_>, home: &ServiceLocation) -> Declared<Objects> {
    let read = |_: &str, reader: &SectionReader<'_>| match reader.section.name {
        "s3" => Objects::S3 {
            bucket: aws_resource::name(reader, &shape::BUCKET, &aws_resource::BUCKET, ""),
            prefix: reader.text_or_default(&shape::PREFIX),
            path_style: reader.boolean(&shape::PATH_STYLE),
            place: aws_resource::location(reader, "", home),
        },
        _ => Objects::Directory { path: paths.read(reader, &shape::PATH) },
    };
    Declared::read(root, &root::OBJECTS, &shape::OBJECTS, read, || Objects::Directory { path: Default::default() })
}

fn table(name: &str, reader: &SectionReader<'_>, home: &ServiceLocation) -> TableSpec {
    let layout = || TableSchema {
        key: key(reader),
        indexes: indexes(reader),
        changes: reader.boolean(&shape::CHANGES),
        ttl: None,
    };
    if reader.section.name != "dynamodb" {
        let layout = layout();
        return TableSpec::Embedded(TableSchema { ttl: ttl(reader, &layout.key), ..layout });
    }
    let described = [&shape::SORT_KEY, &shape::INDEXES, &shape::CHANGES];
    if reader.entry(&shape::PARTITION_KEY).is_none()
        && let Some(entry) = described.into_iter().find_map(|key| reader.entry(key))
    {
        let message = format!("`{}` has no effect without partition_key", entry.key);
        reader.findings.add(Finding::warning(Code::NO_EFFECT, entry.key_span.clone(), message));
    }
    TableSpec::Dynamodb {
        name: aws_resource::name(reader, &shape::TABLE_NAME, &aws_resource::TABLE, name),
        layout: reader.entry(&shape::PARTITION_KEY).map(|_| layout()),
        place: aws_resource::location(reader, "", home),
    }
}

fn indexes(reader: &SectionReader<'_>) -> BTreeMap<String, KeySchema> {
    let help = "write indexes = { NAME = { partition_key = \"ATTRIBUTE\" } }";
    let table = reader.table(&shape::INDEXES, help);
    let mut indexes = BTreeMap::new();
    for entry in table.map(|table| table.entries.as_slice()).unwrap_or_default() {
        check_name(reader.findings, "secondary index", &entry.key, &entry.key_span);
        let Some(table) = section_reader::table(reader.findings, entry, help) else { continue };
        let index = SectionReader::open(reader.findings, &shape::INDEX_SECTION, entry.key_span.clone(), table, &[]);
        indexes.insert(entry.key.clone(), key(&index));
    }
    indexes
}

fn key(reader: &SectionReader<'_>) -> KeySchema {
    let partition = attribute(reader, &shape::PARTITION_KEY);
    let sort = attribute(reader, &shape::SORT_KEY);
    if partition.is_some() && partition == sort {
        let message = "the sort key is the same attribute as the partition key";
        let finding = Finding::error(Code::TABLE_BAD_KEY, reader.value_span(&shape::SORT_KEY), message);
        reader.findings.add(finding.help("leave sort_key out, or name another attribute"));
    }
    KeySchema { partition: partition.unwrap_or_default(), sort }
}

/// The attribute with the time of expiry.
fn ttl(reader: &SectionReader<'_>, key: &KeySchema) -> Option<String> {
    let ttl = attribute(reader, &shape::TTL)?;
    if key.contains(&ttl) {
        let message = format!("`ttl` names the key attribute {ttl:?}");
        let finding = Finding::error(Code::TABLE_BAD_TTL, reader.value_span(&shape::TTL), message);
        reader.findings.add(finding.help("name another attribute: a key never changes, so no item could be renewed"));
    }
    Some(ttl)
}

fn attribute(reader: &SectionReader<'_>, key: &crate::shape::KeySpec) -> Option<String> {
    let name = reader.text(key)?;
    if name.is_empty() || name.len() > LONGEST_ATTRIBUTE {
        let message = format!("`{}` is not the name of an attribute", key.name);
        let finding = Finding::error(Code::TABLE_BAD_KEY, reader.value_span(key), message);
        reader.findings.add(finding.help(format!("1 to {LONGEST_ATTRIBUTE} bytes")));
    }
    Some(name)
}
