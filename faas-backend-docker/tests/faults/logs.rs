//! Floods of output, and output that pretends to be something else: memory stays bounded, and each activation has its
//! own lines and no other's.

use faas_core::log::MAX_LINES;
use faas_core::{ActionSpec, Activation, MemoryMib, Status};
use serde_json::{Value, json};

use crate::alone::{alone, peak_mib};
use crate::site::{Site, ground, millis, spec};
use crate::watch::texts;

/// The memory of the action that prints.
const MIB: i64 = 40;

/// The action that prints, with so much room for its log.
fn flood(limit: u64) -> ActionSpec {
    let mut flood = spec("flood").with_memory(MemoryMib::new(40)).with_timeout(millis(20_000));
    flood.limits.logs = limit;
    flood
}

fn notice(limit: u64) -> String {
    format!("Logs were truncated because the total bytes size exceeds the limit of {limit} bytes.")
}

fn bytes(record: &Activation) -> usize {
    record.logs.iter().map(|line| line.text.len() + 1).sum()
}

/// The log is full, and says so once.
fn check_full(record: &Activation, limit: u64, case: &str) {
    let said = texts(record);
    assert_eq!(*said.last().unwrap(), notice(limit), "{case}");
    assert_eq!(said.iter().filter(|text| **text == notice(limit)).count(), 1, "{case}");
    let (least, most) = (usize::try_from(limit).unwrap(), usize::try_from(limit).unwrap() + 200);
    let is_full = (least..most).contains(&bytes(record)) || said.len() == MAX_LINES + 1;
    assert!(is_full, "{case}: {} bytes, {} lines", bytes(record), said.len());
}

#[test]
fn floods_are_cut_and_take_neither_memory_nor_disk() {
    alone("logs::floods_are_cut_and_take_neither_memory_nor_disk", async {
        const LIMIT: u64 = 1 << 20;
        let Some(ground) = ground("floods").await else { return };
        let site = ground.site([flood(LIMIT)]).await;
        site.fine().await;
        let before = peak_mib();
        for (case, input) in [
            ("1 GB in one line", json!({ "lines": 16_000, "bytes": 65_536 })),
            ("100 MB in long lines", json!({ "lines": 1600, "bytes": 65_536, "ends": true })),
            // Of ten million, which take half a minute, all but the first are like these.
            ("1,000,000 empty lines", json!({ "lines": 1_000_000, "ends": true })),
            ("1 GB that is logged", json!({ "lines": 1_000_000, "bytes": 1000, "logged": true })),
        ] {
            let record = site.run("flood", input).await;
            assert!(record.outcome.is_success(), "{case}: {:?}", record.outcome);
            check_full(&record, LIMIT, case);
            let kept = site.printed(&site.container_of(MIB).await).await.len();
            // Of an empty line, the engine sees who printed it when.
            assert!(kept < 16 << 20, "{case}: the engine keeps {kept} bytes");
        }
        let grown = peak_mib() - before;
        assert!(grown < 100, "{grown} MiB");
        site.end(4).await;
    });
}

#[tokio::test]
async fn a_flood_that_is_killed_is_cut_as_one_that_ends() {
    const LIMIT: u64 = 100_000;
    let Some(ground) = ground("cut").await else { return };
    let site = ground.site([flood(LIMIT).with_timeout(millis(1_000))]).await;
    for input in [
        json!({ "lines": 400, "bytes": 65_536, "spins": true }),
        json!({ "lines": 5000, "bytes": 1000, "logged": true, "spins": true }),
    ] {
        let record = site.run("flood", input.clone()).await;
        let text = "The action exceeded its time limits of 1000 milliseconds.";
        assert_eq!(record.outcome.error().as_deref(), Some(text));
        check_full(&record, LIMIT, &input.to_string());
    }
    site.end(2).await;
}

#[tokio::test]
async fn the_log_of_one_that_is_killed_is_found_among_much_that_was_printed_before() {
    const LIMIT: u64 = 5 << 20;
    let Some(ground) = ground("haystack").await else { return };
    let site = ground.site([flood(LIMIT).with_timeout(millis(3_000))]).await;
    for _ in 0..4 {
        let record = site.run("flood", json!({ "lines": 5000, "bytes": 1000, "ends": true })).await;
        assert_eq!(record.logs.len(), 5000);
    }
    let input = json!({ "lines": 1, "raw": b"the needle", "ends": true, "spins": true });
    let record = site.run("flood", input).await;
    assert_eq!(record.status(), Status::DeveloperError);
    assert_eq!(texts(&record), ["the needle"]);
    site.end(4).await;
}

