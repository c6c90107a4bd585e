//! The page `docs/reference/configuration.md`, made from the tables that the parser reads by. A test compares the two.

use crate::shape::{Default, Family, Key, Kind, Section, root};
use std::fmt::Write;

const INTRODUCTION: &str = include_str!("reference/introduction.md");

/// The reference page of routes.toml, in Markdown.
#[must_use]
pub fn reference() -> String {
    let mut page = INTRODUCTION.to_owned();
    for key in root::SECTION.keys {
        match &key.kind {
            Kind::Section(section) => heading(&mut page, "##", &format!("[{}]", key.name), section),
            Kind::SectionList(section) => heading(&mut page, "##", &format!("[[{}]]", key.name), section),
            Kind::Family(family) => kinds(&mut page, family),
            _ => {}
        }
    }
    page
}

fn kinds(page: &mut String, family: &Family) {
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
            Kind::Section(inner) => {
                add(page, format_args!("\nKeys of `{}`:\n", key.name));
                keys(page, inner);
            }
            Kind::Sections(inner) => {
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

fn takes(kind: &Kind) -> String {
    match kind {
        Kind::Text => "text".to_owned(),
        Kind::Path => "path".to_owned(),
        Kind::Choice(words) => words.iter().map(|word| format!("`\"{word}\"`")).collect::<Vec<_>>().join(", "),
        Kind::Boolean => "`true`, `false`".to_owned(),
        Kind::Integer { min, max: i64::MAX } => format!("number from {min}"),
        Kind::Integer { min, max } => format!("number, {min} to {max}"),
        Kind::Duration { min, max, endless: false } => format!("duration, {min} to {max}"),
        Kind::Duration { min, max, endless: true } => format!("duration, {min} to {max}, or -1"),
        Kind::Size { min, max } => format!("size, {min} to {max}"),
        Kind::Timestamp => "time".to_owned(),
        Kind::Names => "list of names".to_owned(),
        Kind::OneOrMore => "text or list of texts".to_owned(),
        Kind::Texts => "table of texts".to_owned(),
        Kind::Json => "anything".to_owned(),
        Kind::List => "list".to_owned(),
        Kind::Patterns => "pattern or list of patterns".to_owned(),
        Kind::SectionList(_) => "list of tables".to_owned(),
        Kind::Object | Kind::Section(_) => "table".to_owned(),
        Kind::Sections(_) | Kind::Family(_) => "tables by name".to_owned(),
    }
}

fn default(key: &Key) -> String {
    match key.default {
        Default::Required => "**required**".to_owned(),
        Default::Nothing => String::new(),
        Default::Depends(text) => cell(text),
        Default::Value("") => "`\"\"`".to_owned(),
        Default::Value(value) => match key.kind {
            Kind::Boolean | Kind::Integer { .. } | Kind::Object | Kind::Json => format!("`{value}`"),
            Kind::Duration { .. } if value == "-1" => "`-1`".to_owned(),
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
