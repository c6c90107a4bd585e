//! Serves a request of a listener: finds its endpoint, checks who sent it and how often, reads it, and hands it over.
//!
//! The order is that of cost: nothing of a body is read before the request may be taken.

use super::auth;
use super::client_address;
use super::endpoints::{FoundEndpoint, NoEndpoint, ServedSource};
use super::idempotency::{self, Repeated};
use super::served::{ListenerSide, Served};
use crate::handover;
use crate::wiring::http_answer::HttpAnswer;
use crate::wiring::kept_reply::{self, KeptRequest};
use crate::wiring::store_schema::ingest_stream;
use axum::body::HttpBody;
use axum::extract::Request;
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_LENGTH, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use esclusa_embedded::NewRecord;
use esclusa_http::answer_budget;
use esclusa_http::api_error::ApiError;
use esclusa_http::bodies::BudgetedBody;
use esclusa_http::connections::Peer;
use esclusa_http::decoding::{self, Coding};
use esclusa_http::work_limits;
use esclusa_pipeline::meter::epoch_millis;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

/// Answers a request.
pub(super) async fn serve(side: Arc<ListenerSide>, served: Arc<Served>, request: Request) -> Response {
    let head = request.method() == Method::HEAD;
    let mut response = answer(&side, &served, request).await.unwrap_or_else(|refused| *refused);
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if head { without_body(response) } else { response }
}

/// The answer to HEAD: the headers of the answer to GET.
fn without_body(mut response: Response) -> Response {
    if let Some(size) = response.body().size_hint().exact() {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(size));
    }
    *response.body_mut() = answer_budget::none();
    response
}

async fn answer(side: &Arc<ListenerSide>, served: &Served, request: Request) -> Result<Response, Box<Response>> {
    let (parts, body) = request.into_parts();
    let found = match served.endpoints.find(&parts.method, parts.uri.path()) {
        Ok(found) => found,
        Err(none) => return Ok(nothing_here(&parts, none)),
    };
    let peer = parts.extensions.get::<Peer>().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.0.ip());
    let client = client_address::of(peer, &parts.headers, &served.trusted_proxies);
    found.source.limits.check(client).map_err(|wait| Box::new(too_many(wait)))?;
    let sender = auth::admit(found.source.on.auth.as_ref(), &parts.headers)?;
    let coding = Coding::of(&parts.headers).map_err(refused)?;
    let mut held = side.bodies.read(&parts.headers, body, found.source.max_body).await.map_err(refused)?;
    // Senders sign what they send, so before it is decoded.
    let (sent, now) = (std::mem::take(&mut held.data), epoch_millis() / 1000);
    held.data = auth::signed(found.source, &parts.headers, sent, now, &side.work).await?;
    let limits = (&side.work, &side.bodies);
    decoding::decode(limits, coding, &mut held, found.source.max_body).await.map_err(refused)?;
    let data = std::mem::take(&mut held.data);
    let (data, given) = idempotency::given(found.source, &parts, data, &side.work).await.map_err(refused)?;
    let answers = (side.runtime.store(), &side.in_work);
    let kept = match idempotency::find(&found, sender, given, answers).await {
        Repeated::First(kept) => kept,
        Repeated::Answered(answer) => return handover::response(answer, &side.work.replies).map_err(refused),
        Repeated::Refused(response) => return Err(response),
    };
    let taken = if found.source.reply {
        ask(side, &found, &parts, client, data, kept).await
    } else {
        put(side, &found, (&parts, client), (data, held), kept).await
    };
    taken.map_err(refused)
}

fn refused(why: ApiError) -> Box<Response> {
    Box::new(why.into_response())
}

fn nothing_here(parts: &Parts, none: NoEndpoint) -> Response {
    let path = parts.uri.path();
    match none {
        NoEndpoint::Malformed => {
            ApiError::new(StatusCode::BAD_REQUEST, "the path is not UTF-8").code("http.path").into_response()
        }
        NoEndpoint::Path => ApiError::new(StatusCode::NOT_FOUND, format!("there is nothing at {path}"))
            .code("http.path")
            .into_response(),
        NoEndpoint::Method(allow) => {
            let mut response = if parts.method == Method::OPTIONS {
                (StatusCode::NO_CONTENT, answer_budget::none()).into_response()
            } else {
                let why =
                    format!("{path} does not take {}; the header Allow lists the methods that it takes", parts.method);
                ApiError::new(StatusCode::METHOD_NOT_ALLOWED, why).code("http.method").into_response()
            };
            response.headers_mut().insert(ALLOW, allow);
            response
        }
    }
}

