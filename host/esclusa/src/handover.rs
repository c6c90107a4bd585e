//! Hands requests over to the routes that read their source, and gives their answers.

use crate::intake;
use crate::runtime::Runtime;
use crate::wiring::http_answer::HttpAnswer;
use crate::wiring::http_source::Unanswered;
use crate::wiring::kept_reply::KeptRequest;
use axum::extract;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use esclusa_embedded::NewRecord;
use esclusa_flow::hops;
use esclusa_http::answer_budget::{self, AnswerBudget};
use esclusa_http::api_error::ApiError;
use esclusa_http::bodies::{BodyBudget, BudgetedBody};
use esclusa_http::work_limits::{self, WorkLimits};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Most bytes of a key.
const KEY: usize = 1024;
/// Bytes that an attribute of a record takes besides its name and its value.
const ATTRIBUTE: usize = 48;

/// Headers that are not passed to plugins.
const SECRET: [&str; 4] = ["authorization", "cookie", "proxy-authorization", "x-esclusa-key"];

/// The first value of a parameter of the query.
pub(crate) fn parameter(uri: &Uri, name: &str) -> Option<String> {
    let extract::Query(pairs) = extract::Query::<Vec<(String, String)>>::try_from_uri(uri).ok()?;
    pairs.into_iter().find_map(|(of, value)| (of == name).then_some(value))
}

/// The media type of a body in lower case, without its parameters; empty if the request names none.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let header = headers.get(CONTENT_TYPE).and_then(|header| header.to_str().ok()).unwrap_or_default();
    header.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// The headers of a request as attributes of its event, without those that prove who sent it. The count of hops is no header of
/// the event: it is kept beside it.
pub(crate) fn header_attributes(headers: &HeaderMap) -> impl Iterator<Item = (String, String)> {
    let shown = headers.iter().filter(|(header, _)| !SECRET.contains(&header.as_str()));
    shown.map(|(header, value)| match header.as_str() {
        hops::ATTRIBUTE => (hops::ATTRIBUTE.to_owned(), header_text(value)),
        header => (format!("header.{header}"), header_text(value)),
    })
}

/// The text of a header's value. Bytes that are no UTF-8 are the characters of ISO-8859-1 with these numbers, as HTTP had it at first
/// (RFC 9110, section 5.5): a value must not vanish because of one of them.
pub(crate) fn header_text(value: &HeaderValue) -> String {
    match str::from_utf8(value.as_bytes()) {
        Ok(text) => text.to_owned(),
        Err(_) => value.as_bytes().iter().copied().map(char::from).collect(),
    }
}

/// True if the content type says that each line is an event; else the whole body is one event.
fn lines(headers: &HeaderMap) -> bool {
    let kind = media_type(headers);
    let kind = kind.strip_prefix("application/").or_else(|| kind.strip_prefix("text/")).unwrap_or_default();
    matches!(kind.strip_prefix("x-").unwrap_or(kind), "ndjson" | "jsonl" | "jsonlines" | "json-lines" | "ldjson")
}

/// The partition key of a request's events. It is bounded because each event has a copy of it.
///
/// # Errors
/// The key is too long.
pub(crate) fn key(headers: &HeaderMap, uri: &Uri) -> Result<String, ApiError> {
    let key = headers.get("x-esclusa-key").map(header_text);
    let key = key.or_else(|| parameter(uri, "key")).unwrap_or_default();
    if key.len() > KEY {
        let why = format!("a key may have {KEY} bytes, this one has {}", key.len());
        return Err(ApiError::new(StatusCode::BAD_REQUEST, why).code("limit.key"));
    }
    Ok(key)
}

/// Passes a request to the route of its source, and waits for the plugin's reply.
///
/// # Errors
/// No route takes it, or none answers in time.
pub(crate) async fn ask(
    runtime: &Runtime,
    name: &str,
    (data, attributes): (Vec<u8>, Vec<(String, String)>),
    timeout: Duration,
    kept: Option<KeptRequest>,
) -> Result<HttpAnswer, ApiError> {
    let unavailable = |why: String| ApiError::new(StatusCode::SERVICE_UNAVAILABLE, why);
    let http_source =
        runtime.http_source(name).ok_or_else(|| unavailable(format!("no route reads from source {name:?}")))?;
    // No route would take the request, and the client would wait for its timeout.
    if runtime.rests(name) {
        return Err(unavailable(format!(
            "the routes that read from source {name:?} are paused or halted, or their plugins fail"
        )));
    }
    let answer = tokio::time::timeout(timeout, http_source.ask(data, attributes, kept)).await;
    let answer = answer.map_err(|_| {
        ApiError::new(
            StatusCode::GATEWAY_TIMEOUT,
            format!("no answer within {timeout:?}; the request may still be carried out"),
        )
    })?;
    answer.map_err(|why| {
        let error = unavailable(why.to_string());
        if matches!(why, Unanswered::Full) { error.code("limit.waiting") } else { error }
    })
}

/// The answer of a route as an answer of HTTP.
///
/// # Errors
/// The status of the answer is none, or there is no room for it.
pub(crate) fn response(answer: HttpAnswer, replies: &AnswerBudget) -> Result<Response, ApiError> {
    // A 1xx status cannot end a request.
    let status = StatusCode::from_u16(answer.status).ok().filter(|status| !status.is_informational());
    let status = status.ok_or_else(|| {
        ApiError::new(StatusCode::BAD_GATEWAY, format!("the plugin answered with status {}", answer.status))
    })?;
    let kind =
        HeaderValue::from_str(&answer.content_type).unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let body = if has_body(status) { replies.body_now(answer.body)? } else { answer_budget::none() };
    let mut response = (status, [(CONTENT_TYPE, kind)], body).into_response();
    for (name, value) in &answer.headers {
        // The call of a plugin that gives other headers has failed before.
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(value.as_bytes())) {
            response.headers_mut().append(name, value);
        }
    }
    Ok(response)
}

