//! An invocation as JSON: effects with readable values, numbers with every digit.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use esclusa_embedded::plain_json;
use esclusa_flow::call_output::{CallError, CallOutput, Disposition, EventOutcome, Reply};
use esclusa_flow::effect::{Action, AttributeChange};
use esclusa_flow::item::{Comparison, Guard, Item, Otherwise, Value};
use esclusa_pipeline::route::Route;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value as Json, json};

/// The effects that a plugin asked for.
#[derive(Debug, Serialize)]
pub(crate) struct Invocation {
    route: String,
    plugin: Json,
    events: usize,
    /// Events that the route's filter does not match; the plugin did not get them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    filtered: Vec<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<Json>,
    effects: Vec<ShownEffect>,
    outcomes: Vec<Json>,
    replies: Vec<Json>,
}

/// An effect as JSON.
#[derive(Debug, Default, Serialize)]
pub(super) struct ShownEffect {
    action: &'static str,
    target: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    item: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    set: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    add: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    remove: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    guard: Option<ShownGuard>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    content: Option<Json>,
    /// Its result, in a live invocation.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl ShownEffect {
    /// Adds the result.
    #[must_use]
    pub(super) fn ended(self, result: &'static str, error: Option<String>) -> Self {
        ShownEffect { result: Some(result), error, ..self }
    }
}

#[derive(Debug, Serialize)]
struct ShownGuard {
    condition: Vec<(String, Box<RawValue>)>,
    otherwise: &'static str,
}

impl Invocation {
    /// Makes the JSON of a call.
    pub(crate) fn new(
        route: &Route,
        events: usize,
        filtered: Vec<usize>,
        result: Result<CallOutput, CallError>,
    ) -> Self {
        let (output, failure) = match result {
            Ok(output) => (output, None),
            Err(error) => (CallOutput::default(), Some(failure(&error))),
        };
        Invocation {
            route: route.spec.name.to_string(),
            plugin: plugin(route),
            events,
            failure,
            effects: output.effects.iter().map(|e| effect(e.cause.map(|cause| cause.0), &e.action)).collect(),
            outcomes: output
                .outcomes
                .iter()
                .map(outcome)
                .chain(filtered.iter().map(|event| json!({"event": event, "outcome": "filtered"})))
                .collect(),
            filtered,
            replies: output.replies.iter().map(|r| reply(r.event.0, r)).collect(),
        }
    }
}

/// The plugin that serves the route now.
pub(super) fn plugin(route: &Route) -> Json {
    let plugin = route.plugin();
    json!({"name": plugin.name, "version": plugin.version, "digest": plugin.plugin.digest()})
}

fn failure(error: &CallError) -> Json {
    match error {
        CallError::Retry(reason) => json!({"code": "plugin.retry", "message": reason}),
        CallError::Halt(reason) => json!({"code": "plugin.halt", "message": reason}),
        CallError::Host(fault) => json!({"code": "host.call", "message": fault.to_string()}),
        CallError::Failed(failure) => json!({
            "code": failure.kind.code(),
            "message": failure.message,
            "backtrace": failure.backtrace,
            "logs": failure.logs,
        }),
    }
}

