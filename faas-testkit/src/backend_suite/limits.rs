//! Time, memory, and the process: what an action cannot take more of.

use std::time::Duration;

use faas_core::store::ActivationQuery;
use faas_core::{ErrorKind, MemoryMib, Status};
use serde_json::json;

use super::stage::{Bare, Stage};
use super::subject::BackendSubject;
use crate::fixtures::{self, Allocate, Exit, Sleep};
use crate::transcript::Entry;

const LIMIT: Duration = Duration::from_millis(300);

/// How much later than its limit an action may have been stopped, beyond the backend's granularity. Arbitrary, and
/// wide: the machine may be busy.
const SLACK: Duration = Duration::from_secs(1);

const TIMED_OUT: &str = "The action exceeded its time limits of 300 milliseconds.";

/// Runs `sleep` beyond its limit, which has to stop it in time.
async fn stopped(subject: &BackendSubject, input: Sleep, blocking: bool) -> Vec<Entry> {
    let mut spec = fixtures::spec("sleep").with_timeout(LIMIT);
    spec.blocking = blocking;
    let stage = Stage::with(subject, spec).await;
    let done = stage.expect("sleep", input, Status::DeveloperError, json!({ "error": TIMED_OUT })).await;
    let latest = LIMIT + SLACK + stage.backend.info().capability.timeout_granularity;
    assert!((LIMIT..latest).contains(&done.times.run), "it ran for {:?}", done.times.run);
    assert!(done.billed_ms >= 300, "billed {} ms", done.billed_ms);
    stage.close().await
}

/// An action that awaits is stopped at its timeout, with OpenWhisk's words.
pub async fn an_awaiting_action_is_stopped_at_its_timeout(subject: &BackendSubject) -> Vec<Entry> {
    stopped(subject, Sleep::Await(30_000), false).await
}

/// An action that is marked as blocking has its record at its timeout.
pub async fn a_blocking_action_has_its_record_at_its_timeout(subject: &BackendSubject) -> Vec<Entry> {
    stopped(subject, Sleep::Block(2_500), true).await
}

/// What an action still returns after its timeout is nobody's: its record stays as it is, and the only one.
pub async fn a_result_after_the_timeout_is_ignored(subject: &BackendSubject) -> Vec<Entry> {
    let mut spec = fixtures::spec("sleep").with_timeout(LIMIT);
    spec.blocking = true;
    let stage = Stage::with(subject, spec).await;
    let done = stage.invoke("sleep", Sleep::Block(900)).await;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    let records = stage.app.activations(&ActivationQuery::default()).await.expect("a list");
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].outcome.clone(), records[0].end), (done.outcome, done.end));
    stage.close().await
}

/// A loop that never awaits is stopped at the timeout.
pub async fn a_loop_that_never_awaits_is_stopped(subject: &BackendSubject) -> Vec<Entry> {
    stopped(subject, Sleep::Spin(30_000), false).await
}

/// An action that blocks its thread without being marked is stopped as well.
pub async fn an_unmarked_blocking_action_is_stopped(subject: &BackendSubject) -> Vec<Entry> {
    stopped(subject, Sleep::Block(30_000), false).await
}

/// An action that stays within its timeout is not disturbed.
pub async fn an_action_within_its_timeout_is_left_alone(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::with(subject, fixtures::spec("sleep").with_timeout(Duration::from_secs(20))).await;
    let slept = json!({ "slept": { "await": 100 } });
    let done = stage.expect("sleep", Sleep::Await(100), Status::Success, slept).await;
    assert!(done.times.run >= Duration::from_millis(100), "it ran for {:?}", done.times.run);
    stage.close().await
}

/// The timeout counts from the start of each run, not from the sandbox's.
pub async fn each_run_has_the_whole_timeout(subject: &BackendSubject) -> Vec<Entry> {
    let stage =
        Stage::with(subject, fixtures::spec("sleep").with_timeout(Duration::from_millis(1_500))).await;
    for _ in 0..3 {
        let done = stage.invoke("sleep", Sleep::Await(700)).await;
        assert_eq!(done.status(), Status::Success, "{:?}", done.outcome);
    }
    stage.close().await
}

