//! Hundreds of programs, started and run and ended: what they leave is counted.

use std::time::Duration;

use faas_core::{ActionSpec, Status};
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::alone::alone;
use crate::artifact::PUPPET;
use crate::process::{children, files, resident_kib, until};
use crate::site::{Site, puppet, puppets};

/// How many run at once.
const AT_ONCE: usize = 4;

/// The most that memory may grow in the cycles, in KiB: their records are kept, which are 1 KiB each, and what an
/// allocator keeps may vary. Three hundred environments that were kept would take 20 MiB.
const GROWTH: u64 = 4096;

/// What this process holds.
#[derive(Debug, PartialEq, Eq, PartialOrd)]
struct Held {
    tasks: usize,
    files: usize,
    children: usize,
    sockets: usize,
}

impl Held {
    fn now() -> Self {
        let listening = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let own = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        let own: Vec<String> = own
            .filter_map(|entry| Some(std::fs::read_link(entry.path()).ok()?.display().to_string()))
            .collect();
        let is_own = |line: &str| {
            let inode = line.split_whitespace().nth(9).unwrap_or_default();
            own.iter().any(|file| *file == format!("socket:[{inode}]"))
        };
        Self {
            tasks: Handle::current().metrics().num_alive_tasks(),
            files: files(),
            children: children(),
            sockets: listening.lines().filter(|line| is_own(line)).count(),
        }
    }

    /// Waits until this process holds no more than before.
    async fn returns(before: &Self) -> Self {
        until("what it was before", || {
            let now = Self::now();
            let within = now.tasks <= before.tasks && now.files <= before.files;
            let within = within && now.children <= before.children && now.sockets <= before.sockets;
            if within { Ok(now) } else { Err(format!("{now:?} after {before:?}")) }
        })
        .await
    }
}

/// What a cycle runs, of those that come in turn, and what comes of it.
fn kind(n: usize) -> (Value, Status) {
    match n % 6 {
        0 => (json!(["child", { "exit": 1 }]), Status::DeveloperError),
        1 => (json!(["child", { "connect": 20 }, "answer"]), Status::Success),
        2 => (json!([{ "flood": { "kib": 256, "line": 0 } }, "abort"]), Status::DeveloperError),
        3 => (json!(["answer", "ask", "hang_up", "spin"]), Status::Success),
        _ => (json!([]), Status::Success),
    }
}

async fn site(test: &str) -> Site {
    let mut spec = puppet(20_000);
    // Records are kept, and with them their logs.
    spec.limits.logs = 100;
    spec.annotations.insert(ActionSpec::FRESH_SANDBOX.to_owned(), json!(true));
    let site = Site::new(test, puppets(), [spec]).await;
    site.fine().await;
    site
}

async fn run(site: &Site, cycles: std::ops::Range<usize>) {
    let mut running = JoinSet::new();
    for n in cycles {
        if running.len() == AT_ONCE {
            running.join_next().await.unwrap().unwrap();
        }
        let app = site.app.clone();
        running.spawn(async move {
            let (steps, status) = kind(n);
            let record = app.invoke(PUPPET, json!({ "steps": steps })).await.unwrap();
            assert_eq!(record.status(), status, "{steps}: {:?}", record.outcome);
        });
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
}

#[test]
fn three_hundred_cycles_leave_nothing() {
    alone("cycles::three_hundred_cycles_leave_nothing", async {
        let at_first = Held::now();
        let site = site("cycles").await;
        run(&site, 0..60).await;
        site.until_puppets(0).await;
        let (before, memory) =
            (Held::returns(&Held { tasks: usize::MAX, ..Held::now() }).await, resident_kib());
        run(&site, 60..360).await;
        site.until_puppets(0).await;
        let after = Held::returns(&before).await;
        let grown = resident_kib().saturating_sub(memory);
        println!("{before:?}\n{after:?}\n{grown} KiB");
        assert!(grown <= GROWTH, "{grown} KiB");
        assert_eq!(
            (after.children, after.sockets),
            (1, 2),
            "the neighbour, where it asks and its connection"
        );
        site.end(200).await;
        Held::returns(&at_first).await;
    });
}

#[test]
fn callers_who_leave_while_programs_start_take_nothing_with_them() {
    alone("cycles::callers_who_leave_while_programs_start_take_nothing_with_them", async {
        let at_first = Held::now();
        let site = site("leave").await;
        let seed = 7;
        println!("seed {seed}");
        let mut dice = fastrand::Rng::with_seed(seed);
        let (mut leaving, mut left) = (JoinSet::new(), 0);
        for n in 0..200 {
            if leaving.len() == 2 * AT_ONCE {
                left += leaving.join_next().await.unwrap().unwrap();
            }
            let (app, stay) = (site.app.clone(), Duration::from_micros(dice.u64(0..40_000)));
            leaving.spawn(async move {
                let (steps, _) = kind(n);
                let call = app.invoke(PUPPET, json!({ "steps": steps }));
                timeout(stay, call).await.map_or(1, |ended| {
                    drop(ended.unwrap());
                    0
                })
            });
        }
        while let Some(ended) = leaving.join_next().await {
            left += ended.unwrap();
        }
        assert!((20..=200).contains(&left), "{left} left");
        // A start whose caller has left goes on, for the next one.
        site.until_pool("at rest", |pool| (pool.creating, pool.leased, pool.destroying) == (0, 0, 0)).await;
        run(&site, 0..12).await;
        site.end_without(left, 8).await;
        Held::returns(&at_first).await;
    });
}