/// An action as the plugin asked for it; `cause` is the event that caused it, by its number in the invocation.
pub(super) fn effect(cause: Option<u32>, action: &Action) -> ShownEffect {
    let base = ShownEffect { target: action.target().to_owned(), cause, ..ShownEffect::default() };
    match action {
        Action::Put(put) => {
            ShownEffect { action: "put", item: raw(&put.item), guard: put.guard.as_ref().map(guard), ..base }
        }
        Action::Delete(delete) => {
            ShownEffect { action: "delete", key: raw(&delete.key), guard: delete.guard.as_ref().map(guard), ..base }
        }
        Action::Update(update) => {
            let changed = |pick: fn(&AttributeChange) -> Option<Value>| {
                let item: Item =
                    update.changes.iter().filter_map(|(name, change)| Some((name.clone(), pick(change)?))).collect();
                if item.0.is_empty() { None } else { raw(&item) }
            };
            let removed = update.changes.iter().filter(|(_, change)| *change == AttributeChange::Remove);
            ShownEffect {
                action: "update",
                key: raw(&update.key),
                set: changed(
                    |change| if let AttributeChange::Set(value) = change { Some(value.clone()) } else { None },
                ),
                add: changed(|change| {
                    if let AttributeChange::Add(number) = change { Some(Value::Number(number.clone())) } else { None }
                }),
                remove: removed.map(|(name, _)| name.clone()).collect(),
                guard: update.guard.as_ref().map(guard),
                ..base
            }
        }
        Action::PutObject(object) => {
            let content =
                json!({"path": object.path, "content_type": object.content_type, "bytes": object.bytes.len()});
            ShownEffect { action: "put-object", content: Some(content), ..base }
        }
        Action::Send(send) => {
            let mut content = payload(&send.data);
            if let Json::Object(map) = &mut content {
                let attributes: serde_json::Map<_, _> =
                    send.attributes.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
                map.insert("message_key".to_owned(), send.key.clone().into());
                map.insert("attributes".to_owned(), attributes.into());
            }
            ShownEffect { action: "send", content: Some(content), ..base }
        }
    }
}

fn raw(item: &Item) -> Option<Box<RawValue>> {
    RawValue::from_string(plain_json(item)).ok()
}

fn guard(guard: &Guard) -> ShownGuard {
    let condition =
        guard.condition.0.iter().filter_map(|(name, comparison)| Some((name.clone(), shown(comparison)?))).collect();
    let otherwise = match guard.otherwise {
        Otherwise::Rerun => "rerun",
        Otherwise::Skip => "skip",
    };
    ShownGuard { condition, otherwise }
}

fn shown(comparison: &Comparison) -> Option<Box<RawValue>> {
    let (word, value) = match comparison {
        Comparison::Exists => ("exists", Value::Boolean(true)),
        Comparison::Absent => ("exists", Value::Boolean(false)),
        Comparison::Equal(value) => ("=", value.clone()),
        Comparison::NotEqual(value) => ("!=", value.clone()),
        Comparison::Less(value) => ("<", value.clone()),
        Comparison::LessOrEqual(value) => ("<=", value.clone()),
        Comparison::Greater(value) => (">", value.clone()),
        Comparison::GreaterOrEqual(value) => (">=", value.clone()),
        Comparison::BeginsWith(prefix) => ("begins-with", Value::Text(prefix.clone())),
    };
    raw(&Item(vec![(word.to_owned(), value)]))
}

fn outcome(outcome: &EventOutcome) -> Json {
    let event = outcome.event.0;
    match &outcome.disposition {
        Disposition::Retry(after) => json!({"event": event, "outcome": "retry", "after_ms": after}),
        Disposition::Reject(reason) => json!({"event": event, "outcome": "reject", "reason": reason}),
        Disposition::Skip(reason) => json!({"event": event, "outcome": "skip", "reason": reason}),
    }
}

/// A reply to the event with this number.
pub(super) fn reply(event: u32, reply: &Reply) -> Json {
    let mut shown = payload(&reply.body);
    if let Json::Object(map) = &mut shown {
        map.insert("event".to_owned(), event.into());
        map.insert("status".to_owned(), reply.status.into());
        map.insert("content_type".to_owned(), reply.content_type.clone().into());
        if !reply.headers.is_empty() {
            let headers = reply.headers.iter().map(|(name, value)| json!([name, value])).collect();
            map.insert("headers".to_owned(), Json::Array(headers));
        }
    }
    shown
}

/// A payload: as text if it is UTF-8, else in Base64.
fn payload(data: &[u8]) -> Json {
    match std::str::from_utf8(data) {
        Ok(text) => json!({"data": text}),
        Err(_) => json!({"base64": BASE64.encode(data)}),
    }
}
