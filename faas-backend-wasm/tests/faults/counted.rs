//! What records tell of guests that count, and platforms whose runs repeat.

use faas_core::{Activation, Entropy, StartKind};
use serde_json::json;

use crate::guests::{self, OK, times};
use crate::site::{Site, backend, fixtures, spec};

fn work(rounds: u32) -> Vec<u8> {
    guests::run(&format!("{} {OK}", times(rounds, "(i32.store (i32.const 0) (local.get $i))")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fuel_is_counted_where_it_is_asked_for_and_the_same_each_time() {
    let builder = backend().fuel(true).module_bytes("little", work(100)).module_bytes("much", work(10_000));
    let mut reused = spec("little");
    reused.annotations.insert("wasm-reuse".to_owned(), json!(10));
    let site = Site::on(builder, [reused, spec("much")]).await;
    let fuel = |records: Vec<Activation>| -> u64 {
        let first = records[0].usage.fuel.expect("it is counted");
        assert!(records.iter().all(|record| record.usage.fuel == Some(first)), "{records:?}");
        first
    };
    let mut little = Vec::new();
    let mut much = Vec::new();
    for _ in 0..3 {
        little.push(site.app.invoke("little", ()).await.unwrap());
        much.push(site.app.invoke("much", ()).await.unwrap());
    }
    assert_eq!(little[2].start_kind, Some(StartKind::Warm), "each run of an instance counts its own");
    let (little, much) = (fuel(little), fuel(much));
    assert!(little > 500 && much > little * 50 && much < little * 200, "{little} {much}");
    site.end(6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fuel_is_not_reported_where_it_is_not_counted_and_memory_always_is() {
    let site = Site::of([(spec("a"), work(10))]).await;
    let record = site.run("a", json!({})).await;
    assert_eq!((record.usage.fuel, record.usage.peak_memory), (None, Some(64 << 10)));
    site.end(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fuel_of_a_run_that_ended_badly_is_counted_too() {
    let builder = backend().fuel(true).module_bytes("a", guests::run("unreachable"));
    let site = Site::on(builder, [spec("a")]).await;
    let record = site.run("a", json!({})).await;
    assert!(record.usage.fuel.is_some_and(|fuel| fuel > 0 && fuel < 1_000), "{:?}", record.usage);
    site.end(1).await;
}

/// What a platform with this seed makes of some calls.
async fn story(fixtures: &std::path::Path, seed: u64) -> Vec<String> {
    let echo = faas_testkit::fixtures::spec("echo");
    let random = guests::data(2000, b"{\"n\":0}");
    let body = "(drop (call $random_get (i32.const 3000) (i32.const 8)))
        (i32.store8 (i32.const 2005) (i32.add (i32.const 48) (i32.and (i32.load (i32.const 3000)) (i32.const 7))))
        (call $reply (i32.const 0) (i32.const 2000) (i32.const 7))";
    let builder = backend().artifact(fixtures).module_bytes("wasi", guests::with(&random, body));
    let site = Site::with(builder, [echo, spec("wasi")], Entropy::seeded(seed)).await;
    let mut told = Vec::new();
    for _ in 0..4 {
        let facts = site.app.invoke("echo", json!({ "order": "facts" })).await.unwrap();
        assert!(facts.outcome.is_success(), "{:?}", facts.outcome);
        told.push(format!("{} {:?} {:?}", facts.id, facts.outcome, facts.start));
        let wasi = site.app.invoke("wasi", ()).await.unwrap();
        told.push(format!("{} {:?} {:?}", wasi.id, wasi.outcome, wasi.start));
    }
    told
}

#[tokio::test(start_paused = true)]
async fn a_seed_repeats_ids_results_and_times() {
    let Some(fixtures) = fixtures("a_seed_repeats_ids_results_and_times") else { return };
    println!("seeds 7 and 8");
    let (one, two, other) = (story(&fixtures, 7).await, story(&fixtures, 7).await, story(&fixtures, 8).await);
    assert_eq!(one, two);
    assert!(one.iter().zip(&other).all(|(one, other)| one != other), "{one:?} {other:?}");
}
