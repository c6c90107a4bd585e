//! The domain of reservations: tickets are reserved and given back, both in one transaction with the number of free seats.
//!
//! A batch keeps account of the seats of each event that it touches, and writes each once, guarded by the number that it has read:
//! of two batches at the same time one is handled again. `Version` counts these writes, so that the plugin
//! that cancels an event notices every reservation, also if as many seats were given back meanwhile.

use crate::answer::Answer;
use crate::eventos::{ACTIVE, Evento, integer, unknown};
use crate::id;
use crate::request::{self, Request};
use esclusa_plugin::tables::{self, Selection};
use esclusa_plugin::{Condition, Effects, EventError, Item, Put, Update};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// State of reservations that the customer has cancelled.
const GIVEN_BACK: &str = "X";

/// Where events and reservations are.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    table: String,
    /// Index of the table by `Evento` and `Email`.
    index: String,
}

/// A reservation, as it is shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Reserva<'a> {
    id: &'a str,
    evento: &'a str,
    estado: &'a str,
    email: &'a str,
    cantidad: i64,
}

#[derive(Deserialize)]
struct NewReserva {
    evento: String,
    cantidad: u32,
    email: String,
}

/// The seats of an event.
struct Seats {
    state: String,
    /// As it was read.
    stored: i64,
    /// With what this batch reserves and gives back.
    left: i64,
    /// The events of the batch that change it.
    causes: Vec<u32>,
}

/// The events and reservations that a batch touches.
pub(crate) struct Reservas<'a> {
    config: &'a Config,
    seats: BTreeMap<String, Option<Seats>>,
    given_back: BTreeSet<String>,
}

impl<'a> Reservas<'a> {
    /// At the beginning of a batch.
    pub(crate) fn new(config: &'a Config) -> Self {
        Reservas { config, seats: BTreeMap::new(), given_back: BTreeSet::new() }
    }

    /// Answers a request.
    ///
    /// # Errors
    /// [`EventError::Batch`] if the table does not answer.
    pub(crate) fn answer(&mut self, request: &Request<'a>, out: &mut Effects<'a>) -> Result<Answer, EventError> {
        match (request.method, request.path.as_slice()) {
            ("GET", ["eventos"]) => self.events(),
            ("GET", ["eventos", name]) => match self.get("E", name)? {
                Some(item) => Answer::json(&Evento::of(&item, "SK")),
                None => Ok(unknown(name)),
            },
            ("GET", [event, email]) => self.of_customer(event, email),
            ("GET", [id]) => match self.get("I", id)? {
                Some(item) => Answer::json(&Reserva::of(&item)),
                None => Ok(no_reservation(id)),
            },
            ("POST", []) => match request.body() {
                Ok(new) => self.reserve(request, new, out),
                Err(answer) => Ok(answer),
            },
            ("DELETE", [id]) => self.give_back(request, id, out),
            _ => Ok(Answer::unknown()),
        }
    }

    /// Writes the free seats of the events. After the last request of the batch.
    pub(crate) fn write(self, out: &mut Effects<'a>) {
        for (name, seats) in self.seats {
            let Some(seats) = seats.filter(|seats| !seats.causes.is_empty()) else { continue };
            let as_read = Condition::new().equal("Capacidad", seats.stored).equal("Estado", seats.state);
            let update = Update::new(&self.config.table, key("E", &name)).set("Capacidad", seats.left);
            let cause = if let [only] = seats.causes.as_slice() { Some(*only) } else { None };
            out.push_for(cause, update.add("Version", "1").guard(as_read.or_rerun()));
        }
    }

