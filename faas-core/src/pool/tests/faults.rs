//! What goes wrong, and who gets to hear of it.

use super::mock::{Fault, action, ms};
use super::{Subject, pass, poll_once, room, script, settle};
use crate::activation::StartKind;
use crate::error::ErrorKind;
use crate::pool::{ContainerPool, Lease, PoolConfig, StartFailed};

#[tokio::test(start_paused = true)]
async fn a_failed_creation_fails_its_request_and_frees_the_memory() {
    let (subject, a) = (Subject::of(1), action("a"));
    subject.mock.script().create_faults.push_back(Some(Fault::Fails(ErrorKind::Unavailable)));
    let error = subject.acquire(&a).await.err().unwrap();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Unavailable, true));
    settle().await;
    assert_eq!(subject.pool.stats().memory, 0);
    subject.assert_quiet();
    assert!(subject.acquire(&a).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_factory_that_panics_is_an_internal_error() {
    let (subject, a) = (Subject::of(1), action("a"));
    subject.mock.script().create_faults.push_back(Some(Fault::Panics));
    assert_eq!(subject.acquire(&a).await.err().unwrap().kind(), ErrorKind::Internal);
    subject.mock.script().init_faults.push_back(Some(Fault::Panics));
    assert_eq!(subject.acquire(&a).await.err().unwrap().kind(), ErrorKind::Internal);
    settle().await;
    subject.assert_quiet();
    subject.make_idle(&a).await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_creation_strands_nobody_else() {
    let config = PoolConfig { cold_starts_per_action: 1, ..room(10) };
    let (subject, a) = (Subject::new(script(), config), action("a"));
    subject.mock.script().create_faults.push_back(Some(Fault::Fails(ErrorKind::Unavailable)));
    let requests: Vec<_> = (0..4).map(|_| subject.spawn_acquire(&a)).collect();
    let mut kinds = Vec::new();
    for request in requests {
        kinds.push(request.await.unwrap().map(Lease::keep).map_err(|error| error.kind()));
    }
    assert_eq!(kinds, [Err(ErrorKind::Unavailable), Ok(()), Ok(()), Ok(())]);
    pass(1000).await;
    subject.assert_quiet();
}

#[tokio::test(start_paused = true)]
async fn a_request_hears_of_its_own_failure_only_if_nothing_else_serves_it() {
    let (subject, a) = (Subject::of(4), action("a"));
    let held = subject.acquire(&a).await.unwrap();
    subject.mock.script().create_faults.push_back(Some(Fault::Fails(ErrorKind::Unavailable)));
    let waiting = subject.spawn_acquire(&a);
    pass(50).await;
    held.keep();
    waiting.await.unwrap().unwrap().keep();
    pass(100).await;
    assert_eq!(subject.pool.stats().memory, 1);
}

#[tokio::test(start_paused = true)]
async fn a_failed_initialisation_tells_what_it_took() {
    let (subject, a) = (Subject::of(1), action("a"));
    subject.mock.script().init_faults.push_back(Some(Fault::Fails(ErrorKind::InitFailed)));
    let error = subject.acquire(&a).await.err().unwrap();
    assert_eq!((error.kind(), error.message()), (ErrorKind::InitFailed, "scripted"));
    let source = std::error::Error::source(&error).unwrap();
    let failed = source.downcast_ref::<StartFailed>().unwrap();
    assert_eq!((failed.start_kind, failed.create, failed.init), (StartKind::Cold, ms(100), ms(10)));
    assert_eq!((failed.outcome.error().as_deref(), failed.logs[0].text.as_str()), (Some("scripted"), "why"));
    settle().await;
    subject.assert_quiet();
}

#[tokio::test(start_paused = true)]
async fn an_initialisation_that_hangs_ends_at_the_timeout() {
    let (subject, a) = (Subject::of(1), action("a"));
    subject.mock.script().init_faults.push_back(Some(Fault::Hangs));
    let error = subject.acquire_for(&a, "_", ms(100_000)).await.err().unwrap();
    let text = "The action exceeded its time limits of 60000 milliseconds during initialization.";
    assert_eq!((error.kind(), error.message()), (ErrorKind::InitFailed, text));
    settle().await;
    subject.assert_quiet();
}

#[tokio::test(start_paused = true)]
async fn an_initialisation_that_ends_by_itself_has_a_grace_to_do_so() {
    let config = PoolConfig { init_grace: ms(30), ..room(1) };
    let subject = Subject::new(script(), config);
    let a = std::sync::Arc::new(crate::action::ActionSpec::clone(&action("a")).with_timeout(ms(200)));
    for (time, text) in [(220, "scripted"), (240, "The action exceeded its time limits of 200 milliseconds")]
    {
        subject.mock.script().init = ms(time);
        subject.mock.script().init_faults.push_back(Some(Fault::Fails(ErrorKind::InitFailed)));
        let error = subject.acquire(&a).await.err().unwrap();
        assert!(error.message().starts_with(text), "{error}");
    }
    settle().await;
    subject.assert_quiet();
}

#[tokio::test(start_paused = true)]
async fn warming_reports_its_failure_to_its_caller_only() {
    let (subject, a) = (Subject::of(4), action("a"));
    subject.mock.script().create_faults.push_back(Some(Fault::Fails(ErrorKind::Unavailable)));
    let mut warming = Box::pin(subject.pool.warm(&a, "_", 1));
    assert!(poll_once(warming.as_mut()).is_pending());
    let request = subject.spawn_acquire(&a);
    settle().await;
    assert_eq!(warming.await.unwrap_err().kind(), ErrorKind::Unavailable);
    request.await.unwrap().unwrap().keep();
    subject.assert_quiet();
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_dropped_is_destroyed() {
    let (subject, a) = (Subject::of(1), action("a"));
    subject.mock.script().destroy = ms(5);
    drop(subject.acquire(&a).await.unwrap());
    assert_eq!((subject.pool.stats().destroying, subject.pool.stats().memory), (1, 1));
    pass(5).await;
    assert_eq!((subject.mock.tally().destroyed, subject.pool.stats().memory), (1, 0));
    subject.assert_quiet();
}

#[test]
fn a_runtime_that_ends_leaves_no_request_hanging() {
    let (subject, a) = (Subject::of(2), action("a"));
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let first = runtime();
    first.block_on(subject.pool.warm(&a, "_", 0)).unwrap();
    first.block_on(async {
        let mut leaving = Box::pin(subject.acquire(&a));
        assert!(poll_once(leaving.as_mut()).is_pending());
    });
    drop(first);
    let error = runtime().block_on(subject.acquire(&a)).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert_eq!(subject.pool.stats().memory, 0);
}
