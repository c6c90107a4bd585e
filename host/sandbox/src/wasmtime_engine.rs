//! The settings of wasmtime: the WebAssembly features that a plugin may use, and the pool that instances are made in.

use crate::run_permits::RunPermits;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, WasmBacktraceDetails};

/// Native stack of a guest's fibre. Beyond [`WASM_STACK`] it is for host functions. Overflowing it would abort the
/// process, so no host function recurses over data of a guest.
pub const STACK: usize = 2 << 20;
/// Stack that wasm code may use: overflowing it is an ordinary trap.
const WASM_STACK: usize = 512 << 10;
/// Linear memories that one component may have. Components of Rust's standard targets have one.
const MEMORIES: u32 = 2;
/// Tables that one component may have. Components of Rust's standard targets have two.
const TABLES: u32 = 8;
/// Elements of a table, which hold one function pointer each.
const TABLE_ELEMENTS: usize = 100_000;
/// Core instances that one component may have. The adapter of Rust's standard targets brings 20.
const CORE_INSTANCES: u32 = 100;
/// Bytes of a memory that the pool overwrites with zeros when an instance ends, instead of giving them back to the
/// system: the page faults of the next instance would cost more.
pub const KEEP_RESIDENT: usize = 2 << 20;
/// The largest linear memory that wasm32 can have.
const MEMORY: usize = 1 << 32;

/// An engine with a pool, or without one if the machine does not have the address space for it.
pub(crate) fn pooled(instances: u32) -> wasmtime::Result<Engine> {
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

/// An engine without a pool. Its code also runs in an engine with a pool: the allocation of instances is no part of the
/// code.
pub(crate) fn on_demand() -> wasmtime::Result<Engine> {
    let mut config = settings();
    config.allocation_strategy(InstanceAllocationStrategy::OnDemand);
    Engine::new(&config)
}

/// The settings of both engines. Every WebAssembly proposal that the contract does not need is off: each has had security
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
        // The bits of a NaN differ between machines; a redelivered batch must give the same output on each.
        .cranelift_nan_canonicalization(true)
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK)
        .async_stack_size(STACK)
        // With all addresses of a memory reserved, compiled code needs no bounds checks.
        .memory_reservation(MEMORY as u64)
        // With details, this process would read the plugin's debug information at each trap, and a hundred kilobytes of
        // it can expand to gigabytes. Names of functions are enough.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable);
    config
}

/// Slots for instances. They reserve addresses only; memory is committed as guests touch it.
fn pool(instances: u32) -> PoolingAllocationConfig {
    let slots = instances.saturating_mul(2).saturating_add(RunPermits::reserve(instances)).saturating_add(2);
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
