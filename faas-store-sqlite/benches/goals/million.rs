//! A store of a million records beside one of ten thousand.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use faas_core::store::{ActivationQuery, FollowUp, Store};
use faas_store_sqlite::SqliteStore;
use faas_testkit::goals::{Figures, Goal, alternate, nanos_per_round};
use tokio::runtime::Runtime;

use super::made::{at, builder, fill, record, scratch};
use super::{PAIRS, current_thread, print};

const MANY: u64 = 1_000_000;
const FEW: u64 = 10_000;
const LISTS: usize = 20;
/// Measurements of each side where one takes seconds.
const LOOKED_THROUGH: usize = 3;

/// Fills the two stores, and measures in them what is asked for.
pub(crate) fn measure() {
    let list = Goal::at_most("list_1m", "ns", 3.0);
    let start = Goal::at_most("start_1m", "ns", 3.0);
    let purge = Goal::at_most("purge_1m", "ns", 1.0);
    if ![&list, &start, &purge].into_iter().any(Goal::is_wanted) {
        return;
    }
    let runtime = current_thread();
    let (many, few) = (filled(&runtime, "million", MANY), filled(&runtime, "ten-thousand", FEW));
    if list.is_wanted() {
        print(&list, lists(&runtime, &many, &few));
    }
    if start.is_wanted() {
        let time = |folder: &Path| {
            let start = Instant::now();
            let store = builder(folder).open().expect("a store");
            let time = nanos_per_round(start, 1);
            drop(store);
            time
        };
        print(&start, alternate(PAIRS, || time(&many), || time(&few)));
        // Each is looked through and counted, as one that was not closed is.
        let doubtful = |folder: &Path| {
            touch(&folder.join("store.db"));
            time(folder)
        };
        let Figures { ours, floor } = alternate(LOOKED_THROUGH, || doubtful(&many), || doubtful(&few));
        println!("FIGURE start_1m_unclosed many={ours:.0} few={floor:.0} unit=ns");
    }
    if purge.is_wanted() {
        let floor = Duration::from_millis(100).as_nanos() as f64;
        print(&purge, Figures { ours: slowest_write(&runtime, &many), floor });
    }
}

fn filled(runtime: &Runtime, name: &str, count: u64) -> PathBuf {
    let folder = scratch(name);
    let store = builder(&folder).open().expect("a store");
    runtime.block_on(fill(&store, 0, count));
    folder
}

/// Makes a database look as if somebody had written to it since it was closed.
fn touch(database: &Path) {
    let file = File::options().write(true).open(database).expect("a database");
    file.set_modified(SystemTime::now()).expect("a time");
}

/// The newest 30 of a namespace, of one action, in the last tenth of the time.
fn lists(runtime: &Runtime, many: &Path, few: &Path) -> Figures {
    let open = |folder: &Path| builder(folder).open().expect("a store");
    let (many, few) = (open(many), open(few));
    let time = |store: &SqliteStore, count: u64| {
        let query = ActivationQuery {
            namespace: Some("guest3".to_owned()),
            name: Some("action7".to_owned()),
            since: Some(at(count / 10)),
            upto: Some(at(count / 10 * 9)),
            limit: Some(30),
            ..ActivationQuery::default()
        };
        let start = Instant::now();
        for _ in 0..LISTS {
            let list = runtime.block_on(store.activations(&query)).expect("a list");
            assert_eq!(list.len(), 30);
        }
        nanos_per_round(start, LISTS)
    };
    alternate(PAIRS, || time(&many, MANY), || time(&few, FEW))
}

/// The slowest write while half of the records are purged, in nanoseconds.
fn slowest_write(runtime: &Runtime, many: &Path) -> f64 {
    let store = builder(many).max_records(MANY / 2).open().expect("a store");
    runtime.block_on(async {
        let (mut slowest, mut number) = (0.0_f64, MANY);
        loop {
            let start = Instant::now();
            store.append(record(number), FollowUp::default()).await.expect("kept");
            slowest = slowest.max(nanos_per_round(start, 1));
            number += 1;
            // Now and then, so that purging has time of its own, and counting takes none of it.
            tokio::time::sleep(Duration::from_millis(2)).await;
            if number.is_multiple_of(500)
                && store.count_activations(&ActivationQuery::default()).await.expect("a count") <= MANY / 2
            {
                return slowest;
            }
        }
    })
}
