//! The sandbox: one wasmtime engine for the whole process, set up once.

use crate::cache::Cache;
use crate::component::compile::{Compiler, Places};
use crate::guest::{self, Guest};
use crate::limits::TICK;
use crate::permits::Permits;
use esclusa_flow::settings::Limits;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;
use tokio::runtime::Handle;
use wasmtime::component::Linker;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails};

/// Native stack of a guest's fibre. What [`WASM_STACK`] leaves is for host functions; overflowing it would abort
/// the process, so no host function recurses over what a guest made.
pub const STACK: usize = 2 << 20;
/// Stack that wasm code may use: overflowing it is an ordinary trap.
const WASM_STACK: usize = 512 << 10;
/// Linear memories that one component may have. Those of the standard library's targets have one.
const MEMORIES: u32 = 2;
/// Tables that one component may have. Those of the standard library's targets have two.
const TABLES: u32 = 8;
/// Elements of a table, which hold one function pointer each.
const TABLE_ELEMENTS: usize = 100_000;
/// Core instances that one component may have. The adapter of the standard library's targets brings 20.
const CORE_INSTANCES: u32 = 100;
/// Bytes of a memory that are wiped by writing instead of being given back to the system when its instance ends:
/// cheaper than the page faults of the next instance.
pub const KEEP_RESIDENT: usize = 2 << 20;
/// The largest linear memory that wasm32 can have.
const MEMORY: usize = 1 << 32;

/// How the sandbox is set up.
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// Where compiled code is kept between runs of the process; `None`: nowhere. The directory is made if it is
    /// not there, and closed to other users.
    pub cache_dir: Option<PathBuf>,
    /// Instances that run at the same time; further calls wait, and those of one route have at most half of them. A quarter more is
    /// kept for routes that have none running. As many
    /// again may be kept for reuse.
    pub instances: u32,
    /// The threads that guests run on, with timers; `None`: those that a call is made from. A guest that computes yields at
    /// every [`TICK`] only, so nothing else that has to be prompt belongs on them.
    pub threads: Option<Handle>,
    /// What a plugin may use while it is asked who it is.
    pub describe: Limits,
    /// Who compiles.
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
    /// Guests that run at the same time, at most: [`SandboxConfig::instances`], and those that are kept for routes that have none
    /// running.
    #[must_use]
    pub fn most_running(&self) -> u32 {
        self.instances.saturating_add(Permits::reserve(self.instances))
    }
}

/// A sandbox could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine did not start.
    #[error("the sandbox cannot be set up: {0}")]
    Engine(String),
    /// The cache directory cannot be used.
    #[error("the directory {path} for compiled plugins cannot be used: {source}")]
    Cache {
        /// The directory.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
}

impl From<wasmtime::Error> for Error {
    fn from(error: wasmtime::Error) -> Self {
        Error::Engine(format!("{error:#}"))
    }
}

/// Runs plugins. Cheap to clone; everything loaded shares one engine.
#[derive(Clone)]
pub struct Sandbox(pub(crate) Arc<Inner>);

/// What all clones of a sandbox, and everything loaded by it, share.
pub(crate) struct Inner {
    pub(crate) engine: Engine,
    pub(crate) linker: Linker<Guest>,
    pub(crate) cache: Option<Cache>,
    pub(crate) config: SandboxConfig,
    /// Permits to run.
    pub(crate) running: Permits,
    /// Instances kept for reuse, all routes together.
    pub(crate) kept: AtomicUsize,
    pub(crate) compiling: Arc<Places>,
}

impl Sandbox {
    /// Sets up the engine, and the thread that lets guests be interrupted; the thread ends with the engine.
    ///
    /// # Errors
    /// [`Error`] where the machine does not allow it.
    pub fn new(config: SandboxConfig) -> Result<Sandbox, Error> {
        let engine = engine(config.instances.max(1))?;
        let linker = guest::linker(&engine)?;
        let cache = match &config.cache_dir {
            None => None,
            Some(path) => {
                let cache = Cache::open(path, &engine);
                Some(cache.map_err(|source| Error::Cache { path: path.clone(), source })?)
            }
        };
        tick(&engine)?;
        Ok(Sandbox(Arc::new(Inner {
            engine,
            linker,
            cache,
            running: Permits::new(config.instances.max(1)),
            kept: AtomicUsize::new(0),
            compiling: Arc::default(),
            config,
        })))
    }
}

/// An engine with a pool; without one where the machine does not have the address space for it.
fn engine(instances: u32) -> Result<Engine, Error> {
    let mut config = settings();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(instances)));
    match Engine::new(&config) {
        Ok(engine) => Ok(engine),
        Err(error) => {
            tracing::warn!(error = format!("{error:#}"), "no instance pool, instances are made on demand");
            on_demand()
        }
    }
}

/// An engine without a pool. What it compiles runs in one with a pool as well: how instances are allocated is no part of
/// the code.
pub fn on_demand() -> Result<Engine, Error> {
    let mut config = settings();
    config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
    Ok(Engine::new(&config)?)
}

/// What a plugin may be made of. Every proposal that the contract does not need is off: each has had its
/// advisories.
fn settings() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .concurrency_support(false)
        .wasm_shared_everything_threads(false)
        .wasm_gc(false)
        .wasm_function_references(false)
        .wasm_exceptions(false)
        .wasm_memory64(false)
        .wasm_multi_memory(false)
        .wasm_relaxed_simd(false)
        .wasm_stack_switching(false)
        .cranelift_nan_canonicalization(true)
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(STACK)
        .memory_reservation(MEMORY as u64)
        // What a plugin says of its lines would be read when it traps, by this process: a hundred kilobytes can be made to
        // mean gigabytes. Names of functions are enough.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config
}

/// Slots for instances. They reserve addresses only; memory is committed as guests touch it.
fn pool(instances: u32) -> PoolingAllocationConfig {
    let slots = instances.saturating_mul(2).saturating_add(Permits::reserve(instances)).saturating_add(2);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(slots.saturating_mul(CORE_INSTANCES))
        .total_memories(slots.saturating_mul(MEMORIES))
        .total_tables(slots.saturating_mul(TABLES))
        .total_stacks(slots)
        .total_gc_heaps(1)
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .table_elements(TABLE_ELEMENTS)
        .max_memory_size(MEMORY)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(64 << 10)
        .async_stack_keep_resident(64 << 10)
        .pagemap_scan(Enabled::Auto);
    pool
}

fn tick(engine: &Engine) -> Result<(), Error> {
    let engine = engine.weak();
    let run = move || {
        loop {
            std::thread::sleep(TICK);
            let Some(engine) = engine.upgrade() else { return };
            engine.increment_epoch();
        }
    };
    let spawned = std::thread::Builder::new().name("sandbox-tick".to_owned()).spawn(run);
    spawned.map(drop).map_err(|error| Error::Engine(format!("the tick thread does not start: {error}")))
}
