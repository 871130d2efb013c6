//! Pools: what admission and a warm sandbox cost, and cold starts.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use faas_core::backend::Pooled;
use faas_core::pool::{PoolConfig, WarmPool};
use faas_core::sandbox::{InitError, RunOutput, Sandbox, SandboxFactory, Shape};
use faas_core::scheduler::{Scheduler, SchedulerConfig};
use faas_core::{
    ActionSet, ActionSpec, Backend, Deployment, Entropy, Error, Invocation, LocalBackend, MemoryMib, Outcome,
    Payload, Platform,
};
use faas_testkit::goals::{Figures, Goal, alternate, nanos_per_round};
use faas_testkit::mock::{MockFactory, Operation, Script};
use tokio::runtime::Runtime;

use super::{Named, PAIRS, ROUNDS, print, spawn_and_join};

/// A sandbox that does nothing.
struct Null;

impl SandboxFactory for Null {
    type Stem = Null;
    type Sandbox = Null;

    fn attach(&self, _: &Arc<Entropy>) {}

    async fn prepare(&self, _: &Arc<ActionSpec>) -> Result<(), Error> {
        Ok(())
    }

    fn shape(&self, spec: &ActionSpec) -> Shape {
        Shape { kind: "null".into(), memory: spec.limits.memory, artifact: None }
    }

    async fn create(&self, _: &Shape) -> Result<Null, Error> {
        Ok(Null)
    }

    async fn init(&self, stem: Null, _: &Arc<ActionSpec>) -> Result<Null, InitError> {
        Ok(stem)
    }

    async fn discard(&self, _: Null) {}

    async fn sweep(&self) -> usize {
        0
    }
}

impl Sandbox for Null {
    async fn run(&self, _: &Invocation) -> Result<RunOutput, Error> {
        let outcome = Outcome::success(Payload::empty());
        Ok(RunOutput { outcome, logs: Vec::new(), emitted: Vec::new(), usage: Default::default() })
    }

    async fn pause(&mut self) -> Result<(), Error> {
        Ok(())
    }

    async fn resume(&mut self) -> Result<(), Error> {
        Ok(())
    }

    async fn destroy(self) {}
}

/// Admission, a warm sandbox and its return, beside a task.
pub(super) fn admit_acquire(runtime: &Runtime) {
    let goal = Goal::at_most("admit_acquire", "ns", 0.7);
    if !goal.is_wanted() {
        return;
    }
    let (scheduler, backend, deployment) = runtime.block_on(async {
        let backend = Pooled::warm("null", LocalBackend::CAPABILITY, Null, PoolConfig::default());
        let scheduler = Scheduler::new(backend.info().capacity, SchedulerConfig::default());
        let deployment =
            backend.deploy(Arc::new(ActionSpec::new("noop").expect("a name"))).await.expect("deployed");
        (scheduler, backend, deployment)
    });
    let ours = || runtime.block_on(admit_and_run(&scheduler, &backend, &deployment, ROUNDS));
    print(&goal, alternate(PAIRS, ours, || runtime.block_on(spawn_and_join(ROUNDS))));
}

async fn admit_and_run(
    scheduler: &Scheduler,
    backend: &dyn Backend,
    deployment: &Deployment,
    rounds: usize,
) -> f64 {
    let id = Entropy::system().activation_id(faas_core::Timestamp::default());
    let weight = scheduler.weight(deployment.spec.limits.memory);
    let start = Instant::now();
    for _ in 0..rounds {
        let permit = scheduler.try_admit(weight).expect("a permit");
        // As from a platform, which has read the clock when it accepted the request.
        let invocation = Invocation { permit, ..Invocation::detached_at(id, Payload::empty(), start.into()) };
        black_box(backend.invoke(deployment, invocation).await.expect("a completion"));
    }
    nanos_per_round(start, rounds)
}

const CREATION: Duration = Duration::from_millis(100);

/// A sequence of five cold members, beside one cold action.
pub(super) fn cold_sequence(runtime: &Runtime) {
    let goal = Goal::at_most("cold_sequence", "ns", 1.3);
    if !goal.is_wanted() {
        return;
    }
    let ours = || runtime.block_on(first_invocation("all"));
    print(&goal, alternate(PAIRS, ours, || runtime.block_on(first_invocation("action0"))));
}

/// Nanoseconds of the first invocation on a new pool.
async fn first_invocation(name: &str) -> f64 {
    let script = Script::new().with_latency(Operation::Create, CREATION);
    let (app, _) = mock_app(script, 5, PoolConfig::default()).await;
    let start = Instant::now();
    let activation = app.invoke(name, ()).await.expect("an activation");
    assert!(activation.outcome.is_success(), "{:?}", activation.outcome);
    nanos_per_round(start, 1)
}

/// Cold starts of 1,000 simultaneous arrivals with room for 16 sandboxes, beside these 16.
pub(super) fn stampede(runtime: &Runtime) {
    const ROOM: u32 = 16;
    let goal = Goal::at_most("stampede", "n", 1.0);
    if !goal.is_wanted() {
        return;
    }
    let cold_starts = runtime.block_on(async {
        let script = Script::new()
            .with_latency(Operation::Create, Duration::from_millis(10))
            .with_latency(Operation::Run, Duration::from_millis(1));
        let memory = MemoryMib::new(ROOM * MemoryMib::DEFAULT.mib());
        let (app, pool) = mock_app(script, 1, PoolConfig { memory, ..PoolConfig::default() }).await;
        let arrivals: Vec<_> = (0..1_000)
            .map(|_| {
                let app = app.clone();
                tokio::spawn(async move {
                    app.invoke("action0", ()).await.expect("an activation").outcome.is_success()
                })
            })
            .collect();
        for arrival in arrivals {
            assert!(arrival.await.expect("an arrival"));
        }
        pool.health().await.pool.unwrap_or_default().cold_starts
    });
    #[expect(clippy::cast_precision_loss, reason = "at most 1,000")]
    print(&goal, Figures { ours: cold_starts as f64, floor: f64::from(ROOM) });
}

/// A platform on a pool of mock sandboxes, with actions `action0` and so on and the sequence `all` of them.
async fn mock_app(script: Script, actions: u32, config: PoolConfig) -> (Platform, Arc<dyn Backend>) {
    let factory = MockFactory::new(script);
    let backend: Arc<dyn Backend> =
        Arc::new(Pooled::<WarmPool<_>>::warm("mock", LocalBackend::CAPABILITY, factory, config));
    let names: Vec<String> = (0..actions).map(|n| format!("action{n}")).collect();
    let set = (0..actions).fold(ActionSet::new(), |set, n| set.with(Named(n)));
    let app = Platform::builder().shared_backend(Arc::clone(&backend)).actions(set).sequence("all", names);
    (app.build().await.expect("an app"), backend)
}
