//! The quickstart on a store that is durable: it is killed, and goes on when it is started again.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use crate::built::{example, target};
use crate::quickstart::check;

/// How often it is killed.
const KILLS: u64 = 6;

#[test]
fn a_run_that_is_killed_goes_on_and_comes_to_the_same() {
    let folder = target().join(format!("tmp/quickstart-{}", std::process::id()));
    let store = format!("sqlite:{}", folder.display());
    // At a pace, so that it has come further each time.
    let args = ["--json", "--rate", "800", "--store", store.as_str()];
    for number in 1..=KILLS {
        let mut run = example("quickstart").command(&args).stdout(Stdio::piped()).spawn().unwrap();
        sleep(Duration::from_millis(150 * number));
        run.kill().unwrap();
        run.wait().unwrap();
        let printed = BufReader::new(run.stdout.take().unwrap()).lines().count();
        assert_eq!(printed, 0, "run number {number} was at its end before it was killed");
    }
    let run =
        example("quickstart").succeeds(&args[..1].iter().chain(&args[3..]).copied().collect::<Vec<_>>());
    check(&serde_json::from_str::<Value>(&run).unwrap());
    // All of it is there already.
    let again = example("quickstart").succeeds(&["--json", "--store", store.as_str()]);
    check(&serde_json::from_str::<Value>(&again).unwrap());
    std::fs::remove_dir_all(&folder).unwrap();
}
