//! What guests reply with: nothing, garbage, too much.

use faas_core::outcome::MAX_RESULT;
use faas_core::{Outcome, Status};
use serde_json::json;

use crate::guests::{self, OK};
use crate::site::{Site, small, spec};
use crate::traps::EXITED;

async fn of(module: Vec<u8>) -> Outcome {
    let site = Site::of([(spec("a"), module)]).await;
    let outcome = site.outcome().await;
    site.end(1).await;
    outcome
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_reply_is_an_exit_and_of_two_the_last_counts() {
    assert_eq!(of(guests::run("")).await, Outcome::exited());
    let more = format!("{}{}", guests::data(2000, b"{\"n\":1}"), guests::data(3000, b"{\"n\":2}"));
    let (one, two) = (
        "(call $reply (i32.const 0) (i32.const 2000) (i32.const 7))",
        "(call $reply (i32.const 0) (i32.const 3000) (i32.const 7))",
    );
    let outcome = of(guests::with(&more, &format!("{one} {two}"))).await;
    assert_eq!(outcome.result().to_value(), json!({ "n": 2 }));
    let garbage = "(call $reply (i32.const 0) (i32.const 2001) (i32.const 2))";
    assert_eq!(of(guests::with(&more, &format!("{one} {garbage}"))).await.status(), Status::DeveloperError);
    assert!(of(guests::with(&more, &format!("{garbage} {one}"))).await.is_success());
    assert_eq!(of(guests::with(&more, &format!("{one} unreachable"))).await.error().as_deref(), Some(EXITED));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_that_is_garbage_is_shown() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let cases: [&[u8]; 12] = [
        b"",
        b"not json",
        b"42",
        b"\"text\"",
        b"null",
        b"true",
        b"{",
        b"{}{}",
        b"{\"a\":1,}",
        b"{\"a\":\"\xff\xfe\"}",
        b"{\"a\":NaN}",
        deep.as_bytes(),
    ];
    for bytes in cases {
        let outcome = of(guests::replies(0, bytes)).await;
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(1024)]).into_owned();
        let text = format!("The action did not produce a valid JSON or JSON Array response: {shown}");
        assert_eq!((outcome.status(), outcome.error()), (Status::DeveloperError, Some(text)));
    }
    assert!(of(guests::replies(0, b" [1, {}]\n")).await.is_success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_is_an_application_error_however_it_is_spelt() {
    for bytes in [r#"{"error":"no"}"#, r#"{"\u0065rror":"no","a":1}"#, r#"{"error":"yes","error":"no"}"#] {
        let outcome = of(guests::replies(0, bytes.as_bytes())).await;
        assert_eq!(outcome.status(), Status::ApplicationError, "{bytes}");
        assert_eq!(outcome.result().to_value(), json!({ "error": "no" }), "{bytes}");
    }
    assert!(of(guests::replies(0, br#"[{"error":"no"}]"#)).await.is_success());
    let told = of(guests::replies(1, b"it cannot be")).await;
    assert_eq!((told.status(), told.error().as_deref()), (Status::DeveloperError, Some("it cannot be")));
    let panicked = of(guests::replies(2, b"\xf0\x9f\x92\xa5\xff")).await;
    assert_eq!(panicked.error().unwrap(), "The action panicked: \u{1f4a5}\u{fffd}");
    // A description is no answer to a call.
    assert_eq!(of(guests::replies(3, b"{}")).await.status(), Status::DeveloperError);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_of_the_largest_size_fits_and_a_byte_more_does_not() {
    let sized = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8)).into_bytes();
    assert_eq!(of(guests::replies(0, &sized(MAX_RESULT))).await.result().len(), MAX_RESULT);
    for over in [MAX_RESULT + 1, 3 << 20] {
        let outcome = of(guests::replies(0, &sized(over))).await;
        assert_eq!(outcome.status(), Status::ApplicationError);
        let text = format!(
            "The action produced a response that exceeded the allowed length: {over} > {MAX_RESULT} bytes. \
             The truncated response was: {}",
            String::from_utf8_lossy(&sized(over)[..1024])
        );
        assert_eq!(outcome.error(), Some(text));
    }
    for kind in [1, 2] {
        let outcome = of(guests::replies(kind, &[b'x'; 1 << 20])).await;
        assert_eq!(outcome.status(), Status::DeveloperError);
        assert!(outcome.result().len() < 70_000, "{}", outcome.result().len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_outside_of_the_memory_end_the_guest() {
    const OUTSIDE: &str = "the module gave an address outside of its memory";
    let emit = |a: &str| format!("(drop (call $emit {a}))");
    let cases = [
        ("(call $reply (i32.const 0) (i32.const 0) (i32.const -1))".to_owned(), OUTSIDE),
        ("(call $reply (i32.const 0) (i32.const -1) (i32.const 1))".to_owned(), OUTSIDE),
        ("(call $reply (i32.const 0) (i32.const 65535) (i32.const 2))".to_owned(), OUTSIDE),
        ("(call $reply (i32.const 0) (i32.const -1) (i32.const -1))".to_owned(), OUTSIDE),
        ("(call $call (i32.const 65473))".to_owned(), OUTSIDE),
        ("(call $call (i32.const -64))".to_owned(), OUTSIDE),
        ("(call $input (i32.const 65535))".to_owned(), OUTSIDE),
        ("(call $spec (i32.const -1))".to_owned(), OUTSIDE),
        ("(call $log (i32.const 1) (i32.const 65000) (i32.const 537))".to_owned(), OUTSIDE),
        (emit("(i32.const -4) (i32.const 8) (i32.const 1024) (i32.const 2)"), OUTSIDE),
        (emit("(i32.const 1024) (i32.const 2) (i32.const 65536) (i32.const 1)"), OUTSIDE),
        ("(drop (call $http_send (i32.const 65536) (i32.const 1)))".to_owned(), OUTSIDE),
        (
            "(drop (call $http_send (i32.const 0) (i32.const -1)))".to_owned(),
            "the module makes a request of 4294967295 bytes, over 8650753",
        ),
        (
            "(call $http_take (i32.const 7) (i32.const 0))".to_owned(),
            "the module takes the response of request 7, which has none",
        ),
        (
            "(call $reply (i32.const 4) (i32.const 1024) (i32.const 2))".to_owned(),
            "the module replies with kind 4, which is none of the interface",
        ),
        (
            "(call $log (i32.const 3) (i32.const 1024) (i32.const 2))".to_owned(),
            "the module logs to stream 3; there are 1, standard output, and 2, standard error",
        ),
    ];
    let actions = cases
        .iter()
        .enumerate()
        .map(|(n, (body, _))| (small(&format!("a{n}"), 1), guests::run(&format!("{OK} {body} {OK}"))));
    let site = Site::of(actions.collect::<Vec<_>>()).await;
    for (n, (body, said)) in cases.iter().enumerate() {
        let record = site.run(&format!("a{n}"), json!({ "a": 1 })).await;
        assert_eq!(record.outcome.error().as_deref(), Some(EXITED), "{body}: {:?}", record.outcome);
        assert_eq!(record.logs.len(), 1, "{body}: {:?}", record.logs);
        assert_eq!(record.logs[0].text, *said, "{body}");
    }
    site.end(10).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_at_the_edge_is_no_fault() {
    let body = format!(
        "(call $call (i32.const 65472)) (call $log (i32.const 1) (i32.const 65536) (i32.const 0))
         (call $http_cancel (i32.const -1)) (if (i64.ne (call $http_poll (i32.const 3)) (i64.const -1)) (then unreachable))
         {OK}"
    );
    assert!(of(guests::run(&body)).await.is_success());
}
