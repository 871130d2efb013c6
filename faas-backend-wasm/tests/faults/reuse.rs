//! Instances that are used again, for the actions that ask for it, and those that are not.

use faas_core::platform::InvokeOptions;
use faas_core::{ActionSpec, Activation, Expect, MemoryMib, Namespace, StartKind};
use serde_json::{Value, json};

use crate::guests::{self, OK};
use crate::site::{Site, backend, fixtures, millis, small, spec, timed};

/// A guest that tells the number of its run, of one digit, or does what is asked after it.
fn counts(after: &str) -> Vec<u8> {
    let more = format!("(global $n (mut i32) (i32.const 48)) {}", guests::data(2000, b"{\"n\":0}"));
    let body = format!(
        "(global.set $n (i32.add (global.get $n) (i32.const 1))) (i32.store8 (i32.const 2005) (global.get $n))
         (call $reply (i32.const 0) (i32.const 2000) (i32.const 7)) {after}"
    );
    guests::with(&more, &body)
}

fn reused(spec: ActionSpec, uses: u64) -> ActionSpec {
    let mut spec = spec;
    spec.annotations.insert("wasm-reuse".to_owned(), json!(uses));
    spec
}

fn number(record: &Activation) -> u64 {
    let value = record.outcome.result().to_value();
    value["n"].as_u64().unwrap_or_else(|| panic!("{:?}", record.outcome))
}

