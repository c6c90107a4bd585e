//! The contribution of an event to the totals.

use crate::config::AggregateSettings;
use esclusa_plugin::json::{Json, Record};
use esclusa_plugin::table_change::{ChangeKind, TableChange};
use esclusa_plugin::template::{FieldProblem, RenderError};
use esclusa_plugin::{Event, EventError, log, number};

/// The contribution of one image to the totals of its key. Numbers are decimal text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contribution {
    /// The key attributes' values, in the order of the configuration.
    pub key: Vec<String>,
    /// The addend of each sum.
    pub sums: Vec<String>,
    /// The addend of the count: 1 or -1.
    pub count: i64,
    /// The values that compete for each extreme.
    pub extremes: Vec<String>,
}

/// The contributions of an event: at most an addition and a subtraction.
///
/// # Errors
/// [`EventError::Reject`] if nothing of it contributes and an image is malformed, [`EventError::Skip`] if it lacks a field or
/// changes nothing that counts.
pub(crate) fn of_event(settings: &AggregateSettings, event: Event<'_>) -> Result<Vec<Contribution>, EventError> {
    let record = Record::parse(event.text()?)?;
    let Some(change) = TableChange::of(&record)? else {
        return of_record(settings, &record).map(|contribution| vec![contribution]);
    };
    let (needs_old, needs_new) = match change.kind {
        ChangeKind::Insert => (false, true),
        ChangeKind::Modify => (true, true),
        ChangeKind::Remove => (true, false),
    };
    if (needs_old && change.old.is_none()) || (needs_new && change.new.is_none()) {
        let kind = change.kind.name();
        return Err(EventError::Reject(format!("{kind} without its images: the feed must keep both, new and old")));
    }
    let image = |record: Option<&Record<'_>>| record.map(|record| of_record(settings, record)).transpose();
    // An image that lacks a field or is malformed contributes nothing, whether it is the new one or, later, the old one: the
    // next change subtracts what this one has added. If that leaves nothing at all, the reason is given, the graver one first.
    let (old, new) = match (image(change.old.as_ref()), image(change.new.as_ref())) {
        (Err(EventError::Skip(_)), Err(reason)) | (Err(reason), Err(_) | Ok(None)) | (Ok(None), Err(reason)) => {
            return Err(reason);
        }
        (Err(_), Ok(new)) => (None, new),
        (Ok(old), Err(EventError::Reject(reason))) => {
            // A rejected event could not subtract, so nothing else tells of it.
            log::warn!("event {}: the new image is malformed and contributes nothing: {reason}", event.id());
            (old, None)
        }
        (Ok(old), new) => (old, new.unwrap_or_default()),
    };
    if old == new {
        return Err(EventError::skip("nothing that counts has changed"));
    }
    let old = old.map(|old| subtraction(old, new.as_ref())).transpose()?;
    Ok(old.into_iter().chain(new).collect())
}

/// Taking a value back. Extremes know only the value that they keep, so a value that was part of them must stay.
fn subtraction(old: Contribution, new: Option<&Contribution>) -> Result<Contribution, EventError> {
    if !old.extremes.is_empty() && new.is_none_or(|new| new.key != old.key || new.extremes != old.extremes) {
        return Err(EventError::reject(
            "a value cannot be taken back out of min or max: leave them out, or let the route's filter pass inserts only",
        ));
    }
    let sums = old.sums.iter().map(|sum| number::negate(sum)).collect::<Result<_, _>>();
    Ok(Contribution { sums: sums.map_err(|e| EventError::Reject(e.to_string()))?, count: -old.count, ..old })
}

fn of_record(settings: &AggregateSettings, record: &Record<'_>) -> Result<Contribution, EventError> {
    let templates = settings.key.attributes();
    let mut key = Vec::with_capacity(templates.len());
    for (name, template) in templates {
        match template.render(record) {
            Ok(text) if text.is_empty() => return Err(EventError::Skip(format!("key attribute {name:?} is empty"))),
            Ok(text) => key.push(text.into_owned()),
            Err(RenderError { field, problem: FieldProblem::Missing | FieldProblem::Kind("null"), .. }) => {
                return Err(missing(&field));
            }
            Err(error) => return Err(error.into()),
        }
    }
    let number = |field: &str| number_of(record, field);
    let sums = settings.sums.iter().map(|(_, field)| number(field)).collect::<Result<_, _>>()?;
    let extremes = settings.extremes.iter().map(|(_, field, _)| number(field)).collect::<Result<_, _>>()?;
    Ok(Contribution { key, sums, count: 1, extremes })
}

/// A number, or a text that holds one.
fn number_of(record: &Record<'_>, field: &str) -> Result<String, EventError> {
    match record.find(field) {
        None | Some(Json::Null) => Err(missing(field)),
        Some(Json::Number(text) | Json::Text(text)) => {
            number::canonical(&text).map_err(|error| EventError::Reject(format!("field {field:?}: {error}")))
        }
        Some(other) => Err(EventError::Reject(format!("field {field:?} is {}, not a number", other.kind()))),
    }
}

fn missing(field: &str) -> EventError {
    EventError::Skip(format!("field {field:?} is missing"))
}
