//! Removal, draining, and the end of the pool.

use std::sync::Arc;

use tokio::time::Instant;

use super::mock::{Mock, action, ms};
use super::{Subject, pass, poll_once, room, script, settle};
use crate::activation::StartKind;
use crate::error::ErrorKind;
use crate::pool::{AcquireRequest, ContainerPool, Lease, PoolConfig, WarmPool};
use crate::sandbox::Shape;
use crate::units::MemoryMib;

#[tokio::test(start_paused = true)]
async fn removal_destroys_the_idle_now_and_the_leased_when_they_are_returned() {
    let (subject, a, b) = (Subject::of(8), action("a"), action("b"));
    subject.make_idle(&b).await;
    let held = subject.acquire(&a).await.unwrap();
    subject.acquire_for(&a, "acme", ms(1000)).await.unwrap().keep();
    subject.make_idle(&a).await;
    subject.mock.script().destroy = ms(30);
    let began = Instant::now();
    subject.pool.remove(&a).await;
    assert_eq!(began.elapsed(), ms(30));
    assert_eq!((subject.pool.stats().idle, subject.pool.stats().leased), (1, 1));
    held.keep();
    pass(30).await;
    assert_eq!((subject.pool.stats().idle, subject.mock.tally().live.len()), (1, 1));
    assert_eq!(subject.acquire(&a).await.unwrap().origin().start_kind, StartKind::Cold);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_a_removed_revision_is_still_served() {
    let (subject, a) = (Subject::of(2), action("a"));
    let waiting = subject.spawn_acquire(&a);
    settle().await;
    subject.pool.remove(&a).await;
    waiting.await.unwrap().unwrap().keep();
    settle().await;
    assert_eq!(subject.pool.stats().memory, 0);
    subject.assert_quiet();
}

#[tokio::test(start_paused = true)]
async fn removal_waits_for_what_is_made_for_nobody() {
    let (subject, a) = (Subject::of(2), action("a"));
    let mut leaving = Box::pin(subject.acquire(&a));
    assert!(poll_once(leaving.as_mut()).is_pending());
    drop(leaving);
    let began = Instant::now();
    subject.pool.remove(&a).await;
    assert_eq!((began.elapsed(), subject.pool.stats().memory), (ms(100), 0), "it is not even initialised");
    assert_eq!(subject.mock.tally().inits, 0);
}

#[tokio::test(start_paused = true)]
async fn draining_destroys_everything_and_refuses_from_then_on() {
    let stems = vec![(Shape { kind: "mock".into(), memory: MemoryMib::new(1), artifact: None }, 2)];
    let subject = Subject::new(script(), PoolConfig { stems, ..room(8) });
    let (a, b) = (action("a"), action("b"));
    subject.make_idle(&a).await;
    let held = subject.acquire(&a).await.unwrap();
    pass(100).await;
    subject.make_idle(&b).await;
    subject.mock.script().destroy = ms(25);
    let waiting = [subject.spawn_acquire(&b), subject.spawn_acquire(&b)];
    settle().await;
    let began = Instant::now();
    let mut draining = Box::pin(subject.pool.drain());
    assert!(poll_once(draining.as_mut()).is_pending());
    settle().await;
    let [first, second] = waiting;
    first.await.unwrap().unwrap().keep();
    assert_eq!(second.await.unwrap().err().unwrap().kind(), ErrorKind::Closed);
    assert_eq!(subject.acquire(&a).await.err().unwrap().kind(), ErrorKind::Closed);
    assert_eq!(subject.pool.warm(&a, "_", 1).await.unwrap_err().kind(), ErrorKind::Closed);
    pass(200).await;
    assert!(poll_once(draining.as_mut()).is_pending(), "one is still leased");
    held.keep();
    draining.await;
    assert!(began.elapsed() >= ms(225));
    assert_eq!((subject.pool.stats().memory, subject.mock.tally().live.len()), (0, 0));
    subject.pool.drain().await;
    subject.assert_quiet();
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_was_never_used_drains() {
    let subject = Subject::of(1);
    subject.pool.drain().await;
    assert_eq!(subject.acquire(&action("a")).await.err().unwrap().kind(), ErrorKind::Closed);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_pool_destroys_what_is_idle_and_later_what_was_leased() {
    let mock = Mock::new(script());
    let pool = WarmPool::new(mock.clone(), room(8));
    let (a, b) = (action("a"), action("b"));
    let deadline = Instant::now() + ms(1000);
    let held = pool.acquire(&AcquireRequest { spec: &a, namespace: "_", deadline }).await.unwrap();
    pool.acquire(&AcquireRequest { spec: &b, namespace: "_", deadline }).await.unwrap().keep();
    {
        let request = AcquireRequest { spec: &b, namespace: "acme", deadline };
        let mut leaving = Box::pin(pool.acquire(&request));
        assert!(poll_once(leaving.as_mut()).is_pending());
    }
    drop(pool);
    pass(10).await;
    assert_eq!(mock.tally().live.len(), 2, "one is leased, one is being created");
    drop(held);
    pass(200).await;
    assert_eq!((mock.tally().live.len(), mock.tally().inits), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn leases_outlive_their_pool() {
    let mock = Mock::new(script());
    let pool = Arc::new(WarmPool::new(mock.clone(), room(8)));
    let deadline = Instant::now() + ms(1000);
    let held = pool.acquire(&AcquireRequest { spec: &action("a"), namespace: "_", deadline }).await.unwrap();
    drop(pool);
    assert_eq!(held.sandbox().spec.name.name(), "a");
    held.keep();
    pass(10).await;
    assert_eq!(mock.tally().live.len(), 0);
}
