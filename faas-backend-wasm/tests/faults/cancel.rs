//! Callers who leave at any moment, and backends that go away while guests run.

use std::time::Duration;

use faas_core::Entropy;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::alone::{address_space_mib, alone, mappings, open_files, resident_mib, threads, until};
use crate::guests::{self, OK, forever};
use crate::site::{Site, backend, millis, small, timed};

const NAP: &str = "(call $wait (i64.const 20000000))";

/// A site for eight at once whose actions never end by themselves, but for `nap`.
async fn endless(cold: usize) -> (Site, Vec<String>) {
    let slow = "(local.set $i (i32.mul (local.get $i) (i32.const 3)))".repeat(2_000);
    let mut actions = vec![
        ("sleeps".to_owned(), guests::run("(call $wait (i64.const 100000000000))")),
        ("loops".to_owned(), guests::run(&forever(""))),
        (
            "fills".to_owned(),
            guests::run(&forever("(memory.fill (i32.const 0) (i32.const 7) (i32.const 65536))")),
        ),
        ("logs".to_owned(), guests::run(&forever("(call $log (i32.const 1) (i32.const 0) (i32.const 9))"))),
        ("starts".to_owned(), guests::with(&format!("(func $f {}) (start $f)", forever("")), OK)),
    ];
    for n in 0..cold {
        // Each is a module of its own, which has to be compiled.
        actions.push((
            format!("cold{n}"),
            guests::with(&format!("(func (drop (i32.const {n})))"), &format!("{slow} {}", forever(""))),
        ));
    }
    let names = actions.iter().map(|(name, _)| name.clone()).collect();
    let mut builder = backend().instances(8).module_bytes("nap", guests::run(&format!("{NAP} {OK}")));
    let mut specs = vec![small("nap", 1)];
    for (name, module) in actions {
        builder = builder.module_bytes(&name, module);
        specs.push(timed(&name, 30_000).with_memory(faas_core::MemoryMib::new(1)));
    }
    (Site::on(builder, specs).await, names)
}

/// So many callers, who leave within some milliseconds.
async fn come_and_go(site: &Site, names: &[String], callers: usize, dice: &Entropy) {
    let mut going = JoinSet::new();
    for n in 0..callers {
        let (app, stay) = (site.app.clone(), dice.next_u64() % 4_000);
        let name = names[usize::try_from(dice.next_u64()).unwrap() % names.len()].clone();
        going.spawn(async move {
            let call = app.invoke(&name, json!({}));
            assert!(timeout(Duration::from_micros(stay), call).await.is_err(), "{name} never ends");
        });
        if n % 12 == 11 {
            while going.join_next().await.is_some() {}
        }
    }
    while going.join_next().await.is_some() {}
}

/// All eight instances are usable at once, and nobody holds one.
async fn all_are_free(site: &Site) {
    let mut naps = JoinSet::new();
    for _ in 0..24 {
        let app = site.app.clone();
        naps.spawn(async move { app.invoke("nap", ()).await.unwrap() });
    }
    assert!(naps.join_all().await.iter().all(|record| record.outcome.is_success()));
    let pool = site.pool().await;
    assert_eq!((pool.leased, pool.memory), (0, 0), "{pool:?}");
}

#[test]
fn a_thousand_callers_who_leave_take_nothing_with_them() {
    alone("cancel::a_thousand_callers_who_leave_take_nothing_with_them", async {
        let seed = 11;
        println!("seed {seed}");
        let dice = Entropy::seeded(seed);
        let (site, names) = endless(20).await;
        come_and_go(&site, &names, 200, &dice).await;
        all_are_free(&site).await;
        let (threads_before, files, maps) = (threads(), open_files(), mappings());
        let resident = resident_mib();
        come_and_go(&site, &names, 1_000, &dice).await;
        all_are_free(&site).await;
        // Threads that compile and read come and go.
        until("as few threads", || threads() <= threads_before + 4).await;
        assert!(resident_mib() <= resident + 50, "{} MiB after {resident}", resident_mib());
        assert!(open_files() <= files + 4, "{} files after {files}", open_files());
        assert!(mappings() <= maps + 200, "{} mappings after {maps}", mappings());
        site.end_without(1_200, 48).await;
    });
}

/// Makes a backend, lets guests run on it, and drops all of it in the middle.
fn drop_mid_run(round: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let site = runtime.block_on(async {
        let (site, names) = endless(2).await;
        for name in names {
            let app = site.app.clone();
            tokio::spawn(async move { app.invoke(&name, json!({})).await });
        }
        while site.pool().await.leased < 4 {
            tokio::time::sleep(millis(1)).await;
        }
        site
    });
    match round % 3 {
        0 => drop((runtime, site)),
        1 => drop((site, runtime)),
        _ => {
            runtime.shutdown_background();
            drop(site);
        }
    }
}

#[test]
fn a_runtime_dropped_while_guests_run_leaves_no_thread_and_no_address_space() {
    alone("cancel::a_runtime_dropped_while_guests_run_leaves_no_thread_and_no_address_space", async {
        let round = |n| tokio::task::spawn_blocking(move || drop_mid_run(n));
        for n in 0..3 {
            round(n).await.unwrap();
        }
        tokio::time::sleep(millis(50)).await;
        let before = (threads(), open_files(), mappings(), address_space_mib());
        for n in 0..9 {
            round(n).await.unwrap();
        }
        until("as few threads", || threads() <= before.0 + 1).await;
        until("as few files", || open_files() <= before.1 + 2).await;
        until("as few mappings", || mappings() <= before.2 + 60).await;
        // Each backend reserves 8 times 4 GiB and more.
        let space = || address_space_mib() <= before.3 + 8_000;
        until("as little address space", space).await;
    });
}