    fn get(&self, kind: &'static str, name: &str) -> Result<Option<Item<'static>>, EventError> {
        Ok(tables::get(&self.config.table, &key(kind, name))?)
    }

    fn events(&self) -> Result<Answer, EventError> {
        let events = tables::query(&Selection::of(&self.config.table, Condition::new().equal("PK", "E")))?;
        Answer::json(&events.iter().map(|item| Evento::of(item, "SK")).collect::<Vec<_>>())
    }

    fn of_customer(&self, event: &str, email: &str) -> Result<Answer, EventError> {
        let of_both = Condition::new().equal("Evento", event).equal("Email", email);
        let found = tables::query(&Selection::of(&self.config.table, of_both).index(&self.config.index))?;
        Answer::json(&found.iter().map(Reserva::of).collect::<Vec<_>>())
    }

    fn reserve(&mut self, request: &Request<'a>, new: NewReserva, out: &mut Effects<'a>) -> Result<Answer, EventError> {
        let names = request::name("evento", &new.evento).and_then(|_| request::name("email", &new.email));
        if let Err(answer) = names {
            return Ok(answer);
        }
        let wanted = i64::from(new.cantidad);
        if wanted == 0 {
            return Ok(Answer::wrong("cantidad debe ser mayor que cero"));
        }
        let Some(seats) = self.seats(&new.evento)? else { return Ok(unknown(&new.evento)) };
        if seats.state != ACTIVE {
            return Ok(Answer::refused(&format!("Evento {} cancelado", new.evento)));
        }
        if seats.left < wanted {
            return Ok(Answer::refused(&format!("Evento {}: quedan {} boletos", new.evento, seats.left)));
        }
        seats.left -= wanted;
        seats.causes.push(request.event.index());
        let item = key("I", &id::of(request.event)).with("Evento", new.evento).with("Email", new.email);
        let item = item.with("Estado", ACTIVE).with("Cantidad", wanted);
        let answer = Answer::json(&Reserva::of(&item));
        out.push(Put::new(&self.config.table, item));
        answer
    }

    fn give_back(&mut self, request: &Request<'a>, id: &str, out: &mut Effects<'a>) -> Result<Answer, EventError> {
        let Some(reservation) = self.get("I", id)? else { return Ok(no_reservation(id)) };
        if reservation.text("Estado") != Some(ACTIVE) || self.given_back.contains(id) {
            return Ok(Answer::refused(&format!("Reserva Id {id} ya estaba cancelada")));
        }
        let event = reservation.text("Evento").unwrap_or_default();
        if let Some(seats) = self.seats(event)? {
            seats.left = seats.left.saturating_add(integer(&reservation, "Cantidad"));
            seats.causes.push(request.event.index());
        }
        let still_active = Condition::new().equal("Estado", ACTIVE).or_rerun();
        out.push(Update::new(&self.config.table, key("I", id)).set("Estado", GIVEN_BACK).guard(still_active));
        self.given_back.insert(id.to_owned());
        Ok(Answer::done(&format!("Reserva Id {id} cancelada")))
    }

    /// The seats of an event, read once per batch; `None`: there is no such event.
    fn seats(&mut self, event: &str) -> Result<Option<&mut Seats>, EventError> {
        if !self.seats.contains_key(event) {
            let seats = self.get("E", event)?.map(|item| {
                let (stored, state) = (integer(&item, "Capacidad"), item.text("Estado").unwrap_or_default().to_owned());
                Seats { state, stored, left: stored, causes: Vec::new() }
            });
            self.seats.insert(event.to_owned(), seats);
        }
        Ok(self.seats.get_mut(event).and_then(Option::as_mut))
    }
}

impl<'a> Reserva<'a> {
    fn of(item: &'a Item<'_>) -> Self {
        let text = |attribute| item.text(attribute).unwrap_or_default();
        Reserva {
            id: text("SK"),
            evento: text("Evento"),
            estado: text("Estado"),
            email: text("Email"),
            cantidad: integer(item, "Cantidad"),
        }
    }
}

fn no_reservation(id: &str) -> Answer {
    Answer::missing(&format!("Reserva Id {id} no existe"))
}

fn key(kind: &'static str, name: &str) -> Item<'static> {
    Item::new().with("PK", kind).with("SK", name.to_owned())
}
