//! Transcripts: two subjects compare, what is absent or short is found, and every field is kept or ignored on
//! purpose.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::thread;

use faas_core::backend::Pooled;
use faas_core::pool::PoolConfig;
use faas_core::{LocalBackend, Platform, Status};
use faas_testkit::backend_suite::{BEHAVIOURS, BackendSubject, play};
use faas_testkit::mock::MockFactory;
use faas_testkit::transcript::{Entry, IGNORED_FIELDS, RunStatus, Transcript, Transcripts, compare, load};
use faas_testkit::{fixtures, suite};
use serde_json::{Value, json};

fn local() -> BackendSubject {
    BackendSubject::new("local", || async { LocalBackend::new() })
}

fn pooled() -> BackendSubject {
    BackendSubject::new("pooled-mock", || async {
        Pooled::warm("mock", LocalBackend::CAPABILITY, MockFactory::default(), PoolConfig::default())
    })
}

/// The transcripts of every behaviour on a subject, several behaviours at a time: most of them sleep.
fn play_all(subject: &BackendSubject) -> Transcripts {
    let left = Mutex::new(BEHAVIOURS.iter());
    let played = Mutex::new(Transcripts::new());
    thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                loop {
                    let Some(behaviour) = left.lock().expect("no panic").next() else { return };
                    let transcript = play(subject, behaviour.name);
                    played.lock().expect("no panic").insert(behaviour.name.to_owned(), transcript);
                }
            });
        }
    });
    played.into_inner().expect("no panic")
}

#[test]
fn the_local_backend_and_the_pooled_mock_do_not_differ() {
    let (local, pooled) = (play_all(&local()), play_all(&pooled()));
    let differences: Vec<String> = compare(&local, &pooled).iter().map(ToString::to_string).collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    let both = local.values().filter(|transcript| {
        transcript.status == RunStatus::Ran && pooled[&transcript.behaviour].status == RunStatus::Ran
    });
    assert!(both.count() >= 100, "most behaviours are there to be compared");
}

fn entry(of: &str, result: Value) -> Entry {
    Entry { status: Some(Status::Success), ..Entry::answer(of, result) }
}

fn transcripts(all: impl IntoIterator<Item = Transcript>) -> Transcripts {
    all.into_iter().map(|transcript| (transcript.behaviour.clone(), transcript)).collect()
}

fn found(left: &Transcripts, right: &Transcripts) -> Vec<String> {
    compare(left, right).iter().map(ToString::to_string).collect()
}

#[test]
fn a_difference_names_the_behaviour_the_entry_and_the_field() {
    let left = transcripts([Transcript::ran("a", vec![entry("echo", json!(1)), entry("echo", json!(2))])]);
    let right = transcripts([Transcript::ran("a", vec![entry("echo", json!(1)), entry("echo", json!(3))])]);
    assert_eq!(found(&left, &right), ["a: entry 1, result: 2, but 3"]);
    assert!(found(&left, &left).is_empty());
}

#[test]
fn an_absent_transcript_and_a_short_one_are_differences() {
    let ran = |entries| transcripts([Transcript::ran("a", entries)]);
    let one = ran(vec![entry("echo", json!(1))]);
    let two = ran(vec![entry("echo", json!(1)), entry("echo", json!(2))]);
    assert_eq!(found(&one, &Transcripts::new()), ["a: the second subject has no transcript"]);
    assert_eq!(found(&Transcripts::new(), &one), ["a: the first subject has no transcript"]);
    assert_eq!(found(&one, &two), ["a: 1 entries, but 2"]);
    assert_eq!(found(&one, &ran(Vec::new())), ["a: the second subject's transcript is empty"]);
    let skipped = transcripts([Transcript::skipped("a", "it cannot")]);
    assert!(found(&one, &skipped).is_empty());
}

#[test]
fn what_is_written_is_read_again() {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("written-transcripts");
    let _ = std::fs::remove_dir_all(&folder);
    assert_eq!(load(&folder).unwrap_err().kind(), faas_core::ErrorKind::NotFound);
    let all = transcripts([
        Transcript::ran("a", vec![entry("echo", json!({ "x": [1, null] }))]),
        Transcript::skipped("b", "it cannot"),
    ]);
    for transcript in all.values() {
        transcript.write(&folder).unwrap();
    }
    assert_eq!(load(&folder).unwrap(), all);
    std::fs::write(folder.join("c.json"), "{").unwrap();
    let error = load(&folder).unwrap_err();
    assert!(error.to_string().contains("c.json"), "{error}");
}

/// The names of all fields of a JSON value, those of nested objects too.
fn names(value: &Value, into: &mut BTreeSet<String>) {
    if let Value::Object(fields) = value {
        for (name, value) in fields {
            into.insert(name.clone());
            if !IGNORED_FIELDS.contains(&name.as_str()) {
                names(value, into);
            }
        }
    }
}

#[test]
fn every_field_of_a_record_is_compared_or_published_as_ignored() {
    let record = suite::in_paused_time(async {
        let app = Platform::builder().backend(LocalBackend::new()).actions(fixtures::actions());
        let app = app.build().await.unwrap();
        app.invoke("print", json!({})).await.unwrap()
    });
    let mut of_record = BTreeSet::new();
    names(&serde_json::to_value(&record).unwrap(), &mut of_record);
    // What an entry calls otherwise: the action's name, and the parts of its outcome.
    let renamed = ["name", "revision", "outcome"];
    let mut of_entry = BTreeSet::new();
    names(&serde_json::to_value(Entry::from(&*record)).unwrap(), &mut of_entry);
    let lost: Vec<&String> = of_record
        .iter()
        .filter(|name| {
            let known = |list: &[&str]| list.contains(&name.as_str());
            !of_entry.contains(*name) && !known(&IGNORED_FIELDS) && !known(&renamed)
        })
        .collect();
    assert!(lost.is_empty(), "neither compared nor ignored: {lost:?}");
    let both: Vec<&&str> = IGNORED_FIELDS.iter().filter(|name| of_entry.contains(**name)).collect();
    assert!(both.is_empty(), "ignored, and yet compared: {both:?}");
}
