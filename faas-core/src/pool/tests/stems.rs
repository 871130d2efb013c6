//! Stem cells.

use tokio::time::Instant;

use super::mock::{Fault, Script, action, ms, sized};
use super::{Subject, pass, poll_once, room, script, settle};
use crate::activation::StartKind;
use crate::error::ErrorKind;
use crate::pool::{ContainerPool, Lease, Origin, PoolConfig};
use crate::sandbox::Shape;
use crate::units::MemoryMib;

fn shape(mib: u32) -> Shape {
    Shape { kind: "mock".into(), memory: MemoryMib::new(mib), artifact: None }
}

fn with_stems(mib: u32, stems: Vec<(Shape, usize)>) -> Subject {
    Subject::new(script(), PoolConfig { stems, ..room(mib) })
}

#[tokio::test(start_paused = true)]
async fn a_stem_makes_a_prewarmed_start_and_is_replaced_at_once() {
    let (subject, a) = (with_stems(4, vec![(shape(1), 2)]), action("a"));
    subject.pool.attach(&std::sync::Arc::default());
    pass(100).await;
    assert_eq!(subject.pool.stats().stems, 2);
    let lease = subject.acquire(&a).await.unwrap();
    let origin = Origin { start_kind: StartKind::Prewarmed, wait: ms(0), create: ms(0), init: ms(10) };
    assert_eq!(lease.origin(), origin);
    let stats = subject.pool.stats();
    assert_eq!((stats.stems, stats.creating, stats.prewarmed_starts), (1, 1, 1));
    pass(90).await;
    assert_eq!((subject.pool.stats().stems, subject.pool.stats().memory), (2, 3));
    lease.keep();
    assert_eq!(subject.acquire(&a).await.unwrap().origin(), Origin::waited(ms(0)), "warm comes first");
}

#[tokio::test(start_paused = true)]
async fn only_a_stem_of_exactly_the_shape_is_used() {
    let subject = with_stems(8, vec![(shape(2), 1)]);
    subject.pool.attach(&std::sync::Arc::default());
    pass(100).await;
    assert_eq!(subject.acquire(&action("a")).await.unwrap().origin().start_kind, StartKind::Cold);
    assert_eq!(subject.acquire(&sized("b", 2)).await.unwrap().origin().start_kind, StartKind::Prewarmed);
}

#[tokio::test(start_paused = true)]
async fn stems_that_are_gone_are_replaced_and_one_that_user_code_ran_in_is_not() {
    let (subject, a) = (with_stems(4, vec![(shape(1), 2)]), action("a"));
    subject.pool.attach(&std::sync::Arc::default());
    pass(100).await;
    subject.mock.script().init_faults.extend([Some(Fault::Gone), Some(Fault::Gone)]);
    let lease = subject.acquire(&a).await.unwrap();
    let origin = Origin { start_kind: StartKind::Cold, wait: ms(20), create: ms(100), init: ms(10) };
    assert_eq!(lease.origin(), origin);
    lease.keep();
    pass(200).await;
    assert_eq!((subject.pool.stats().stems, subject.pool.stats().memory), (2, 3));
    subject.mock.script().init_faults.push_back(Some(Fault::Fails(ErrorKind::SandboxLost)));
    let held = subject.acquire(&a).await.unwrap();
    let error = subject.acquire(&a).await.err().unwrap();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::SandboxLost, false));
    held.keep();
}

#[tokio::test(start_paused = true)]
async fn a_burst_takes_all_stems_and_then_creates() {
    let (subject, a) = (with_stems(9, vec![(shape(1), 3)]), action("a"));
    subject.pool.attach(&std::sync::Arc::default());
    pass(100).await;
    let began = Instant::now();
    let requests: Vec<_> = (0..5).map(|_| subject.spawn_acquire(&a)).collect();
    let mut kinds = Vec::new();
    for request in requests {
        let lease = request.await.unwrap().unwrap();
        kinds.push((lease.origin().start_kind, lease.origin().wait));
        std::mem::forget(lease);
    }
    let (prewarmed, cold) = ((StartKind::Prewarmed, ms(0)), (StartKind::Cold, ms(0)));
    assert_eq!(kinds, [prewarmed, prewarmed, prewarmed, cold, cold]);
    assert_eq!(began.elapsed(), ms(110));
}

