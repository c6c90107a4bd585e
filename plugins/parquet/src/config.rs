//! Configuration of `parquet`, as written and compiled.

use crate::column::{Column, ColumnType};
use crate::path;
use esclusa_plugin::Template;
use parquet::schema::types::{Type as SchemaType, TypePtr};
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use std::fmt;
use std::sync::Arc;

/// `[route.config]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParquetConfig {
    store: String,
    path: String,
    columns: ColumnList,
    #[serde(default)]
    compression: Compression,
}

/// How pages are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Compression {
    /// Fast, and read by everything.
    #[default]
    Snappy,
    /// Not at all.
    None,
}

/// Name and type of each column, in the order of the configuration.
#[derive(Debug)]
struct ColumnList(Vec<(String, String)>);

impl<'de> Deserialize<'de> for ColumnList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = ColumnList;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("column = type")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ColumnList, A::Error> {
                let mut columns = Vec::new();
                while let Some(column) = map.next_entry()? {
                    columns.push(column);
                }
                Ok(ColumnList(columns))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

/// The configuration, checked and compiled.
#[derive(Debug)]
pub(crate) struct ParquetSettings {
    /// Object store written to.
    pub store: String,
    /// Template of the path.
    pub path: Template,
    /// The columns.
    pub columns: Vec<Column>,
    /// The same as Parquet describes it.
    pub schema: TypePtr,
    /// Compression of the pages.
    pub compression: Compression,
}

impl ParquetSettings {
    /// Checks and compiles.
    ///
    /// # Errors
    /// In words for the operator.
    pub(crate) fn new(config: ParquetConfig) -> Result<Self, String> {
        let template = Template::parse(&config.path).map_err(|error| format!("config.path: {error}"))?;
        path::check(&template)?;
        let column = |(name, kind): (String, String)| match ColumnType::parse(&kind) {
            Ok(kind) => Ok(Column { name, kind }),
            Err(error) => Err(format!("config.columns.{name}: {error}")),
        };
        let columns = config.columns.0.into_iter().map(column).collect::<Result<Vec<_>, _>>()?;
        if columns.is_empty() {
            return Err("config.columns: a file needs at least one column".to_owned());
        }
        let fields = columns.iter().map(|column| column.schema().map(Arc::new)).collect::<Result<_, _>>();
        let schema = fields.and_then(|fields| SchemaType::group_type_builder("record").with_fields(fields).build());
        Ok(ParquetSettings {
            store: config.store,
            path: template,
            columns,
            schema: Arc::new(schema.map_err(|error| format!("config.columns: {error}"))?),
            compression: config.compression,
        })
    }
}
