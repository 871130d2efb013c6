//! The quickstart: its counts, its digest, and its options.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::built::example;

/// What the week comes to, whatever the rate, the concurrency and the backend.
pub(crate) const DIGEST: &str = "800ebb7c6f30491c307ebe2d71b23bd40fb76392c3275a578a8b88f102f0dcb5";

fn run_json(args: &[&str]) -> Value {
    let shown = example("quickstart").succeeds(&[&["--json"], args].concat());
    assert_eq!(shown.lines().count(), 1, "one object on one line: {shown}");
    serde_json::from_str(&shown).unwrap()
}

#[test]
fn a_week_of_earthquakes_ends_in_known_counts_and_one_digest() {
    check(&run_json(&[]));
}

/// Checks the counts and the digest of a run on any backend, and what must be true of its times and starts.
pub(crate) fn check(run: &Value) {
    let names: Vec<&str> = run.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["activations", "digest", "events", "failed", "table"]);
    assert_eq!(run["events"], 1_707);
    assert_eq!(run["activations"], 1_707 + 4 * 85);
    assert_eq!(run["failed"], 28);
    assert_eq!(run["digest"], DIGEST);
    let table = run["table"].as_array().unwrap();
    let counts =
        |row: &Value| json!([row["action"], row["activations"], row["success"], row["application_error"]]);
    assert_eq!(
        table.iter().map(counts).collect::<Vec<_>>(),
        [
            json!(["aggregate", 1_707, 1_679, 28]),
            json!(["alert", 85, 85, 0]),
            json!(["classify", 85, 85, 0]),
            json!(["locate", 85, 85, 0]),
            json!(["respond", 85, 85, 0]),
        ]
    );
    for row in table {
        let number = |name: &str| row[name].as_u64().unwrap_or_else(|| panic!("no number {name} in {row}"));
        assert_eq!(number("developer_error") + number("internal_error"), 0);
        assert!(number("wait_p50_us") <= number("wait_p99_us"), "{row}");
        assert!(number("run_p50_us") <= number("run_p99_us"), "{row}");
        let starts = number("cold") + number("prewarmed") + number("warm");
        if row["action"] == "respond" {
            assert_eq!((starts, number("billed_ms")), (0, 0), "a sequence is billed by its members");
            continue;
        }
        assert_eq!(starts, number("activations"));
        assert!(number("billed_ms") >= number("activations"), "each run is billed a step of 1 ms at least");
        let billed = f64::from(u32::try_from(number("billed_ms")).unwrap());
        assert_eq!(row["gb_seconds"], json!(billed * 32.0 / 1_024.0 / 1_000.0), "all have 32 MiB");
    }
}

#[test]
fn the_digest_depends_on_neither_rate_nor_concurrency() {
    assert_eq!(run_json(&["--concurrency", "1"])["digest"], DIGEST);
    let started = Instant::now();
    assert_eq!(run_json(&["--concurrency", "1000", "--rate", "4000"])["digest"], DIGEST);
    assert!(started.elapsed() >= Duration::from_secs_f64(1_706.0 / 4_000.0), "it ran faster than its rate");
}

#[test]
fn people_see_tables_the_strongest_events_and_the_digest() {
    let shown = example("quickstart").succeeds(&["--backend", "local?slots=8"]);
    for text in [
        "ok/app/dev/internal",
        "1679/28/0/0",
        "Strongest events\n  emergency M 6.4, strong, shallow: 22km NNE of Hualian, Taiwan\n",
        "30N 120W          743",
        "1707 events\n",
    ] {
        assert!(shown.contains(text), "no `{text}` in:\n{shown}");
    }
    assert!(shown.ends_with(&format!("digest: {DIGEST}\n")), "{shown}");
}

#[test]
fn an_unknown_backend_is_refused_with_a_list_of_the_known_ones() {
    let quickstart = example("quickstart");
    for output in [quickstart.run(&["--backend", "mainframe:ibm"]), quickstart.run_on("mainframe:ibm")] {
        assert!(!output.status.success());
        assert!(output.stdout.is_empty());
        let complaint = String::from_utf8(output.stderr).unwrap();
        assert!(
            complaint.contains(
                "no backend is named 'mainframe'; known: docker, lambda, lambda-local, local, wasm"
            ),
            "{complaint}"
        );
    }
}
