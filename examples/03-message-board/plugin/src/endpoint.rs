//! The requests of the page: a message is stored as pending, and put into the queue in the same transaction; messages are listed.

use crate::key;
use esclusa_plugin::tables::{self, Selection};
use esclusa_plugin::{Condition, Effects, Event, EventError, Item, Put, Send};
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// Messages that the page shows: the latest.
const SHOWN: u32 = 200;

/// Where messages go.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    table: String,
    /// Output: the queue.
    queue: String,
    /// Output: the stream of the messages of each topic.
    topics: String,
}

#[derive(Deserialize)]
struct Message {
    text: String,
    /// Messages of an author are processed in their order; without one there is no order.
    author: Option<String>,
    topic: Option<String>,
}

impl Config {
    /// Answers a request.
    ///
    /// # Errors
    /// [`EventError::Batch`] if the table does not answer.
    pub fn answer<'a>(&'a self, event: Event<'a>, out: &mut Effects<'a>) -> Result<(), EventError> {
        let (status, answer) = match (event.attribute("method"), event.attribute("path")) {
            (Some("GET"), Some("/messages")) => (200, self.list()?),
            (Some("POST"), Some("/messages")) => match event.json::<Message>() {
                Ok(message) => (202, self.send(event, message, out)),
                Err(_) => (400, json!({"error": "a message is {\"text\": …}, with an author and a topic if wanted"})),
            },
            _ => (404, json!({"error": "there is GET /messages and POST /messages"})),
        };
        out.reply(event, status, "application/json", answer.to_string());
        Ok(())
    }

    fn send<'a>(&'a self, event: Event<'a>, message: Message, out: &mut Effects<'a>) -> Value {
        let id = format!("{:013}-{}", event.timestamp(), event.id());
        let mut item = key(&id).with("state", "pending").with("text", message.text.clone());
        let mut work = Send::text(&self.queue, json!({"id": id, "text": message.text}).to_string());
        if let Some(author) = message.author.filter(|author| !author.is_empty()) {
            item.set("author", author.clone());
            work = work.key(author);
        }
        out.push(Put::new(&self.table, item));
        out.push(work);
        if let Some(topic) = message.topic {
            let published = json!({"id": id, "topic": topic, "text": message.text}).to_string();
            out.push(Send::text(&self.topics, published).key(topic));
        }
        json!({"id": id, "state": "pending"})
    }

    fn list(&self) -> Result<Value, EventError> {
        let all = Selection::of(&self.table, Condition::new().equal("board", "main"));
        let latest = Selection { descending: true, ..all }.limit(SHOWN);
        Ok(tables::query(&latest)?.iter().map(shown).collect())
    }
}

fn shown(item: &Item<'_>) -> Value {
    let field = |name: &str| Some((name.to_owned(), item.text(name)?.into()));
    Value::Object(["id", "text", "author", "state", "reason"].into_iter().filter_map(field).collect::<Map<_, _>>())
}
