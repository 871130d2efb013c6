use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;
use tokio::time::{Instant, advance};

use super::{Quota, Quotas, SHARDS, TRACKED, shard_of};
use crate::error::{Error, ErrorKind};
use crate::name::Namespace;
use crate::units::parse_duration;

const CONCURRENT: Quota = Quota { concurrent: Some(2), ..Quota::UNLIMITED };
const RATE: Quota = Quota { invocations_per_minute: Some(3), ..Quota::UNLIMITED };

fn all(quota: Quota) -> Quotas {
    Quotas::new(quota, [])
}

fn retry_after(error: &Error) -> Duration {
    parse_duration(error.context("retry_after").unwrap()).unwrap()
}

#[test]
fn without_quotas_nothing_is_counted() {
    let quotas = Quotas::new(Quota::default(), [(Namespace::new("a").unwrap(), Quota::UNLIMITED)]);
    assert!(quotas.0.is_none());
    assert!(quotas.admit_invoke("a").unwrap().is_none());
    quotas.admit_fire("a").unwrap();
    let others = all(Quota { fires_per_minute: Some(0), ..Quota::UNLIMITED });
    assert!(others.admit_invoke("a").unwrap().is_none(), "invocations are not limited");
}

#[tokio::test(start_paused = true)]
async fn concurrent_invocations_are_limited_per_namespace_until_they_end() {
    let quotas = all(CONCURRENT);
    let first = quotas.admit_invoke("acme").unwrap();
    let _second = quotas.admit_invoke("acme").unwrap();
    let error = quotas.admit_invoke("acme").unwrap_err();
    assert_eq!(
        error.to_string(),
        "throttled: namespace 'acme': 2 of 2 allowed concurrent invocations are in flight"
    );
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Throttled, true));
    assert_eq!((error.context("namespace"), error.context("retry_after")), (Some("acme"), None));
    assert!(quotas.admit_invoke("other").unwrap().is_some());
    drop(first);
    let _third = quotas.admit_invoke("acme").unwrap();
    assert!(quotas.admit_invoke("acme").is_err());
}

