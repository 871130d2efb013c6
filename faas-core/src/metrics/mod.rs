//! Metrics through the `metrics` facade: what a platform counts and measures.
//!
//! Install a recorder (an exporter) before the platform is built: handles are bound to the recorder that is
//! installed when they are first used. Without one, recording an activation costs a few nanoseconds.
//!
//! The label `action` has a bounded number of values; see [`Metrics`].
//!
//! # Source
//! Names and units follow the Prometheus project's "Metric and label naming": base units, `_total` for counters.
//! Billed time is counted in the step that it is billed in, and memory in the unit that limits have.

mod action;
#[cfg(test)]
mod tests;

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

pub use self::action::{ActionMetrics, Metrics};
use crate::pool::PoolStats;

/// Counter: finished activations, by `action`, `outcome` (`success`, `application_error`, `developer_error`,
/// `internal_error`) and `start_kind` (`cold`, `prewarmed`, `warm`, or `none` where no sandbox was used).
pub const ACTIVATIONS: &str = "faas_activations_total";
/// Counter: billed milliseconds, by `action`.
pub const BILLED: &str = "faas_billed_milliseconds_total";
/// Histogram: seconds that activations waited for a permit or a sandbox, by `action`.
pub const WAIT: &str = "faas_wait_seconds";
/// Histogram: seconds of initialising, of activations with a cold or prewarmed start, by `action`.
pub const INIT: &str = "faas_init_seconds";
/// Histogram: seconds of running, of activations that ran to a known end, by `action`.
pub const RUN: &str = "faas_run_seconds";
/// Gauge: invocations that wait for a permit, by `backend`.
pub const QUEUE_LENGTH: &str = "faas_queue_length";
/// Gauge: activations under way, from acceptance to record.
pub const IN_FLIGHT: &str = "faas_in_flight";
/// Gauge: sandboxes, by `backend` and `state` (`stem`, `creating`, `idle`, `paused`, `leased`, `destroying`).
pub const SANDBOXES: &str = "faas_sandboxes";
/// Gauge: MiB of the memory of all sandboxes, by `backend`.
pub const POOL_MIB: &str = "faas_pool_mib";
/// Counter: sandboxes made for an activation, by `backend`.
pub const COLD_STARTS: &str = "faas_cold_starts_total";
/// Counter: starts on a stem cell, by `backend`.
pub const PREWARMED_STARTS: &str = "faas_prewarmed_starts_total";
/// Counter: starts on a warm sandbox, by `backend`.
pub const WARM_STARTS: &str = "faas_warm_starts_total";
/// Counter: sandboxes destroyed to make room, by `backend`.
pub const EVICTIONS: &str = "faas_evictions_total";
/// Counter: sandboxes destroyed because they were idle for too long, by `backend`.
pub const EXPIRATIONS: &str = "faas_expirations_total";

/// Tells the recorder what each metric means and its unit.
pub fn describe() {
    describe_counter!(ACTIVATIONS, Unit::Count, "Finished activations");
    describe_counter!(BILLED, Unit::Milliseconds, "Billed time");
    describe_histogram!(WAIT, Unit::Seconds, "Time until a permit and a sandbox");
    describe_histogram!(INIT, Unit::Seconds, "Time initialising user code");
    describe_histogram!(RUN, Unit::Seconds, "Time running user code");
    describe_gauge!(QUEUE_LENGTH, Unit::Count, "Invocations that wait for a permit");
    describe_gauge!(IN_FLIGHT, Unit::Count, "Activations under way");
    describe_gauge!(SANDBOXES, Unit::Count, "Sandboxes by state");
    describe_gauge!(POOL_MIB, Unit::Mebibytes, "Memory of all sandboxes");
    describe_counter!(COLD_STARTS, Unit::Count, "Sandboxes made for an activation");
    describe_counter!(PREWARMED_STARTS, Unit::Count, "Starts on a stem cell");
    describe_counter!(WARM_STARTS, Unit::Count, "Starts on a warm sandbox");
    describe_counter!(EVICTIONS, Unit::Count, "Sandboxes destroyed to make room");
    describe_counter!(EXPIRATIONS, Unit::Count, "Sandboxes destroyed for being idle too long");
}

/// Publishes what the pool of a backend holds and has done.
pub fn publish_pool(backend: &str, stats: &PoolStats) {
    let states = [
        ("stem", stats.stems),
        ("creating", stats.creating),
        ("idle", stats.idle),
        ("paused", stats.paused),
        ("leased", stats.leased),
        ("destroying", stats.destroying),
    ];
    for (state, count) in states {
        metrics::gauge!(SANDBOXES, "backend" => backend.to_owned(), "state" => state)
            .set(float(count as u64));
    }
    metrics::gauge!(POOL_MIB, "backend" => backend.to_owned()).set(float(stats.memory));
    let totals = [
        (COLD_STARTS, stats.cold_starts),
        (PREWARMED_STARTS, stats.prewarmed_starts),
        (WARM_STARTS, stats.warm_starts),
        (EVICTIONS, stats.evictions),
        (EXPIRATIONS, stats.expirations),
    ];
    for (name, total) in totals {
        metrics::counter!(name, "backend" => backend.to_owned()).absolute(total);
    }
}

/// Publishes how many invocations wait for a permit of a backend.
pub fn publish_queue(backend: &str, waiting: usize) {
    metrics::gauge!(QUEUE_LENGTH, "backend" => backend.to_owned()).set(float(waiting as u64));
}

/// Publishes how many activations are under way.
pub fn publish_in_flight(count: usize) {
    metrics::gauge!(IN_FLIGHT).set(float(count as u64));
}

/// Gauges are floating-point numbers: exact up to 2^53.
#[expect(clippy::cast_precision_loss, reason = "no gauge gets near 2^53")]
fn float(count: u64) -> f64 {
    count as f64
}
