//! Programs that are frozen while they have nothing to do, and never at any other time.

use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::artifact::PUPPET;
use crate::process::{PATIENCE, state, until};
use crate::site::{Site, millis, played, puppet, puppets};

/// How much a thread of the puppet that counts has counted, told before and after a rest of so long.
async fn counted(site: &Site, rest: Duration) -> u64 {
    let ticks = |told: serde_json::Value| told["ticks"].as_u64().unwrap();
    let before = ticks(site.told(json!([])).await);
    tokio::time::sleep(rest).await;
    ticks(site.told(json!([])).await) - before
}

#[tokio::test]
async fn a_program_stands_still_between_its_runs() {
    let site = played("still", 20_000).await;
    // A count each millisecond: a few may fall into the time of the answers.
    let mut least = u64::MAX;
    for _ in 0..5 {
        least = least.min(counted(&site, millis(1_000)).await);
    }
    assert!(least < 100, "it counted {least} in a second");
    for id in site.until_puppets(1).await {
        until("stopped", || if state(id) == Some('T') { Ok(()) } else { Err(state(id)) }).await;
    }
    site.end(10).await;
}

#[tokio::test]
async fn what_a_program_started_stands_still_with_it() {
    let site = played("children", 20_000).await;
    site.told(json!(["child", "answer"])).await;
    let ids = until("two processes or more", || {
        let ids = site.puppets();
        if ids.len() >= 2 { Ok(ids) } else { Err(ids) }
    })
    .await;
    for id in ids {
        until("stopped", || if state(id) == Some('T') { Ok(()) } else { Err(state(id)) }).await;
    }
    site.end(1).await;
}

#[tokio::test]
async fn where_nothing_is_frozen_a_program_goes_on() {
    let site = Site::new("goes", puppets().freeze(false), [puppet(20_000)]).await;
    let mut most = 0;
    for _ in 0..5 {
        most = most.max(counted(&site, millis(1_000)).await);
    }
    assert!(most > 200, "it counted {most} in a second");
    site.end(10).await;
}

/// So many callers call that often each, as quickly as they can.
async fn hurry(site: &Site, callers: usize, calls: usize) {
    let mut running = JoinSet::new();
    for _ in 0..callers {
        let app = site.app.clone();
        running.spawn(async move {
            for n in 0..calls {
                // Some programs hang up after their answer, and some stay busy for a moment.
                let steps = match n % 7 {
                    3 => json!(["answer", "hang_up"]),
                    5 => json!(["answer", { "wait": 1 }]),
                    _ => json!([]),
                };
                let call = app.invoke(PUPPET, json!({ "steps": steps }));
                let record = timeout(PATIENCE, call).await.expect("a call that does not hang").unwrap();
                assert!(record.outcome.is_success(), "{:?}", record.outcome);
            }
        });
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_quick_calls_of_one_program_never_hang() {
    let site = played("quick", 20_000).await;
    hurry(&site, 1, 3_000).await;
    site.until_puppets(1).await;
    site.end(3_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_of_quick_calls_of_several_programs_never_hang() {
    let site = played("quicker", 20_000).await;
    hurry(&site, 4, 1_000).await;
    let programs = site.puppets().len();
    assert!((1..=4).contains(&programs), "{programs}");
    site.end(4_000).await;
}
