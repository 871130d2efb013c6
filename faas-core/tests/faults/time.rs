//! Clocks that jump, and durations at the end of their range.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use faas_core::action::BoxFuture;
use faas_core::backend::Pooled;
use faas_core::context::Host;
use faas_core::guest::{Call, Guest};
use faas_core::pool::{FixedTtl, GreedyDual, KeepAlive, PoolConfig};
use faas_core::scheduler::SchedulerConfig;
use faas_core::trigger::Interval;
use faas_core::{
    ActionSet, ActivationId, Entropy, InvokeOptions, LocalBackend, MemoryMib, Payload, Timestamp, Version,
    meter,
};
use faas_testkit::mock::MockFactory;
use serde_json::json;
use tracing::level_filters::LevelFilter;

use crate::check::Check;
use crate::probe::{Probe, empty, local, millis, on};

#[tokio::test(start_paused = true)]
async fn deadlines_may_be_as_far_as_a_duration_reaches() {
    let probe = Probe::new();
    let config = SchedulerConfig { queue_deadline: Duration::MAX, ..SchedulerConfig::default() };
    let fails = probe.spec(crate::probe::spec("fails").with_retries(2), |cx, input| async move {
        if cx.attempt() < 3 {
            crate::probe::panic_quietly("not yet");
        }
        Ok(input)
    });
    let app = on(LocalBackend::new().with_slots(1))
        .scheduler(config)
        .action(probe.sleeper("sleep"))
        .action(fails)
        .sequence("both", ["sleep", "fails"])
        .build()
        .await
        .unwrap();
    let waits = || InvokeOptions { queue_deadline: Some(Duration::MAX), ..InvokeOptions::default() };
    let first = app.submit("sleep", json!({ "ms": 86_400_000 / 2000 })).await.unwrap();
    for name in ["sleep", "fails", "both"] {
        assert!(app.invoke_with(name, json!({}), waits()).await.unwrap().outcome.is_success());
    }
    let none = InvokeOptions { queue_deadline: Some(Duration::ZERO), ..InvokeOptions::default() };
    assert!(app.invoke_with("sleep", json!({}), none).await.unwrap().outcome.is_success());
    Check::successes(6).accepted([first]).probe(&probe).retries(2).run(&app).await;
}

#[tokio::test(start_paused = true)]
async fn an_action_may_ask_to_sleep_for_ever() {
    let probe = Probe::new();
    let sleeps = probe.spec(crate::probe::spec("sleeps").with_timeout(millis(30)), |cx, _| async move {
        cx.sleep(Duration::MAX).await;
        Ok(empty())
    });
    let app = local().action(sleeps).build().await.unwrap();
    let failed = app.invoke("sleeps", ()).await.unwrap();
    assert_eq!(failed.billed_ms, 30);
    Check::successes(0).probe(&probe).run(&app).await;
}

#[tokio::test(start_paused = true)]
async fn a_pool_keeps_idle_sandboxes_for_ever_or_not_at_all() {
    let policies: [fn() -> Box<dyn KeepAlive>; 4] = [
        || Box::new(FixedTtl(Duration::MAX)),
        || Box::new(FixedTtl(Duration::ZERO)),
        || Box::new(GreedyDual::new().with_ttl(Duration::MAX)),
        || Box::new(GreedyDual::new().with_ttl(Duration::ZERO)),
    ];
    for keep_alive in policies {
        let (probe, factory) = (Probe::new(), MockFactory::default());
        let config = PoolConfig {
            memory: MemoryMib::new(512),
            pause_after: Some(Duration::MAX),
            keep_alive: keep_alive(),
            ..PoolConfig::default()
        };
        let backend = Pooled::warm("mock", LocalBackend::CAPABILITY, factory.clone(), config);
        let app = on(backend).action(probe.sleeper("sleep")).build().await.unwrap();
        for _ in 0..20 {
            assert!(app.invoke("sleep", json!({ "ms": 2 })).await.unwrap().outcome.is_success());
            tokio::time::sleep(Duration::from_secs(3_600)).await;
        }
        Check::successes(20).probe(&probe).mock(&factory, 512).run(&app).await;
    }
}