/// Memory within the limit is there, run after run.
pub async fn memory_within_the_limit_is_given_each_time(subject: &BackendSubject) -> Vec<Entry> {
    let stage = Stage::with(subject, fixtures::spec("allocate").with_memory(MemoryMib::new(128))).await;
    for _ in 0..5 {
        let pages = json!({ "mib": 32, "pages": 32 * 256 });
        stage.expect("allocate", Allocate { mib: 32, piece_kib: 1024 }, Status::Success, pages).await;
    }
    stage.close().await
}

async fn memory_ends(subject: &BackendSubject, input: Allocate) -> Vec<Entry> {
    let stage = Stage::with(subject, fixtures::spec("allocate").with_memory(MemoryMib::new(64))).await;
    let error = json!({ "error": "The action exhausted its memory and was aborted." });
    stage.expect("allocate", input, Status::DeveloperError, error).await;
    let within = Allocate { mib: 8, piece_kib: 1024 };
    assert_eq!(stage.invoke("allocate", within).await.status(), Status::Success);
    stage.close().await
}

/// More memory than the limit ends the action with OpenWhisk's words, and the next invocation works.
pub async fn memory_over_the_limit_ends_the_action(subject: &BackendSubject) -> Vec<Entry> {
    memory_ends(subject, Allocate { mib: 512, piece_kib: 16 * 1024 }).await
}

/// So do many small pieces.
pub async fn many_small_pieces_over_the_limit_end_the_action(subject: &BackendSubject) -> Vec<Entry> {
    memory_ends(subject, Allocate { mib: 512, piece_kib: 4 }).await
}

async fn exits(subject: &BackendSubject, how: Exit) -> Vec<Entry> {
    let stage = Stage::new(subject).await;
    let error = json!({
        "error": "The action did not produce a valid response and exited unexpectedly."
    });
    stage.expect("exit", how, Status::DeveloperError, error).await;
    stage.expect("echo", json!({ "still": "here" }), Status::Success, json!({ "still": "here" })).await;
    stage.close().await
}

/// An action that exits with success has given no result.
pub async fn an_exit_with_success_is_a_developer_error(subject: &BackendSubject) -> Vec<Entry> {
    exits(subject, Exit::Code(0)).await
}

/// So has one that exits with a failure.
pub async fn an_exit_with_a_failure_is_a_developer_error(subject: &BackendSubject) -> Vec<Entry> {
    exits(subject, Exit::Code(3)).await
}

/// So has one that aborts.
pub async fn an_abort_is_a_developer_error(subject: &BackendSubject) -> Vec<Entry> {
    exits(subject, Exit::Abort {}).await
}

/// So has one that overflows its stack. What its log says of that is in the words of the runtime, which differ.
pub async fn a_stack_overflow_is_a_developer_error(subject: &BackendSubject) -> Vec<Entry> {
    let mut entries = exits(subject, Exit::Overflow {}).await;
    entries[0].logs.clear();
    entries
}

/// A timeout beyond the backend's longest is refused when the action is deployed.
pub async fn a_timeout_beyond_the_longest_is_refused(subject: &BackendSubject) -> Vec<Entry> {
    let bare = Bare::new(subject).await;
    let longest = bare.backend.info().capability.max_timeout;
    bare.deploy(fixtures::spec("sleep").with_timeout(longest)).await;
    let beyond = fixtures::spec("sleep").with_timeout(longest + Duration::from_millis(1));
    let error = bare.try_deploy(beyond).await.expect_err("a refusal");
    assert!(matches!(error.kind(), ErrorKind::InvalidArgument | ErrorKind::Unsupported), "{error}");
    assert!(!error.is_temporary());
    bare.note(Entry::answer("deploy", "refused"));
    bare.close().await
}

/// An action that the backend has no code of is refused when it is deployed.
pub async fn an_action_without_code_is_refused(subject: &BackendSubject) -> Vec<Entry> {
    let bare = Bare::new(subject).await;
    let missing = faas_core::ActionSpec::new("no-such-fixture").expect("a valid name");
    let error = bare.try_deploy(missing).await.expect_err("a refusal");
    let refused = [ErrorKind::InvalidArgument, ErrorKind::Unsupported, ErrorKind::NotFound];
    assert!(refused.contains(&error.kind()), "{error}");
    assert!(!error.is_temporary());
    bare.note(Entry::answer("deploy", "refused"));
    bare.close().await
}
