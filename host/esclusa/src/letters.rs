//! Dead letters as people ask for them: selected by route, code and pattern, with their numbers.

use esclusa_config::plan::Plan;
use esclusa_embedded::Store;
use esclusa_flow::dead_letter::DeadLetter;
use esclusa_flow::event::{Columns, NewEvent};
use esclusa_flow::fault::Fault;
use esclusa_flow::filter::{Filter, Undecided};
use esclusa_flow::work::Exhausted;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

/// Letters that are read at once; fewer when they are large.
const PAGE: usize = 200;
/// Bytes of letters that are given at once; the letter that passes it is the last one.
const BYTES: usize = 8 << 20;

/// A dead letter and its number.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Letter {
    /// Its number.
    pub id: u64,
    /// Bytes of its payload.
    pub size: usize,
    /// Its story.
    #[serde(flatten)]
    pub letter: DeadLetter,
}

impl Letter {
    /// A letter as the store has it.
    #[must_use]
    pub fn new(id: u64, letter: DeadLetter) -> Self {
        Letter { id, size: letter.data.len(), letter }
    }

    /// Bytes of what a producer and a plugin can make long.
    fn weight(&self) -> usize {
        let DeadLetter { data, attributes, reason, backtrace, logs, .. } = &self.letter;
        let attributes = attributes.iter().map(|(name, value)| name.len().saturating_add(value.len()));
        let texts = [data.len(), reason.len(), backtrace.as_ref().map_or(0, String::len)];
        attributes.chain(texts).chain(logs.iter().map(String::len)).fold(0, usize::saturating_add)
    }

    /// With at most so many bytes of its payload; text is cut between characters.
    fn preview(mut self, most: usize) -> Self {
        let data = &mut self.letter.data;
        let end = match std::str::from_utf8(data) {
            Ok(text) => text.floor_char_boundary(most),
            Err(_) => most,
        };
        data.truncate(end);
        self
    }
}

/// Which letters.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Query {
    /// Of this route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// With this code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Whose event matches this pattern, written as JSON.
    #[serde(rename = "where", skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// After the letter with this number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// At most so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// With at most so many bytes of each payload.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preview: Option<usize>,
}

/// A selection that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum NotSelected {
    /// The pattern is none.
    #[error("{0}")]
    Pattern(String),
    /// The pattern takes too long on a letter, the one with this number.
    #[error("the pattern gives no answer for letter {id}: {why}; ask by route or code, or with a smaller pattern")]
    TooMuch {
        /// Its number.
        id: u64,
        /// The budget.
        why: Exhausted,
    },
    /// Nobody waits for the letters any more.
    #[error("stopped")]
    Stopped,
    /// The store does not answer.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// The letters that a query selects, in the order in which they died; at most `most`, and fewer if they are large, but one at
/// least if there is one. It looks at `stop` for every letter.
///
/// # Errors
/// [`NotSelected`].
pub fn select(store: &Store, query: &Query, most: usize, stop: &AtomicBool) -> Result<Vec<Letter>, NotSelected> {
    let filter = query.pattern.as_deref().map(pattern).transpose()?;
    let most = query.limit.unwrap_or(most).min(most);
    let (mut found, mut after, mut bytes) = (Vec::new(), query.after, 0_usize);
    while found.len() < most && bytes < BYTES {
        let page = store.dead_letters(query.route.as_deref(), after, PAGE)?;
        let Some((last, _)) = page.last() else { break };
        after = Some(*last);
        for (id, letter) in page {
            if stop.load(Ordering::Relaxed) {
                return Err(NotSelected::Stopped);
            }
            let fits = query.code.as_ref().is_none_or(|code| *code == letter.code)
                && filter.as_ref().map_or(Ok(true), |filter| matches(filter, id, &letter, stop))?;
            if !fits {
                continue;
            }
            let letter = Letter::new(id, letter);
            let letter = if let Some(most) = query.preview { letter.preview(most) } else { letter };
            bytes = bytes.saturating_add(letter.weight());
            found.push(letter);
            if found.len() >= most || bytes >= BYTES {
                break;
            }
        }
    }
    Ok(found)
}

/// Letters of routes that the configuration does not have, by route: they were removed or renamed.
#[must_use]
pub fn left(store: &Store, plan: &Plan) -> BTreeMap<String, u64> {
    let mut counts = store.dead_counts();
    counts.retain(|route, _| !plan.routes.iter().any(|known| *known.name == **route));
    counts
}

/// What there is to say of letters whose route is gone.
#[must_use]
pub fn left_told(route: &str, count: u64) -> String {
    format!(
        "{count} dead letter(s) of route {route}, which is not in routes.toml: see `esclusa dlq ls --route {route}`"
    )
}

fn pattern(text: &str) -> Result<Filter, NotSelected> {
    let value = serde_json::from_str(text)
        .map_err(|error| NotSelected::Pattern(format!("the pattern {text} is not JSON: {error}")))?;
    Filter::compile(&[value]).map_err(|error| NotSelected::Pattern(error.to_string()))
}

/// True if the letter's event matches, as it would in the filter of a route.
fn matches(filter: &Filter, id: u64, letter: &DeadLetter, stop: &AtomicBool) -> Result<bool, NotSelected> {
    let attributes: Vec<(&str, &str)> =
        letter.attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut columns = Columns::default();
    let event = NewEvent {
        id: &letter.event,
        key: &letter.key,
        data: &letter.data,
        attributes: &attributes,
        timestamp: letter.timestamp.millis(),
        attempt: letter.attempts,
    };
    if columns.push(&event).is_err() {
        return Ok(false);
    }
    let Some(event) = columns.get(0) else { return Ok(false) };
    filter.matches(&letter.kind, event, &mut filter.budget(event), stop).map_err(|undecided| match undecided {
        Undecided::Exhausted(why) => NotSelected::TooMuch { id, why },
        Undecided::Stopped => NotSelected::Stopped,
    })
}
