//! How a program can end a run: each end has the outcome and the text that it has on every backend, with what was printed,
//! and the next run has another program.

use std::time::Duration;

use faas_core::{Outcome, StartKind};
use serde_json::{Value, json};

use crate::artifact::PUPPET;
use crate::process::{state, until};
use crate::site::{Site, millis, played, puppet, puppets, texts};

/// How late a timeout may be told, and as much again for a machine that has other things to do.
const LATEST: Duration = Duration::from_millis(2_000);

/// The steps end as `outcome` says, with these lines; the next run has a new program.
async fn ends(site: &Site, steps: Value, outcome: &Outcome, lines: &[&str]) {
    let before = site.told(json!([])).await["pid"].clone();
    let record = site.play(steps.clone()).await;
    assert_eq!((&record.outcome, texts(&record)), (outcome, lines.to_vec()), "{steps}");
    let after = site.app.invoke(PUPPET, json!({})).await.unwrap();
    assert_eq!(after.start_kind, Some(StartKind::Cold), "{steps}");
    assert_ne!(after.outcome.result().to_value()["pid"], before, "{steps}");
    site.until_puppets(1).await;
}

#[tokio::test]
async fn a_program_that_ends_is_a_developer_error_with_what_it_printed() {
    let site = played("ends", 20_000).await;
    for end in [json!({ "exit": 0 }), json!({ "exit": 3 }), json!("abort")] {
        let steps = json!([{ "print": "a" }, { "print": "b" }, { "open": "c" }, end]);
        ends(&site, steps, &Outcome::exited(), &["a", "b", "c"]).await;
        let steps = json!([{ "complain": "a" }, { "complain": "b" }, end]);
        ends(&site, steps, &Outcome::exited(), &["a", "b"]).await;
        ends(&site, json!(["child", end]), &Outcome::exited(), &[]).await;
    }
    site.end(18).await;
}

#[tokio::test]
async fn a_program_that_does_not_answer_is_killed_at_the_limit() {
    let site = played("late", 400).await;
    for end in ["hang", "spin"] {
        let record = site.play(json!([{ "print": "a" }, "child", end])).await;
        assert_eq!((&record.outcome, texts(&record)), (&Outcome::timed_out(millis(400)), vec!["a"]), "{end}");
        assert!(record.times.run >= millis(400) && record.times.run <= LATEST, "{end}: {:?}", record.times);
        site.until_puppets(0).await;
    }
    ends(&site, json!([{ "open": "x" }, "hang"]), &Outcome::timed_out(millis(400)), &["x"]).await;
    site.end(2).await;
}

#[tokio::test]
async fn a_program_that_asks_again_without_an_answer_has_given_none() {
    let site = played("skips", 20_000).await;
    let steps = json!([{ "print": "a" }, "ask", "hang"]);
    ends(&site, steps, &Outcome::exited(), &["a"]).await;
    ends(&site, json!([{ "wait": 1 }]), &Outcome::exited(), &[]).await;
    site.end(4).await;
}

#[tokio::test]
async fn an_error_that_a_program_tells_is_a_developer_error_with_its_text() {
    let site = played("errors", 20_000).await;
    for (body, text) in [
        (r#"{"errorType":"Kind","errorMessage":"what"}"#.to_owned(), "Kind: what".to_owned()),
        (r#"{"errorMessage":"what"}"#.to_owned(), "what".to_owned()),
        (r#"{"errorType":"Kind"}"#.to_owned(), "Kind".to_owned()),
        ("{}".to_owned(), "the function failed without a reason".to_owned()),
        ("no JSON".to_owned(), "no JSON".to_owned()),
        (format!(r#"{{"errorMessage":"{}"}}"#, "x".repeat(500_000)), "x".repeat(500_000)),
    ] {
        let steps = json!([{ "print": "a" }, { "error": body }]);
        ends(&site, steps, &Outcome::developer_error(text), &["a"]).await;
    }
    site.end(12).await;
}

#[tokio::test]
async fn a_program_that_ends_after_its_answer_has_answered_and_is_replaced() {
    let site = Site::new("after", puppets(), [puppet(20_000).with_retries(1)]).await;
    for end in [json!({ "exit": 1 }), json!("abort")] {
        let first = site.told(json!(["answer", end])).await;
        site.until_puppets(0).await;
        let record = site.play(json!([])).await;
        assert!(record.outcome.is_success(), "{:?}", record.outcome);
        assert_eq!(record.start_kind, Some(StartKind::Cold));
        assert_ne!(record.outcome.result().to_value()["pid"], first["pid"]);
    }
    site.end(4).await;
}

#[tokio::test]
async fn a_program_that_never_asks_again_costs_its_action_nothing_but_time() {
    let site = Site::new("silent", puppets(), [puppet(1_000).with_retries(1)]).await;
    for end in ["hang", "spin"] {
        let first = site.told(json!(["answer", end])).await;
        let record = site.play(json!([])).await;
        assert!(record.outcome.is_success(), "{end}: {:?}", record.outcome);
        assert_ne!(record.outcome.result().to_value()["pid"], first["pid"], "{end}");
        site.until_puppets(1).await;
    }
    site.end(4).await;
}

#[tokio::test]
async fn a_program_that_somebody_kills_or_stops_is_replaced() {
    let site = Site::new("killed", puppets(), [puppet(1_000).with_retries(1)]).await;
    let signal = |id: u32, signal| {
        let id = rustix::process::Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
        rustix::process::kill_process(id, signal).unwrap();
    };
    // While it is idle: nothing has begun, and it is begun elsewhere.
    site.told(json!([])).await;
    let [id] = site.until_puppets(1).await[..] else { panic!("one") };
    signal(id, rustix::process::Signal::KILL);
    site.until_puppets(0).await;
    site.told(json!([])).await;
    // While it runs: it did not answer.
    let call = site.begin(PUPPET, json!({ "steps": [{ "print": "a" }, "hang"] }));
    let [id] = site.until_puppets(1).await[..] else { panic!("one") };
    until("running", || state(id).filter(|state| *state != 'T').ok_or("stopped")).await;
    signal(id, rustix::process::Signal::STOP);
    let record = call.await.unwrap().unwrap();
    assert_eq!(record.outcome, Outcome::timed_out(millis(1_000)));
    site.told(json!([])).await;
    site.end(3).await;
}
