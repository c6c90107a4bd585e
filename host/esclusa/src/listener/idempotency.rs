//! Requests that come again: found by their key, and answered as the first time.
//!
//! A key belongs to a source, an endpoint and a sender. While the first request is in work, the same one is refused;
//! afterwards its answer is in the store or in DynamoDB, written by the commit that carried the request out. Another process
//! may have the same request in work: then the second of two commits finds the answer of the first.

use super::auth::Sender;
use super::endpoints::{FoundEndpoint, ServedSource};
use crate::json_field;
use crate::wiring::http_answer::HttpAnswer;
use crate::wiring::kept_reply::{self, KeptRequest, RequestsInWork};
use axum::http::header::RETRY_AFTER;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use esclusa_config::plan::KeyPlace;
use esclusa_embedded::Store;
use esclusa_http::api_error::ApiError;
use esclusa_http::work_limits::WorkLimits;
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

/// The key that a request gives.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct GivenKey {
    key: String,
    /// What the request asks for; `None`: its key is a part of the body and names it. Senders may change other parts when they
    /// send it again.
    fingerprint: Option<String>,
}

/// Reads the key of a request, if it has one. A large body is read on a thread that may block, and given back.
///
/// # Errors
/// It has a wrong key, or too many bodies are being read.
pub(super) async fn given(
    source: &ServedSource,
    parts: &Parts,
    body: Vec<u8>,
    work: &WorkLimits,
) -> Result<(Vec<u8>, Option<GivenKey>), ApiError> {
    let Some(idempotency) = &source.on.idempotency else { return Ok((body, None)) };
    // Reading again changes nothing.
    if matches!(parts.method, Method::GET | Method::HEAD) {
        return Ok((body, None));
    }
    let size = body.len();
    match &idempotency.key {
        KeyPlace::Header(name) => {
            let Some(key) = in_header(name, parts)? else { return Ok((body, None)) };
            let key = bounded(key)?;
            let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
            let (method, path) = (parts.method.clone(), path.to_owned());
            let fingerprint = move || (fingerprint(&method, &path, &body), body);
            let (fingerprint, body) = work.compute(size, fingerprint).await?;
            Ok((body, Some(GivenKey { key, fingerprint: Some(fingerprint) })))
        }
        KeyPlace::Body(path) => {
            let path = path.clone();
            let (key, body) = work.compute(size, move || (json_field::text_or_number(&body, &path), body)).await?;
            let key = key.map(bounded).transpose()?;
            Ok((body, key.map(|key| GivenKey { key, fingerprint: None })))
        }
    }
}

/// Looks for the first request with the key of this one.
pub(super) async fn find(
    found: &FoundEndpoint<'_>,
    sender: Sender,
    given: Option<GivenKey>,
    (store, in_work): (&Store, &RequestsInWork),
) -> Repeated {
    let Some((idempotency, given)) = found.source.on.idempotency.as_ref().zip(given) else {
        return Repeated::First(None);
    };
    let (key, fingerprint) = (store_key(found, sender, &given.key), given.fingerprint);
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

/// The key in a header.
fn in_header(name: &str, parts: &Parts) -> Result<Option<String>, ApiError> {
    let mut values = parts.headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(bad(format!("the header {name} is there twice")));
    }
    let text = value.to_str().map_err(|_| bad(format!("the header {name} has other than visible characters")))?;
    Ok(Some(text.trim().to_owned()))
}

fn bounded(key: String) -> Result<String, ApiError> {
    if key.is_empty() || key.len() > KEY {
        return Err(bad(format!("a key has 1 to {KEY} bytes, this one has {}", key.len())));
    }
    Ok(key)
}

