//! The sandbox: engine, linker, cache and permits, set up once for the whole process and shared by all plugins.

use crate::call_meter::TICK;
use crate::code_cache::CodeCache;
use crate::compile::{CompileSlots, Compiler};
use crate::guest::{self, Guest};
use crate::guest_metrics::{MetricsByRoute, PluginMetrics};
use crate::run_permits::RunPermits;
use crate::wasmtime_engine;
use esclusa_flow::settings::Limits;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use wasmtime::Engine;
use wasmtime::component::Linker;

/// How the sandbox is set up.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// The directory that keeps compiled code between runs of the process; `None`: every run compiles. The directory is
    /// made if it is missing, and closed to other users; its key is in the file beside it that ends in `.key`.
    pub cache_dir: Option<PathBuf>,
    /// Instances that run at the same time; further calls wait. One route has at most half of them, and one of a
    /// quarter more, the reserve. As many instances again may be kept for reuse.
    pub instances: u32,
    /// The runtime that guests run on, with timers; `None`: the one that a call is made from. A guest that computes
    /// yields only at every [`TICK`], so tasks that must be prompt do not belong on these threads.
    pub threads: Option<Handle>,
    /// The limits of a plugin's `describe`.
    pub describe: Limits,
    /// The compiler: this process or a child.
    pub compiler: Compiler,
    /// How long compiling in this process may take; a child has bounds of its own.
    pub compile_time: Duration,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        SandboxConfig {
            cache_dir: None,
            instances: 64,
            threads: None,
            describe: Limits { memory: 256 << 20, ..Limits::default() },
            compiler: Compiler::default(),
            compile_time: Duration::from_secs(120),
        }
    }
}

impl SandboxConfig {
    /// Most guests that run at the same time: [`SandboxConfig::instances`] and the reserve.
    #[must_use]
    pub fn most_running(&self) -> u32 {
        self.instances.saturating_add(RunPermits::reserve(self.instances))
    }
}

/// Why a sandbox could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The engine did not start.
    #[error("the sandbox cannot be set up: {0}")]
    Engine(String),
}

impl From<wasmtime::Error> for SandboxError {
    fn from(error: wasmtime::Error) -> Self {
        SandboxError::Engine(format!("{error:#}"))
    }
}

/// Runs plugins. Cheap to clone; everything loaded shares one engine.
#[derive(Clone)]
pub struct Sandbox(pub(crate) Arc<SandboxCore>);

/// The state that all clones of a sandbox and all its plugins share.
pub(crate) struct SandboxCore {
    pub(crate) engine: Engine,
    pub(crate) linker: Linker<Guest>,
    pub(crate) cache: Option<CodeCache>,
    pub(crate) config: SandboxConfig,
    /// Permits to run guests.
    pub(crate) running: RunPermits,
    /// Instances kept for reuse, all routes together.
    pub(crate) kept: AtomicUsize,
    pub(crate) compiling: Arc<CompileSlots>,
    /// The plugins' own metrics.
    pub(crate) metrics: MetricsByRoute,
}

impl Sandbox {
    /// Sets up the engine, and the thread that lets guests be interrupted; the thread ends with the engine.
    ///
    /// # Errors
    /// [`SandboxError`] if the machine does not allow it.
    pub fn new(config: SandboxConfig) -> Result<Sandbox, SandboxError> {
        let engine = wasmtime_engine::pooled(config.instances.max(1))?;
        let linker = guest::linker(&engine)?;
        // Without a cache everything works, but for the time that compiling takes.
        let cache = config.cache_dir.as_ref().and_then(|path| {
            let cache = CodeCache::open(path, &engine);
            let tell = |error: &std::io::Error| {
                tracing::warn!(path = %path.display(), %error, "compiled plugins cannot be kept: they are compiled at each start");
            };
            cache.inspect_err(tell).ok()
        });
        tick(&engine)?;
        Ok(Sandbox(Arc::new(SandboxCore {
            engine,
            linker,
            cache,
            running: RunPermits::new(config.instances.max(1)),
            kept: AtomicUsize::new(0),
            compiling: Arc::default(),
            metrics: MetricsByRoute::default(),
            config,
        })))
    }

    /// The plugins' own metrics, of all routes.
    #[must_use]
    pub fn metrics(&self) -> Vec<PluginMetrics> {
        self.0.metrics.read()
    }
}

/// Runs work with guests on the threads for guests, if there are any. If the future is dropped, the work ends the next
/// time that its guest yields. `None`: the threads are gone, or the work panicked.
pub(crate) async fn run_on<T: Send + 'static>(
    threads: Option<Handle>,
    work: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    let Some(threads) = threads else { return Some(work.await) };
    let mut task = JoinSet::new();
    task.spawn_on(work, &threads);
    task.join_next().await?.inspect_err(|error| tracing::error!(%error, "a call of a plugin broke")).ok()
}

fn tick(engine: &Engine) -> Result<(), SandboxError> {
    // Weak, so that the thread ends with the engine.
    let engine = engine.weak();
    let run = move || {
        loop {
            std::thread::sleep(TICK);
            let Some(engine) = engine.upgrade() else { return };
            engine.increment_epoch();
        }
    };
    let spawned = std::thread::Builder::new().name("sandbox-tick".to_owned()).spawn(run);
    spawned.map(drop).map_err(|error| SandboxError::Engine(format!("the tick thread does not start: {error}")))
}
