//! Processing: a pending message becomes complete. One that cannot be processed is rejected, so that it goes to the
//! dead-letter queue, whose reader marks it. A message that is delivered again changes nothing.

use crate::key;
use esclusa_plugin::{Condition, Effects, Event, EventError, Guard, Update};
use serde::Deserialize;

/// Longest message that can be processed, in characters.
const LONGEST: usize = 280;

/// Where the messages are.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    table: String,
}

#[derive(Deserialize)]
struct Work {
    id: String,
    text: String,
}

/// A dead letter, as far as it matters here.
#[derive(Deserialize)]
struct Letter {
    data: Payload,
    reason: String,
}

#[derive(Deserialize)]
struct Payload {
    text: String,
}

impl Config {
    /// Processes a message of the queue.
    ///
    /// # Errors
    /// [`EventError::Reject`] if it cannot be processed.
    pub fn process<'a>(&'a self, event: Event<'a>, out: &mut Effects<'a>) -> Result<(), EventError> {
        let work: Work = event.json()?;
        let length = work.text.chars().count();
        if length > LONGEST {
            return Err(EventError::Reject(format!("{length} characters, at most {LONGEST}")));
        }
        let complete = Update::new(&self.table, key(&work.id)).set("state", "complete").add("processed", "1");
        out.push(complete.guard(still_pending()));
        Ok(())
    }

    /// Marks a message that is in the dead-letter queue.
    ///
    /// # Errors
    /// [`EventError::Reject`] if it is no letter about a message.
    pub fn bury<'a>(&'a self, event: Event<'a>, out: &mut Effects<'a>) -> Result<(), EventError> {
        let letter: Letter = event.json()?;
        let work: Work = serde_json::from_str(&letter.data.text)
            .map_err(|error| EventError::Reject(format!("the letter is not about a message: {error}")))?;
        let failed = Update::new(&self.table, key(&work.id)).set("state", "fail").set("reason", letter.reason);
        out.push(failed.guard(still_pending()));
        Ok(())
    }
}

fn still_pending() -> Guard<'static> {
    Condition::new().equal("state", "pending").or_skip()
}
