//! A plugin for tests that asks the router what its events say, and sends each answer to the output `out`:
//! `{"scan": "table", "limit": 2}`. It uses everything of the contract that no other plugin uses.

use esclusa_plugin::log::{self, Level};
use esclusa_plugin::tables::Selection;
use esclusa_plugin::{
    Batch, Condition, Effects, Event, EventError, Failure, Item, Plugin, Send, export, metrics, objects, tables,
};

/// One question or order; exactly one key is the name of a function.
#[derive(serde::Deserialize, Default)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
struct Question {
    key_of: Option<String>,
    get: Option<String>,
    get_many: Option<String>,
    query: Option<String>,
    index: Option<String>,
    scan: Option<String>,
    object: Option<String>,
    objects: Option<String>,
    log: Option<String>,
    count: Option<String>,
    gauge: Option<String>,
    observe: Option<String>,
    reply: Option<u16>,
    /// Values of the key attribute `id`.
    ids: Vec<String>,
    token: Option<String>,
    limit: Option<u32>,
    path: String,
    range: Option<(u64, u32)>,
    text: String,
    value: f64,
    labels: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    /// Fail after that.
    fail: bool,
}

struct Probe;

impl Plugin for Probe {
    type Config = serde_json::Value;

    fn new(_: serde_json::Value) -> Result<Self, String> {
        Ok(Probe)
    }

    fn handle<'a>(&'a self, batch: &'a Batch, out: &mut Effects<'a>) -> Result<(), Failure> {
        out.for_each(batch, |event, out| {
            let question: Question = event.json()?;
            let answer = answer(&question, event, out);
            if question.fail {
                return Err(EventError::Batch(Failure::Halt("asked to fail".to_owned())));
            }
            out.push(Send::text("out", answer));
            Ok(())
        })
    }
}

fn answer(question: &Question, event: Event<'_>, out: &mut Effects<'_>) -> String {
    let token = question.token.as_deref();
    let labels: Vec<_> = question.labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    if let Some(table) = &question.key_of {
        return shown(tables::key_of(table).map(|key| format!("{} {}", key.partition, key.sort.unwrap_or_default())));
    }
    if let Some(table) = &question.get_many {
        let keys: Vec<_> = question.ids.iter().map(|id| Item::new().with("id", id)).collect();
        return shown(tables::get_many(table, &keys).map(|found| format!("{found:?}")));
    }
    if let Some(table) = &question.get {
        let key = Item::new().with("id", question.text.as_str());
        return shown(tables::get(table, &key).map(|found| format!("{found:?}")));
    }
    if let Some(table) = &question.query {
        let selection = Selection {
            index: question.index.as_deref(),
            ..Selection::of(table, Condition::new().equal("id", question.text.as_str()))
        };
        return shown(tables::query(&selection).map(|found| format!("{found:?}")));
    }
    if let Some(table) = &question.scan {
        let page = tables::scan(table, token, question.limit);
        return shown(page.map(|page| format!("{:?} {}", page.items, page.next.unwrap_or_default())));
    }
    if let Some(store) = &question.object {
        let found = match question.range {
            None => objects::get(store, &question.path),
            Some((offset, length)) => objects::get_range(store, &question.path, offset, length),
        };
        let text = |object: objects::Object| format!("{} {}", object.size, String::from_utf8_lossy(&object.bytes));
        return shown(found.map(|found| found.map_or_else(|| "none".to_owned(), text)));
    }
    if let Some(store) = &question.objects {
        let page = objects::list(store, &question.path, token);
        let entry = |entry: &objects::Entry| format!("{}={}", entry.path, entry.size);
        let text = |page: objects::Page| {
            let entries: Vec<_> = page.entries.iter().map(entry).collect();
            format!("{} {}", entries.join(","), page.next.unwrap_or_default())
        };
        return shown(page.map(text));
    }
    if let Some(level) = &question.log {
        let levels = [Level::Trace, Level::Debug, Level::Info, Level::Warn, Level::Error];
        let level = levels.into_iter().find(|known| format!("{known:?}") == *level).unwrap_or(Level::Error);
        log::write(level, &question.text);
    }
    if let Some(name) = &question.count {
        metrics::count(name, &labels, question.value as u64);
    }
    if let Some(name) = &question.gauge {
        metrics::gauge(name, &labels, question.value);
    }
    if let Some(name) = &question.observe {
        metrics::observe(name, &labels, question.value);
    }
    if let Some(status) = question.reply {
        let reply = out.reply(event, status, "text/plain", question.text.as_str());
        for (name, value) in &question.headers {
            reply.header(name, value.as_str());
        }
    }
    "done".to_owned()
}

fn shown(answer: Result<String, impl std::fmt::Display>) -> String {
    answer.unwrap_or_else(|error| format!("error: {error}"))
}

export!(Probe);
