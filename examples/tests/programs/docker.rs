//! The quickstart on the Docker backend, which builds the image of this package's actions first.

use std::io::{self, Write};

use serde_json::Value;

use crate::built::{example, target, text};
use crate::quickstart::{DIGEST, check};

/// The run on that backend. `None` where there is no container engine, or no compiler for its images: then it says that
/// `test` is skipped, past the test harness, which keeps what a test prints to itself.
fn run_json(test: &str, url: &str) -> Option<Value> {
    let output = example("quickstart").run(&["--json", "--backend", url]);
    let complaint = String::from_utf8_lossy(&output.stderr);
    for lacks in
        ["no container engine", "there is no container engine", "no compiler for a static Linux program"]
    {
        if !output.status.success() && complaint.contains(lacks) {
            io::stdout().write_all(format!("SKIP {test}: {lacks}\n").as_bytes()).unwrap();
            return None;
        }
    }
    assert_eq!(complaint, "", "with --json nothing is told but the result");
    Some(serde_json::from_str(&text(&output)).unwrap())
}

#[test]
fn a_week_of_earthquakes_is_the_same_in_containers() {
    let name = "a_week_of_earthquakes_is_the_same_in_containers";
    let Some(run) = run_json(name, "docker?pool=faas-quickstart-test") else { return };
    check(&run);
    let table = run["table"].as_array().unwrap();
    let sum = |column: &str| table.iter().map(|row| row[column].as_u64().unwrap()).sum::<u64>();
    // Containers are used again, and each of them was made once.
    assert!(sum("cold") <= 64 && sum("warm") >= 1_700, "{table:?}");
    assert_eq!(sum("cold") + sum("prewarmed") + sum("warm"), 1_707 + 3 * 85);

    // What was built is an artifact like any other.
    let artifact = target().join("faas/faas-examples/docker");
    let url = format!("docker:{}?pool=faas-quickstart-test", artifact.display());
    assert_eq!(run_json(name, &url).unwrap()["digest"], DIGEST);
}
