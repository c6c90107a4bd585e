//! Sandboxes, routes and batches for the tests.

use esclusa_flow::BoxFuture;
use esclusa_flow::call_output::{CallError, CallFailure, CallOutput};
use esclusa_flow::effect::Action;
use esclusa_flow::event::{BatchOrigin, Columns, NewEvent};
use esclusa_flow::item::Item;
use esclusa_flow::plugin::Plugin;
use esclusa_flow::reads::{ReadError, Reads, Selection};
use esclusa_flow::settings::{Instances, Limits};
use esclusa_sandbox::{CompiledPlugin, ConfiguredPlugin, LoadError, RouteSettings, Sandbox, SandboxConfig};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The sandbox that most tests share; the guests of one test must not disturb those of another.
pub(crate) fn sandbox() -> Sandbox {
    static SHARED: OnceLock<(Sandbox, tempfile::TempDir)> = OnceLock::new();
    let shared = SHARED.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let cache_dir = Some(dir.path().join("plugins"));
        (sandbox_with(SandboxConfig { cache_dir, ..SandboxConfig::default() }), dir)
    });
    shared.0.clone()
}

/// A sandbox with tight limits for `describe`.
pub(crate) fn sandbox_with(config: SandboxConfig) -> Sandbox {
    Sandbox::new(SandboxConfig { instances: config.instances.min(16), describe: tight(), ..config }).unwrap()
}

/// Limits that hostile guests reach quickly.
pub(crate) fn tight() -> Limits {
    Limits {
        memory: 16 << 20,
        time: Duration::from_millis(500),
        effects: 100,
        output_bytes: 1 << 20,
        log_bytes: 4 << 10,
        host_calls: 1000,
        host_bytes: 64 << 20,
    }
}

pub(crate) fn settings(config: &str, limits: Limits) -> RouteSettings {
    let (route, config, instances) = ("test".into(), config.to_owned(), Instances::Fresh);
    RouteSettings { route, config, limits, instances, secrets: Default::default() }
}

/// The configuration that gives the hostile plugin an order.
pub(crate) fn order(order: &str) -> String {
    format!("{{\"do\": \"{order}\"}}")
}

/// The hostile plugin.
pub(crate) fn hostile() -> Vec<u8> {
    guest("hostile.wasm")
}

/// The plugin that asks what its events say.
pub(crate) fn probe() -> Vec<u8> {
    guest("probe.wasm")
}

/// A guest, which is built before the tests.
fn guest(file: &str) -> Vec<u8> {
    let built = std::env::var_os("ESCLUSA_GUESTS").map_or_else(|| PathBuf::from("../../target/guests"), PathBuf::from);
    let path = built.join(file);
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!("{}: {error}; build the guests first (make test does), or set ESCLUSA_GUESTS", path.display())
    })
}

pub(crate) async fn load(sandbox: &Sandbox, component: Vec<u8>) -> Result<CompiledPlugin, LoadError> {
    sandbox.load(esclusa_sandbox::PluginFile::of("guest.wasm", component)?).await
}

/// Loads and configures with tight limits.
pub(crate) async fn configured(sandbox: &Sandbox, component: Vec<u8>) -> ConfiguredPlugin {
    let loaded = load(sandbox, component).await.expect("it loads");
    loaded.configure(settings("{}", tight())).await.expect("it takes its configuration")
}

/// The hostile plugin with an order and limits.
pub(crate) async fn ordered(what: &str, limits: Limits) -> ConfiguredPlugin {
    let loaded = load(&sandbox(), hostile()).await.expect("it loads");
    loaded.configure(settings(&order(what), limits)).await.expect("it takes its configuration")
}

pub(crate) fn origin() -> BatchOrigin {
    BatchOrigin {
        route: "test".into(),
        source: "events".into(),
        kind: "stream".into(),
        lane: "0".into(),
        ordered: true,
    }
}

/// So many events with ids, keys, data and an attribute.
pub(crate) fn events(count: usize) -> Arc<Columns> {
    let mut columns = Columns::default();
    for i in 0..count {
        let (id, data) = (format!("id-{i}"), format!("{{\"n\":{i}}}"));
        let event = NewEvent {
            id: &id,
            key: "key",
            data: data.as_bytes(),
            attributes: &[("name", "value")],
            timestamp: 1_700_000_000_000 + i as u64,
            attempt: 1,
        };
        columns.push(&event).unwrap();
    }
    columns.into()
}

pub(crate) async fn call(plugin: &ConfiguredPlugin, count: usize) -> Result<CallOutput, CallError> {
    plugin.call(&origin(), &events(count), Arc::new(NoReads)).await
}

/// The failure of a call that has to fail by the plugin's fault.
pub(crate) async fn failure(plugin: &ConfiguredPlugin) -> CallFailure {
    match call(plugin, 3).await {
        Err(CallError::Failed(failure)) => *failure,
        other => panic!("expected a failure, got {other:?}"),
    }
}

/// The texts of the messages that an output sends.
pub(crate) fn sent(output: &CallOutput) -> Vec<String> {
    let text = |action: &Action| match action {
        Action::Send(send) => String::from_utf8(send.data.clone()).unwrap(),
        other => panic!("expected a message, got {other:?}"),
    };
    output.effects.iter().map(|effect| text(&effect.action)).collect()
}

/// Reads that find nothing.
pub(crate) struct NoReads;

impl Reads for NoReads {
    esclusa_testkit::no_other_reads!();

    fn get<'a>(&'a self, _: &'a str, _: &'a Item) -> BoxFuture<'a, Result<Option<Item>, ReadError>> {
        Box::pin(async { Ok(None) })
    }

    fn query<'a>(&'a self, _: &'a Selection) -> BoxFuture<'a, Result<Vec<Item>, ReadError>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}
