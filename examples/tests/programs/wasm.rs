//! The quickstart on the Wasm backend, which builds the actions of this package first.

use std::io::{self, Write};
use std::path::Path;

use serde_json::Value;

use crate::built::{example, target, text};
use crate::quickstart::{DIGEST, check};

/// A URL of the Wasm backend that keeps compiled modules below the target folder.
fn url(artifact: &str) -> String {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("wasm-cache");
    format!("wasm:{artifact}?cache={}", cache.display())
}

/// The run on that backend. `None` where there is no compiler for Wasm: then it says that `test` is skipped, past
/// the test harness, which keeps what a test prints to itself.
fn run_json(test: &str, url: &str) -> Option<Value> {
    let output = example("quickstart").run(&["--json", "--backend", url]);
    let complaint = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() && complaint.contains("no compiler for wasm32-wasip1 is installed") {
        io::stdout().write_all(format!("SKIP {test}: no compiler for Wasm\n").as_bytes()).unwrap();
        return None;
    }
    assert_eq!(complaint, "", "with --json nothing is told but the result");
    Some(serde_json::from_str(&text(&output)).unwrap())
}

#[test]
fn a_week_of_earthquakes_is_the_same_on_wasm() {
    let name = "a_week_of_earthquakes_is_the_same_on_wasm";
    let Some(run) = run_json(name, &url("")) else { return };
    check(&run);
    let table = run["table"].as_array().unwrap();
    let sum = |column: &str| table.iter().map(|row| row[column].as_u64().unwrap()).sum::<u64>();
    // Each activation has an instance of its own, and whoever is there before the module is waits for it.
    assert_eq!(sum("warm"), 0, "{table:?}");
    assert!((1..=64).contains(&sum("cold")), "{table:?}");
    assert_eq!(sum("cold") + sum("prewarmed"), 1_707 + 3 * 85);

    // What was built is an artifact like any other.
    let artifact = target().join("faas/faas-examples/wasm");
    let again = run_json(name, &url(artifact.to_str().unwrap())).unwrap();
    assert_eq!(again["digest"], DIGEST);
}
