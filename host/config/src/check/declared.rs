//! Sections with names, such as `[source.NAME]`: read one by one, and looked up by name.

use crate::codes::Code;
use crate::nearest::nearest;
use crate::report::{Finding, Findings};
use crate::shape::{KeySpec, KindFamily, Section};
use crate::syntax::scalar;
use crate::syntax::section_reader::SectionReader;
use crate::syntax::toml_tree::{TomlEntry, TomlNode, TomlTable};
use std::collections::BTreeMap;
use std::ops::Range;

/// The declarations of one section.
pub(super) struct Declared<T> {
    /// The section's word, `source` in `[source.NAME]`.
    word: &'static str,
    by_name: BTreeMap<String, Declaration<T>>,
}

/// One declaration.
pub(super) struct Declaration<T> {
    /// The source, table, object store or output.
    pub value: T,
    /// The place of its name.
    pub span: Range<usize>,
    /// Its table.
    pub node: TomlNode,
}

impl<T> Declared<T> {
    /// Reads every table of a section that has kinds. A table that cannot be read is declared as `fallback`, so that
    /// the routes that name it are not reported, too.
    pub(super) fn read(
        root: &SectionReader<'_>,
        key: &KeySpec,
        family: &'static KindFamily,
        read: impl Fn(&str, &SectionReader<'_>) -> T,
        fallback: impl Fn() -> T,
    ) -> Self {
        let mut declared = Declared::none(family.name);
        let table = root.table(key, &format!("write [{}.NAME]", family.name));
        for entry in table.map(|table| table.entries.as_slice()).unwrap_or_default() {
            check_name(root.findings, family.name, &entry.key, &entry.key_span);
            let value = open(root.findings, family, entry).map_or_else(&fallback, |reader| read(&entry.key, &reader));
            declared.insert(entry, value);
        }
        declared
    }

    /// No declaration yet, for sections without kinds.
    pub(super) fn none(word: &'static str) -> Self {
        Declared { word, by_name: BTreeMap::new() }
    }

    /// Adds a declaration.
    pub(super) fn insert(&mut self, entry: &TomlEntry, value: T) {
        let declaration = Declaration { value, span: entry.key_span.clone(), node: entry.node.clone() };
        self.by_name.insert(entry.key.clone(), declaration);
    }

    /// The declaration of that name.
    pub(super) fn get(&self, name: &str) -> Option<&Declaration<T>> {
        self.by_name.get(name)
    }

    /// All declarations with their names, in the order of the names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Declaration<T>)> {
        self.by_name.iter().map(|(name, declaration)| (name.as_str(), declaration))
    }

    /// Likewise, to be changed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = (&str, &mut Declaration<T>)> {
        self.by_name.iter_mut().map(|(name, declaration)| (name.as_str(), declaration))
    }

    /// Names and values.
    pub(super) fn into_values(self) -> impl Iterator<Item = (String, T)> {
        self.by_name.into_iter().map(|(name, declaration)| (name, declaration.value))
    }

    /// The declaration of that name. If there is none, a finding with `code` is added at `span`.
    pub(super) fn resolve(
        &self,
        findings: &Findings,
        code: Code,
        name: &str,
        span: &Range<usize>,
    ) -> Option<&Declaration<T>> {
        let found = self.get(name);
        if found.is_none() {
            let message = format!("there is no [{}.{name}]", self.word);
            findings.add(Finding::error(code, span.clone(), message).help(self.meant(findings, name)));
        }
        found
    }

    fn meant(&self, findings: &Findings, name: &str) -> String {
        let names = || self.by_name.keys().map(String::as_str);
        let close = if findings.may_suggest() { nearest(name, names()) } else { None };
        match close {
            Some(close) => format!("did you mean \"{close}\"?"),
            None if self.by_name.is_empty() => format!("declare it: [{}.{name}]", self.word),
            None => {
                let shown: Vec<_> = names().take(10).collect();
                let more = if self.by_name.len() > shown.len() { ", …" } else { "" };
                format!("there is: {}{more}", shown.join(", "))
            }
        }
    }
}

/// Opens a table by its kind.
fn open<'a>(findings: &'a Findings, family: &'static KindFamily, entry: &'a TomlEntry) -> Option<SectionReader<'a>> {
    let Some(table) = entry.node.table() else {
        let message = format!("[{}] holds tables by name, and `{}` is {}", family.name, entry.key, entry.node.kind());
        let finding = Finding::error(Code::WRONG_TYPE, entry.key_span.clone(), message);
        findings.add(finding.help(format!("write [{}.NAME]", family.name)));
        return None;
    };
    let section = kind(findings, family, entry, table)?;
    Some(SectionReader::open(findings, section, entry.key_span.clone(), table, &["kind"]))
}

fn kind(
    findings: &Findings,
    family: &'static KindFamily,
    entry: &TomlEntry,
    table: &TomlTable,
) -> Option<&'static Section> {
    let words = || family.kinds.iter().map(|section| section.name);
    let list = || words().collect::<Vec<_>>().join(", ");
    let Some(node) = table.get("kind") else {
        let message = format!("[{}.{}] has no `kind`", family.name, entry.key);
        findings.add(
            Finding::error(Code::MISSING_KEY, entry.key_span.clone(), message).help(format!("one of: {}", list())),
        );
        return None;
    };
    let key = KeySpec {
        name: "kind",
        kind: crate::shape::ValueKind::Text,
        default: crate::shape::Default::Required,
        about: "",
    };
    let word = match scalar::text(&key, node) {
        Ok(word) => word?,
        Err(finding) => {
            findings.add(finding);
            return None;
        }
    };
    if let Some(section) = family.kinds.iter().find(|section| section.name == word) {
        return Some(section);
    }
    let help = match nearest(&word, words()) {
        Some(close) => format!("did you mean \"{close}\"?"),
        None => format!("one of: {}", list()),
    };
    let message = format!("there is no such kind of {}", family.name);
    findings.add(Finding::error(family.unknown_kind, node.span.clone(), message).help(help));
    None
}

/// Reports a name with other characters than letters, digits, `_`, `.` and `-`, or with more than 64 of them: names
/// become file names, metric labels and parts of URLs. A name of dots alone would lead to another directory.
pub(super) fn check_name(findings: &Findings, what: &str, name: &str, span: &Range<usize>) {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    let dots = name.chars().all(|c| c == '.');
    if dots || name.len() > 64 || !name.chars().all(good) {
        let finding = Finding::error(Code::BAD_NAME, span.clone(), format!("this is not a valid {what} name"));
        findings.add(finding.help("1 to 64 letters, digits, `_`, `.` or `-`, and not dots alone"));
    }
}
