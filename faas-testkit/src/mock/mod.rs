//! A scripted mock sandbox: it runs an action's own code, takes as long as its script says, fails where the
//! script says so, and writes down all that is done to it.
//!
//! It lives on tokio's clock, so that tests with paused time are exact.

mod ledger;
mod sandbox;
mod script;
#[cfg(test)]
mod tests;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use faas_core::guest::Guest;
use faas_core::pool::MemoryMibTotal;
use faas_core::sandbox::{InitError, SandboxFactory, Shape};
use faas_core::{ActionSpec, Entropy, Error, ErrorKind};
use tokio::time::sleep;

pub use self::ledger::{Entry, Step};
use self::ledger::{Ledger, Presence};
pub use self::sandbox::{MockSandbox, MockStem};
pub use self::script::{Fault, Operation, Script};

/// Makes mock sandboxes. Cloning it shares the script's progress and the ledger, so that a test can keep a clone
/// and look at what happened.
#[derive(Clone)]
pub struct MockFactory {
    shared: Arc<Shared>,
}

struct Shared {
    script: Script,
    ledger: Ledger,
    entropy: OnceLock<Arc<Entropy>>,
}

impl Shared {
    fn entropy(&self) -> &Arc<Entropy> {
        self.entropy.get_or_init(Arc::default)
    }

    /// Spends the time that the script gives an operation, and does what its fault asks for.
    async fn perform(&self, operation: Operation) -> Result<(), Error> {
        let nth = self.ledger.count(operation);
        let (latency, fault) = self.script.next(operation, nth);
        if !latency.is_zero() {
            sleep(latency).await;
        }
        let fail = |kind, what: &str| {
            let text = format!("the mock was told {what} at {operation:?} number {nth}");
            Err(Error::new(kind, text).with_operation("mock"))
        };
        match fault {
            None => Ok(()),
            Some(Fault::Fail(kind)) => fail(kind, "to fail"),
            Some(Fault::Lose) => fail(ErrorKind::SandboxLost, "to lose its sandbox"),
            Some(Fault::Hang) => std::future::pending().await,
            #[expect(clippy::panic, reason = "the script asked for it")]
            Some(Fault::Panic) => panic!("the mock was told to panic at {operation:?} number {nth}"),
        }
    }
}

impl MockFactory {
    /// A factory that follows a script.
    #[must_use]
    pub fn new(script: Script) -> Self {
        Self { shared: Arc::new(Shared { script, ledger: Ledger::new(), entropy: OnceLock::new() }) }
    }

    /// The sandboxes and stems that there are now, those being made and destroyed included.
    #[must_use]
    pub fn live(&self) -> usize {
        self.shared.ledger.read(|books| books.live.len())
    }

    /// The most that there were at once.
    #[must_use]
    pub fn peak_live(&self) -> usize {
        self.shared.ledger.read(|books| books.peak_live)
    }

    /// The memory of all that there are now, in MiB.
    #[must_use]
    pub fn memory(&self) -> MemoryMibTotal {
        self.shared.ledger.read(|books| books.memory)
    }

    /// The most memory that there was at once, in MiB.
    #[must_use]
    pub fn peak_memory(&self) -> MemoryMibTotal {
        self.shared.ledger.read(|books| books.peak_memory)
    }

    /// How often an operation was begun.
    #[must_use]
    pub fn began(&self, operation: Operation) -> u64 {
        self.shared.ledger.read(|books| books.counts.get(&operation).copied().unwrap_or(0))
    }

    /// What happened so far, in order.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry> {
        self.shared.ledger.read(|books| books.entries.clone())
    }

    /// When a step happened to any sandbox, in order, counted from the making of the factory.
    #[must_use]
    pub fn times_of(&self, step: Step) -> Vec<Duration> {
        self.entries().into_iter().filter(|entry| entry.step == step).map(|entry| entry.at).collect()
    }

    /// What the pool did that no pool may do, such as to run two namespaces in one sandbox or to drop a sandbox
    /// without destroying it.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.shared.ledger.read(|books| books.violations.clone())
    }

    /// The shape of an action's sandboxes: `mock`, and its memory.
    #[must_use]
    pub fn shape_of(spec: &ActionSpec) -> Shape {
        Shape { kind: "mock".into(), memory: spec.limits.memory, artifact: None }
    }
}

impl Default for MockFactory {
    /// A factory whose sandboxes take no time and never fail.
    fn default() -> Self {
        Self::new(Script::new())
    }
}

impl SandboxFactory for MockFactory {
    type Stem = MockStem;
    type Sandbox = MockSandbox;

    fn attach(&self, entropy: &Arc<Entropy>) {
        self.shared.entropy.get_or_init(|| Arc::clone(entropy));
    }

    async fn prepare(&self, spec: &Arc<ActionSpec>) -> Result<(), Error> {
        Guest::new(Arc::clone(spec), Arc::<Entropy>::clone(self.shared.entropy())).map(drop)
    }

    fn shape(&self, spec: &ActionSpec) -> Shape {
        Self::shape_of(spec)
    }

    async fn create(&self, shape: &Shape) -> Result<MockStem, Error> {
        let presence = Presence::enter(&self.shared, shape.memory);
        self.shared.perform(Operation::Create).await?;
        Ok(MockStem::new(presence))
    }

    async fn init(&self, stem: MockStem, spec: &Arc<ActionSpec>) -> Result<MockSandbox, InitError> {
        let sandbox =
            MockSandbox::new(stem.into_presence(), spec, Arc::<Entropy>::clone(self.shared.entropy()))?;
        self.shared.perform(Operation::Init).await?;
        sandbox.init(spec.limits.timeout).await?;
        Ok(sandbox.settle())
    }

    async fn discard(&self, stem: MockStem) {
        stem.into_presence().end(Operation::Discard).await;
    }

    async fn sweep(&self) -> usize {
        0
    }
}
