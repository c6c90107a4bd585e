//! A request, as a source of kind `http` hands it over.

use crate::answer::Answer;
use esclusa_plugin::Event;
use serde::de::DeserializeOwned;

/// Longest text that becomes a part of a key, in bytes.
const LONGEST: usize = 255;

/// A request.
pub(crate) struct Request<'a> {
    /// The event that it is.
    pub event: Event<'a>,
    /// `GET`, `POST`, …
    pub method: &'a str,
    /// The parts of the path below the source's name.
    pub path: Vec<&'a str>,
}

impl<'a> Request<'a> {
    /// The request that an event is.
    pub(crate) fn of(event: Event<'a>) -> Self {
        let path = event.attribute("path").unwrap_or_default();
        let path = path.split('/').filter(|part| !part.is_empty()).collect();
        Request { event, method: event.attribute("method").unwrap_or_default(), path }
    }

    /// The body.
    ///
    /// # Errors
    /// The answer 400 if it is not the JSON that is expected.
    pub(crate) fn body<T: DeserializeOwned>(&self) -> Result<T, Answer> {
        self.event.json().map_err(|_| Answer::wrong("el cuerpo no es el JSON esperado"))
    }
}

/// A text that becomes a part of a key and of a path.
///
/// # Errors
/// The answer 400 if it is empty, too long, or has a slash.
pub(crate) fn name<'a>(field: &str, text: &'a str) -> Result<&'a str, Answer> {
    if text.is_empty() || text.len() > LONGEST || text.contains('/') {
        return Err(Answer::wrong(&format!("{field} debe tener de 1 a {LONGEST} bytes, sin barras")));
    }
    Ok(text)
}
