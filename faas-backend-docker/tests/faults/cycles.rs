//! Hundreds of containers, made and run and destroyed: what they leave is counted.

use std::path::Path;
use std::time::Duration;

use bollard::query_parameters::ListNetworksOptions;
use faas_core::http::Egress;
use faas_core::{ActionSpec, MemoryMib, Status};
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::alone::alone;
use crate::puppet;
use crate::site::{Ground, Site, ground, skip, spec, until};
use crate::watch::PATIENCE;

/// The action that gets a new container each time.
const COLD: &str = "remember";

/// How many run at once: more would only wait for the engine.
const AT_ONCE: usize = 6;

/// The most that memory may grow in the cycles, in KiB: their records are kept, which are 1 KiB each, and what
/// an allocator keeps may vary.
const GROWTH: u64 = 1536;

/// How long a container is kept that nobody uses.
const KEPT: Duration = Duration::from_secs(1);

/// What a process holds.
#[derive(Debug)]
struct Held {
    tasks: usize,
    files: usize,
    /// In the backend's folder.
    folder: usize,
    containers: usize,
    networks: usize,
    /// The containers' ends of networks, as the bridges on this machine have them.
    ports: usize,
    resident_kib: u64,
}

impl Held {
    async fn by(site: Option<&Site>) -> Self {
        let entries = |path: &str| std::fs::read_dir(path).map_or(0, Iterator::count);
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let (mut folder, mut made, mut linked, mut ports) = (0, 0, 0, 0);
        if let Some(site) = site {
            folder = count_all(&site.home);
            made = site.containers().await.len();
            let bridges = bridges(site).await;
            linked = bridges.len();
            ports = bridges.iter().map(|bridge| entries(&format!("{bridge}/brif"))).sum();
        }
        Self {
            tasks: Handle::current().metrics().num_alive_tasks(),
            files: entries("/proc/self/fd"),
            folder,
            containers: made,
            networks: linked,
            ports,
            resident_kib: resident.split_whitespace().next().unwrap().parse().unwrap(),
        }
    }

    /// Whether it is no more than before, apart from memory.
    fn is_within(&self, before: &Self) -> bool {
        let counts =
            |held: &Self| [held.tasks, held.files, held.folder, held.containers, held.networks, held.ports];
        counts(self).into_iter().zip(counts(before)).all(|(now, before)| now <= before)
    }
}

/// Where this machine tells of the bridges of a site's networks. Source: Docker's naming of them.
async fn bridges(site: &Site) -> Vec<String> {
    let filters = Some([("label".to_owned(), vec![format!("io.faas.pool={}", site.pool)])].into());
    let listed = site.docker.list_networks(Some(ListNetworksOptions { filters })).await.unwrap();
    let ids = listed.into_iter().filter_map(|network| network.id);
    ids.map(|id| format!("/sys/class/net/br-{}", &id[..12])).collect()
}

/// How many files and folders are in a folder, at whatever depth.
fn count_all(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| 1 + count_all(&entry.path())).sum()
}

/// What a cycle runs, of those that come in turn: guests of ours, with a socket for requests and without, that end well
/// and badly, and another image, which needs a network.
fn kind(n: usize) -> (&'static str, Value, Status) {
    match n % 6 {
        0 => ("puppet", json!({ "a": n }), Status::Success),
        1 => (
            "fetch",
            json!({ "requests": [{ "method": "GET", "url": "http://127.0.0.1:1/" }] }),
            Status::Success,
        ),
        2 => ("end", json!({ "by": { "exit": 3 } }), Status::DeveloperError),
        _ => (COLD, json!({ "secret": n.to_string() }), Status::Success),
    }
}

/// An action that gets a new container each time.
fn fresh(name: &str) -> ActionSpec {
    let mut spec = spec(name).with_memory(MemoryMib::new(24));
    spec.annotations.insert(ActionSpec::FRESH_SANDBOX.to_owned(), json!(true));
    spec
}

/// A site of all that cycles run.
async fn site(ground: Ground) -> Site {
    let image = puppet::image(&ground.docker).await;
    // A container whose caller left is kept for the next one, but not for long here.
    let builder = ground.builder().keep_alive(KEPT).image("puppet", image);
    let mut fetch = fresh("fetch");
    fetch.egress = Egress::none().with("127.0.0.1");
    let site = ground.site_on(builder, [fresh("puppet"), fetch, fresh("end"), fresh(COLD)]).await;
    site.fine().await;
    site
}