/// A host whose wall clock jumps a day back and forth at each reading.
#[derive(Default)]
struct Jumping(AtomicU64);

impl Host for Jumping {
    fn wall(&self) -> Timestamp {
        const DAY: u64 = 86_400_000;
        let n = self.0.fetch_add(1, Ordering::Relaxed);
        Timestamp::from_millis(if n.is_multiple_of(2) { 20_000 * DAY } else { 19_999 * DAY })
    }

    fn monotonic(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }

    fn random(&self) -> u64 {
        4
    }
}

#[tokio::test(start_paused = true)]
async fn an_action_sees_no_negative_time_when_its_clock_jumps() {
    let probe = Probe::new();
    let action = probe.action("reads", |cx, _| async move {
        // Every other reading is a day behind.
        let (second, first) = (cx.now(), cx.now());
        tracing::info!("one");
        tracing::info!("two");
        assert!(second < first, "the clock jumped");
        assert_eq!(cx.remaining(), Duration::ZERO, "a deadline that has passed is no negative time");
        Ok(json!({ "back": first.duration_since(second).unwrap().as_secs() }))
    });
    let spec = ActionSet::new().with(action).into_specs().remove(0);
    let guest = Guest::new(Arc::new(spec), Arc::new(Jumping::default())).unwrap();
    let call = Call {
        id: ActivationId::from_u128(1),
        attempt: 1,
        deadline: Duration::from_millis(1),
        payload: Payload::empty(),
        log_level: LevelFilter::INFO,
    };
    let reply = guest.run(call).await;
    assert_eq!(reply.outcome.result().as_str(), r#"{"back":86400}"#);
    assert_eq!(reply.logs.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_seeded_platform_that_stands_still_for_a_month_goes_on() {
    let probe = Probe::new();
    let app = local()
        .entropy(Entropy::seeded(3))
        .action(probe.sleeper("sleep"))
        .feed(Interval::new("tick", Duration::from_secs(3_600)).unwrap())
        .rule(faas_core::RuleSpec::new("r", "tick", "sleep").unwrap())
        .build()
        .await
        .unwrap();
    let before = app.invoke("sleep", json!({ "ms": 5 })).await.unwrap();
    // As after SIGSTOP: nothing is polled meanwhile.
    tokio::time::advance(Duration::from_secs(30 * 86_400)).await;
    let after = app.invoke("sleep", json!({ "ms": 5 })).await.unwrap();
    assert!(after.start.nanos() - before.end.nanos() >= 30 * 86_400 * 1_000_000_000);
    let records = Check::successes(4).probe(&probe).run(&app).await;
    let ticks = records.iter().filter(|record| record.action().name() == "tick").count();
    assert!((1..=2).contains(&ticks), "missed ticks fire once: {ticks}");
}

#[test]
fn sums_at_the_end_of_their_range_saturate() {
    assert_eq!(meter::billed_ms(Duration::MAX), u64::MAX);
    assert_eq!(Timestamp::from_nanos(u64::MAX).after(Duration::MAX), Timestamp::from_nanos(u64::MAX));
    assert_eq!(Timestamp::from_millis(u64::MAX), Timestamp::from_nanos(u64::MAX));
    let most = meter::gb_seconds(MemoryMib::new(u32::MAX), u64::MAX);
    assert!((0..1_000).map(|_| most).sum::<meter::GbSeconds>() >= most);
    assert_eq!(Version(1, 2, u32::MAX).next(), Version(1, 2, u32::MAX));
    assert_eq!(MemoryMib::new(u32::MAX).bytes(), u64::from(u32::MAX) << 20);
    let jitter = Entropy::system().jitter(Duration::MAX);
    assert!(jitter <= Duration::MAX);
}
