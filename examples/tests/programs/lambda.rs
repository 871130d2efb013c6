//! The quickstart on the stand-in for AWS Lambda, which builds the zip of this package's actions first.

use std::io::{self, Write};

use serde_json::Value;

use crate::built::{example, target, text};
use crate::quickstart::{DIGEST, check};

/// The run on that backend. `None` where there is no compiler for static Linux programs: then it says that `test` is
/// skipped, past the test harness, which keeps what a test prints to itself.
fn run_json(test: &str, url: &str) -> Option<Value> {
    let output = example("quickstart").run(&["--json", "--backend", url]);
    let complaint = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() && complaint.contains("no compiler for static Linux programs is installed") {
        let skip = format!("SKIP {test}: no compiler for static Linux programs\n");
        io::stdout().write_all(skip.as_bytes()).unwrap();
        return None;
    }
    assert_eq!(complaint, "", "with --json nothing is told but the result");
    Some(serde_json::from_str(&text(&output)).unwrap())
}

#[test]
fn a_week_of_earthquakes_is_the_same_in_lambdas_programs() {
    let name = "a_week_of_earthquakes_is_the_same_in_lambdas_programs";
    let Some(run) = run_json(name, "lambda-local") else { return };
    check(&run);
    let table = run["table"].as_array().unwrap();
    let sum = |column: &str| table.iter().map(|row| row[column].as_u64().unwrap()).sum::<u64>();
    // Programs are used again, and each of them was started once.
    assert!(sum("cold") <= 64 && sum("warm") >= 1_700, "{table:?}");
    assert_eq!(sum("cold") + sum("prewarmed") + sum("warm"), 1_707 + 3 * 85);

    // What was built is an artifact like any other.
    let artifact = target().join("faas/faas-examples/lambda");
    let again = run_json(name, &format!("lambda-local:{}?freeze=false", artifact.display())).unwrap();
    assert_eq!(again["digest"], DIGEST);
}
