//! A request, as a listener hands it over.

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
    /// The parts of the path below the domain's, decoded.
    pub path: Vec<&'a str>,
}

impl<'a> Request<'a> {
    /// The request that an event is.
    pub(crate) fn of(event: Event<'a>) -> Self {
        // "GET /reservas/{Id}", with the attribute path.Id
        let endpoint = event.attribute("endpoint").unwrap_or_default();
        let (method, pattern) = endpoint.split_once(' ').unwrap_or_default();
        let part = |part: &'a str| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(name) => event.attribute(&format!("path.{name}")).unwrap_or_default(),
            None => part,
        };
        let path = pattern.split('/').skip(2).filter(|part| !part.is_empty()).map(part).collect();
        Request { event, method, path }
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