fn bad(why: String) -> ApiError {
    ApiError::new(StatusCode::BAD_REQUEST, why).code("limit.key")
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
fn fingerprint(method: &Method, path: &str, body: &[u8]) -> String {
    let mut hash = Sha256::new();
    for part in [method.as_str().as_bytes(), path.as_bytes(), body] {
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
    use super::super::endpoints::EndpointTable;
    use super::*;
    use std::path::Path;
    use tokio::runtime::Handle;

    /// The key that a request gives to a source with this `idempotency_key`: status of a refusal, or key with fingerprint.
    async fn read(work: &WorkLimits, place: &str, headers: &[&str], body: &str) -> Result<Option<GivenKey>, u16> {
        let text = format!(
            "version = 1\n[listener.api]\nlisten = \"127.0.0.1:0\"\n[source.a]\nkind = \"http\"\nlistener = \"api\"\nendpoints = [\"POST /a\"]\nidempotency_key = \"{place}\"\n[[route]]\nname = \"a\"\nsource = \"a\"\nplugin = \"a.wasm\"\n"
        );
        let plan = esclusa_config::parse(&text, "routes.toml", Path::new("/"), &|_| None).unwrap().plan;
        let endpoints = EndpointTable::of("api", &plan);
        let found = endpoints.find(&Method::POST, "/a").unwrap();
        let mut parts = axum::http::Request::builder().method("POST").uri("/a").body(()).unwrap().into_parts().0;
        for value in headers {
            parts.headers.append("idempotency-key", value.parse().unwrap());
        }
        let given = given(found.source, &parts, body.as_bytes().to_vec(), work).await;
        let (back, given) = given.map_err(|why| why.into_response().status().as_u16())?;
        assert!(back == body.as_bytes(), "the body comes back");
        Ok(given)
    }

    #[tokio::test]
    async fn keys_are_in_a_header_or_in_the_body_and_bounded() {
        let work = WorkLimits::new(Handle::current());
        let key = |given: Result<Option<GivenKey>, u16>| given.map(|given| given.map(|given| given.key));
        let header = async |values: &[&str]| key(read(&work, "Idempotency-Key", values, "").await);
        assert_eq!(header(&["a"]).await, Ok(Some("a".to_owned())));
        assert_eq!(header(&[]).await, Ok(None));
        assert_eq!(header(&[&"a".repeat(256)]).await, Err(400));
        assert_eq!(header(&[""]).await, Err(400));
        assert_eq!(header(&["a", "b"]).await, Err(400));
        let body = async |text: &str| key(read(&work, "body.data.id", &[], text).await);
        assert_eq!(body(r#"{"data": {"id": "evt_1"}}"#).await, Ok(Some("evt_1".to_owned())));
        assert_eq!(body(r#"{"data": {"id": 7}}"#).await, Ok(Some("7".to_owned())));
        assert_eq!(body(r#"{"data": {"id": ""}}"#).await, Err(400));
        assert_eq!(body(r#"{"data": []}"#).await, Ok(None));
        assert_eq!(body("no").await, Ok(None));
    }

    #[tokio::test]
    async fn only_the_fingerprint_of_a_key_in_a_header_tells_bodies_apart() {
        let work = WorkLimits::new(Handle::current());
        let of = async |place, text| read(&work, place, &["k"], text).await.unwrap().unwrap();
        assert_eq!(of("Idempotency-Key", "a").await, of("Idempotency-Key", "a").await);
        assert_ne!(of("Idempotency-Key", "a").await, of("Idempotency-Key", "b").await);
        assert_eq!(of("body.id", r#"{"id": 1}"#).await, of("body.id", r#"{"id": 1, "try": 2}"#).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_body_is_read_in_its_turn_and_a_small_one_at_once() {
        let work = WorkLimits::new(Handle::current());
        let mut places = Vec::new();
        for _ in 0..4 {
            places.push(work.parsing.place().await.unwrap());
        }
        for place in ["Idempotency-Key", "body.id"] {
            let of = async |bytes| {
                let body = format!("{{\"id\": 1, \"data\": \"{}\"}}", "x".repeat(bytes));
                read(&work, place, &["k"], &body).await.map(|given| given.is_some())
            };
            assert_eq!((of(10).await, of(1 << 20).await), (Ok(true), Err(503)), "{place}");
        }
    }
}
