//! Errors as the API answers them: a status and a JSON object, `{"error": …}`.

use axum::Json;
use axum::http::header::{ACCEPT_ENCODING, CONTENT_SECURITY_POLICY, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use esclusa_flow::fault::{Fault, STORE_FULL};
use serde_json::{Map, Value};
use std::error::Error;

/// The code of a body in a coding that is not decoded; the answer lists those that are.
pub const REFUSED_CODING: &str = "http.coding";
/// The policy of errors: they are no pages.
const POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

/// An error of the API.
#[derive(Debug)]
pub struct ApiError {
    status: StatusCode,
    message: String,
    code: Option<&'static str>,
    diagnostics: Option<Value>,
}

impl ApiError {
    /// An error with a message for people.
    pub fn new(status: StatusCode, message: impl Into<String>) -> Self {
        ApiError { status, message: message.into(), code: None, diagnostics: None }
    }

    /// Adds the stable code of the limit that was hit.
    pub fn code(self, code: &'static str) -> Self {
        ApiError { code: Some(code), ..self }
    }

    /// Adds the diagnostics of routes.toml.
    pub fn with(self, diagnostics: Option<Value>) -> Self {
        ApiError { diagnostics, ..self }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut body = Map::from_iter([("error".to_owned(), Value::String(self.message))]);
        body.extend(self.code.map(|code| ("code".to_owned(), code.into())));
        body.extend(self.diagnostics.map(|diagnostics| ("diagnostics".to_owned(), diagnostics)));
        let mut response = (self.status, Json(body)).into_response();
        // A message may quote the request: no browser shall take it for a page.
        let mut headers = vec![(X_CONTENT_TYPE_OPTIONS, "nosniff"), (CONTENT_SECURITY_POLICY, POLICY)];
        // A full store does not get smaller within a second.
        match self.status {
            StatusCode::SERVICE_UNAVAILABLE => headers.push((RETRY_AFTER, "1")),
            StatusCode::INSUFFICIENT_STORAGE => headers.push((RETRY_AFTER, "60")),
            _ => {}
        }
        if self.code == Some(REFUSED_CODING) {
            headers.push((ACCEPT_ENCODING, "gzip, zstd"));
        }
        for (name, value) in headers {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

/// The innermost cause of an error: the errors around it describe the program, not the request.
pub fn root_cause<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause
}

/// Answers a path that does not exist.
pub async fn not_found(uri: Uri) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, format!("there is nothing at {}", uri.path()))
}

/// Answers a method that the path does not have.
pub async fn method_not_allowed(method: Method, uri: Uri) -> ApiError {
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        format!("{} does not take {method}; the header Allow lists the methods that it takes", uri.path()),
    )
}

impl From<Fault> for ApiError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Refused { code: code @ STORE_FULL, reason } => {
                ApiError::new(StatusCode::INSUFFICIENT_STORAGE, reason).code(code)
            }
            Fault::Refused { code, reason } => ApiError::new(StatusCode::SERVICE_UNAVAILABLE, reason).code(code),
            fault => ApiError::new(StatusCode::SERVICE_UNAVAILABLE, fault.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_store_is_507_and_says_when_to_come_again() {
        let full = Fault::Refused { code: STORE_FULL, reason: "full".to_owned() };
        let damaged = Fault::Refused { code: "store.damaged", reason: "damaged".to_owned() };
        for (fault, status, wait) in [(full, 507, "60"), (damaged, 503, "1")] {
            let answer = ApiError::from(fault).into_response();
            assert_eq!((answer.status().as_u16(), answer.headers()["retry-after"].to_str().unwrap()), (status, wait));
        }
    }
}
