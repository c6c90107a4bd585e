//! Event patterns: a pure predicate on an event, with the words and the meaning of EventBridge and Lambda.
//!
//! `docs/reference/filters.md` describes the operators and the document that a pattern sees; a test runs the
//! examples of that page.
//!
//! A payload is read once for all patterns, in place. Nothing here allocates in proportion to its size; only a text with
//! escapes, or with bytes that are no UTF-8, is copied while it is compared. Every byte and every comparison is a step of a
//! budget that an outsider's event cannot exceed.

mod compile;
mod effort;
mod evaluation;
mod event_document;
mod network;
mod payload_scan;
mod program;
#[cfg(test)]
mod tests;
mod value_check;
mod wildcard;
mod words;

use crate::event::EventRef;
use crate::step_budget::StepBudget;
use effort::FilterEffort;
use evaluation::Evaluation;
use program::{PatternProgram, ROOT};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

pub use effort::Undecided;

/// Deepest nesting of a pattern.
pub const MAX_DEPTH: usize = 32;
/// Most fields and values of a pattern. Lambda allows 4,096 characters, which hold fewer.
pub const MAX_SIZE: usize = 4096;

/// Steps that a filter may take for each byte of an event. Reading takes two, and the rest is for comparisons: filters of
/// dozens of patterns take less than ten. With ten nanoseconds for a step, a megabyte takes two thirds of a second at most.
const STEPS_PER_BYTE: u64 = 64;
/// Steps that a filter may take for any event: some milliseconds. So a small event is never given up, whatever the patterns.
const STEPS_PER_EVENT: u64 = 1 << 20;
/// Steps that a filter may take for any event, for each of its lists and objects.
const STEPS_PER_CONDITION: u64 = 64;

/// A compiled list of patterns; any of them is enough. Copies share it.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    program: Arc<PatternProgram>,
    /// For each pattern whether it names fields that not every event has.
    own: Arc<[bool]>,
    /// The times of acceptance that are taken; `None`: all.
    within: Option<(u64, u64)>,
}

/// One compiled pattern: a predicate on a JSON value.
#[derive(Debug, Clone, PartialEq)]
pub struct Pattern {
    program: PatternProgram,
}

