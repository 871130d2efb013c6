//! Where behaviours of pools play: a pool of mock sandboxes, in paused time.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use faas_core::pool::{AcquireRequest, ContainerPool, Lease};
use faas_core::sandbox::{Sandbox, Shape};
use faas_core::{ActionSpec, Entropy, Error, Invocation, MemoryMib, Outcome, Payload, StartKind};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use crate::fixtures;
use crate::mock::{MockFactory, MockSandbox, Script};
use crate::transcript::Entry;

/// What a behaviour wants of its pool. A subject translates it to the pool's own configuration.
#[derive(Clone, Debug)]
pub struct PoolSettings {
    /// The memory of all sandboxes together.
    pub memory: MemoryMib,
    /// The stem cells to keep, by shape.
    pub stems: Vec<(Shape, usize)>,
    /// How long an idle sandbox is kept after its last use.
    pub keep_alive: Duration,
    /// How long a sandbox is idle before it is paused; never unless told.
    pub pause_after: Option<Duration>,
    /// How many sandboxes may be created at once for one action.
    pub cold_starts_per_action: usize,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            memory: MemoryMib::new(4096),
            stems: Vec::new(),
            keep_alive: Duration::from_secs(600),
            pause_after: None,
            cold_starts_per_action: 100,
        }
    }
}

/// A pool that the suite is run on.
pub struct PoolSubject<P> {
    name: &'static str,
    make: Box<dyn Fn(MockFactory, PoolSettings) -> P + Send + Sync>,
}

impl<P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>> PoolSubject<P> {
    /// A subject whose pools `make` makes of a factory.
    pub fn new(
        name: &'static str,
        make: impl Fn(MockFactory, PoolSettings) -> P + Send + Sync + 'static,
    ) -> Self {
        Self { name, make: Box::new(make) }
    }

    /// Its name, as it stands in lines and paths of transcripts.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// A pool with room for much, whose sandboxes follow the script.
    pub(super) fn yard(&self, script: Script) -> Yard<P> {
        self.yard_with(script, PoolSettings::default())
    }

    /// A pool with room for so many sandboxes of the usual size.
    pub(super) fn narrow(&self, sandboxes: u32, script: Script) -> Yard<P> {
        let memory = MemoryMib::new(MemoryMib::DEFAULT.mib() * sandboxes);
        self.yard_with(script, PoolSettings { memory, ..PoolSettings::default() })
    }

    pub(super) fn yard_with(&self, script: Script, settings: PoolSettings) -> Yard<P> {
        let mock = MockFactory::new(script);
        let pool = Arc::new((self.make)(mock.clone(), settings));
        let entropy = Arc::new(Entropy::seeded(1));
        pool.attach(&entropy);
        Yard { pool, mock, entropy, notes: Mutex::default() }
    }
}

impl<P> fmt::Debug for PoolSubject<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PoolSubject({})", self.name)
    }
}

/// One second, the usual unit of scripts.
pub(super) const SECOND: Duration = Duration::from_secs(1);

/// An action called `name` of the usual size: a revision of its own at each call.
pub(super) fn action(name: &str) -> Arc<ActionSpec> {
    sized(name, MemoryMib::DEFAULT)
}

pub(super) fn sized(name: &str, memory: MemoryMib) -> Arc<ActionSpec> {
    let mut spec = fixtures::spec("echo").with_memory(memory);
    spec.name = format!("/guest/{name}").parse().expect("a valid name");
    Arc::new(spec)
}

/// Lets everything happen that needs no time.
pub(super) async fn settle() {
    sleep(Duration::from_nanos(1)).await;
}

/// A pool, its factory, and what was seen of it.
pub(super) struct Yard<P> {
    pub(super) pool: Arc<P>,
    pub(super) mock: MockFactory,
    entropy: Arc<Entropy>,
    notes: Mutex<Vec<Entry>>,
}

impl<P: ContainerPool<Lease: Lease<Sandbox = MockSandbox>>> Yard<P> {
    pub(super) async fn try_acquire(&self, spec: &Arc<ActionSpec>) -> Result<P::Lease, Error> {
        self.acquire_for(spec, "guest", Duration::from_secs(300)).await
    }

    pub(super) async fn acquire(&self, spec: &Arc<ActionSpec>) -> P::Lease {
        self.try_acquire(spec).await.expect("a lease")
    }

    /// Acquires, and writes down how that ended.
    pub(super) async fn acquire_for(
        &self,
        spec: &Arc<ActionSpec>,
        namespace: &str,
        patience: Duration,
    ) -> Result<P::Lease, Error> {
        let request = AcquireRequest { spec, namespace, deadline: Instant::now() + patience };
        let acquired = self.pool.acquire(&request).await;
        self.note(match &acquired {
            Ok(lease) => Entry::answer("acquire", lease.origin().start_kind.as_str()),
            Err(error) => Entry::refusal("acquire", error.kind()),
        });
        acquired
    }

    /// Acquires, runs nothing, and returns the sandbox: it is idle then. Tells its number.
    pub(super) async fn leave_idle(&self, spec: &Arc<ActionSpec>) -> u64 {
        let lease = self.acquire(spec).await;
        let number = lease.sandbox().number();
        lease.keep();
        settle().await;
        number
    }

    /// Runs an invocation of the sandbox's action.
    pub(super) async fn run(&self, sandbox: &MockSandbox, input: impl Serialize) -> Result<Outcome, Error> {
        let id = self.entropy.activation_id(self.entropy.wall_clock());
        let payload = Payload::encode(&input).expect("a payload");
        let output = sandbox.run(&Invocation::detached(id, payload)).await?;
        Ok(output.outcome)
    }

    pub(super) fn note(&self, entry: Entry) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }

    /// Drains the pool, and checks that nothing is left and nothing was done that no pool may do.
    pub(super) async fn close(self) -> Vec<Entry> {
        self.pool.drain().await;
        assert_eq!((self.mock.live(), self.mock.memory()), (0, 0), "sandboxes are left after the drain");
        let stats = self.pool.stats();
        let held = [stats.stems, stats.creating, stats.idle, stats.paused, stats.leased, stats.destroying];
        assert_eq!((held, stats.memory), ([0; 6], 0), "{stats:?}");
        self.abandon()
    }

    /// Ends without draining, where something hangs for ever.
    pub(super) fn abandon(self) -> Vec<Entry> {
        assert_eq!(self.mock.violations(), Vec::<String>::new());
        self.notes.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number and the start kind of what was leased.
pub(super) fn told<L: Lease<Sandbox = MockSandbox>>(lease: &L) -> (u64, StartKind) {
    (lease.sandbox().number(), lease.origin().start_kind)
}