#[tokio::test(start_paused = true)]
async fn a_rate_gives_one_back_each_interval() {
    let quotas = all(RATE);
    for _ in 0..3 {
        assert!(quotas.admit_invoke("acme").unwrap().is_none(), "only the rate is limited");
    }
    let error = quotas.admit_invoke("acme").unwrap_err();
    assert_eq!(
        error.to_string(),
        "throttled: namespace 'acme': 3 of 3 allowed invocations per minute are used"
    );
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Throttled, true));
    assert_eq!(retry_after(&error), Duration::from_secs(20));
    quotas.admit_invoke("other").unwrap();
    advance(Duration::from_millis(19_999)).await;
    assert_eq!(retry_after(&quotas.admit_invoke("acme").unwrap_err()), Duration::from_millis(1));
    advance(Duration::from_millis(1)).await;
    quotas.admit_invoke("acme").unwrap();
    quotas.admit_invoke("acme").unwrap_err();
    advance(Duration::from_secs(60)).await;
    for _ in 0..3 {
        quotas.admit_invoke("acme").unwrap();
    }
    quotas.admit_invoke("acme").unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn fires_have_a_rate_of_their_own() {
    let quotas = all(Quota { fires_per_minute: Some(1), ..RATE });
    quotas.admit_fire("acme").unwrap();
    let error = quotas.admit_fire("acme").unwrap_err();
    assert!(error.to_string().ends_with("1 of 1 allowed fired triggers per minute are used"), "{error}");
    assert_eq!(retry_after(&error), Duration::from_secs(60));
    quotas.admit_invoke("acme").unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_zero_forbids_all() {
    let quotas = all(Quota { concurrent: Some(0), ..Quota::UNLIMITED });
    assert!(quotas.admit_invoke("a").unwrap_err().to_string().contains("0 of 0"));
    let quotas = all(Quota { invocations_per_minute: Some(0), fires_per_minute: Some(0), concurrent: None });
    advance(Duration::from_secs(3_600)).await;
    assert!(quotas.admit_invoke("a").unwrap_err().to_string().contains("0 of 0"));
    assert!(quotas.admit_fire("a").unwrap_err().to_string().contains("0 of 0"));
}

#[tokio::test(start_paused = true)]
async fn an_override_replaces_the_default_whole() {
    let named = |name: &str, quota| (Namespace::new(name).unwrap(), quota);
    let quotas = Quotas::new(CONCURRENT, [named("free", Quota::UNLIMITED), named("slow", RATE)]);
    assert_eq!(quotas.quota("free"), Quota::UNLIMITED);
    assert_eq!((quotas.quota("slow"), quotas.quota("any")), (RATE, CONCURRENT));
    for _ in 0..3 {
        assert!(quotas.admit_invoke("free").unwrap().is_none());
        assert!(quotas.admit_invoke("slow").unwrap().is_none());
    }
    assert!(quotas.admit_invoke("slow").is_err());
    assert!(quotas.admit_invoke("any").unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn the_rate_is_asked_before_the_concurrency() {
    let quotas = all(Quota { concurrent: Some(1), ..RATE });
    let _running = quotas.admit_invoke("a").unwrap();
    for _ in 0..2 {
        assert!(quotas.admit_invoke("a").unwrap_err().to_string().contains("in flight"));
    }
    assert!(quotas.admit_invoke("a").unwrap_err().to_string().contains("per minute"));
}

#[tokio::test(start_paused = true)]
async fn the_largest_rate_and_a_long_silence_do_not_overflow() {
    let quotas = all(Quota { invocations_per_minute: Some(u32::MAX), ..Quota::UNLIMITED });
    quotas.admit_invoke("a").unwrap();
    advance(Duration::from_secs(86_400 * 365)).await;
    quotas.admit_invoke("a").unwrap();
}

/// As many names of one shard as asked for.
fn neighbours(count: usize) -> Vec<String> {
    (0..).map(|n| format!("n{n}")).filter(|name| shard_of(name) == 0).take(count).collect()
}

#[tokio::test(start_paused = true)]
async fn quiet_namespaces_are_forgotten_when_there_are_many() {
    let tracked = |quotas: &Quotas| {
        let shard = quotas.0.as_ref().unwrap().shards[0].lock().unwrap();
        shard.0.len()
    };
    let names = neighbours(5);
    let quotas = Quotas::tracking(4 * SHARDS, Quota { concurrent: Some(1), ..RATE }, []);
    let running = quotas.admit_invoke(&names[0]).unwrap();
    for name in &names[1..4] {
        drop(quotas.admit_invoke(name).unwrap());
    }
    advance(Duration::from_millis(59_999)).await;
    let error = quotas.admit_invoke(&names[4]).unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Throttled, true));
    assert!(error.to_string().contains(&names[4]), "{error}");
    drop(quotas.admit_invoke(&names[1]).unwrap());
    advance(Duration::from_millis(1)).await;
    let _new = quotas.admit_invoke(&names[4]).unwrap();
    assert_eq!(tracked(&quotas), 3, "the running one, the one just seen, and the new one");
    assert!(quotas.admit_invoke(&names[0]).is_err(), "what runs is not forgotten");
    drop(running);
    quotas.admit_invoke(&names[0]).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_namespace_without_rate_is_forgotten_as_soon_as_nothing_runs() {
    let quotas = Quotas::tracking(SHARDS, CONCURRENT, []);
    for name in neighbours(100) {
        drop(quotas.admit_invoke(&name).unwrap());
    }
}

#[test]
fn the_default_bound_is_spread_over_the_shards() {
    assert_eq!(all(CONCURRENT).0.unwrap().shard_limit * SHARDS, TRACKED);
    let mut sizes = BTreeMap::<usize, u32>::new();
    (0..1_600).for_each(|n| *sizes.entry(shard_of(&format!("tenant-{n}"))).or_default() += 1);
    assert!(sizes.len() == SHARDS && sizes.values().all(|size| (50..200).contains(size)), "{sizes:?}");
}

proptest! {
    /// The limiter against the definition: a bucket of `limit` that regains one each 60 s / limit.
    #[test]
    fn a_rate_is_a_bucket_that_refills(
        limit in prop_oneof![Just(1_u32), Just(2), Just(5), Just(60)],
        gaps in proptest::collection::vec(0_u64..30_000, 1..80),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(async {
            let quotas = all(Quota { invocations_per_minute: Some(limit), ..Quota::UNLIMITED });
            let interval = 60_000 / u64::from(limit);
            let start = Instant::now();
            // When the bucket will be full again, in milliseconds since the start.
            let mut full_at = 0;
            for gap in gaps {
                advance(Duration::from_millis(gap)).await;
                let now = u64::try_from(start.elapsed().as_millis()).unwrap();
                let allowed = full_at.max(now) + interval <= now + 60_000;
                assert_eq!(quotas.admit_invoke("a").is_ok(), allowed, "at {now} ms");
                if allowed {
                    full_at = full_at.max(now) + interval;
                }
            }
        });
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_accepted_before_is_counted_and_not_refused() {
    let quotas = Quotas::new(Quota { concurrent: Some(1), ..Quota::UNLIMITED }, []);
    let before = [quotas.count_accepted("acme"), quotas.count_accepted("acme")];
    assert!(before.iter().all(Option::is_some));
    assert_eq!(quotas.admit_invoke("acme").unwrap_err().kind(), ErrorKind::Throttled);
    drop(before);
    assert!(quotas.admit_invoke("acme").is_ok());
    assert!(Quotas::new(Quota::UNLIMITED, []).count_accepted("acme").is_none());
}
