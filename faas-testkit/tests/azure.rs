//! Replays the real Azure trace where it is there.

use std::fs::File;
use std::io::{BufReader, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use faas_testkit::arrivals::{function_days, replay};

/// The environment variable that names the folder with `inv.csv`: one day of the trace, or a sample of it.
const FOLDER: &str = "FAAS_AZURE_TRACE";

#[test]
fn every_invocation_of_the_azure_day_arrives() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        // Past the test harness, which keeps to itself what a passing test prints.
        let name = "every_invocation_of_the_azure_day_arrives";
        writeln!(std::io::stderr(), "SKIPPED {name}: {FOLDER} names no folder with inv.csv").expect("stderr");
        return;
    };
    let file = File::open(PathBuf::from(folder).join("inv.csv")).expect("the trace's inv.csv");
    let (mut functions, mut expected, mut arrived) = (0_u32, 0_u64, 0_u64);
    for (seed, day) in (0..).zip(function_days(BufReader::new(file)).expect("a header of the trace")) {
        let day = day.expect("a row of the trace");
        assert_eq!(day.per_minute.len(), 24 * 60);
        functions += 1;
        expected += day.per_minute.iter().map(|count| u64::from(*count)).sum::<u64>();
        let mut last = Duration::ZERO;
        for at in replay(day.per_minute, seed) {
            assert!(last <= at && at < Duration::from_secs(24 * 60 * 60));
            last = at;
            arrived += 1;
        }
    }
    assert_eq!(arrived, expected);
    assert!(functions > 0 && arrived > u64::from(functions));
    println!("{functions} functions, {arrived} arrivals");
}
