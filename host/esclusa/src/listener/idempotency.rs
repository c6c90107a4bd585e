//! Requests that come again: found by their key, and answered as the first time.
//!
//! A key belongs to a source, an endpoint and a sender. While the first request is in work, the same one is refused;
//! afterwards its answer is in the store or in DynamoDB, written by the commit that carried the request out. Another process
//! may have the same request in work: then the second of two commits finds the answer of the first.

use super::auth::Sender;
use super::endpoints::{FoundEndpoint, ServedSource};
use crate::wiring::http_answer::HttpAnswer;
use crate::wiring::kept_reply::{self, KeptRequest, RequestsInWork};
use axum::http::header::RETRY_AFTER;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use esclusa_config::plan::KeyPlace;
use esclusa_embedded::Store;
use esclusa_http::api_error::ApiError;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Most bytes of a key.
pub(crate) const KEY: usize = 255;

/// The outcome of looking for the first request with a key.
pub(super) enum Repeated {
    /// This one is the first; `None`: it has no key.
    First(Option<KeptRequest>),
    /// The answer of the first.
    Answered(HttpAnswer),
    /// It is refused.
    Refused(Box<Response>),
}

/// Looks for the first request with the key of this one.
pub(super) async fn find(
    found: &FoundEndpoint<'_>,
    sender: Sender,
    (parts, body): (&Parts, &[u8]),
    (store, in_work): (&Store, &RequestsInWork),
) -> Repeated {
    let Some(idempotency) = &found.source.on.idempotency else { return Repeated::First(None) };
    // Reading again changes nothing.
    if matches!(parts.method, Method::GET | Method::HEAD) {
        return Repeated::First(None);
    }
    let given = match given(&idempotency.key, parts, body) {
        Ok(Some(given)) => given,
        Ok(None) => return Repeated::First(None),
        Err(why) => return Repeated::Refused(Box::new(why.into_response())),
    };
    let key = store_key(found, sender, &given);
    // A key that is a part of the body names its request; senders may change other parts when they send it again.
    let fingerprint = matches!(idempotency.key, KeyPlace::Header(_)).then(|| fingerprint(parts, body));
    let Some(first) = in_work.begin(key, fingerprint.clone(), idempotency.ttl) else {
        return Repeated::Refused(Box::new(busy()));
    };
    match kept(found.source, store, &first.key).await {
        Ok(None) => Repeated::First(Some(first)),
        Ok(Some((other, _))) if other != fingerprint => Repeated::Refused(Box::new(another())),
        Ok(Some((_, answer))) => Repeated::Answered(answer),
        Err(why) => Repeated::Refused(Box::new(why.into_response())),
    }
}

/// The answer that is kept under a key, with the fingerprint of its request.
///
/// # Errors
/// The store does not answer, or DynamoDB.
pub(super) async fn kept(
    source: &ServedSource,
    store: &Store,
    key: &[u8],
) -> Result<Option<(Option<String>, HttpAnswer)>, ApiError> {
    let kept = match &source.answers {
        Some(answers) => answers.get(key).await?,
        None => store.kept_answer(key)?,
    };
    Ok(kept.and_then(|kept| kept_reply::decode(&kept)))
}

/// The key that a request gives.
fn given(place: &KeyPlace, parts: &Parts, body: &[u8]) -> Result<Option<String>, ApiError> {
    let bad = |why: String| ApiError::new(StatusCode::BAD_REQUEST, why).code("limit.key");
    let key = match place {
        KeyPlace::Header(name) => {
            let mut values = parts.headers.get_all(name).iter();
            let Some(value) = values.next() else { return Ok(None) };
            if values.next().is_some() {
                return Err(bad(format!("the header {name} is there twice")));
            }
            let text =
                value.to_str().map_err(|_| bad(format!("the header {name} has other than visible characters")))?;
            text.trim().to_owned()
        }
        KeyPlace::Body(path) => {
            let Ok(json) = serde_json::from_slice::<Value>(body) else { return Ok(None) };
            match path.split('.').try_fold(&json, |value, name| value.get(name)) {
                Some(Value::String(text)) => text.clone(),
                Some(Value::Number(number)) => number.to_string(),
                _ => return Ok(None),
            }
        }
    };
    if key.is_empty() || key.len() > KEY {
        return Err(bad(format!("a key has 1 to {KEY} bytes, this one has {}", key.len())));
    }
    Ok(Some(key))
}

fn store_key(found: &FoundEndpoint<'_>, sender: Sender, given: &str) -> Vec<u8> {
    let mut hash = Sha256::new();
    for part in [found.source.name.as_bytes(), found.endpoint.pattern.as_bytes(), given.as_bytes()] {
        // Lengths part the parts.
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    hash.update(sender.unwrap_or_default());
    hash.finalize().to_vec()
}

/// What a request asks for.
fn fingerprint(parts: &Parts, body: &[u8]) -> String {
    let mut hash = Sha256::new();
    let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
    for part in [parts.method.as_str().as_bytes(), path.as_bytes(), body] {
        hash.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        hash.update(part);
    }
    let mut fingerprint = hex::encode(hash.finalize());
    fingerprint.truncate(32);
    fingerprint
}

fn busy() -> Response {
    let why = "the first request with this key is in work; send it again later for its answer";
    let mut refused = ApiError::new(StatusCode::CONFLICT, why).code("idempotency.in_work").into_response();
    refused.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    refused
}

fn another() -> Response {
    let why = "another request had this key: a key belongs to one request";
    ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, why).code("idempotency.other_request").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(headers: &[(&'static str, &str)]) -> Parts {
        let mut request = axum::http::Request::new(()).into_parts().0;
        for (name, value) in headers {
            request.headers.append(*name, value.parse().unwrap());
        }
        request
    }

    #[test]
    fn keys_are_in_a_header_or_in_the_body_and_bounded() {
        let header = KeyPlace::Header("idempotency-key".to_owned());
        let of = |headers: &[(&'static str, &str)]| given(&header, &parts(headers), b"").ok();
        assert_eq!(of(&[("idempotency-key", "a")]), Some(Some("a".to_owned())));
        assert_eq!(of(&[]), Some(None));
        assert_eq!(of(&[("idempotency-key", &"a".repeat(256))]), None);
        assert_eq!(of(&[("idempotency-key", "")]), None);
        assert_eq!(of(&[("idempotency-key", "a"), ("idempotency-key", "b")]), None);
        let body =
            |text: &str| given(&KeyPlace::Body("data.id".to_owned()), &parts(&[]), text.as_bytes()).ok().flatten();
        assert_eq!(body(r#"{"data": {"id": "evt_1"}}"#).as_deref(), Some("evt_1"));
        assert_eq!(body(r#"{"data": {"id": 7}}"#).as_deref(), Some("7"));
        assert_eq!(body(r#"{"data": []}"#), None);
        assert_eq!(body("no"), None);
    }
}
