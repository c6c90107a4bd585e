//! Answers: JSON as it was, texts in the words that they had.

use esclusa_plugin::{Effects, Event, EventError};
use serde::Serialize;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    status: u16,
    content_type: &'static str,
    body: String,
}

impl Answer {
    /// A document.
    ///
    /// # Errors
    /// [`EventError::Reject`] if it cannot be written as JSON.
    pub(crate) fn json(document: &impl Serialize) -> Result<Self, EventError> {
        match serde_json::to_string_pretty(document) {
            Ok(body) => Ok(Answer { status: 200, content_type: "application/json", body }),
            Err(error) => Err(EventError::Reject(error.to_string())),
        }
    }

    /// A text: something was done.
    pub(crate) fn done(text: &str) -> Self {
        Answer::text(200, text)
    }

    /// The request makes no sense.
    pub(crate) fn wrong(text: &str) -> Self {
        Answer::text(400, text)
    }

    /// There is no such thing.
    pub(crate) fn missing(text: &str) -> Self {
        Answer::text(404, text)
    }

    /// As things are, it cannot be done.
    pub(crate) fn refused(text: &str) -> Self {
        Answer::text(409, text)
    }

    /// No endpoint has this method and path.
    pub(crate) fn unknown() -> Self {
        Answer::text(404, "no hay tal llamada")
    }

    fn text(status: u16, text: &str) -> Self {
        // The document's content type names no charset: other letters are written so that none is needed.
        let escaped = text.chars().map(|letter| match letter {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            ascii if ascii.is_ascii() => ascii.to_string(),
            other => format!("&#{};", u32::from(other)),
        });
        Answer { status, content_type: "text/html", body: escaped.collect() }
    }

    /// Answers the request that `event` is.
    pub(crate) fn send(self, event: Event<'_>, out: &mut Effects<'_>) {
        out.reply(event, self.status, self.content_type, self.body);
    }
}
