//! Reads a table by its section: unknown and missing keys are reported when the table is opened, wrong values when they
//! are read. A value that cannot be read gives the default or an empty value: after an error the plan is thrown away.

use super::scalar::{self, Converted};
use super::toml_tree::{TomlEntry, TomlNode, TomlTable, TomlValue};
use super::units;
use crate::codes::Code;
use crate::nearest::{nearest, plain};
use crate::report::{Finding, Findings};
use crate::shape::{Default, KeySpec, Section};
use std::ops::Range;
use std::time::Duration;

/// A table that is being read.
pub(crate) struct SectionReader<'a> {
    /// The list that problems are added to.
    pub findings: &'a Findings,
    /// The keys that the table may have.
    pub section: &'static Section,
    /// The place of the table.
    pub span: Range<usize>,
    table: &'a TomlTable,
}

impl<'a> SectionReader<'a> {
    /// Opens a table at `span`. `extra` are keys that the caller reads itself.
    pub(crate) fn open(
        findings: &'a Findings,
        section: &'static Section,
        span: Range<usize>,
        table: &'a TomlTable,
        extra: &[&str],
    ) -> Self {
        let reader = SectionReader { findings, section, span, table };
        for entry in &table.entries {
            if !extra.contains(&entry.key.as_str()) && !section.keys.iter().any(|key| key.name == entry.key) {
                reader.unknown(entry);
            }
        }
        for key in section.keys {
            if matches!(key.default, Default::Required) && table.get(key.name).is_none() {
                reader.missing(key);
            }
        }
        reader
    }