/// True if an answer with this status has a body: 204, 205 and 304 have none (RFC 9110, sections 15.3.5, 15.3.6 and 15.4.5). Over
/// HTTP/2 nothing would cut it off, and clients take such an answer for a broken one.
fn has_body(status: StatusCode) -> bool {
    !matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED)
}

/// The events of a request as records, with their share of the body budget: one for each line if the content type says so, else one.
///
/// # Errors
/// There is no room for them, or a line is too long.
pub(crate) async fn records(
    (work, bodies): (&WorkLimits, &BodyBudget),
    headers: &HeaderMap,
    (data, held): (Vec<u8>, &mut BudgetedBody),
    (key, mut attributes): (String, Vec<(String, String)>),
) -> Result<Vec<NewRecord>, ApiError> {
    if !lines(headers) {
        return Ok(vec![NewRecord { attributes, ..intake::raw(data, &key) }]);
    }
    let size = data.len();
    let (data, count) = work.compute(size, move || intake::count(data)).await?;
    // Each line has a copy of the attributes: headers stay out.
    attributes.retain(|(name, _)| !name.starts_with("header."));
    let of_each: usize = attributes.iter().map(|(name, value)| name.len() + value.len() + ATTRIBUTE).sum();
    bodies.events(held, size, (count?, 2 * (key.len() + of_each))).await?;
    let record = move |line: &[u8]| NewRecord { attributes: attributes.clone(), ..intake::raw(line.to_vec(), &key) };
    work.compute(size, move || intake::lines(&data).map(|(_, line)| record(line)).collect()).await
}

/// Puts records into the stream or queue of a source; answers their ids once they are durable. Large requests are
/// copied by the router's threads, so that the threads of the listener stay free. The request keeps its share of
/// the body budget until its answer was taken.
///
/// # Errors
/// Nothing was stored.
pub(crate) async fn put(
    runtime: &Arc<Runtime>,
    work: &WorkLimits,
    status: StatusCode,
    source: String,
    records: Vec<NewRecord>,
    held: BudgetedBody,
) -> Result<Response, ApiError> {
    let bytes = records.iter().map(NewRecord::size).sum::<usize>();
    let (runtime, loaded) = (runtime.clone(), runtime.loaded());
    let put = async move {
        let ids = intake::put(runtime.store(), &loaded.plan, &source, &records).await?;
        Ok::<_, ApiError>((work_limits::encode(&BTreeMap::from([("ids", ids)]))?, held))
    };
    let (ids, held) = if bytes <= answer_budget::SMALL { put.await? } else { work.whole(put).await?? };
    Ok((status, work_limits::json(answer_budget::kept(ids, held))).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_unescaped() {
        let of = |uri: &str| parameter(&uri.parse::<Uri>().unwrap(), "key");
        assert_eq!(of("/?a=1&key=x%2Fy+z%zz&key=2").as_deref(), Some("x/y z%zz"));
        assert_eq!(of("/?keys=1"), None);
        assert_eq!(of("/"), None);
    }

    #[test]
    fn a_body_is_one_event_unless_its_type_says_lines() {
        let mut headers = HeaderMap::new();
        assert!(!lines(&headers));
        for (kind, each) in
            [("text/plain", false), ("application/x-ndjson; charset=utf-8", true), ("Application/JSONL", true)]
        {
            headers.insert("content-type", kind.parse().unwrap());
            assert_eq!(lines(&headers), each, "{kind}");
        }
    }

    #[test]
    fn the_header_names_the_key_before_the_parameter_does() {
        let (mut headers, uri) = (HeaderMap::new(), "/ingest/x?key=k".parse().unwrap());
        assert_eq!(key(&headers, &uri).unwrap(), "k");
        headers.insert("x-esclusa-key", "h".parse().unwrap());
        assert_eq!(key(&headers, &uri).unwrap(), "h");
        assert_eq!(key(&HeaderMap::new(), &"/ingest/x".parse().unwrap()).unwrap(), "");
        headers.insert("x-esclusa-key", "h".repeat(1025).parse().unwrap());
        assert!(format!("{:?}", key(&headers, &uri).unwrap_err()).contains("1024 bytes"));
    }

    #[test]
    fn values_of_headers_that_are_not_ascii_stay() {
        let mut headers = HeaderMap::new();
        for value in [&b"Zo\xc3\xab"[..], b"Zo\xeb", b"plain"] {
            headers.append("x-name", HeaderValue::from_bytes(value).unwrap());
        }
        headers.append("cookie", HeaderValue::from_bytes(b"secret \xff").unwrap());
        let found: Vec<_> = header_attributes(&headers).collect();
        let named = |text: &str| ("header.x-name".to_owned(), text.to_owned());
        assert_eq!(found, [named("Zo\u{eb}"), named("Zo\u{eb}"), named("plain")]);
        headers.append("x-esclusa-key", HeaderValue::from_bytes(b"Zo\xeb").unwrap());
        assert_eq!(key(&headers, &Uri::from_static("/ingest/a?key=other")).ok().unwrap(), "Zo\u{eb}");
    }
}