#[tokio::test(start_paused = true)]
async fn every_shape_seen_gets_its_stems() {
    let config = PoolConfig { stems_per_shape: 1, ..room(16) };
    let subject = Subject::new(script(), config);
    assert_eq!(subject.acquire(&sized("a", 2)).await.unwrap().origin().start_kind, StartKind::Cold);
    pass(100).await;
    assert_eq!(subject.acquire(&sized("b", 2)).await.unwrap().origin().start_kind, StartKind::Prewarmed);
}

#[tokio::test(start_paused = true)]
async fn stems_make_room_before_idle_sandboxes_do() {
    let (subject, a) = (with_stems(3, vec![(shape(1), 2)]), action("a"));
    subject.pool.attach(&std::sync::Arc::default());
    pass(100).await;
    subject.make_idle(&a).await;
    pass(100).await;
    assert_eq!((subject.pool.stats().stems, subject.pool.stats().idle), (2, 1));
    let lease = subject.acquire(&sized("b", 2)).await.unwrap();
    assert_eq!((subject.pool.stats().stems, subject.pool.stats().idle), (0, 1));
    assert_eq!(subject.mock.tally().most_mib, 3);
    drop(lease);
    pass(100).await;
    assert_eq!(subject.pool.stats().stems, 2, "they come back with the memory");
}

#[tokio::test(start_paused = true)]
async fn warming_uses_a_stem_where_no_memory_is_free() {
    let (subject, a, b) = (with_stems(2, vec![(shape(1), 1)]), action("a"), action("b"));
    subject.pool.attach(&std::sync::Arc::default());
    subject.make_idle(&a).await;
    assert_eq!((subject.pool.stats().stems, subject.pool.stats().idle), (1, 1));
    assert_eq!(subject.pool.warm(&b, "_", 2).await.unwrap(), 1);
    assert_eq!((subject.pool.stats().stems, subject.pool.stats().idle), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_stem_that_cannot_be_created_is_tried_again_after_a_while() {
    let subject = with_stems(2, vec![(shape(1), 1)]);
    let fault = Some(Fault::Fails(ErrorKind::Unavailable));
    subject.mock.script().create_faults.extend([fault, fault, Some(Fault::Panics)]);
    subject.pool.attach(&std::sync::Arc::default());
    pass(150).await;
    assert_eq!((subject.mock.tally().created, subject.pool.stats().memory), (1, 0));
    pass(3300).await;
    assert_eq!((subject.mock.tally().created, subject.pool.stats().stems), (4, 1));
    subject.assert_quiet();
}

#[tokio::test(start_paused = true)]
async fn a_stem_that_fails_to_initialise_is_gone() {
    let (subject, a) = (with_stems(1, vec![(shape(1), 1)]), action("a"));
    subject.pool.attach(&std::sync::Arc::default());
    pass(100).await;
    subject.mock.script().init_faults.push_back(Some(Fault::Fails(ErrorKind::InitFailed)));
    assert_eq!(subject.acquire(&a).await.err().unwrap().kind(), ErrorKind::InitFailed);
    settle().await;
    assert_eq!((subject.mock.tally().destroyed, subject.pool.stats().creating), (1, 1), "and is replaced");
    pass(100).await;
    subject.assert_quiet();
}

#[tokio::test(start_paused = true)]
async fn stems_of_a_removed_artifact_are_destroyed() {
    let times = Script { artifacts: true, ..script() };
    let subject = Subject::new(times, PoolConfig { stems_per_shape: 2, ..room(8) });
    let (a, b) = (action("a"), action("b"));
    subject.make_idle(&a).await;
    subject.make_idle(&b).await;
    pass(200).await;
    assert_eq!((subject.pool.stats().stems, subject.pool.stats().idle), (4, 2));
    // One more is being created when its artifact goes.
    let mut taking = Box::pin(subject.acquire(&a));
    assert!(poll_once(taking.as_mut()).is_ready());
    drop(taking);
    subject.pool.remove(&a).await;
    pass(200).await;
    assert_eq!((subject.pool.stats().stems, subject.pool.stats().idle), (2, 1));
    subject.assert_quiet();
}