fn too_many(wait: std::time::Duration) -> Response {
    let why = "too many requests a second; send it again later";
    let mut response = ApiError::new(StatusCode::TOO_MANY_REQUESTS, why).code("limit.rate").into_response();
    let seconds = wait.as_millis().div_ceil(1000).max(1);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(u64::try_from(seconds).unwrap_or(u64::MAX)));
    response
}

/// The attributes of a request's event.
fn attributes(found: &FoundEndpoint<'_>, parts: &Parts, client: IpAddr) -> Vec<(String, String)> {
    // An endpoint of GET serves HEAD, too; the plugin need not know.
    let mut attributes = vec![("method".to_owned(), found.endpoint.method.clone())];
    let mut add = |name: &str, value: &str| attributes.push((name.to_owned(), value.to_owned()));
    add("endpoint", &found.endpoint.pattern);
    add("path", parts.uri.path());
    add("query", parts.uri.query().unwrap_or_default());
    add("client", &client.to_string());
    attributes.extend(found.parameters.iter().map(|(name, value)| (format!("path.{name}"), value.clone())));
    attributes.extend(handover::header_attributes(&parts.headers));
    attributes
}

/// Passes a request to the route of its source, and answers with the plugin's reply.
async fn ask(
    side: &ListenerSide,
    found: &FoundEndpoint<'_>,
    parts: &Parts,
    client: IpAddr,
    data: Vec<u8>,
    kept: Option<KeptRequest>,
) -> Result<Response, ApiError> {
    let source = found.source;
    let key = kept.as_ref().map(|kept| kept.key.clone());
    let request = (data, attributes(found, parts, client));
    let answer = handover::ask(&side.runtime, &source.name, request, source.timeout, kept).await?;
    // If an earlier try of this very request was carried out after all, its answer is the one that counts.
    let first = match key {
        Some(key) => idempotency::kept(source, side.runtime.store(), &key).await?.map(|(_, first)| first),
        None => None,
    };
    handover::response(first.unwrap_or(answer), &side.work.replies)
}

/// Puts the events of a request into the stream of their source; answers their ids once they are durable.
async fn put(
    side: &Arc<ListenerSide>,
    found: &FoundEndpoint<'_>,
    (parts, client): (&Parts, IpAddr),
    (data, mut held): (Vec<u8>, BudgetedBody),
    kept: Option<KeptRequest>,
) -> Result<Response, ApiError> {
    let key = handover::key(&parts.headers, &parts.uri)?;
    let (limits, attributes) = ((&side.work, &side.bodies), attributes(found, parts, client));
    let records = handover::records(limits, &parts.headers, (data, &mut held), (key, attributes)).await?;
    let Some(kept) = kept else {
        let name = found.source.name.to_string();
        return handover::put(&side.runtime, &side.work, StatusCode::ACCEPTED, name, records, held).await;
    };
    put_once(side, found.source.clone(), records, (kept, held)).await
}

/// Puts the events of a request into a stream together with its answer.
async fn put_once(
    side: &Arc<ListenerSide>,
    source: Arc<ServedSource>,
    records: Vec<NewRecord>,
    (kept, held): (KeptRequest, BudgetedBody),
) -> Result<Response, ApiError> {
    let (side_there, stream) = (side.clone(), ingest_stream(&source.name));
    let answered = async move {
        let (fingerprint, at) = (kept.fingerprint.clone(), (kept.key.clone(), kept.expires()));
        let answer = move |ids: &[String]| kept_reply::encode(fingerprint, accepted(ids));
        let store = side_there.runtime.store();
        let ids = store.append_answered(&stream, &records, at, answer).await?;
        let answer = match ids {
            Some(ids) => Some(accepted(&ids)),
            None => idempotency::kept(&source, store, &kept.key).await?.map(|(_, first)| first),
        };
        // From here on the same request finds the answer.
        drop(kept);
        Ok::<_, ApiError>((answer, held))
    };
    // To its end, even if the client leaves: the key is in work until the records are durable.
    let (answer, held) = side.work.whole(answered).await??;
    let answer = answer.ok_or_else(|| {
        ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "the time of the first answer ended at this moment; send it again",
        )
    })?;
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::ACCEPTED);
    Ok((status, work_limits::json(answer_budget::kept(answer.body, held))).into_response())
}

/// The answer to a request whose events have these ids.
fn accepted(ids: &[String]) -> HttpAnswer {
    HttpAnswer {
        status: StatusCode::ACCEPTED.as_u16(),
        content_type: "application/json".to_owned(),
        headers: Vec::new(),
        // A list of texts always has a form in JSON.
        body: serde_json::to_vec(&BTreeMap::from([("ids", ids)])).unwrap_or_default(),
    }
}
