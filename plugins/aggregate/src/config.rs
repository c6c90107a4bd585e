//! Configuration of `aggregate`, as written and compiled.

use esclusa_plugin::KeyTemplates;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// `[route.config]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AggregateConfig {
    table: String,
    key: BTreeMap<String, String>,
    #[serde(default)]
    sum: BTreeMap<String, String>,
    count: Option<String>,
    #[serde(default)]
    min: BTreeMap<String, String>,
    #[serde(default)]
    max: BTreeMap<String, String>,
}

/// Which of two values is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extreme {
    /// The lesser.
    Min,
    /// The greater.
    Max,
}

/// The configuration, checked and compiled.
#[derive(Debug)]
pub(crate) struct AggregateSettings {
    /// Table of the totals.
    pub table: String,
    /// Their key.
    pub key: KeyTemplates,
    /// Attribute and field of each sum.
    pub sums: Vec<(String, String)>,
    /// Attribute that counts.
    pub count: Option<String>,
    /// Attribute and field of each extreme.
    pub extremes: Vec<(String, String, Extreme)>,
}

impl AggregateSettings {
    /// Checks and compiles.
    ///
    /// # Errors
    /// In words for the operator.
    pub(crate) fn new(config: AggregateConfig) -> Result<Self, String> {
        let extreme =
            |fields: BTreeMap<String, String>, which| fields.into_iter().map(move |(name, field)| (name, field, which));
        let settings = AggregateSettings {
            table: config.table,
            key: KeyTemplates::compile(config.key)?,
            sums: config.sum.into_iter().collect(),
            count: config.count,
            extremes: extreme(config.min, Extreme::Min).chain(extreme(config.max, Extreme::Max)).collect(),
        };
        settings.check_attributes()?;
        Ok(settings)
    }

    fn check_attributes(&self) -> Result<(), String> {
        let mut seen: BTreeSet<&str> = self.key.names().collect();
        let totals = self.sums.iter().map(|(name, _)| name);
        let mut none = true;
        for name in totals.chain(&self.count).chain(self.extremes.iter().map(|(name, ..)| name)) {
            none = false;
            if !seen.insert(name) {
                return Err(format!("config: attribute {name:?} is used twice; each total needs one of its own"));
            }
        }
        if none { Err("config: nothing to total; add sum, count, min or max".to_owned()) } else { Ok(()) }
    }
}
