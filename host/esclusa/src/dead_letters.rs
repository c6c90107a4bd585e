//! Dead letters for people: selected by route, code and pattern, with their numbers.

use esclusa_config::plan::Plan;
use esclusa_embedded::Store;
use esclusa_flow::dead_letter::DeadLetter;
use esclusa_flow::event::{Columns, NewEvent, TooLarge};
use esclusa_flow::fault::Fault;
use esclusa_flow::filter::{Filter, Undecided};
use esclusa_flow::step_budget::Exhausted;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

/// Dead letters that are read from the store at a time.
const PAGE: usize = 200;
/// Bytes of the dead letters of one selection; the one that exceeds them is the last.
const BYTES: usize = 8 << 20;

/// A dead letter and its number.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StoredDeadLetter {
    /// Its number.
    pub id: u64,
    /// Bytes of its payload.
    pub size: usize,
    /// Everything that is known of it.
    #[serde(flatten)]
    pub dead_letter: DeadLetter,
}

impl StoredDeadLetter {
    /// A dead letter from the store.
    #[must_use]
    pub(crate) fn new(id: u64, dead_letter: DeadLetter) -> Self {
        StoredDeadLetter { id, size: dead_letter.data.len(), dead_letter }
    }

    /// Bytes of the parts that a producer or a plugin can make long.
    fn weight(&self) -> usize {
        let DeadLetter { data, attributes, reason, backtrace, logs, .. } = &self.dead_letter;
        let attributes = attributes.iter().map(|(name, value)| name.len().saturating_add(value.len()));
        let texts = [data.len(), reason.len(), backtrace.as_ref().map_or(0, String::len)];
        attributes.chain(texts).chain(logs.iter().map(String::len)).fold(0, usize::saturating_add)
    }

    /// The dead letter with at most so many bytes of its payload; text is cut between characters.
    fn preview(mut self, most: usize) -> Self {
        let data = &mut self.dead_letter.data;
        let end = match std::str::from_utf8(data) {
            Ok(text) => text.floor_char_boundary(most),
            Err(_) => most,
        };
        data.truncate(end);
        self
    }
}

/// A selection of dead letters; each field narrows it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct DeadLetterQuery {
    /// Of this route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// With this code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Whose event matches this pattern, written as JSON.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Only those after the dead letter with this number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// At most so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Shorten each payload to so many bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preview: Option<usize>,
}

/// Why dead letters were not selected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotSelected {
    /// The pattern is not an event pattern.
    #[error("{0}")]
    Pattern(String),
    /// The pattern takes too many steps on the dead letter with this number.
    #[error("the pattern gives no answer for dead letter {id}: {why}; ask by route or code, or with a smaller pattern")]
    TooMuch {
        /// Its number.
        id: u64,
        /// The budget of steps that was spent.
        why: Exhausted,
    },
    /// The client has gone.
    #[error("stopped")]
    Stopped,
    /// A fault of the store.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// The dead letter with this number, if there is one.
///
/// # Errors
/// The [`Fault`] of the store.
pub(crate) fn find(store: &Store, id: u64) -> Result<Option<DeadLetter>, Fault> {
    let found = store.dead_letters(None, id.checked_sub(1), 1)?;
    Ok(found.into_iter().find(|(number, _)| *number == id).map(|(_, dead_letter)| dead_letter))
}

/// Selects dead letters in the order in which they died: at most `most`, fewer if they are large, but at least one if
/// there is one. `stop` is read before each of them.
///
/// # Errors
/// [`NotSelected`].
pub(crate) fn select(
    store: &Store,
    query: &DeadLetterQuery,
    most: usize,
    stop: &AtomicBool,
) -> Result<Vec<StoredDeadLetter>, NotSelected> {
    let filter = query.pattern.as_deref().map(pattern).transpose()?;
    let most = query.limit.unwrap_or(most).min(most);
    let (mut found, mut after, mut bytes) = (Vec::new(), query.after, 0_usize);
    // The store selects by route only; code and pattern are applied here, so a page may give nothing.
    while found.len() < most && bytes < BYTES {
        let page = store.dead_letters(query.route.as_deref(), after, PAGE)?;
        let Some((last, _)) = page.last() else { break };
        after = Some(*last);
        for (id, dead_letter) in page {
            // Read for each dead letter: a pattern may take milliseconds on one of them.
            if stop.load(Ordering::Relaxed) {
                return Err(NotSelected::Stopped);
            }
            let fits = query.code.as_ref().is_none_or(|code| *code == dead_letter.code)
                && filter.as_ref().map_or(Ok(true), |filter| matches_event(filter, id, &dead_letter, stop))?;
            if !fits {
                continue;
            }
            let dead_letter = StoredDeadLetter::new(id, dead_letter);
            let dead_letter = if let Some(most) = query.preview { dead_letter.preview(most) } else { dead_letter };
            bytes = bytes.saturating_add(dead_letter.weight());
            found.push(dead_letter);
            if found.len() >= most || bytes >= BYTES {
                break;
            }
        }
    }
    Ok(found)
}

/// How many dead letters there are of routes that the configuration does not have, by route: those were removed or
/// renamed.
#[must_use]
pub(crate) fn of_removed_routes(store: &Store, plan: &Plan) -> BTreeMap<String, u64> {
    let mut counts = store.dead_counts();
    counts.retain(|route, _| !plan.routes.iter().any(|known| *known.name == **route));
    counts
}

/// A message about the dead letters of a removed route.
#[must_use]
pub(crate) fn removed_route_message(route: &str, count: u64) -> String {
    format!(
        "{count} dead letter(s) of route {route}, which is not in routes.toml: see `esclusa dlq ls --route {route}`"
    )
}

fn pattern(text: &str) -> Result<Filter, NotSelected> {
    let value = serde_json::from_str(text)
        .map_err(|error| NotSelected::Pattern(format!("the pattern {text} is not JSON: {error}")))?;
    Filter::compile(&[value]).map_err(|error| NotSelected::Pattern(error.to_string()))
}

/// The event of a dead letter as a batch of one, on its delivery number `attempt`.
///
/// # Errors
/// The event is larger than a batch can be.
pub(crate) fn event_columns(dead_letter: &DeadLetter, attempt: u32) -> Result<Columns, TooLarge> {
    let attributes: Vec<(&str, &str)> =
        dead_letter.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut columns = Columns::default();
    columns.push(&NewEvent {
        id: &dead_letter.event,
        key: &dead_letter.key,
        data: &dead_letter.data,
        attributes: &attributes,
        timestamp: dead_letter.timestamp.millis(),
        attempt,
    })?;
    Ok(columns)
}

/// True if the event of a dead letter matches, as it would in the filter of a route.
fn matches_event(filter: &Filter, id: u64, dead_letter: &DeadLetter, stop: &AtomicBool) -> Result<bool, NotSelected> {
    // An event that does not fit into a batch never reached the filter of its route.
    let Ok(columns) = event_columns(dead_letter, dead_letter.attempts) else { return Ok(false) };
    let Some(event) = columns.get(0) else { return Ok(false) };
    filter.matches(&dead_letter.kind, event, &mut filter.budget(event), stop).map_err(|undecided| match undecided {
        Undecided::Exhausted(why) => NotSelected::TooMuch { id, why },
        Undecided::Stopped => NotSelected::Stopped,
    })
}
