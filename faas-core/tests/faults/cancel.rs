//! Callers that leave at any moment.

use faas_core::backend::Pooled;
use faas_core::pool::PoolConfig;
use faas_core::{
    ActivationKind, Backend, LocalBackend, MemoryMib, Platform, PlatformBuilder, RuleSpec, Status,
};
use faas_testkit::mock::{Fault, MockFactory, Operation, Script};
use fastrand::Rng;
use serde_json::json;
use tokio::time::{sleep, timeout};

use crate::check::Check;
use crate::probe::{Probe, local, millis, on, panic_quietly, spec};
use crate::slow_store::SlowStore;

/// What the callers of these tests do: each calls at some time, and some leave at another.
const CALLERS: u64 = 400;

fn wire(builder: PlatformBuilder, probe: &Probe) -> PlatformBuilder {
    let flaky = probe.spec(spec("flaky").with_retries(2), |cx, input| async move {
        cx.sleep(millis(input["ms"].as_u64().unwrap_or_default())).await;
        if cx.attempt() == 1 {
            panic_quietly("the first attempt always fails");
        }
        Ok(input)
    });
    let loud = probe.action("loud", |cx, input| async move {
        cx.emit("heard", json!({ "ms": 1 }))?;
        cx.sleep(millis(3)).await;
        Ok(input)
    });
    builder
        .action(probe.sleeper("sleep"))
        .action(flaky)
        .action(loud)
        .sequence("twice", ["sleep", "loud"])
        .sequence("nested", ["twice", "flaky"])
        .trigger("heard")
        .rule(RuleSpec::new("echo-heard", "heard", "sleep").unwrap())
}

async fn come_and_go(app: &Platform, seed: u64) -> usize {
    let mut rng = Rng::with_seed(seed);
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..CALLERS {
        let name = rng.choice(["sleep", "flaky", "loud", "twice", "nested"]).unwrap();
        let (come, ms, stay) = (rng.u64(..50), rng.u64(..20), rng.u64(..60));
        let leaves = rng.bool();
        let app = app.clone();
        callers.spawn(async move {
            sleep(millis(come)).await;
            let call = app.invoke(name, json!({ "ms": ms }));
            if leaves { timeout(millis(stay), call).await.is_ok() } else { call.await.is_ok() }
        });
    }
    callers.join_all().await.into_iter().filter(|stayed| *stayed).count()
}

async fn check_mess(builder: PlatformBuilder, probe: &Probe, seed: u64, mock: Option<(&MockFactory, u64)>) {
    println!("seed {seed}");
    let app = wire(builder, probe).build().await.unwrap();
    let stayed = come_and_go(&app, seed).await;
    let mut check = Check::successes(stayed as u64 / 2).probe(probe).retries(2);
    if let Some((factory, budget)) = mock {
        check = check.mock(factory, budget);
    }
    let records = check.run(&app).await;
    let (mut left, mut heard, mut emitted) = (0, 0, 0);
    for record in &records {
        left += usize::from(record.outcome.error().is_some_and(|error| error.contains("caller left")));
        heard += usize::from(record.revision.kind == ActivationKind::Trigger);
        emitted += usize::from(record.action().name() == "loud" && record.status() == Status::Success);
    }
    assert!(left > 10 && stayed > 10, "{left} left, {stayed} stayed");
    assert_eq!(heard, emitted, "an event fires once for each record that succeeded");
}

#[tokio::test(start_paused = true)]
async fn callers_come_and_go_on_the_local_backend() {
    for seed in 0..5 {
        check_mess(local(), &Probe::new(), seed, None).await;
    }
}

#[tokio::test(start_paused = true)]
async fn callers_come_and_go_when_slots_are_few() {
    for seed in 10..15 {
        check_mess(on(LocalBackend::new().with_slots(3)), &Probe::new(), seed, None).await;
    }
}

fn pooled(script: Script, mib: u32) -> (MockFactory, impl Backend) {
    let factory = MockFactory::new(script);
    let config = PoolConfig { memory: MemoryMib::new(mib), ..PoolConfig::default() };
    (factory.clone(), Pooled::warm("mock", LocalBackend::CAPABILITY, factory, config))
}

#[tokio::test(start_paused = true)]
async fn callers_come_and_go_on_a_pool() {
    for seed in 20..25 {
        let script = Script::new()
            .with_latency(Operation::Create, millis(7))
            .with_latency(Operation::Init, millis(2))
            .with_latency(Operation::Destroy, millis(5));
        let (factory, backend) = pooled(script, 1024);
        check_mess(on(backend), &Probe::new(), seed, Some((&factory, 1024))).await;
    }
}

#[tokio::test(start_paused = true)]
async fn callers_come_and_go_while_sandboxes_are_lost() {
    for seed in 30..35 {
        let mut script = Script::new().with_latency(Operation::Create, millis(3));
        for nth in (1..600).step_by(9) {
            script = script.with_fault(Operation::Run, nth, Fault::Lose).with_fault(
                Operation::Create,
                nth,
                Fault::Fail(faas_core::ErrorKind::Unavailable),
            );
        }
        let (factory, backend) = pooled(script, 2048);
        check_mess(on(backend), &Probe::new(), seed, Some((&factory, 2048))).await;
    }
}

#[tokio::test(start_paused = true)]
async fn callers_leave_between_the_steps_of_a_store() {
    for seed in 40..45 {
        let builder = Platform::builder().backend(LocalBackend::new()).store(SlowStore::new(false));
        check_mess(builder, &Probe::new(), seed, None).await;
    }
}

#[tokio::test(start_paused = true)]
async fn callers_leave_between_the_steps_of_a_durable_store() {
    for seed in 50..55 {
        let builder = Platform::builder().backend(LocalBackend::new()).store(SlowStore::new(true));
        check_mess(builder, &Probe::new(), seed, None).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_fires_or_submits_may_leave_between_the_steps_of_a_store() {
    let probe = Probe::new();
    let builder = Platform::builder().backend(LocalBackend::new()).store(SlowStore::new(true));
    let broken = RuleSpec::new("broken", "heard", "sleep").unwrap().map(|_| Err("no".into()));
    let app = wire(builder, &probe).rule(broken).build().await.unwrap();
    for stay in 0..12 {
        let _ = timeout(millis(stay), app.fire("heard", json!({}))).await;
        let _ = timeout(millis(stay), app.submit("sleep", json!({}))).await;
    }
    let records = Check::successes(10).probe(&probe).run(&app).await;
    let fired = records.iter().filter(|record| record.revision.kind == ActivationKind::Trigger).count();
    let failed = records.iter().filter(|record| record.status() == Status::ApplicationError).count();
    assert_eq!(fired, failed, "each event has the record of the rule that failed");
}

#[tokio::test(start_paused = true)]
async fn a_record_is_written_though_caller_and_platform_leave_at_once() {
    let probe = Probe::new();
    let store = std::sync::Arc::new(SlowStore::new(false));
    let builder = Platform::builder()
        .backend(LocalBackend::new())
        .shared_store(std::sync::Arc::<SlowStore>::clone(&store));
    let app = wire(builder, &probe).build().await.unwrap();
    let left = timeout(millis(5), app.invoke("sleep", json!({ "ms": 1_000 }))).await;
    assert!(left.is_err());
    drop(app);
    sleep(millis(10)).await;
    let records = faas_core::Store::activations(&*store, &Default::default()).await.unwrap();
    assert_eq!(records.len(), 1);
}
