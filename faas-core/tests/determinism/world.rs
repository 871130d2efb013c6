//! A platform that uses everything in which chance or time could play a part.

use std::sync::Arc;
use std::time::Duration;

use faas_core::backend::Pooled;
use faas_core::layer::{ChaosConfig, ChaosLayer, Layer, RetryLayer};
use faas_core::pool::{GreedyDual, PoolConfig};
use faas_core::scheduler::{Order, Quota, SchedulerConfig};
use faas_core::store::MemoryStore;
use faas_core::trigger::{Cron, Interval};
use faas_core::{
    Backend, BoxError, Context, Entropy, ErrorKind, InitContext, LocalBackend, MemoryMib, Platform, RuleSpec,
    action, actions,
};
use faas_testkit::mock::{Fault, MockFactory, Operation, Script};
use serde_json::{Value, json};

/// Sleeps for a random time, says so, and fires a trigger.
#[action]
async fn nap(cx: &Context, input: Value) -> Result<Value, BoxError> {
    let slept = Duration::from_micros(cx.random() % 200_000);
    cx.sleep(slept).await;
    tracing::info!(?slept, remaining = ?cx.remaining(), "good morning");
    cx.emit("napped", json!({ "number": cx.random() }))?;
    Ok(json!({ "slept": slept.as_nanos().to_string(), "input": input }))
}

/// Fails most of the time, in one way or the other.
#[action(retries = 3)]
async fn flaky(cx: &Context) -> Result<Value, String> {
    match cx.random() % 4 {
        0 => Ok(json!({ "attempt": cx.attempt() })),
        1 => Err(format!("failed at {:?}", cx.now())),
        2 => panic!("panicked at attempt {}", cx.attempt()),
        _ => {
            cx.sleep(Duration::from_secs(60)).await;
            Ok(json!({}))
        }
    }
}

/// Blocks its thread, and so needs one of its own where no seed decides.
#[action(blocking)]
fn grind(cx: &Context, input: Value) -> Value {
    tracing::debug!("not recorded");
    tracing::warn!(number = cx.random(), "ground");
    input
}

/// Runs in a pool of its own.
#[action(memory = "128MiB")]
async fn pack(cx: &Context, input: Value) -> Value {
    cx.sleep(Duration::from_micros(cx.random() % 50_000)).await;
    json!({ "packed": input, "state": cx.state::<u64>() })
}

/// Runs in the same pool, so that each makes room for the other.
#[action(memory = "192MiB", retries = 1)]
async fn ship(cx: &Context, input: Value) -> Result<Value, String> {
    cx.sleep(Duration::from_micros(cx.random() % 300_000)).await;
    if cx.random().is_multiple_of(8) { Err("no lorry".to_owned()) } else { Ok(input) }
}

/// Runs on a backend with faults.
#[action(retries = 1)]
async fn shaky(cx: &Context) -> Value {
    json!({ "now": format!("{:?}", cx.now()) })
}

async fn setup(cx: InitContext) -> Result<u64, std::io::Error> {
    cx.sleep(Duration::from_millis(30)).await;
    Ok(42)
}

actions![nap, flaky, grind, pack, ship, shaky; init = setup];

/// Sandboxes that take their time, are too few, and are lost now and then.
fn pooled() -> impl Backend {
    let script = Script::new()
        .with_latency(Operation::Create, Duration::from_millis(250))
        .with_latency(Operation::Destroy, Duration::from_millis(20))
        .with_fault(Operation::Create, 3, Fault::Fail(ErrorKind::Unavailable))
        .with_fault(Operation::Run, 20, Fault::Lose)
        .with_fault(Operation::Run, 50, Fault::Panic);
    let config = PoolConfig {
        memory: MemoryMib::new(640),
        stems_per_shape: 1,
        keep_alive: Box::new(GreedyDual::new().with_ttl(Duration::from_millis(250))),
        ..PoolConfig::default()
    };
    Pooled::warm("pool", LocalBackend::CAPABILITY, MockFactory::new(script), config)
}

fn faulty(seed: u64) -> Result<impl Backend, BoxError> {
    let config = ChaosConfig {
        refuse: 0.2,
        lose: 0.1,
        delay_before: 0.2,
        delay_after: 0.2,
        longest_delay: Duration::from_millis(100),
        ..ChaosConfig::default()
    };
    let chaos = ChaosLayer::new(config, seed)?
        .around(Arc::new(LocalBackend::new().with_name("faulty").with_slots(2)));
    Ok(RetryLayer::new().around(Arc::new(chaos)))
}

pub(crate) async fn platform(seed: u64) -> Result<Platform, BoxError> {
    let place = |name: &str| match name {
        "pack" | "ship" => Some("pool".to_owned()),
        "shaky" => Some("faulty".to_owned()),
        _ => None,
    };
    let mut app = Platform::builder()
        .entropy(Entropy::seeded(seed))
        .backend(LocalBackend::new().with_slots(2))
        .backend(pooled())
        .backend(faulty(seed)?)
        .store(MemoryStore::new().with_max_age(Duration::from_secs(86_400)))
        .scheduler(SchedulerConfig {
            queue_limit: 4,
            queue_deadline: Duration::from_millis(900),
            policy: Order::FairShare,
        })
        .quota(Quota { concurrent: Some(20), ..Quota::UNLIMITED })
        .quota_of("acme", Quota { invocations_per_minute: Some(12), ..Quota::UNLIMITED })
        .sequence("deliver", ["pack", "grind", "ship"])
        .trigger("order")
        .trigger("napped")
        .feed(Cron::new("nightly", "*/2 * * * *")?.with_zone("Europe/Berlin")?)
        .feed(Interval::new("beat", Duration::from_secs(7))?)
        .rule(RuleSpec::new("delivered", "order", "deliver")?)
        .rule(RuleSpec::new("noted", "order", "grind")?.map(|order| match order["number"].as_u64() {
            Some(number) if number.is_multiple_of(3) => Err("three is too many".into()),
            number => Ok(json!({ "number": number })),
        }))
        .rule(
            RuleSpec::new("odd", "napped", "shaky")?
                .filter(|nap| nap["number"].as_u64() > Some(u64::MAX / 2)),
        )
        .rule(RuleSpec::new("nightly-nap", "nightly", "nap")?)
        .rule(RuleSpec::new("beaten", "beat", "ship")?);
    for mut spec in actions().into_specs() {
        spec.backend = place(spec.name.name());
        app = app.spec(spec.with_timeout(Duration::from_secs(2)));
    }
    Ok(app.build().await?)
}
