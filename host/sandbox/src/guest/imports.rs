//! Imports of the plugin contract: reads, log and metrics.

use super::{Fault, Guest, LogLevel, LogOrigin};
use crate::contract::convert::{attributes, item};
use crate::contract::{effects, items, log, metrics, objects, tables};
use crate::guest_log;
use crate::guest_metrics::{LABELS, MetricValue};
use esclusa_flow::item::Item;
use esclusa_flow::reads::{
    ItemPage, ObjectBytes, ObjectList, ObjectPage, ObjectRead, ReadError, Reads, Selection, TableScan,
};
use esclusa_flow::settings::KeySchema;
use std::sync::Arc;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, Linker};

impl items::Host for Guest {}
impl effects::Host for Guest {}
impl crate::contract::events::Host for Guest {}

impl Guest {
    /// Asks the reads of the call in progress, after counting the bytes of the question; then counts those of the answer. Meanwhile
    /// the guest counts as waiting, not as computing.
    async fn read<T, F>(
        &mut self,
        bytes: usize,
        ask: impl FnOnce(Arc<dyn Reads>) -> F,
        size: impl FnOnce(&T) -> usize,
    ) -> wasmtime::Result<Result<T, ReadError>>
    where
        F: Future<Output = Result<T, ReadError>>,
    {
        self.count_host_call()?;
        self.meter.host_bytes(bytes)?;
        self.has_read = true;
        self.awaiting_read = true;
        let answer = match self.reads.clone() {
            Some(reads) => ask(reads).await,
            None => Err(ReadError::Invalid("tables and objects can be read only while a batch is handled".to_owned())),
        };
        self.awaiting_read = false;
        self.meter.host_bytes(answer.as_ref().map_or(0, size))?;
        if let Err(ReadError::Unavailable(why)) = &answer {
            // Remembered as the call's fault, so that it does not count as a failure of the plugin.
            self.fault = Some(Fault::Transient(why.clone()));
        }
        Ok(answer)
    }
}

/// Bytes that an element of a list counts as, besides its texts: it is allocated, moved and freed.
const ELEMENT: usize = 16;

/// Bytes that an item of a guest counts as.
fn weight(item: &Item) -> usize {
    item.size().saturating_add(item.parts().saturating_mul(ELEMENT))
}

type Answer<T, E> = wasmtime::Result<Result<T, E>>;

impl tables::Host for Guest {
    async fn key_of(&mut self, table: String) -> Answer<tables::KeyAttributes, tables::Error> {
        let size = |key: &KeySchema| key.partition.len();
        let answer = self.read(table.len(), |reads| async move { reads.key_of(&table).await }, size).await?;
        Ok(answer.map(|key| tables::KeyAttributes { partition: key.partition, sort: key.sort }).map_err(Into::into))
    }

    async fn get(&mut self, table: String, key: items::Item) -> Answer<Option<items::Item>, tables::Error> {
        let key = item(key);
        let size = |found: &Option<Item>| found.iter().map(Item::size).sum();
        let bytes = table.len().saturating_add(weight(&key));
        let answer = self.read(bytes, |reads| async move { reads.get(&table, &key).await }, size).await?;
        Ok(answer.map(|found| found.map(attributes)).map_err(Into::into))
    }

    async fn get_many(
        &mut self,
        table: String,
        keys: Vec<items::Item>,
    ) -> Answer<Vec<Option<items::Item>>, tables::Error> {
        let keys: Vec<Item> = keys.into_iter().map(item).collect();
        let bytes = keys.iter().map(|key| weight(key).saturating_add(ELEMENT)).fold(table.len(), usize::saturating_add);
        let size = |found: &Vec<Option<Item>>| found.iter().flatten().map(Item::size).sum();
        let answer = self.read(bytes, |reads| async move { reads.get_many(&table, &keys).await }, size).await?;
        let lowered = |found: Vec<Option<Item>>| found.into_iter().map(|item| item.map(attributes)).collect();
        Ok(answer.map(lowered).map_err(Into::into))
    }

