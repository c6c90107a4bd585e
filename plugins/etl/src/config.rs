//! Configuration of `etl`, as written and compiled.

use esclusa_plugin::{Condition, Guard, KeyTemplates};
use serde::Deserialize;
use std::collections::BTreeMap;

/// `[route.config]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EtlConfig {
    table: String,
    key: BTreeMap<String, String>,
    #[serde(default)]
    fields: FieldSelection,
    #[serde(default)]
    types: BTreeMap<String, AttributeType>,
    condition: Option<WriteCondition>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(untagged)]
enum FieldSelection {
    /// Every field of the record.
    #[default]
    All,
    /// These, under their own names.
    Pick(Vec<String>),
    /// These, under other names: attribute = path.
    Rename(BTreeMap<String, String>),
}

/// The type to which an attribute is converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum AttributeType {
    /// A text.
    Text,
    /// A decimal number.
    Number,
    /// True or false.
    Boolean,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum WriteCondition {
    /// Leave an item alone that exists already.
    NotExists,
}

/// The configuration, checked and compiled.
#[derive(Debug)]
pub(crate) struct EtlSettings {
    /// Table written to.
    pub table: String,
    /// The key of its items.
    pub key: KeyTemplates,
    /// Attribute and path of the fields that follow; `None`: all of them.
    pub fields: Option<Vec<(String, String)>>,
    types: BTreeMap<String, AttributeType>,
    unless_exists: bool,
}

impl EtlSettings {
    /// Checks and compiles.
    ///
    /// # Errors
    /// In words for the operator.
    pub(crate) fn new(config: EtlConfig) -> Result<Self, String> {
        let fields = match config.fields {
            FieldSelection::All => None,
            FieldSelection::Pick(names) => Some(names.into_iter().map(|name| (name.clone(), name)).collect()),
            FieldSelection::Rename(renamed) => Some(renamed.into_iter().collect()),
        };
        Ok(EtlSettings {
            table: config.table,
            key: KeyTemplates::compile(config.key)?,
            fields,
            types: config.types,
            unless_exists: matches!(config.condition, Some(WriteCondition::NotExists)),
        })
    }

    /// The type to which the attribute is converted; `None`: it keeps the type that it has in the record.
    pub(crate) fn type_of(&self, attribute: &str) -> Option<AttributeType> {
        if self.types.is_empty() { None } else { self.types.get(attribute).copied() }
    }

    /// The guard of every put.
    pub(crate) fn guard(&self) -> Option<Guard<'_>> {
        let name = self.key.names().next().filter(|_| self.unless_exists)?;
        Some(Condition::new().absent(name).or_skip())
    }
}
