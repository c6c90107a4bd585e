//! The plugin contract as Rust types, generated from `wit/`, and the batch as it is lowered into a guest.
//!
//! The batch is written by hand so that it borrows: its five columns are copied into the guest's memory as blocks,
//! without an owned copy in between.

pub(crate) mod convert;
pub(crate) mod lift;

use esclusa_flow::event::{BatchOrigin, Columns};
use wasmtime::component::{ComponentType, Lower};

mod generated {
    wasmtime::component::bindgen!({
        path: "../../wit",
        world: "plugin",
        imports: { default: async | trappable },
        exports: { default: async },
        require_store_data_send: true,
    });
}

/// The version of the contract that the router speaks.
pub const CONTRACT: &str = "0.2.0";

pub(crate) use generated::Plugin;
pub(crate) use generated::esclusa::router::{effects, events, items, log, metrics, objects, tables};
pub(crate) use generated::exports::esclusa::router::{handler, lifecycle};

/// A plugin's description of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginInfo {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its purpose, in a line.
    pub description: String,
    /// JSON Schema of its configuration, if it has one.
    pub config_schema: Option<String>,
}

/// The route, source and lane of a batch.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct OriginRef<'a> {
    route: &'a str,
    source: &'a str,
    kind: &'a str,
    lane: &'a str,
    ordered: bool,
}

/// A batch as it is passed to a guest.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(crate) struct BatchRef<'a> {
    origin: OriginRef<'a>,
    events: &'a [u32],
    timestamps: &'a [u64],
    attempts: &'a [u32],
    attributes: &'a [u32],
    bytes: &'a [u8],
}

impl<'a> BatchRef<'a> {
    /// Borrows the events of a call.
    pub(crate) fn new(origin: &'a BatchOrigin, columns: &'a Columns) -> Self {
        BatchRef {
            origin: OriginRef {
                route: &origin.route,
                source: &origin.source,
                kind: &origin.kind,
                lane: &origin.lane,
                ordered: origin.ordered,
            },
            events: &columns.events,
            timestamps: &columns.timestamps,
            attempts: &columns.attempts,
            attributes: &columns.attributes,
            bytes: &columns.bytes,
        }
    }
}