    async fn query(&mut self, selection: tables::Selection) -> Answer<Vec<items::Item>, tables::Error> {
        let selection: Selection = selection.into();
        let names = selection.table.len().saturating_add(selection.index.as_ref().map_or(0, String::len));
        let comparisons = selection.key.0.len().saturating_add(selection.filter.0.len()).saturating_mul(ELEMENT);
        let texts = selection.key.size().saturating_add(selection.filter.size());
        let bytes = names.saturating_add(comparisons).saturating_add(texts);
        let size = |found: &Vec<Item>| found.iter().map(Item::size).sum();
        let answer = self.read(bytes, |reads| async move { reads.query(&selection).await }, size).await?;
        Ok(answer.map(|found| found.into_iter().map(attributes).collect()).map_err(Into::into))
    }

    async fn scan(
        &mut self,
        table: String,
        token: Option<String>,
        limit: Option<u32>,
    ) -> Answer<tables::Page, tables::Error> {
        let bytes = table.len().saturating_add(token.as_ref().map_or(0, String::len));
        let scan = TableScan { table, token, limit };
        let size = |page: &ItemPage| page.items.iter().map(Item::size).sum();
        let answer = self.read(bytes, |reads| async move { reads.scan(&scan).await }, size).await?;
        Ok(answer.map(Into::into).map_err(Into::into))
    }
}

impl objects::Host for Guest {
    async fn get(
        &mut self,
        store: String,
        path: String,
        range: Option<objects::ByteRange>,
    ) -> Answer<Option<objects::Object>, objects::Error> {
        let bytes = store.len().saturating_add(path.len());
        let read = ObjectRead { store, path, range: range.map(|range| (range.offset, range.length)) };
        let size = |found: &Option<ObjectBytes>| found.as_ref().map_or(0, |object| object.bytes.len());
        let answer = self.read(bytes, |reads| async move { reads.object(&read).await }, size).await?;
        Ok(answer.map(|found| found.map(Into::into)).map_err(Into::into))
    }

    async fn list(
        &mut self,
        store: String,
        prefix: String,
        token: Option<String>,
    ) -> Answer<objects::Page, objects::Error> {
        let bytes = [store.len(), prefix.len(), token.as_ref().map_or(0, String::len)]
            .into_iter()
            .fold(0, usize::saturating_add);
        let list = ObjectList { store, prefix, token };
        let size = |page: &ObjectPage| page.entries.iter().map(|(path, _)| path.len()).sum();
        let answer = self.read(bytes, |reads| async move { reads.objects(&list).await }, size).await?;
        Ok(answer.map(Into::into).map_err(Into::into))
    }
}

impl log::Host for Guest {
    async fn write(&mut self, level: log::Level, message: String) -> wasmtime::Result<()> {
        self.count_host_call()?;
        self.meter.host_bytes(message.len())?;
        let level = match level {
            log::Level::Trace => LogLevel::Trace,
            log::Level::Debug => LogLevel::Debug,
            log::Level::Info => LogLevel::Info,
            log::Level::Warn => LogLevel::Warn,
            log::Level::Error => LogLevel::Error,
        };
        self.journal.log(LogOrigin::Log, level, "", &message);
        Ok(())
    }
}

impl Guest {
    fn metric(&mut self, name: String, labels: metrics::Labels, value: MetricValue) -> wasmtime::Result<()> {
        self.count_host_call()?;
        let of_label =
            |(label, text): &(String, String)| label.len().saturating_add(text.len()).saturating_add(ELEMENT);
        self.meter.host_bytes(labels.iter().map(of_label).fold(name.len(), usize::saturating_add))?;
        // One more than a metric may have is refused, as all of them would be.
        let labels = labels.into_iter().take(LABELS + 1);
        let labels = labels.map(|(label, text)| (self.journal.masked(label), self.journal.masked(text)));
        self.metrics.add(self.journal.masked(name), labels.collect(), value);
        Ok(())
    }
}

impl metrics::Host for Guest {
    async fn count(&mut self, name: String, labels: metrics::Labels, amount: u64) -> wasmtime::Result<()> {
        self.metric(name, labels, MetricValue::Counter(amount))
    }

    async fn gauge(&mut self, name: String, labels: metrics::Labels, value: f64) -> wasmtime::Result<()> {
        self.metric(name, labels, MetricValue::Gauge(value))
    }

    async fn observe(&mut self, name: String, labels: metrics::Labels, value: f64) -> wasmtime::Result<()> {
        self.metric(name, labels, MetricValue::observed(value))
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
            guest.journal.log(LogOrigin::Logging, level.into(), &context, &message);
            Ok(())
        },
    )
}
