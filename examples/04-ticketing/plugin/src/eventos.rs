//! The domain of events: they are created, shown and cancelled.

use crate::answer::Answer;
use crate::request::{self, Request};
use esclusa_plugin::tables::{self, Selection};
use esclusa_plugin::{Condition, Effects, EventError, Item, Put, Update, Value};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// State of active events and reservations.
pub(crate) const ACTIVE: &str = "A";
/// State of events that the organisers have cancelled.
pub(crate) const CANCELLED: &str = "C";

/// Where the events are.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    table: String,
    /// Index of the table by `Estado`.
    index: String,
}

/// An event, as it is shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Evento<'a> {
    evento: &'a str,
    capacidad: i64,
    categoria: &'a str,
    estado: &'a str,
}

#[derive(Deserialize)]
struct NewEvento {
    evento: String,
    capacidad: u32,
    categoria: String,
}

/// The events that a batch touches.
pub(crate) struct Eventos<'a> {
    config: &'a Config,
    /// Created by this batch: reads do not show them yet.
    created: BTreeSet<String>,
}

impl<'a> Evento<'a> {
    /// The event that an item is; `name` is the attribute with its name.
    pub(crate) fn of(item: &'a Item<'_>, name: &str) -> Self {
        let text = |attribute| item.text(attribute).unwrap_or_default();
        Evento {
            evento: text(name),
            capacidad: integer(item, "Capacidad"),
            categoria: text("Categoria"),
            estado: text("Estado"),
        }
    }
}

/// A whole number of an item; 0 if there is none.
pub(crate) fn integer(item: &Item<'_>, attribute: &str) -> i64 {
    match item.get(attribute) {
        Some(Value::Number(number)) => number.parse().unwrap_or_default(),
        _ => 0,
    }
}

impl<'a> Eventos<'a> {
    /// At the beginning of a batch.
    pub(crate) fn new(config: &'a Config) -> Self {
        Eventos { config, created: BTreeSet::new() }
    }

    /// Answers a request.
    ///
    /// # Errors
    /// [`EventError::Batch`] if the table does not answer.
    pub(crate) fn answer(&mut self, request: &Request<'a>, out: &mut Effects<'a>) -> Result<Answer, EventError> {
        match (request.method, request.path.as_slice()) {
            ("GET", []) => self.all(),
            ("GET", [name]) => match self.find(name)? {
                Some(item) => Answer::json(&Evento::of(&item, "PK")),
                None => Ok(unknown(name)),
            },
            ("POST", []) => match request.body() {
                Ok(new) => self.insert(new, out),
                Err(answer) => Ok(answer),
            },
            ("DELETE", [name]) => self.cancel(name, out),
            _ => Ok(Answer::unknown()),
        }
    }

    fn find(&self, name: &str) -> Result<Option<Item<'static>>, EventError> {
        Ok(tables::get(&self.config.table, &key(name))?)
    }

    fn all(&self) -> Result<Answer, EventError> {
        let mut items = Vec::new();
        for state in [ACTIVE, CANCELLED] {
            let in_state = Condition::new().equal("Estado", state);
            items.extend(tables::query(&Selection::of(&self.config.table, in_state).index(&self.config.index))?);
        }
        let mut events: Vec<_> = items.iter().map(|item| Evento::of(item, "PK")).collect();
        events.sort_by_key(|event| event.evento);
        Answer::json(&events)
    }

    fn insert(&mut self, new: NewEvento, out: &mut Effects<'a>) -> Result<Answer, EventError> {
        if let Err(answer) = request::name("evento", &new.evento) {
            return Ok(answer);
        }
        if self.created.contains(&new.evento) || self.find(&new.evento)?.is_some() {
            return Ok(Answer::refused(&format!("Evento {} ya existe", new.evento)));
        }
        let item = key(&new.evento).with("Estado", ACTIVE);
        let item = item.with("Capacidad", new.capacidad).with("Categoria", new.categoria);
        let answer = Answer::json(&Evento::of(&item, "PK"));
        out.push(Put::new(&self.config.table, item).guard(Condition::new().absent("PK").or_rerun()));
        self.created.insert(new.evento);
        answer
    }

    fn cancel(&self, name: &str, out: &mut Effects<'a>) -> Result<Answer, EventError> {
        if self.find(name)?.is_none() {
            return Ok(unknown(name));
        }
        let exists = Condition::new().exists("PK").or_rerun();
        out.push(Update::new(&self.config.table, key(name)).set("Estado", CANCELLED).guard(exists));
        Ok(Answer::done(&format!("Evento {name} cancelado")))
    }
}

/// There is no event of this name.
pub(crate) fn unknown(name: &str) -> Answer {
    Answer::missing(&format!("Evento {name} no existe"))
}

fn key(name: &str) -> Item<'static> {
    Item::new().with("PK", name.to_owned())
}