#[tokio::test]
async fn output_that_pretends_to_be_something_else_is_text() {
    let Some(ground) = ground("pretends").await else { return };
    let site = ground.site([flood(100_000).with_timeout(millis(2_000))]).await;
    let lines: [(&[u8], &str); 6] = [
        (b"XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX", "XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX"),
        (b"red \x1b[31m and \x1b]0;title\x07", "red \\u{1b}[31m and \\u{1b}]0;title\\u{7}"),
        (b"\xff\xfe \xc3\x28 \0", "\u{fffd}\u{fffd} \u{fffd}( \\u{0}"),
        (b"2024-01-01T00:00:00.000000000Z stdout: forged", "2024-01-01T00:00:00.000000000Z stdout: forged"),
        (
            b"00000000000000000000000000000007 2030-01-01T00:00:00Z of another",
            "00000000000000000000000000000007 2030-01-01T00:00:00Z of another",
        ),
        (b"{\"log\":\"x\\n\",\"stream\":\"stderr\"}", "{\"log\":\"x\\n\",\"stream\":\"stderr\"}"),
    ];
    let printed = lines.map(|(printed, _)| printed).join(&b'\n');
    for spins in [false, true] {
        let input = json!({ "lines": 2, "raw": printed, "ends": true, "spins": spins });
        let record = site.app.invoke("flood", input).await.unwrap();
        assert_eq!(record.outcome.is_success(), !spins);
        assert_eq!(texts(&record), lines.map(|(_, told)| told).repeat(2), "killed: {spins}");
    }
    site.end(1).await;
}

async fn later(test: &str) -> Option<Site> {
    let later = spec("later").with_memory(MemoryMib::new(40)).with_timeout(millis(1_500));
    Some(ground(test).await?.site([later]).await)
}

fn says(text: &str, ms: u64, spins: bool) -> Value {
    json!({ "text": text, "ms": ms, "spins": spins })
}

#[tokio::test]
async fn what_is_printed_while_no_activation_runs_belongs_to_none() {
    let Some(site) = later("stray").await else { return };
    let record = site.run("later", says("a stray line", 200, false)).await;
    assert_eq!(record.logs, []);
    site.container_that_says(MIB, "a stray line").await;
    let record = site.run("later", says("another", 200, false)).await;
    assert_eq!(record.logs, []);
    site.container_that_says(MIB, "another").await;
    // Also not to one whose lines the engine is asked for.
    let record = site.run("later", says("its own", 1, true)).await;
    assert_eq!(record.status(), Status::DeveloperError);
    assert_eq!(texts(&record), ["its own"]);
    site.end(2).await;
}

#[tokio::test]
async fn one_that_is_killed_has_no_line_of_those_before_it() {
    let Some(ground) = ground("before").await else { return };
    let site = ground.site([flood(100_000).with_timeout(millis(2_000))]).await;
    let say = |text: &str, spins| json!({ "lines": 2, "raw": text.as_bytes(), "ends": true, "spins": spins });
    for _ in 0..5 {
        let record = site.app.invoke("flood", say("one before", false)).await.unwrap();
        assert_eq!(texts(&record), ["one before"; 2]);
    }
    let record = site.app.invoke("flood", say("its own", true)).await.unwrap();
    assert_eq!(texts(&record), ["its own"; 2]);
    site.end(5).await;
}

#[tokio::test]
async fn with_no_room_for_a_log_there_is_none_however_the_action_ends() {
    let Some(ground) = ground("none").await else { return };
    let site = ground.site([flood(0).with_timeout(millis(1_500))]).await;
    for spins in [false, true] {
        let record =
            site.run("flood", json!({ "lines": 10, "bytes": 5, "ends": true, "spins": spins })).await;
        assert_eq!(record.outcome.is_success(), !spins);
        assert_eq!(record.logs, []);
    }
    site.end(1).await;
}
