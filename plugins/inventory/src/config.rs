//! Configuration of `inventory`: the tables, and the names of the attributes.

use serde::Deserialize;

/// `[route.config]`. The defaults are the names of the ticket shop that this was made for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InventoryConfig {
    /// The inventory table.
    pub table: String,
    /// Its index by event.
    pub index: String,
    /// Attribute of the events table: the event's name.
    #[serde(default = "pk")]
    pub name: String,
    /// Partition key of the inventory.
    #[serde(default = "pk")]
    pub partition_key: String,
    /// Sort key of the inventory.
    #[serde(default = "sk")]
    pub sort_key: String,
    /// Partition of the mirrored events.
    #[serde(default = "event_partition")]
    pub event_partition: String,
    /// Partition of the reservations.
    #[serde(default = "reservation_partition")]
    pub reservation_partition: String,
    /// Attribute: state.
    #[serde(default = "state")]
    pub state: String,
    /// Attribute: capacity, in the inventory the number of free tickets.
    #[serde(default = "capacity")]
    pub capacity: String,
    /// Attribute of a mirrored event that changes whenever tickets are reserved or given back.
    pub version: Option<String>,
    /// Attribute: category.
    #[serde(default = "category")]
    pub category: String,
    /// Attribute of a reservation: its event.
    #[serde(default = "event")]
    pub event: String,
    /// State of active events and reservations.
    #[serde(default = "active")]
    pub active: String,
    /// State of events that the organisers have cancelled.
    #[serde(default = "cancelled")]
    pub cancelled: String,
}

macro_rules! default {
    ($($name:ident = $value:literal),*) => {$(
        fn $name() -> String {
            $value.to_owned()
        }
    )*};
}
default!(
    pk = "PK",
    sk = "SK",
    event_partition = "E",
    reservation_partition = "I",
    state = "Estado",
    capacity = "Capacidad",
    category = "Categoria",
    event = "Evento",
    active = "A",
    cancelled = "C"
);