/// The value of a field, for [`Pattern::matches_fields`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldValue<'a> {
    /// JSON's null.
    Null,
    /// True or false.
    Boolean(bool),
    /// A number as it is written.
    Number(&'a str),
    /// A text, without quotes and escapes.
    Text(&'a str),
    /// The JSON text of an array or object.
    Json(&'a str),
}

/// A pattern that cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("pattern {pattern}{}: {message}", if pointer.is_empty() { String::new() } else { format!(" at {pointer}") })]
pub struct FilterError {
    /// Index of the pattern in the list.
    pub pattern: usize,
    /// JSON pointer to the offending part of that pattern; empty for the whole of it.
    pub pointer: String,
    /// The mistake, and how to write it instead.
    pub message: String,
}

impl Filter {
    /// The operators of values.
    pub const OPERATORS: [&'static str; compile::operator::NAMES.len()] = compile::operator::NAMES;

    /// Compiles a list of patterns. A pattern is an object, or a text that holds one as JSON, as Lambda has it.
    ///
    /// # Errors
    /// [`FilterError`] for the first mistake; an empty list is one, as it would match nothing.
    pub fn compile(patterns: &[Value]) -> Result<Filter, FilterError> {
        if patterns.is_empty() {
            let message = "a list of patterns needs at least one: an empty list would match no event".to_owned();
            return Err(FilterError { pattern: 0, pointer: String::new(), message });
        }
        let mut program = PatternProgram::default();
        for (pattern, value) in patterns.iter().enumerate() {
            let compiled = compile::pattern(value, &mut program);
            compiled.map_err(|mistake| FilterError::new(pattern, mistake))?;
        }
        let is_own = |name: &str| !program::is_event_field(name);
        let own = program.patterns().iter().map(|pattern| program.names(&pattern.all).any(is_own)).collect();
        Ok(Filter { program: Arc::new(program), own, within: None })
    }

    /// Narrows a filter (`None`: one that takes every event) to the events that the source accepted from `since` to `until`,
    /// in milliseconds since the Unix epoch.
    #[must_use]
    pub fn within(filter: Option<Filter>, since: u64, until: u64) -> Filter {
        let mut filter = filter.unwrap_or_else(|| {
            let mut program = PatternProgram::default();
            program.object(ROOT, program::AllOf::default());
            Filter { program: Arc::new(program), own: Arc::new([false]), within: None }
        });
        let (from, to) = filter.within.unwrap_or((0, u64::MAX));
        filter.within = Some((since.max(from), until.min(to)));
        filter
    }

    /// The budget of one event. No filter that people write needs it: it is there for events that were made to cost.
    #[must_use]
    pub fn budget(&self, event: EventRef<'_>) -> StepBudget {
        let bytes = STEPS_PER_BYTE.saturating_mul(event.size() as u64);
        let conditions = STEPS_PER_CONDITION.saturating_mul(self.program.conditions() as u64);
        StepBudget::of(bytes.saturating_add(conditions).saturating_add(STEPS_PER_EVENT))
    }

    /// True if any pattern matches the document of an event from a source of this kind. Its steps are spent from `work`:
    /// a step for each byte that is looked at, and one for each comparison. `stop` is looked at for every event, and every
    /// 64 Ki steps.
    ///
    /// # Errors
    /// [`Undecided`] if `work` does not suffice, or `stop` became true.
    pub fn matches(
        &self,
        kind: &str,
        event: EventRef<'_>,
        work: &mut StepBudget,
        stop: &AtomicBool,
    ) -> Result<bool, Undecided> {
        let mut effort = FilterEffort::new(work, stop);
        effort.spend(1)?;
        if self.within.is_some_and(|(since, until)| !(since..=until).contains(&event.timestamp)) {
            return Ok(false);
        }
        event_document::matches(&mut Evaluation::new(&self.program, effort), &self.own, kind, event)
    }

    /// The first field that no event from a source of this kind has, with the index of its pattern: most likely
    /// a forgotten `data`.
    #[must_use]
    pub fn unknown_field(&self, kind: &str) -> Option<(usize, &str)> {
        self.program.patterns().iter().enumerate().find_map(|(index, pattern)| {
            let unknown = self.program.names(&pattern.all).find(|name| !event_document::knows(kind, name))?;
            Some((index, unknown))
        })
    }
}

impl FilterError {
    fn new(pattern: usize, compile::Mistake { pointer, message }: compile::Mistake) -> Self {
        FilterError { pattern, pointer, message }
    }
}

impl Pattern {
    /// Compiles one pattern; see [`Filter::compile`].
    ///
    /// # Errors
    /// [`FilterError`] for the first mistake.
    pub fn compile(pattern: &Value) -> Result<Pattern, FilterError> {
        let mut program = PatternProgram::default();
        compile::pattern(pattern, &mut program).map_err(|mistake| FilterError::new(0, mistake))?;
        Ok(Pattern { program })
    }

    /// True if the pattern matches an object that the caller has read: `field` gives the value of a field, `None` if the
    /// object lacks it. Only the fields that the pattern names are asked for.
    #[must_use]
    pub fn matches_fields<'a>(&self, field: impl Fn(&str) -> Option<FieldValue<'a>>) -> bool {
        // Without a budget: this is for plugins, whose time the router limits as a whole.
        let (mut work, stop) = (StepBudget::of(u64::MAX), AtomicBool::new(false));
        let mut evaluation = Evaluation::new(&self.program, FilterEffort::new(&mut work, &stop));
        evaluation.enter(ROOT);
        matches!(event_document::fields(&mut evaluation, field), Ok(true)) && evaluation.passes(0)
    }
}
