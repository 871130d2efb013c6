//! The engine: how wasmtime is configured, and what ticks its epochs.

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig};
use wasmtime::{Strategy, WasmFeatures};

use crate::config::{ModuleLimits, WasmConfig};
use crate::error;
use faas_core::{Error, ErrorKind};

/// The largest linear memory that a slot of the pool has room for: all that 32-bit addresses reach.
const MAX_MEMORY: usize = 4 << 30;

/// The bytes of each memory and table that stay resident between instances where the kernel tells which pages were
/// written to: they are reset by copying, which spares page faults. Measured: an echo writes to 25 pages; beyond
/// this, whoever writes to more pays for it by system calls. Without that knowledge all of them would have to be
/// copied each time, so fewer are kept.
const RESIDENT: usize = 512 << 10;
const RESIDENT_UNKNOWN: usize = 64 << 10;

/// The slots that keep their pages while nobody uses them: what an idle engine holds is bounded by their number
/// times [`RESIDENT`]. Arbitrary.
const WARM_SLOTS: u32 = 64;

/// The deepest recursion of a guest, in bytes of its stack. Source: wasmtime's default.
const GUEST_STACK: usize = 512 << 10;

/// The whole stack of a run: the guest's and what host functions need above it.
const STACK: usize = GUEST_STACK + (512 << 10);

/// The bytes of an instance besides its memory and table that each function and each item may take: what the engine
/// keeps of a function that is referred to, and of a global. Source: wasmtime's `VMFuncRef` and `VMGlobalDefinition`.
const PER_FUNCTION: usize = 32;
const PER_ITEM: usize = 32;

/// The rest of an instance. Source: wasmtime's default for all of it.
const INSTANCE: usize = 1 << 20;

/// The configuration of an engine for one backend.
pub(crate) fn settings(config: &WasmConfig) -> Config {
    let scans = PoolingAllocationConfig::is_pagemap_scan_available();
    let resident = if scans { RESIDENT } else { RESIDENT_UNKNOWN };
    let mut pool = PoolingAllocationConfig::new();
    pool.total_core_instances(config.instances)
        .total_memories(config.instances)
        .total_tables(config.instances)
        .total_stacks(config.instances)
        .max_core_instance_size(instance_size(&config.limits))
        .max_memory_size(MAX_MEMORY)
        .table_elements(config.limits.table_elements)
        .linear_memory_keep_resident(resident)
        .table_keep_resident(resident)
        .max_unused_warm_slots(WARM_SLOTS)
        .pagemap_scan(if scans { Enabled::Yes } else { Enabled::No });
    let mut settings = common();
    settings
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool))
        .epoch_interruption(true)
        .consume_fuel(config.fuel);
    settings
}

/// Room for all that a module within its limits may have; an instance takes what its module needs.
fn instance_size(limits: &ModuleLimits) -> usize {
    let functions = (limits.functions as usize).saturating_mul(PER_FUNCTION);
    INSTANCE.saturating_add(functions).saturating_add((limits.items as usize).saturating_mul(PER_ITEM))
}

/// What every engine has in common, also one that only looks at a module.
pub(crate) fn common() -> Config {
    let mut settings = Config::new();
    settings
        .strategy(Strategy::Cranelift)
        .cranelift_opt_level(OptLevel::Speed)
        .memory_init_cow(true)
        .max_wasm_stack(GUEST_STACK)
        .async_stack_size(STACK)
        .concurrency_support(false)
        // Nobody reads where in a module it trapped, and compiled modules are half as large without.
        .wasm_backtrace_max_frames(None)
        .generate_address_map(false);
    let refused = WasmFeatures::MEMORY64 | WasmFeatures::THREADS | WasmFeatures::MULTI_MEMORY;
    settings.wasm_features(refused, false);
    settings
}

/// Makes the engine.
pub(crate) fn make(config: &WasmConfig) -> Result<Engine, Error> {
    Engine::new(&settings(config)).map_err(|source| {
        let text = format!(
            "there is no Wasm engine for {} instances; fewer `instances` reserve less address space",
            config.instances
        );
        error::caused(ErrorKind::Unavailable, text, source)
    })
}
