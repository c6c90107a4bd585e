//! Attacks by one host call or one output that gives the host far too much work: `scripts/hostile.sh` gives
//! the sizes in the route's config, such as `{"do": "log-call", "context": 2097152, "lines": 1000000}`.

use crate::generated::esclusa::router::effects::{Action, Change, DeleteItem, Effect, PutItem, Send, UpdateItem};
use crate::generated::esclusa::router::items::{Comparison, Condition, Guard, Item, Otherwise, Value};
use crate::generated::esclusa::router::tables::{self, Selection};
use crate::generated::exports::esclusa::router::handler::{Batch, Disposition, Outcome, Output};
use crate::generated::wasi::logging::logging::{Level, log};
use crate::{message, output};

/// The table that is written to and read from.
const TABLE: &str = "target";

/// Carries out an order; `None`: it is none of these.
pub(crate) fn attack(order: &str, config: &str, batch: &Batch) -> Option<Output> {
    let size = |name: &str| number(config, name);
    let effects = match order {
        "log-call" => return Some(log_call(config)),
        "print-call" => {
            print!("{}", "\n".repeat(size("lines")));
            Vec::new()
        }
        "query-terms" => {
            drop(tables::query(&selection(size("terms"))));
            Vec::new()
        }
        "skip-reasons" => return Some(Output { outcomes: reasons(batch, size("bytes")), ..output(Vec::new()) }),
        "update-changes" => vec![update(changes(size("changes")), None)],
        "updates" => (0..size("updates")).map(|n| update(change_of(n, size("bytes")), None)).collect(),
        "guard-terms" => vec![update(changes(1), Some(guard(size("terms"))))],
        "guarded-deletes" => (0..size("deletes")).map(|_| delete(guard(size("terms")))).collect(),
        "put-attributes" => vec![put(size("attributes"))],
        "set-members" => vec![update(vec![("set".to_owned(), Change::Set(set(size("members"))))], None)],
        "send-attributes" => vec![send(size("attributes"))],
        _ => return None,
    };
    Some(output(effects))
}

/// One log call with a long context and many lines.
pub(crate) fn log_call(config: &str) -> Output {
    log(Level::Info, &"c".repeat(number(config, "context")), &"\n".repeat(number(config, "lines")));
    output(Vec::new())
}

/// A number of the configuration, by its key.
fn number(config: &str, name: &str) -> usize {
    let after = config.split_once(&format!("\"{name}\":")).map_or("", |(_, after)| after).trim_start();
    after.split(|c: char| !c.is_ascii_digit()).next().and_then(|digits| digits.parse().ok()).unwrap_or_default()
}

fn key() -> Item {
    vec![("pk".to_owned(), Value::Text("one".to_owned()))]
}

fn text(n: usize) -> Value {
    Value::Text(n.to_string())
}

/// Changes of so many attributes.
fn changes(count: usize) -> Vec<(String, Change)> {
    (0..count).map(|n| (format!("a{n}"), Change::Set(text(n)))).collect()
}

/// One change: a text of so many bytes, each time in the next of sixteen attributes.
fn change_of(n: usize, bytes: usize) -> Vec<(String, Change)> {
    vec![(format!("a{}", n % 16), Change::Set(Value::Text("x".repeat(bytes))))]
}

fn update(changes: Vec<(String, Change)>, guard: Option<Guard>) -> Effect {
    effect(Action::UpdateItem(UpdateItem { table: TABLE.to_owned(), key: key(), changes, guard }))
}

fn delete(guard: Guard) -> Effect {
    effect(Action::DeleteItem(DeleteItem { table: TABLE.to_owned(), key: key(), guard: Some(guard) }))
}

fn put(attributes: usize) -> Effect {
    let more = (0..attributes).map(|n| (format!("a{n}"), text(n)));
    let item = key().into_iter().chain(more).collect();
    effect(Action::PutItem(PutItem { table: TABLE.to_owned(), item, guard: None }))
}

fn send(attributes: usize) -> Effect {
    let attributes = (0..attributes).map(|n| (format!("a{n}"), "x".to_owned())).collect();
    effect(Action::Send(Send { output: "out".to_owned(), key: None, data: Vec::new(), attributes }))
}

fn effect(action: Action) -> Effect {
    Effect { action, ..message(None, Vec::new()) }
}

/// Members in descending order, which is the worst case for sorting or comparing them one by one.
fn set(members: usize) -> Value {
    Value::TextSet((0..members).rev().map(|n| format!("{n:08}")).collect())
}

fn terms(count: usize) -> Condition {
    (0..count).map(|n| (format!("a{n}"), Comparison::NotEqual(text(n + 1)))).collect()
}

fn guard(count: usize) -> Guard {
    Guard { condition: terms(count), otherwise: Otherwise::Skip }
}

fn selection(count: usize) -> Selection {
    let key = vec![("pk".to_owned(), Comparison::Equal(Value::Text("many".to_owned())))];
    Selection { table: TABLE.to_owned(), index: None, key, filter: terms(count), limit: None, descending: false }
}

fn reasons(batch: &Batch, bytes: usize) -> Vec<Outcome> {
    let skip = |event: u32| Disposition::Skip(format!("{event} {}", "r".repeat(bytes)));
    (0..).take(batch.timestamps.len()).map(|event| Outcome { event, disposition: skip(event) }).collect()
}