async fn kinds_and_numbers(site: &Site, name: &str, runs: usize) -> Vec<(StartKind, u64)> {
    let mut seen = Vec::new();
    for _ in 0..runs {
        let record = site.app.invoke(name, ()).await.unwrap();
        seen.push((record.start_kind.unwrap(), number(&record)));
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_instance_is_cold_once_and_prewarmed_from_then_on() {
    let site = Site::of([(spec("a"), counts(""))]).await;
    let seen = kinds_and_numbers(&site, "a", 4).await;
    assert_eq!(seen[0], (StartKind::Cold, 1));
    assert!(seen[1..].iter().all(|seen| *seen == (StartKind::Prewarmed, 1)), "{seen:?}");
    site.app.delete("a", Expect::Any).await.unwrap();
    site.app.put_action(spec("a"), Expect::Absent).await.unwrap();
    assert_eq!(kinds_and_numbers(&site, "a", 1).await, [(StartKind::Prewarmed, 1)]);
    site.end(5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_runs_exactly_as_often_as_it_may() {
    let site =
        Site::of([(reused(small("a", 1), 3), counts("")), (reused(small("once", 1), 1), counts(""))]).await;
    let seen = kinds_and_numbers(&site, "a", 8).await;
    let numbers: Vec<u64> = seen.iter().map(|(_, number)| *number).collect();
    assert_eq!(numbers, [1, 2, 3, 1, 2, 3, 1, 2]);
    for (n, (kind, number)) in seen.iter().enumerate() {
        let expected = match (n, number) {
            (0, _) => StartKind::Cold,
            (_, 1) => StartKind::Prewarmed,
            _ => StartKind::Warm,
        };
        assert_eq!(*kind, expected, "{seen:?}");
    }
    let once = kinds_and_numbers(&site, "once", 3).await;
    assert!(once.iter().all(|(kind, number)| *kind != StartKind::Warm && *number == 1), "{once:?}");
    let pool = site.pool().await;
    assert_eq!((pool.leased, pool.idle), (0, 1), "one of `a` is kept: {pool:?}");
    site.end(11).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_ended_badly_is_not_used_again() {
    let cases = [
        "unreachable",
        "(drop (memory.grow (i32.const 100)))",
        "(call $wait (i64.const -1))",
        "(call $exit (i32.const 0))",
        "(call $reply (i32.const 1) (i32.const 1024) (i32.const 2))",
    ];
    for bad in cases {
        // Every second run of an instance ends badly.
        let after = format!("(if (i32.eq (global.get $n) (i32.const 50)) (then {bad}))");
        let limits = reused(timed("a", 200).with_memory(MemoryMib::new(1)), 100);
        let site = Site::of([(limits, counts(&after))]).await;
        for _ in 0..3 {
            assert_eq!(number(&site.app.invoke("a", ()).await.unwrap()), 1, "{bad}");
            site.fails("a", json!({})).await;
        }
        site.end(3).await;
    }
}

async fn remember(site: &Site, name: &str, namespace: Option<&str>, text: &str) -> Value {
    let options = InvokeOptions {
        namespace: namespace.map(|name| Namespace::new(name).unwrap()),
        ..InvokeOptions::default()
    };
    let record = site.app.invoke_with(name, json!({ "order": { "remember": text } }), options).await.unwrap();
    assert!(record.outcome.is_success(), "{:?}", record.outcome);
    record.outcome.result().to_value()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn state_stays_within_an_action_and_a_namespace() {
    let Some(fixtures) = fixtures("state_stays_within_an_action_and_a_namespace") else { return };
    let echo = faas_testkit::fixtures::spec("echo").with_memory(MemoryMib::new(16));
    let echo = reused(echo, 100);
    let site = Site::on(backend().artifact(&fixtures), [echo]).await;
    assert_eq!(remember(&site, "echo", None, "own").await["text"], Value::Null);
    assert_eq!(remember(&site, "echo", None, "own").await["text"], "own");
    for stranger in ["ada", "bob"] {
        let of = Some(stranger);
        assert_eq!(remember(&site, "echo", of, stranger).await["text"], Value::Null, "{stranger}");
        assert_eq!(remember(&site, "echo", of, stranger).await["text"], stranger);
    }
    assert_eq!(remember(&site, "echo", None, "own").await["runs"], 3);
    // A new revision begins anew.
    let echo = reused(faas_testkit::fixtures::spec("echo"), 50);
    site.app.put_action(echo, Expect::Any).await.unwrap();
    assert_eq!(remember(&site, "echo", None, "own").await["text"], Value::Null);
    site.end(8).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_and_events_of_a_reused_instance_are_those_of_its_run() {
    let more = guests::data(2000, b"text");
    let body = format!("(call $log (i32.const 1) (i32.const 2000) (i32.const 4)) {OK}");
    let site = Site::of([(reused(spec("a"), 100), guests::with(&more, &body))]).await;
    for _ in 0..5 {
        let record = site.app.invoke("a", ()).await.unwrap();
        assert_eq!(record.logs.len(), 1, "{:?}", record.logs);
    }
    site.end(5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kept_instances_stay_within_their_memory() {
    let names: Vec<String> = (0..12).map(|n| format!("a{n}")).collect();
    let mut builder = backend().reuse_memory(MemoryMib::new(8));
    for name in &names {
        builder = builder.module_bytes(name, counts(""));
    }
    let site = Site::on(builder, names.iter().map(|name| reused(small(name, 2), 100))).await;
    for round in 0..3 {
        for name in &names {
            assert!(site.app.invoke(name, ()).await.unwrap().outcome.is_success());
            let pool = site.pool().await;
            assert!(pool.memory <= 8 && pool.idle <= 4, "round {round}: {pool:?}");
        }
    }
    let pool = site.pool().await;
    assert!(pool.evictions > 0, "{pool:?}");
    site.end(36).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_callers_of_a_reused_action_have_their_turn() {
    let builder = backend().instances(4).reuse_memory(MemoryMib::new(2));
    let module = counts("(call $wait (i64.const 2000000))");
    let site = Site::on(builder.module_bytes("a", module), [reused(small("a", 1), 5)]).await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let app = site.app.clone();
        calls.spawn(async move { app.invoke("a", ()).await.unwrap() });
    }
    let records = tokio::time::timeout(millis(20_000), calls.join_all()).await.unwrap();
    assert!(records.iter().all(|record| (1..=5).contains(&number(record))));
    site.end(40).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reused_and_fresh_instances_share_what_there_are() {
    let nap = "(call $wait (i64.const 2000000))";
    let builder = backend()
        .instances(2)
        .reuse_memory(MemoryMib::new(64))
        .module_bytes("kept", counts(nap))
        .module_bytes("once", counts(nap));
    let site = Site::on(builder, [reused(small("kept", 1), 2), small("once", 1)]).await;
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..60 {
        let (app, name) = (site.app.clone(), if n % 2 == 0 { "kept" } else { "once" });
        calls.spawn(async move { app.invoke(name, ()).await.unwrap() });
    }
    let records = tokio::time::timeout(millis(20_000), calls.join_all()).await.unwrap();
    assert!(records.iter().all(|record| (1..=2).contains(&number(record))));
    site.end(60).await;
}