    /// The entry of a key, if the table has it.
    pub(crate) fn entry(&self, key: &KeySpec) -> Option<&'a TomlEntry> {
        self.table.entry(key.name)
    }

    /// The value of a key, if the table has it.
    pub(crate) fn node(&self, key: &KeySpec) -> Option<&'a TomlNode> {
        self.table.get(key.name)
    }

    /// The place of a key's value; of the table if the key is missing.
    pub(crate) fn value_span(&self, key: &KeySpec) -> Range<usize> {
        self.node(key).map_or_else(|| self.span.clone(), |node| node.span.clone())
    }

    /// The place of a key; of the table if the key is missing.
    pub(crate) fn key_span(&self, key: &KeySpec) -> Range<usize> {
        self.entry(key).map_or_else(|| self.span.clone(), |entry| entry.key_span.clone())
    }

    /// A text, if the key is there and can be read.
    pub(crate) fn text(&self, key: &KeySpec) -> Option<String> {
        self.read(key, scalar::text)
    }

    /// A text, or its default.
    pub(crate) fn text_or_default(&self, key: &KeySpec) -> String {
        self.text(key).unwrap_or_else(|| default(key).to_owned())
    }

    /// A choice, or its default.
    pub(crate) fn choice(&self, key: &KeySpec) -> &'static str {
        self.read(key, scalar::choice).unwrap_or_else(|| default(key))
    }

    /// A truth value, or its default.
    pub(crate) fn boolean(&self, key: &KeySpec) -> bool {
        self.read(key, scalar::boolean).unwrap_or_else(|| default(key) == "true")
    }

    /// A whole number, if the key is there and can be read.
    pub(crate) fn given_integer(&self, key: &KeySpec) -> Option<i64> {
        self.read(key, scalar::integer)
    }

    /// A whole number, or its default.
    pub(crate) fn integer<N: TryFrom<i64> + std::default::Default>(&self, key: &KeySpec) -> N {
        let number = self.given_integer(key).or_else(|| default(key).parse().ok());
        number.and_then(|number| N::try_from(number).ok()).unwrap_or_default()
    }

    /// A duration, or its default.
    pub(crate) fn duration(&self, key: &KeySpec) -> Duration {
        self.endless_duration(key).or_else(|| units::duration(default(key))).unwrap_or_default()
    }

    /// A duration; `None` if it is "without limit", or the key is missing.
    pub(crate) fn endless_duration(&self, key: &KeySpec) -> Option<Duration> {
        self.read(key, scalar::duration).flatten()
    }

    /// A size in bytes, if the key is there and can be read.
    pub(crate) fn given_size(&self, key: &KeySpec) -> Option<usize> {
        self.read(key, scalar::size)
    }

    /// A size in bytes, or its default.
    pub(crate) fn size(&self, key: &KeySpec) -> usize {
        let default = || units::size(default(key)).and_then(|size| usize::try_from(size).ok());
        self.given_size(key).or_else(default).unwrap_or_default()
    }

    /// Milliseconds since the Unix epoch, if the key is there and can be read.
    pub(crate) fn timestamp(&self, key: &KeySpec) -> Option<u64> {
        self.read(key, scalar::timestamp)
    }

    /// The elements of a list, if the key is there.
    pub(crate) fn list(&self, key: &KeySpec) -> Option<&'a [TomlNode]> {
        let node = self.node(key)?;
        match &node.value {
            TomlValue::List(list) => return Some(list),
            TomlValue::Broken => {}
            _ => self.findings.add(scalar::wrong_type(key, node, "a list", &format!("write {} = [ … ]", key.name))),
        }
        None
    }

    /// The names in a list, with their nodes.
    pub(crate) fn names(&self, key: &KeySpec) -> Vec<(String, &'a TomlNode)> {
        let mut names = Vec::new();
        for node in self.list(key).unwrap_or_default() {
            match scalar::text(key, node) {
                Ok(Some(name)) => names.push((name, node)),
                Ok(None) => {}
                Err(_) => {
                    let message = format!("`{}` is a list of names, and this is {}", key.name, node.kind());
                    self.findings.add(Finding::error(Code::WRONG_TYPE, node.span.clone(), message));
                }
            }
        }
        names
    }

    /// A text or the texts of a list, with their nodes.
    pub(crate) fn one_or_more(&self, key: &KeySpec) -> Vec<(String, &'a TomlNode)> {
        match self.node(key) {
            Some(node) if matches!(node.value, TomlValue::Text(_)) => {
                self.text(key).map(|text| (text, node)).into_iter().collect()
            }
            _ => self.names(key),
        }
    }

    /// The table of a key, if the key is there. `help` says how to write it.
    pub(crate) fn table(&self, key: &KeySpec, help: &str) -> Option<&'a TomlTable> {
        table(self.findings, self.entry(key)?, help)
    }

    /// A reader of the table of a key, by its section.
    pub(crate) fn section(&self, key: &KeySpec, section: &'static Section) -> Option<SectionReader<'a>> {
        let table = self.table(key, &format!("write {} = {{ … }}", key.name))?;
        Some(SectionReader::open(self.findings, section, self.key_span(key), table, &[]))
    }

    fn read<T>(&self, key: &KeySpec, convert: impl Fn(&KeySpec, &TomlNode) -> Converted<T>) -> Option<T> {
        match convert(key, self.node(key)?) {
            Ok(value) => value,
            Err(finding) => {
                self.findings.add(finding);
                None
            }
        }
    }

    fn unknown(&self, entry: &TomlEntry) {
        let message = format!("there is no key `{}` in `{}`", entry.key, self.section.name);
        let finding = Finding::error(Code::UNKNOWN_KEY, entry.key_span.clone(), message);
        self.findings.add(finding.help(self.meant(&entry.key)));
    }

    fn meant(&self, key: &str) -> String {
        // The words of other systems go before close names. Words of Lambda's API, of CDK and of Terraform differ in
        // case and underscores only.
        let known = |word: &str| plain(word) == plain(key);
        if let Some((_, help)) = self.section.foreign.iter().find(|(word, _)| known(word)) {
            return (*help).to_owned();
        }
        let names = || self.section.keys.iter().map(|key| key.name);
        match nearest(key, names()) {
            Some(name) if self.findings.may_suggest() => format!("did you mean `{name}`?"),
            _ if self.section.keys.is_empty() => "it has no keys but `kind`".to_owned(),
            _ => format!("it has: {}", names().collect::<Vec<_>>().join(", ")),
        }
    }

    fn missing(&self, key: &KeySpec) {
        let message = format!("`{}` is missing", key.name);
        let help = format!("add `{} = …`: {}", key.name, crate::report::lower_case(key.about));
        let (code, help) = match key.name {
            "version" => (Code::VERSION, "add `version = 1` as the first line".to_owned()),
            _ => (Code::MISSING_KEY, help),
        };
        self.findings.add(Finding::error(code, self.span.clone(), message).help(help));
    }
}

/// The table of an entry; reported if the entry is no table.
pub(crate) fn table<'a>(findings: &Findings, entry: &'a TomlEntry, help: &str) -> Option<&'a TomlTable> {
    match &entry.node.value {
        TomlValue::Table(table) => return Some(table),
        TomlValue::Broken => {}
        _ => {
            let message = format!("`{}` is a table, and this is {}", entry.key, entry.node.kind());
            findings.add(Finding::error(Code::WRONG_TYPE, entry.node.span.clone(), message).help(help));
        }
    }
    None
}

/// The default of a key, as it would be written.
pub(crate) fn default(key: &KeySpec) -> &'static str {
    if let Default::Value(text) = key.default { text } else { "" }
}
