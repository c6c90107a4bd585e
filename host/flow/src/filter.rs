//! Event patterns: a pure predicate on an event, with the words and the meaning of EventBridge and Lambda.
//!
//! `docs/reference/filters.md` describes the operators and the document that a pattern sees; a test runs the
//! examples of that page. Nothing here allocates in proportion to an event: payloads are scanned where they lie,
//! and only the fields that a pattern names are looked at.

mod check;
mod compile;
mod document;
mod json;
mod network;
#[cfg(test)]
mod tests;
mod tree;
mod view;
mod wildcard;

use crate::event::EventRef;
use check::Check;
use serde_json::Value;
use tree::{Node, Object};
use view::View;

/// Deepest nesting of a pattern.
pub const MAX_DEPTH: usize = 32;
/// Most fields and values of a pattern. Lambda allows 4,096 characters, which hold fewer.
pub const MAX_SIZE: usize = 4096;

/// A compiled list of patterns; any of them is enough.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    patterns: Vec<Pattern>,
}

/// One compiled pattern: a predicate on a JSON value.
#[derive(Debug, Clone, PartialEq)]
pub struct Pattern {
    root: Node,
}

/// A pattern that cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("pattern {pattern}{}: {message}", if pointer.is_empty() { String::new() } else { format!(" at {pointer}") })]
pub struct FilterError {
    /// Index of the pattern in the list.
    pub pattern: usize,
    /// JSON pointer to the offending part of that pattern; empty for the whole of it.
    pub pointer: String,
    /// What is wrong with it, and what to write instead.
    pub message: String,
}

impl Filter {
    /// Compiles a list of patterns. A pattern is an object, or a text that holds one as JSON, as Lambda has it.
    ///
    /// # Errors
    /// [`FilterError`] for the first mistake; an empty list is one, as it would match nothing.
    pub fn compile(patterns: &[Value]) -> Result<Filter, FilterError> {
        if patterns.is_empty() {
            let message = "a list of patterns needs at least one: an empty list would match no event".to_owned();
            return Err(FilterError { pattern: 0, pointer: String::new(), message });
        }
        let compiled = patterns.iter().enumerate().map(|(pattern, value)| match compile::pattern(value) {
            Ok(root) => Ok(Pattern { root }),
            Err(compile::Mistake { pointer, message }) => Err(FilterError { pattern, pointer, message }),
        });
        Ok(Filter { patterns: compiled.collect::<Result<_, _>>()? })
    }

    /// What a filter takes, or everything without one, of the events that were accepted from `since` to `until`,
    /// milliseconds since the Unix epoch.
    #[must_use]
    pub fn within(filter: Option<Filter>, since: u64, until: u64) -> Filter {
        let everything = || vec![Pattern { root: Node::Object(Object::default()) }];
        let mut patterns = filter.map_or_else(everything, |filter| filter.patterns);
        for Pattern { root } in &mut patterns {
            if let Node::Object(object) = root {
                object.require("timestamp", Check::between(since, until));
            }
        }
        Filter { patterns }
    }

    /// True where any pattern matches the document of an event from a source of this kind.
    #[must_use]
    pub fn matches(&self, kind: &str, event: EventRef<'_>) -> bool {
        self.patterns.iter().any(|pattern| tree::matches(&pattern.root, Some(View::Event(kind, event))))
    }

    /// The first field that no event from a source of this kind has, with the index of its pattern: most likely
    /// a forgotten `data`.
    #[must_use]
    pub fn unknown_field(&self, kind: &str) -> Option<(usize, &str)> {
        self.patterns.iter().enumerate().find_map(|(index, pattern)| {
            let unknown = pattern.root.names().find(|name| !document::knows(kind, name))?;
            Some((index, unknown))
        })
    }
}

impl Pattern {
    /// Compiles one pattern; see [`Filter::compile`].
    ///
    /// # Errors
    /// [`FilterError`] for the first mistake.
    pub fn compile(pattern: &Value) -> Result<Pattern, FilterError> {
        match compile::pattern(pattern) {
            Ok(root) => Ok(Pattern { root }),
            Err(compile::Mistake { pointer, message }) => Err(FilterError { pattern: 0, pointer, message }),
        }
    }

    /// True where the value itself is the document: fields of the pattern are fields of the value.
    #[must_use]
    pub fn matches_value(&self, value: &Value) -> bool {
        tree::matches(&self.root, Some(View::Tree(value)))
    }
}
