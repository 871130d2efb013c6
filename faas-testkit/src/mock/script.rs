//! What a mock takes time for, and where it fails.

use std::collections::BTreeMap;
use std::time::Duration;

use faas_core::ErrorKind;

/// Something that is asked of a mock factory or sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// Making a stem.
    Create,
    /// Binding a stem to an action.
    Init,
    /// Running an invocation, before its code starts.
    Run,
    /// Pausing a sandbox.
    Pause,
    /// Resuming it.
    Resume,
    /// Destroying a sandbox; it cannot fail, but it can hang or panic.
    Destroy,
    /// Destroying a stem; as for a sandbox.
    Discard,
}

/// What goes wrong, after the operation's latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails with this kind of error.
    Fail(ErrorKind),
    /// The sandbox is lost, now and for all that is asked of it later.
    Lose,
    /// It never ends.
    Hang,
    /// It panics.
    Panic,
}

/// How long each operation takes and which calls go wrong.
///
/// ```
/// use std::time::Duration;
/// use faas_core::ErrorKind;
/// use faas_testkit::mock::{Fault, MockFactory, Operation, Script};
/// let script = Script::new()
///     .with_latency(Operation::Create, Duration::from_millis(100))
///     .with_fault(Operation::Create, 3, Fault::Fail(ErrorKind::Unavailable))
///     .with_fault(Operation::Run, 1, Fault::Lose);
/// let factory = MockFactory::new(script);
/// assert_eq!(factory.live(), 0);
/// ```
#[derive(Clone, Debug, Default)]
pub struct Script {
    latencies: BTreeMap<Operation, Duration>,
    faults: BTreeMap<(Operation, u64), Fault>,
    always: BTreeMap<Operation, Fault>,
}

impl Script {
    /// A script in which nothing takes time and nothing fails.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same script where an operation takes so long.
    #[must_use]
    pub fn with_latency(mut self, operation: Operation, latency: Duration) -> Self {
        self.latencies.insert(operation, latency);
        self
    }

    /// The same script where the `nth` operation of its kind goes wrong, counted from 1 over all sandboxes.
    #[must_use]
    pub fn with_fault(mut self, operation: Operation, nth: u64, fault: Fault) -> Self {
        self.faults.insert((operation, nth), fault);
        self
    }

    /// The same script where every operation of the kind goes wrong that has no fault of its own.
    #[must_use]
    pub fn with_every(mut self, operation: Operation, fault: Fault) -> Self {
        self.always.insert(operation, fault);
        self
    }

    pub(super) fn next(&self, operation: Operation, nth: u64) -> (Duration, Option<Fault>) {
        let latency = self.latencies.get(&operation).copied().unwrap_or_default();
        let fault = self.faults.get(&(operation, nth)).or_else(|| self.always.get(&operation));
        (latency, fault.copied())
    }
}
