//! The quickstart on a store that is durable: it is killed, and goes on when it is started again.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use faas_core::{ActivationQuery, Store};
use faas_store_sqlite::SqliteStore;
use serde_json::Value;

use crate::built::{example, target};
use crate::quickstart::check;

/// How often it is killed at least.
const KILLS: u64 = 6;

#[test]
fn a_run_that_is_killed_goes_on_and_comes_to_the_same() {
    let folder = target().join(format!("tmp/quickstart-{}", std::process::id()));
    let store = format!("sqlite:{}", folder.display());
    // At a pace, so that it has come further each time.
    let paced = ["--json", "--rate", "800", "--store", store.as_str()];
    let mut number = 0;
    // On a slow machine the first ones may have come to nothing.
    while number < KILLS || records(&folder) == 0 {
        number += 1;
        let mut run = example("quickstart").command(&paced).stdout(Stdio::piped()).spawn().unwrap();
        sleep(Duration::from_millis(150 * number));
        run.kill().unwrap();
        run.wait().unwrap();
        let printed = BufReader::new(run.stdout.take().unwrap()).lines().count();
        assert_eq!(printed, 0, "run number {number} was at its end before it was killed");
    }
    let args = ["--json", "--store", store.as_str()];
    check(&serde_json::from_str::<Value>(&example("quickstart").succeeds(&args)).unwrap());
    let all = records(&folder);
    // All of it is there already.
    check(&serde_json::from_str::<Value>(&example("quickstart").succeeds(&args)).unwrap());
    assert_eq!(records(&folder), all);
    std::fs::remove_dir_all(&folder).unwrap();
}

/// How many activations have their record.
fn records(folder: &Path) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let store = SqliteStore::open(folder).unwrap();
    runtime.block_on(store.count_activations(&ActivationQuery::default())).unwrap()
}
