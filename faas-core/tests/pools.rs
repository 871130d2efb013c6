//! Platforms over pools of mock sandboxes, in virtual time: cold sequences, stampedes, published metrics.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use faas_core::backend::Pooled;
use faas_core::pool::PoolConfig;
use faas_core::store::ActivationQuery;
use faas_core::{
    Action, ActionSet, ActionSpec, Backend, BoxError, Context, LocalBackend, MemoryMib, Platform, StartKind,
    Status,
};
use faas_testkit::mock::{MockFactory, Operation, Script};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tokio::time::Instant;

const CREATION: Duration = Duration::from_millis(100);

/// Does nothing, or fails, under a name of its own.
struct Step {
    name: String,
    fails: bool,
}

impl Action for Step {
    type Input = ();
    type Output = ();

    fn spec(&self) -> ActionSpec {
        ActionSpec::new(&self.name).expect("a name")
    }

    async fn call(&self, _cx: Context, (): ()) -> Result<(), BoxError> {
        if self.fails { Err("it fails".into()) } else { Ok(()) }
    }
}

/// Actions `m0` and so on, of which the first may fail, and the sequence `all` of them.
async fn app(
    count: usize,
    first_fails: bool,
    script: Script,
    config: PoolConfig,
) -> (Platform, Arc<dyn Backend>) {
    let factory = MockFactory::new(script);
    let backend: Arc<dyn Backend> = Arc::new(Pooled::warm("mock", LocalBackend::CAPABILITY, factory, config));
    let names: Vec<String> = (0..count).map(|n| format!("m{n}")).collect();
    let steps = names.iter().enumerate();
    let set = steps.fold(ActionSet::new(), |set, (n, name)| {
        set.with(Step { name: name.clone(), fails: first_fails && n == 0 })
    });
    let app = Platform::builder().shared_backend(Arc::clone(&backend)).actions(set).sequence("all", names);
    (app.build().await.expect("an app"), backend)
}

fn slow_creation() -> Script {
    Script::new().with_latency(Operation::Create, CREATION)
}

#[tokio::test(start_paused = true)]
async fn a_sequence_of_five_cold_members_takes_one_cold_start() {
    let (app, backend) = app(5, false, slow_creation(), PoolConfig::default()).await;
    let start = Instant::now();
    let activation = app.invoke("all", ()).await.unwrap();
    assert!(activation.outcome.is_success());
    assert_eq!(start.elapsed(), CREATION);
    let stats = backend.health().await.pool.unwrap();
    assert_eq!((stats.created, stats.idle), (5, 5));
    let starts = app.activations(&ActivationQuery::default()).await.unwrap();
    let warm = starts.iter().filter(|step| step.start_kind == Some(StartKind::Warm)).count();
    assert_eq!((starts.len(), warm), (6, 4));
}

#[tokio::test(start_paused = true)]
async fn a_sequence_that_fails_makes_nothing_more_ready() {
    let config = PoolConfig { cold_starts: 1, ..PoolConfig::default() };
    let (app, backend) = app(5, true, slow_creation(), config).await;
    let activation = app.invoke("all", ()).await.unwrap();
    assert_eq!((activation.status(), activation.logs.len()), (Status::ApplicationError, 1));
    tokio::time::sleep(CREATION * 10).await;
    // The first member's, and at most the one creation that had begun when it failed.
    let created = backend.health().await.pool.unwrap().created;
    assert!(created <= 2, "{created} sandboxes");
}

#[tokio::test(start_paused = true)]
async fn a_stampede_starts_no_more_sandboxes_than_fit_and_all_finish() {
    const ROOM: u32 = 16;
    let memory = MemoryMib::new(ROOM * MemoryMib::DEFAULT.mib());
    let script = slow_creation().with_latency(Operation::Run, Duration::from_millis(10));
    let (app, backend) = app(1, false, script, PoolConfig { memory, ..PoolConfig::default() }).await;
    let mut arrivals = tokio::task::JoinSet::new();
    for _ in 0..1_000 {
        let app = app.clone();
        arrivals.spawn(async move { app.invoke("m0", ()).await.unwrap().outcome.is_success() });
    }
    while !arrivals.is_empty() {
        let pool = backend.health().await.pool.unwrap();
        assert!(pool.memory <= u64::from(memory.mib()), "{pool:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
        while let Some(succeeded) = arrivals.try_join_next() {
            assert!(succeeded.unwrap());
        }
    }
    let pool = backend.health().await.pool.unwrap();
    assert!((1..=u64::from(ROOM)).contains(&pool.cold_starts), "{pool:?}");
    assert_eq!(app.stats().finished(Status::Success), 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_platform_counts_its_activations_and_publishes_its_gauges() {
    let recorder = DebuggingRecorder::new();
    let snapshots = recorder.snapshotter();
    let _installed = metrics::set_default_local_recorder(&recorder);
    let (app, _) = app(1, false, Script::new(), PoolConfig::default()).await;
    for _ in 0..3 {
        app.invoke("m0", ()).await.unwrap().into_result().unwrap();
    }
    app.publish_metrics().await;
    let mut seen = BTreeMap::new();
    for (key, _, _, value) in snapshots.snapshot().into_vec() {
        let labels: Vec<String> = key.key().labels().map(|l| format!("{}={}", l.key(), l.value())).collect();
        seen.insert(format!("{}{{{}}}", key.key().name(), labels.join(",")), value);
    }
    let counter = |key: &str| match seen.get(key) {
        Some(DebugValue::Counter(count)) => *count,
        other => panic!("{key}: {other:?} in {:?}", seen.keys()),
    };
    let gauge = |key: &str| match seen.get(key) {
        Some(DebugValue::Gauge(value)) => value.0,
        other => panic!("{key}: {other:?} in {:?}", seen.keys()),
    };
    assert_eq!(counter("faas_activations_total{action=guest/m0,outcome=success,start_kind=cold}"), 1);
    assert_eq!(counter("faas_activations_total{action=guest/m0,outcome=success,start_kind=warm}"), 2);
    assert_eq!(counter("faas_cold_starts_total{backend=mock}"), 1);
    assert_eq!(gauge("faas_sandboxes{backend=mock,state=idle}"), 1.0);
    assert_eq!(gauge("faas_queue_length{backend=mock}"), 0.0);
}
