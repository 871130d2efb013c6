//! Guests that want more memory than they have.

use faas_core::MemoryMib;
use serde_json::json;

use crate::guests::{self, OK, forever};
use crate::site::{Site, backend, built, fixtures, small};
use crate::traps::guest_spec;

const EXHAUSTED: &str = "The action exhausted its memory and was aborted.";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_beyond_the_limit_ends_the_guest_however_it_grows() {
    let step = |pages: u32| forever(&format!("(drop (memory.grow (i32.const {pages})))"));
    let bodies = [
        step(1),
        step(3),
        "(drop (memory.grow (i32.const 64)))".to_owned(),
        "(drop (memory.grow (i32.const 65535)))".to_owned(),
        format!("{} {OK}", "(drop (memory.grow (i32.const 5)))".repeat(20)),
    ];
    for body in bodies {
        let site = Site::of([(small("a", 4), guests::run(&format!("{OK} {body}")))]).await;
        assert_eq!(site.fails("a", json!({})).await, EXHAUSTED, "{body}");
        site.end(1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_up_to_the_limit_is_there_to_the_last_byte_and_reported() {
    let body = format!(
        "(if (i32.ne (memory.grow (i32.const 63)) (i32.const 1)) (then unreachable))
         (i32.store8 (i32.const 4194303) (i32.const 7)) {OK}"
    );
    let site = Site::of([(small("a", 4), guests::run(&body))]).await;
    let record = site.run("a", json!({})).await;
    assert!(record.outcome.is_success(), "{:?}", record.outcome);
    assert_eq!(record.usage.peak_memory, Some(4 << 20));
    let fine = site.app.invoke("fine", ()).await.unwrap();
    assert_eq!(fine.usage.peak_memory, Some(64 << 10));
    site.end(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_bounds_its_own_memory_may_be_refused_more() {
    let body = format!("(if (i32.ne (memory.grow (i32.const 9)) (i32.const -1)) (then unreachable)) {OK}");
    let bounded = guests::module(&format!(
        r#"(module (import "faas_v1" "reply" (func $reply (param i32 i32 i32)))
          (memory (export "memory") 1 2) (data (i32.const 1024) "{{}}")
          (func (export "faas_v1_run") {body}))"#
    ));
    let site = Site::of([(small("a", 4), bounded)]).await;
    assert!(site.outcome().await.is_success());
    site.end(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_grows_no_further_than_its_bound() {
    let body = format!(
        "(if (i32.ne (table.grow (ref.null func) (i32.const 19000)) (i32.const 1)) (then unreachable))
         (if (i32.ne (table.grow (ref.null func) (i32.const 1000)) (i32.const -1)) (then unreachable))
         (if (i32.ne (table.grow (ref.null func) (i32.const -1)) (i32.const -1)) (then unreachable)) {OK}"
    );
    let site = Site::of([(small("a", 1), guests::with("(table 1 funcref)", &body))]).await;
    assert!(site.outcome().await.is_success());
    site.end(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guests_of_a_compiler_that_take_too_much_are_developer_errors() {
    let test = "guests_of_a_compiler_that_take_too_much_are_developer_errors";
    let (Some(guests), Some(fixtures)) = (built(test), fixtures(test)) else { return };
    let site = Site::on(backend().artifact(&guests), [guest_spec("grow")]).await;
    for kib in [1, 64, 1_000, 1_000_000, 2_000_000] {
        assert_eq!(site.fails("grow", json!({ "kib": kib })).await, EXHAUSTED, "{kib}");
    }
    site.end(5).await;
    let allocate = faas_testkit::fixtures::spec("allocate").with_memory(MemoryMib::new(128));
    let site = Site::on(backend().artifact(&fixtures), [allocate]).await;
    assert!(site.run("allocate", json!({ "mib": 100 })).await.outcome.is_success());
    for input in [
        json!({ "mib": 128 }),
        json!({ "mib": 128, "piece_kib": 4 }),
        json!({ "mib": 2000, "piece_kib": 2_000_000 }),
    ] {
        assert_eq!(site.fails("allocate", input).await, EXHAUSTED);
    }
    site.end(4).await;
}
