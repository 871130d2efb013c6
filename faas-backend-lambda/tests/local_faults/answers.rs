//! What a program can do to the Runtime API besides answering: what is wrong is refused, and what is right goes on.

use std::time::Instant;

use faas_core::{ActivationId, Outcome, Status};
use serde_json::json;

use crate::alone::alone;
use crate::artifact::PUPPET;
use crate::process::files;
use crate::site::{millis, played, texts};

const NO_JSON: &str = "The action did not produce a valid JSON or JSON Array response:";

#[tokio::test]
async fn only_the_first_answer_for_the_event_that_runs_counts() {
    let site = played("twice", 20_000).await;
    let told = site.told(json!(["answer", "answer", { "error": "{}" }])).await;
    assert_eq!(told["statuses"], json!([202]), "of the probe");
    let told = site.told(json!([])).await;
    assert_eq!(told["statuses"], json!([202, 202, 400, 400]), "the second and the third are refused");
    for other in ["none", "", "00000000-0000-4000-8000-000000000001", "ffffffff-ffff-4fff-8fff-ffffffffffff"]
    {
        let told = site.told(json!([{ "answer_for": other }, "answer"])).await;
        let last = told["statuses"].as_array().unwrap().last().cloned();
        assert!(last == Some(json!(400)) || last == Some(json!(404)), "{other}: {told}");
    }
    let told = site.told(json!(["stray", { "init_error": "{}" }, "answer"])).await;
    assert!(told["statuses"].as_array().unwrap().ends_with(&[json!(404), json!(403)]), "{told}");
    assert_eq!(told["runs"], 8, "one program did it all, with the probe at first");
    site.end(7).await;
}

#[tokio::test]
async fn an_answer_that_comes_slowly_is_taken_and_half_of_one_is_none() {
    let site = played("slow", 1_500).await;
    let told = site.told(json!([{ "trickle": 5 }])).await;
    assert_eq!(site.told(json!([])).await["pid"], told["pid"]);
    let record = site.play(json!([{ "print": "a" }, "half", "hang"])).await;
    assert_eq!((&record.outcome, texts(&record)), (&Outcome::timed_out(millis(1_500)), vec!["a"]));
    // Half an answer before the connection breaks is none, and a whole one may follow.
    let told = site.told(json!(["half", "hang_up", "answer"])).await;
    assert_eq!(told["runs"], 2);
    let told = site.told(json!(["garbage", "hang_up", "answer"])).await;
    assert_eq!(told["runs"], 3);
    site.end(4).await;
}

#[tokio::test]
async fn connections_are_made_and_closed_at_any_time() {
    let site = played("connections", 20_000).await;
    for n in 0..50 {
        let told = site.told(json!(["hang_up", "answer", "hang_up"])).await;
        assert_eq!(told["runs"], n + 2);
    }
    site.end(50).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_hangs_up_after_it_has_asked_is_never_waited_for_in_vain() {
    let site = played("hangsup", 20_000).await;
    let mut answered = 0;
    for n in 0..400 {
        // It is stopped before it hangs up, or right after; an event that it was sent before is gone.
        let begun = Instant::now();
        let call = json!({ "steps": ["answer", "ask", { "busy": n % 200 }, "hang_up", { "wait": 1 }] });
        let record = site.app.invoke(PUPPET, call).await.unwrap();
        assert!(record.outcome.is_success() || record.outcome == Outcome::exited(), "{:?}", record.outcome);
        assert!(begun.elapsed() < millis(4_000), "{:?}", begun.elapsed());
        answered += u64::from(record.outcome.is_success());
        tokio::time::sleep(millis(3)).await;
    }
    site.end(answered.max(100)).await;
}

#[test]
fn a_program_that_takes_many_connections_takes_them_from_itself_alone() {
    alone("answers::a_program_that_takes_many_connections_takes_them_from_itself_alone", async {
        let site = played("crowd", 20_000).await;
        let first = site.told(json!([])).await;
        site.fine().await;
        let before = files();
        let told = site.told(json!([{ "connect": 100 }, { "wait": 100 }, "answer"])).await;
        let taken = files().saturating_sub(before);
        assert!((1..=64).contains(&taken), "{taken} files for 100 connections");
        assert_eq!(told["pid"], first["pid"]);
        assert_eq!(site.told(json!([])).await["pid"], first["pid"]);
        site.end(3).await;
    });
}

#[tokio::test]
async fn answers_that_are_none_of_this_librarys_are_taken_by_what_they_say() {
    let site = played("bodies", 20_000).await;
    let activation = ActivationId::from_u128(7);
    for (body, outcome) in [
        ("{\"a\":1}".to_owned(), json!({ "a": 1 })),
        ("[1]".to_owned(), json!([1])),
        (
            format!("{{\"faas\":{{\"status\":0}},\"result\":{{\"of\":\"{activation}\"}}}}"),
            json!({ "of": activation }),
        ),
    ] {
        let record = site.play(json!([{ "print": "a" }, { "body": body }])).await;
        assert_eq!(record.outcome.result().to_value(), outcome);
        assert_eq!(record.status(), Status::Success, "{body}");
    }
    let failed = site.play(json!([{ "print": "a" }, { "body": "{\"error\":\"no\"}" }])).await;
    assert_eq!((&failed.outcome, texts(&failed)), (&Outcome::application_error("no"), vec!["a"]));
    for body in ["", "null", "no JSON", "{\"faas\":{\"status\":0}", "7"] {
        let record = site.play(json!([{ "print": "a" }, { "body": body }])).await;
        let text = format!("{NO_JSON} {body}");
        assert_eq!((record.outcome.error(), texts(&record)), (Some(text), vec!["a"]), "{body}");
        assert_eq!(record.status(), Status::DeveloperError, "{body}");
    }
    site.end(3).await;
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_an_application_error_and_its_program_goes_on() {
    let site = played("large", 20_000).await;
    let first = site.told(json!([])).await;
    let record = site.play(json!([{ "print": "a" }, { "large": 7 << 20 }])).await;
    let text = "The action produced a response that exceeded the allowed length: 6291457 > 1048576 bytes. \
                The truncated response was: ";
    assert_eq!((record.outcome.error().as_deref(), texts(&record)), (Some(text), vec!["a"]));
    assert_eq!(record.status(), Status::ApplicationError);
    let told = site.told(json!([])).await;
    assert_eq!(
        (&told["pid"], told["statuses"].as_array().unwrap().last()),
        (&first["pid"], Some(&json!(413)))
    );
    let result = format!("{{\"faas\":{{\"status\":0}},\"result\":{{\"a\":\"{}\"}}}}", "x".repeat(2 << 20));
    let record = site.app.invoke(PUPPET, json!({ "steps": [{ "body": result }] })).await;
    // The order itself is too large for an input.
    assert_eq!(record.unwrap_err().kind(), faas_core::ErrorKind::InvalidArgument);
    site.end(2).await;
}
