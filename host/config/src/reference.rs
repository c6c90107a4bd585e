//! The page `docs/reference/configuration.md`, made from the tables of `shape`, by which the file is read. A test
//! compares the two.

use crate::shape::{Default, KeySpec, KindFamily, Section, ValueKind, root};
use std::fmt::Write;

const INTRODUCTION: &str = include_str!("reference/introduction.md");

/// The reference page of routes.toml, in Markdown.
#[must_use]
pub fn reference() -> String {
    let mut page = INTRODUCTION.to_owned();
    for key in root::SECTION.keys {
        match &key.kind {
            ValueKind::Section(section) => heading(&mut page, "##", &format!("[{}]", key.name), section),
            ValueKind::SectionList(section) => heading(&mut page, "##", &format!("[[{}]]", key.name), section),
            ValueKind::Family(family) => kinds(&mut page, family),
            ValueKind::Sections(section) => heading(&mut page, "##", &format!("[{}.NAME]", key.name), section),
            _ => {}
        }
    }
    page
}

fn kinds(page: &mut String, family: &KindFamily) {
    let list = family.kinds.iter().map(|section| format!("`{}`", section.name)).collect::<Vec<_>>().join(", ");
    add(page, format_args!("\n## `[{}.NAME]`\n\n{}\n", family.name, family.about));
    add(page, format_args!("`kind` is one of: {list}.\n"));
    for section in family.kinds {
        heading(page, "###", &format!("kind = \"{}\"", section.name), section);
    }
}

fn heading(page: &mut String, level: &str, title: &str, section: &Section) {
    add(page, format_args!("\n{level} `{title}`\n\n{}\n", section.about));
    keys(page, section);
    for key in section.keys {
        match &key.kind {
            ValueKind::Section(inner) => {
                add(page, format_args!("\nKeys of `{}`:\n", key.name));
                keys(page, inner);
            }
            ValueKind::Sections(inner) => {
                add(page, format_args!("\nKeys of each of `{}`:\n", key.name));
                keys(page, inner);
            }
            _ => {}
        }
    }
}

fn keys(page: &mut String, section: &Section) {
    if section.keys.is_empty() {
        return;
    }
    page.push_str("\n| key | takes | default | |\n|---|---|---|---|\n");
    for key in section.keys {
        add(page, format_args!("| `{}` | {} | {} | {} |\n", key.name, takes(&key.kind), default(key), cell(key.about)));
    }
}

fn takes(kind: &ValueKind) -> String {
    match kind {
        ValueKind::Text => "text".to_owned(),
        ValueKind::Path => "path".to_owned(),
        ValueKind::Choice(words) => words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(", "),
        ValueKind::Boolean => "`true`, `false`".to_owned(),
        ValueKind::Integer { min, max: i64::MAX } => format!("number from {min}"),
        ValueKind::Integer { min, max } => format!("number, {min} to {max}"),
        ValueKind::Duration { min, max, endless: false } => format!("duration, {min} to {max}"),
        ValueKind::Duration { min, max, endless: true } => format!("duration, {min} to {max}, or -1"),
        ValueKind::Size { min, max } => format!("size, {min} to {max}"),
        ValueKind::Timestamp => "time".to_owned(),
        ValueKind::Names => "list of names".to_owned(),
        ValueKind::OneOrMore => "text or list of texts".to_owned(),
        ValueKind::Texts => "table of texts".to_owned(),
        ValueKind::Json => "anything".to_owned(),
        ValueKind::List => "list".to_owned(),
        ValueKind::Patterns => "pattern or list of patterns".to_owned(),
        ValueKind::SectionList(_) => "list of tables".to_owned(),
        ValueKind::Object | ValueKind::Section(_) => "table".to_owned(),
        ValueKind::Sections(_) | ValueKind::Family(_) => "tables by name".to_owned(),
    }
}

fn default(key: &KeySpec) -> String {
    match key.default {
        Default::Required => "**required**".to_owned(),
        Default::Nothing => String::new(),
        Default::Depends(text) => cell(text),
        Default::Value("") => "`\"\"`".to_owned(),
        Default::Value(value) => match key.kind {
            ValueKind::Boolean | ValueKind::Integer { .. } | ValueKind::Object | ValueKind::Json => {
                format!("`{value}`")
            }
            ValueKind::Duration { .. } if value == "-1" => "`-1`".to_owned(),
            _ => format!("`\"{value}\"`"),
        },
    }
}

/// A text as a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

fn add(page: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _written = page.write_fmt(text);
}
