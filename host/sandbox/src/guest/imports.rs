//! Imports of the plugin contract: table reads and logging.

use super::{Fault, Guest, LogLevel};
use crate::contract::convert::{attributes, item};
use crate::contract::{effects, items, tables};
use crate::guest_log;
use esclusa_flow::item::Item;
use esclusa_flow::reads::{ReadError, Reads, Selection};
use std::sync::Arc;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker};

impl items::Host for Guest {}
impl effects::Host for Guest {}
impl crate::contract::events::Host for Guest {}

impl Guest {
    /// The reads of the call in progress. From now on the guest counts as waiting for them, not as computing.
    fn reads(&mut self) -> Result<Arc<dyn Reads>, ReadError> {
        self.awaiting_read = true;
        self.has_read = true;
        let outside = || ReadError::Invalid("tables can be read only while a batch is handled".to_owned());
        self.reads.clone().ok_or_else(outside)
    }

    /// An error for the guest. If it is the host's, it is also remembered as the call's fault, so that it does not
    /// count as a failure of the plugin.
    fn failed(&mut self, error: ReadError) -> tables::Error {
        if let ReadError::Unavailable(why) = &error {
            self.fault = Some(Fault::Transient(why.clone()));
        }
        error.into()
    }
}

impl tables::Host for Guest {
    async fn get(
        &mut self,
        table: String,
        key: items::Item,
    ) -> wasmtime::Result<Result<Option<items::Item>, tables::Error>> {
        self.count_host_call()?;
        let key = item(key);
        self.meter.host_bytes(key.size())?;
        let answer = match self.reads() {
            Ok(reads) => reads.get(&table, &key).await,
            Err(error) => Err(error),
        };
        self.awaiting_read = false;
        self.meter.host_bytes(answer.iter().flatten().map(Item::size).sum())?;
        Ok(answer.map(|found| found.map(attributes)).map_err(|error| self.failed(error)))
    }

    async fn query(
        &mut self,
        selection: tables::Selection,
    ) -> wasmtime::Result<Result<Vec<items::Item>, tables::Error>> {
        self.count_host_call()?;
        let selection: Selection = selection.into();
        self.meter.host_bytes(selection.key.size().saturating_add(selection.filter.size()))?;
        let answer = match self.reads() {
            Ok(reads) => reads.query(&selection).await,
            Err(error) => Err(error),
        };
        self.awaiting_read = false;
        self.meter.host_bytes(answer.iter().flatten().map(Item::size).sum())?;
        Ok(answer.map(|found| found.into_iter().map(attributes).collect()).map_err(|error| self.failed(error)))
    }
}

/// Levels of `wasi:logging`.
#[expect(dead_code, reason = "made by lifting only")]
#[derive(ComponentType, Lift, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
enum WasiLogLevel {
    #[component(name = "trace")]
    Trace,
    #[component(name = "debug")]
    Debug,
    #[component(name = "info")]
    Info,
    #[component(name = "warn")]
    Warn,
    #[component(name = "error")]
    Error,
    #[component(name = "critical")]
    Critical,
}

impl From<WasiLogLevel> for guest_log::LogLevel {
    fn from(level: WasiLogLevel) -> Self {
        match level {
            WasiLogLevel::Trace => LogLevel::Trace,
            WasiLogLevel::Debug => LogLevel::Debug,
            WasiLogLevel::Info => LogLevel::Info,
            WasiLogLevel::Warn => LogLevel::Warn,
            WasiLogLevel::Error | WasiLogLevel::Critical => LogLevel::Error,
        }
    }
}

/// Offers `wasi:logging`.
pub(super) fn add_logging(linker: &mut Linker<Guest>) -> wasmtime::Result<()> {
    linker.instance("wasi:logging/logging@0.1.0-draft")?.func_wrap(
        "log",
        |mut store: StoreContextMut<'_, Guest>, (level, context, message): (WasiLogLevel, String, String)| {
            let guest = store.data_mut();
            guest.count_host_call()?;
            guest.meter.host_bytes(context.len().saturating_add(message.len()))?;
            guest.journal.log(level.into(), &context, &message);
            Ok(())
        },
    )
}
