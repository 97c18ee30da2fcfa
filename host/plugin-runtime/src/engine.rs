//! The one wasmtime engine: which WebAssembly it accepts and where instances get their memory.
//!
//! Instances come from a pool of slots that are reserved once, with copy-on-write images of the initial
//! memory, so that an instance costs microseconds. Where the address space for the pool cannot be had (a
//! container with a limit on virtual memory), instances are allocated on demand: slower, otherwise the same.
//!
//! The engine is deterministic: floating-point NaNs are made canonical, relaxed SIMD has one result, and
//! there are no threads. A call is bounded by epochs, which follow the clock, or by fuel, which is the same
//! on every machine: what must not depend on the clock is metered by fuel.

use std::num::NonZeroUsize;

use tracing::{debug, warn};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::config::{MAX_MEMORY_BYTES, RuntimeConfig};
use crate::{Error, Result};

/// Stack that a plugin may use, in bytes.
pub(crate) const WASM_STACK_BYTES: usize = 512 * 1024;

/// Elements that one table may have; the pool reserves eight bytes for each.
pub(crate) const MAX_TABLE_ELEMENTS: u64 = 1 << 20;

/// Slots beyond the pool's threads: for calls that run on their caller's thread, and for the instances of
/// formats that wait for the next call.
const SPARE_SLOTS: usize = 40;

/// Core instances of a component. One made by the usual tools has up to four: main, adapter, shim and fixups.
/// One with Python in it is linked of about forty. An instance costs memory only while it lives.
pub(crate) const INSTANCES: u32 = 64;

/// Memories of a component.
pub(crate) const MEMORIES: u32 = 2;

/// Tables of a component.
pub(crate) const TABLES: u32 = 4;

/// Bytes of a memory that are cleared by writing rather than given back to the system after a call. Most
/// plugins touch less than this, and a page fault costs more than clearing a page.
const KEEP_RESIDENT_BYTES: usize = 256 * 1024;

/// Starts the engine.
pub(crate) fn start(config: &RuntimeConfig) -> Result<Engine> {
    let pooling = InstanceAllocationStrategy::Pooling(pool(config));
    let error = match Engine::new(base().allocation_strategy(pooling)) {
        Ok(engine) => return Ok(engine),
        Err(error) => error,
    };
    warn!(error = %format!("{error:#}"), "no pool of plugin instances; they are allocated on demand instead");
    debug!("a limit on virtual memory (`ulimit -v`) is the usual reason");
    for_compiling().map_err(|error| Error::Engine { detail: format!("{error:#}") })
}

/// An engine without a pool: it reserves no memory, and its artifacts are the same.
pub(crate) fn for_compiling() -> wasmtime::Result<Engine> {
    Engine::new(base().allocation_strategy(InstanceAllocationStrategy::OnDemand))
}

fn base() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .concurrency_support(false)
        .epoch_interruption(true)
        .consume_fuel(true)
        .memory_init_cow(true)
        .max_wasm_stack(WASM_STACK_BYTES)
        .wasm_backtrace_max_frames(NonZeroUsize::new(8))
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        // A component that takes long to compile takes one core for it, and the others serve clients.
        .parallel_compilation(false);
    config
}

fn pool(config: &RuntimeConfig) -> PoolingAllocationConfig {
    let slots = u32::try_from(config.max_parallel_calls + SPARE_SLOTS).unwrap_or(u32::MAX / 64);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(slots.saturating_mul(INSTANCES))
        .total_memories(slots.saturating_mul(MEMORIES))
        .total_tables(slots.saturating_mul(TABLES))
        .max_core_instances_per_component(INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_memories_per_module(MEMORIES)
        .max_tables_per_module(TABLES)
        .max_memory_size(usize::try_from(MAX_MEMORY_BYTES).unwrap_or(usize::MAX))
        .table_elements(usize::try_from(MAX_TABLE_ELEMENTS).unwrap_or(usize::MAX))
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(16 * 1024);
    pool
}
