//! What a behaviour needs of a backend. Each is named for it, and says why a behaviour without it is skipped.

use std::time::Duration;

use faas_core::action::Limits;
use faas_core::backend::{Cancel, LogsAfterKill};
use faas_core::payload;

use super::subject::Facts;

/// Whether a backend has what a behaviour needs, or why the behaviour is skipped.
pub type Need = fn(&Facts) -> Result<(), &'static str>;

macro_rules! needs {
    ($($(#[$doc:meta])* $name:ident: $check:expr, $reason:literal;)*) => {$(
        $(#[$doc])*
        ///
        /// # Errors
        /// The reason to skip.
        pub fn $name(facts: &Facts) -> Result<(), &'static str> {
            let check: fn(&Facts) -> bool = $check;
            if check(facts) { Ok(()) } else { Err($reason) }
        }
    )*};
}

needs! {
    /// The memory limit is enforced.
    enforces_memory: |facts| facts.capability.enforces_memory, "it does not enforce the memory limit";
    /// A loop that never awaits is stopped at the limit.
    stops_cpu_loop: |facts| facts.capability.stops_cpu_loop, "it does not stop a loop that never awaits";
    /// An action that ends its process ends only its sandbox.
    survives_exit: |facts| facts.capability.survives_exit, "an action that exits ends the whole program";
    /// An action is kept from the host's process.
    isolates: |facts| facts.capability.isolates, "it does not isolate actions from the host";
    /// Something of a run is left to see for a later one.
    reuses_instances: |facts| !facts.capability.fresh_instance, "each activation has a fresh instance";
    /// Nothing of a run is left for a later one, always or where an action asks for it.
    fresh_instances: |facts| facts.capability.fresh_instance || facts.pooled, "it has no sandboxes to make anew";
    /// Sandboxes can be made ready ahead of invocations.
    prewarms: |facts| facts.capability.prewarms, "it does not prewarm";
    /// It keeps a pool that it tells about.
    pooled: |facts| facts.pooled, "it keeps no pool that it tells about";
    /// Output past `tracing` is in the logs.
    captures_stdout: |facts| facts.capability.captures_stdout, "it does not capture raw output";
    /// Enough is left of the logs of a run that was killed for a few lines.
    keeps_logs_after_kill: |facts| match facts.capability.logs_after_kill {
        LogsAfterKill::Full => true,
        LogsAfterKill::Tail(bytes) => bytes >= 1024,
        LogsAfterKill::None => false,
    }, "nothing is left of the logs of a run that was killed";
    /// A run whose caller left is stopped, at its next await at the latest.
    stops_left_runs: |facts| facts.capability.cancel != Cancel::Abandons,
        "a run whose caller left goes on to its end";
    /// Its longest timeout is not beyond that of every action.
    bounds_timeouts: |facts| facts.capability.max_timeout < Limits::MAX_TIMEOUT + Duration::from_secs(1),
        "it takes any timeout";
    /// It takes payloads as large as a platform's.
    large_payloads: |facts| facts.capability.max_payload >= payload::MAX_BYTES as u64,
        "it does not take payloads of 1 MiB";
}
