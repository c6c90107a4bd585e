//! Configuration of `alert`, as written and compiled.

use esclusa_plugin::json::Record;
use esclusa_plugin::{Pattern, Template};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeSet;

/// `[route.config]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertConfig {
    table: Option<String>,
    rule: Vec<RuleConfig>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleConfig {
    name: String,
    when: Option<Value>,
    output: String,
    message: String,
    subject: Option<String>,
    to: Option<String>,
    cooldown: Option<String>,
    per: Option<String>,
}

/// The configuration, checked and compiled.
pub(crate) struct AlertSettings {
    /// Table that remembers the last alerts.
    pub table: Option<String>,
    /// The rules, all of which are tried.
    pub rules: Vec<Rule>,
    /// True if a rule may look at the item before a change.
    pub sees_old: bool,
}

/// One rule.
pub(crate) struct Rule {
    /// Its name.
    pub name: String,
    /// Any of them is enough; empty: every record.
    when: Vec<Pattern>,
    /// Output that the message goes to.
    pub output: String,
    /// The message.
    pub message: Template,
    /// Subject of a mail.
    pub subject: Option<Template>,
    /// Receiver.
    pub to: Option<Template>,
    /// Milliseconds without a further alert.
    pub cooldown: Option<u64>,
    /// Key of the cooldown.
    pub per: Option<Template>,
}

impl AlertSettings {
    /// Checks and compiles.
    ///
    /// # Errors
    /// In words for the operator.
    pub(crate) fn new(config: AlertConfig) -> Result<Self, String> {
        if config.rule.is_empty() {
            return Err("config.rule: there are no rules".to_owned());
        }
        let mut names = BTreeSet::new();
        if let Some(twice) = config.rule.iter().find(|rule| !names.insert(rule.name.as_str())) {
            return Err(format!("config.rule: the name {:?} is used twice; a cooldown belongs to a name", twice.name));
        }
        let sees_old = config.rule.iter().any(RuleConfig::sees_old);
        let rules = config.rule.into_iter().map(Rule::new).collect::<Result<_, _>>()?;
        Ok(AlertSettings { table: config.table, rules, sees_old })
    }

    /// Warnings about settings that are allowed and seldom meant.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = String> {
        let forgetful = self.rules.iter().filter(|rule| self.table.is_none() && rule.cooldown.is_some());
        forgetful.map(|rule| {
            format!(
                "config.rule {:?}: without a table the cooldown holds within a batch only, and the next batch alerts again: name a table (partition key: id) in config.table, and grant it",
                rule.name
            )
        })
    }
}

impl RuleConfig {
    /// True if `old` is in its pattern or in a template. It may be a part of another word: that costs time, and nothing else.
    fn sees_old(&self) -> bool {
        let when = self.when.as_ref().map(Value::to_string);
        let templates = [Some(&self.message), self.subject.as_ref(), self.to.as_ref(), self.per.as_ref()];
        templates.into_iter().chain([when.as_ref()]).flatten().any(|text| text.contains("old"))
    }
}

impl Rule {
    fn new(config: RuleConfig) -> Result<Self, String> {
        let place = format!("config.rule {:?}", config.name);
        let template = |name: &str, text: Option<String>| match text.map(|text| Template::parse(&text)).transpose() {
            Ok(template) => Ok(template),
            Err(error) => Err(format!("{place}, {name}: {error}")),
        };
        let patterns = match config.when {
            None => Vec::new(),
            Some(Value::Array(patterns)) if !patterns.is_empty() => patterns,
            Some(pattern) => vec![pattern],
        };
        let compile = |pattern: &Value| Pattern::compile(pattern).map_err(|error| format!("{place}, when: {error}"));
        let cooldown = config.cooldown.as_deref().map(|text| {
            duration(text).ok_or_else(|| format!("{place}, cooldown: {text:?} is no duration; write 30s, 10m or 1h"))
        });
        Ok(Rule {
            when: patterns.iter().map(compile).collect::<Result<_, _>>()?,
            message: Template::parse(&config.message).map_err(|error| format!("{place}, message: {error}"))?,
            subject: template("subject", config.subject)?,
            to: template("to", config.to)?,
            per: template("per", config.per)?,
            cooldown: cooldown.transpose()?,
            name: config.name,
            output: config.output,
        })
    }

    /// True if the rule applies to a record.
    pub(crate) fn applies(&self, record: &Record<'_>) -> bool {
        self.when.is_empty() || self.when.iter().any(|pattern| record.matches(pattern))
    }
}

/// Milliseconds of `10m`.
fn duration(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let factor = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}
