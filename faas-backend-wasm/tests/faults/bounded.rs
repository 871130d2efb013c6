//! Modules that are as large as they may be, or a little larger in a way that only the engine sees.

use std::sync::Arc;
use std::time::{Duration, Instant};

use faas_core::{Backend, ErrorKind, MemoryMib};

use crate::guests::{self, OK};
use crate::site::{Site, backend, folder, spec, timed};

/// A module is refused when it is deployed, or else it runs.
async fn is_refused_or_runs(what: &str, module: Vec<u8>) -> Option<String> {
    let backend = backend().module_bytes("a", module.clone()).build().unwrap();
    match backend.deploy(Arc::new(spec("a"))).await {
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{what}: {error}");
            Some(error.message().to_owned())
        }
        Ok(_) => {
            let site = Site::of([(spec("a"), module)]).await;
            let outcome = site.outcome().await;
            assert!(outcome.is_success(), "{what} was deployed and cannot run: {outcome:?}");
            site.end(2).await;
            None
        }
    }
}

#[tokio::test]
async fn a_second_table_is_refused() {
    let text = is_refused_or_runs("tables", guests::with("(table 1 funcref) (table 2 funcref)", OK)).await;
    assert_eq!(text.as_deref(), Some("the module is refused: it has 2 tables, over 1"));
}

#[tokio::test]
async fn as_many_functions_as_are_allowed_can_be_referred_to() {
    let functions = "(func)".repeat(49_000);
    let list: String = (0..49_000).map(|n| format!(" {}", n + 14)).collect();
    let module = guests::with(&format!("{functions} (elem declare func {list})"), OK);
    assert_eq!(is_refused_or_runs("references", module).await, None);
}

#[tokio::test]
async fn as_many_items_as_are_allowed_can_be_had() {
    let globals: String = "(global (mut v128) (v128.const i64x2 1 2))".repeat(10_000);
    assert_eq!(is_refused_or_runs("globals", guests::with(&globals, OK)).await, None);
    let exports: String = (0..9_998).map(|n| format!("(export \"e{n}\" (memory 0))")).collect();
    assert_eq!(is_refused_or_runs("exports", guests::with(&exports, OK)).await, None);
    let segments: String = (0..20_000).map(|n| format!("(data (i32.const {}) \"x\")", 2048 + n)).collect();
    assert_eq!(is_refused_or_runs("segments", guests::with(&segments, OK)).await, None);
    let passive = "(data \"x\")".repeat(50_000);
    assert_eq!(is_refused_or_runs("passive segments", guests::with(&passive, OK)).await, None);
    let elements = "(table 20000 funcref) (elem (i32.const 0) func 14)".to_owned();
    assert_eq!(is_refused_or_runs("elements", guests::with(&elements, OK)).await, None);
}

#[tokio::test]
async fn types_of_garbage_collection_and_the_like_are_refused_or_run() {
    let cases = [
        "(type (struct (field i32)))",
        "(rec (type $a (array i8)))",
        "(tag (param i32))",
        "(func (param externref) (result externref) (local.get 0))",
        "(table 1 externref)",
        "(func (result v128) (v128.const i64x2 1 2))",
        "(func (result i32) (return_call 15)) (func (result i32) (i32.const 1))",
        "(func (param i64 i64 i64 i64) (result i64 i64) (i64.add128 (local.get 0) (local.get 1) (local.get 2) (local.get 3)))",
    ];
    for case in cases {
        if let Some(text) = is_refused_or_runs(case, guests::with(case, OK)).await {
            assert!(text.starts_with("the module is refused: "), "{case}: {text}");
        }
    }
}

#[tokio::test]
async fn fifty_megabytes_of_data_are_loaded_where_the_memory_is_large_enough() {
    let segment = format!("(data (i32.const 65536) \"{}\")", "x".repeat(50 << 20));
    let module = guests::sized(1024, &segment, OK);
    let site = Site::of([(timed("a", 20_000).with_memory(MemoryMib::new(64)), module)]).await;
    assert!(site.outcome().await.is_success());
    site.end(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_module_that_takes_long_to_compile_is_given_up_and_harms_nobody() {
    let round = "(local.set $i (i32.mul (i32.add (local.get $i) (i32.const 3)) (i32.load (local.get $i))))";
    let slow = guests::run(&format!("{} {OK}", round.repeat(60_000)));
    // What the neighbour needs is compiled before, since nobody has time for it later.
    let cache = folder("bounded-compile");
    let ready = Site::on(backend().cache(&cache), []).await;
    ready.end(0).await;
    let builder = backend().cache(&cache).compile_timeout(Duration::from_millis(1)).compile_threads(1);
    let site = Site::on(builder.module_bytes("slow", slow), [spec("slow")]).await;
    let deployment = site.backend.deploy(Arc::new(spec("slow"))).await.unwrap();
    let began = Instant::now();
    let giving_up = tokio::spawn({
        let backend = Arc::clone(&site.backend);
        async move { backend.warm(&deployment, 1).await.unwrap_err() }
    });
    while !giving_up.is_finished() {
        site.fine().await;
    }
    let error = giving_up.await.unwrap();
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded, "{error}");
    assert_eq!(error.message(), "compiling the module took longer than 1ms");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    site.end(0).await;
}