/// Runs so many, some at once.
async fn run(site: &Site, cycles: std::ops::Range<usize>) {
    let mut running = JoinSet::new();
    for n in cycles {
        if running.len() == AT_ONCE {
            running.join_next().await.unwrap().unwrap();
        }
        let app = site.app.clone();
        running.spawn(async move {
            let (action, input, status) = kind(n);
            let record = app.invoke(action, input).await.unwrap();
            assert_eq!(record.status(), status, "{action}: {:?}", record.outcome);
        });
        if n % 50 == 49 {
            site.fine().await;
        }
    }
    while let Some(ended) = running.join_next().await {
        ended.unwrap();
    }
}

/// Waits until there is no container any more.
async fn at_rest(site: &Site) {
    site.until_pool("at rest", |pool| pool.memory == 0).await;
}

/// Waits until this process holds no more than before.
async fn becomes(site: Option<&Site>, before: &Held) -> Held {
    let held = until(PATIENCE, || async {
        let held = Held::by(site).await;
        if held.is_within(before) { Ok(held) } else { Err(held) }
    });
    held.await.unwrap_or_else(|held| panic!("it holds {held:?} after {before:?}"))
}

/// Waits until a container has its end in the bridge of the network, so that those that are left would be counted too.
async fn has_a_port(site: &Site, test: &str) {
    let bridges = bridges(site).await;
    if !bridges.iter().all(|bridge| Path::new(bridge).exists()) {
        skip::<()>(test, "the bridges of the engine's networks are not on this machine");
        return;
    }
    let call = site.begin("puppet", json!({ "wait_ms": 1500 }));
    let seen = until(PATIENCE, || async {
        let ports = Held::by(Some(site)).await.ports;
        if ports > 0 { Ok(()) } else { Err(ports) }
    });
    assert_eq!(seen.await, Ok(()));
    assert!(call.await.unwrap().unwrap().outcome.is_success());
}

/// Runs so many whose callers leave at some moment, most of them before the container is ready; how many left.
async fn leave(site: &Site, cycles: std::ops::Range<usize>) -> u64 {
    let seed = 7;
    println!("seed {seed}");
    let mut dice = fastrand::Rng::with_seed(seed);
    let (mut leaving, mut left) = (JoinSet::new(), 0);
    for n in cycles {
        if leaving.len() == 2 * AT_ONCE {
            left += leaving.join_next().await.unwrap().unwrap();
        }
        let (app, stay) = (site.app.clone(), Duration::from_micros(dice.u64(0..800_000)));
        leaving.spawn(async move {
            let (action, input, _) = kind(n);
            timeout(stay, app.invoke(action, input)).await.map_or(1, |ended| {
                drop(ended.unwrap());
                0
            })
        });
    }
    while let Some(ended) = leaving.join_next().await {
        left += ended.unwrap();
    }
    site.until_pool("ready", |pool| (pool.creating, pool.leased, pool.destroying) == (0, 0, 0)).await;
    left
}

#[test]
fn five_hundred_cycles_leave_nothing_whether_their_callers_stay_or_leave() {
    let test = "cycles::five_hundred_cycles_leave_nothing_whether_their_callers_stay_or_leave";
    alone(test, async {
        let Some(ground) = ground("cycles").await else { return };
        let at_first = Held::by(None).await;
        let site = site(ground).await;
        run(&site, 0..30).await;
        has_a_port(&site, test).await;
        at_rest(&site).await;
        let before = Held::by(Some(&site)).await;
        run(&site, 30..330).await;
        let left = leave(&site, 330..488).await;
        assert!(left >= 30, "{left} left");
        run(&site, 488..500).await;
        at_rest(&site).await;
        let after = becomes(Some(&site), &before).await;
        assert!(after.resident_kib <= before.resident_kib + GROWTH, "{after:?} after {before:?}");
        assert_eq!(
            (after.containers, after.networks, after.ports),
            (0, 1, 0),
            "the network of the puppets alone"
        );
        println!("{before:?}\n{after:?}");
        let bridges = bridges(&site).await;
        site.end_without(left, 250).await;
        becomes(None, &at_first).await;
        assert!(!bridges.iter().any(|bridge| Path::new(bridge).exists()), "{bridges:?}");
    });
}

#[test]
fn of_a_reply_no_more_is_kept_than_it_says() {
    alone("cycles::of_a_reply_no_more_is_kept_than_it_says", async {
        let Some(ground) = ground("cycles-warm").await else { return };
        let site = ground.site([]).await;
        let warm = async |times| {
            for _ in 0..times {
                site.fine().await;
            }
            Held::by(Some(&site)).await
        };
        let before = warm(500).await;
        warm(3000).await;
        let after = becomes(Some(&site), &before).await;
        println!("{before:?}\n{after:?}");
        let growth = after.resident_kib - before.resident_kib;
        assert!(growth < 3000, "{growth} KiB for 3000 records of a few bytes");
        site.end(3500).await;
    });
}
