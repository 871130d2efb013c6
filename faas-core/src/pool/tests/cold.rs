//! Cold and warm starts, and what comes first.

use std::pin::pin;
use std::sync::Arc;

use tokio::time::Instant;

use super::mock::{action, ms, shared_by, sized};
use super::{Subject, pass, poll_once, room, script, settle};
use crate::activation::{StartKind, Version};
use crate::error::ErrorKind;
use crate::pool::{ContainerPool, Lease, Origin, PoolConfig};

fn number(lease: &impl Lease<Sandbox = super::mock::MockSandbox>) -> u64 {
    lease.sandbox().live.number
}

#[tokio::test(start_paused = true)]
async fn the_first_start_is_cold_and_the_second_warm() {
    let (subject, a) = (Subject::of(4), action("a"));
    let began = Instant::now();
    let lease = subject.acquire(&a).await.unwrap();
    assert_eq!(began.elapsed(), ms(110));
    let cold = Origin { start_kind: StartKind::Cold, wait: ms(0), create: ms(100), init: ms(10) };
    assert_eq!(lease.origin(), cold);
    let first = number(&lease);
    lease.keep();
    let lease = subject.acquire(&a).await.unwrap();
    assert_eq!((lease.origin(), number(&lease)), (Origin::waited(ms(0)), first));
    assert_eq!(began.elapsed(), ms(110));
    lease.keep();
    let stats = subject.pool.stats();
    assert_eq!((stats.cold_starts, stats.warm_starts, stats.idle, stats.created), (1, 1, 1, 1));
    subject.assert_quiet();
}

#[tokio::test(start_paused = true)]
async fn no_sandbox_is_shared_between_namespaces_or_revisions() {
    let (subject, a) = (Subject::of(8), action("a"));
    let mut newer = a.as_ref().clone();
    newer.version = Version::FIRST.next();
    let newer = Arc::new(newer);
    subject.make_idle(&a).await;
    let foreign = subject.acquire_for(&a, "acme", ms(1000)).await.unwrap();
    let updated = subject.acquire(&newer).await.unwrap();
    assert_eq!(foreign.origin().start_kind, StartKind::Cold);
    assert_eq!(updated.origin().start_kind, StartKind::Cold);
    assert_eq!(updated.sandbox().spec.version, newer.version);
    foreign.keep();
    let other = subject.acquire_for(&a, "other", ms(1000)).await.unwrap();
    assert_eq!(other.origin().start_kind, StartKind::Cold);
    let again = subject.acquire_for(&a, "acme", ms(1000)).await.unwrap();
    assert_eq!(again.origin().start_kind, StartKind::Warm);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_request_takes_a_sandbox_that_frees_up_first() {
    let (subject, a) = (Subject::of(4), action("a"));
    let held = subject.acquire(&a).await.unwrap();
    let waiting = subject.spawn_acquire(&a);
    pass(30).await;
    let first = number(&held);
    held.keep();
    let lease = waiting.await.unwrap().unwrap();
    assert_eq!((number(&lease), lease.origin()), (first, Origin::waited(ms(30))));
    assert_eq!(subject.pool.stats().creating, 1, "the cold start goes on");
    pass(80).await;
    assert_eq!(subject.pool.stats().idle, 1, "and its sandbox becomes idle");
    lease.keep();
    assert_eq!((subject.pool.stats().idle, subject.mock.tally().created), (2, 2));
    subject.assert_quiet();
}

#[tokio::test(start_paused = true)]
async fn a_waiting_request_takes_a_sandbox_that_is_made_first() {
    let (subject, a) = (Subject::of(4), action("a"));
    let held = subject.acquire(&a).await.unwrap();
    let began = Instant::now();
    let lease = subject.acquire(&a).await.unwrap();
    assert_eq!((lease.origin().start_kind, began.elapsed()), (StartKind::Cold, ms(110)));
    held.keep();
    lease.keep();
    assert_eq!(subject.pool.stats().idle, 2);
}

#[tokio::test(start_paused = true)]
async fn requests_are_served_in_the_order_of_arrival() {
    let (subject, a) = (Subject::of(4), action("a"));
    let held = subject.acquire(&a).await.unwrap();
    let first = subject.spawn_acquire(&a);
    settle().await;
    let second = subject.spawn_acquire(&a);
    settle().await;
    held.keep();
    settle().await;
    assert!(first.is_finished() && !second.is_finished());
    drop((first.await.unwrap().unwrap(), second.await.unwrap().unwrap()));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_leaves_leaks_nothing_and_its_sandbox_becomes_idle() {
    let (subject, a) = (Subject::of(1), action("a"));
    {
        let mut leaving = pin!(subject.acquire(&a));
        assert!(poll_once(leaving.as_mut()).is_pending());
    }
    assert_eq!(subject.pool.stats().memory, 1);
    pass(110).await;
    assert_eq!(subject.pool.stats().idle, 1);
    subject.assert_quiet();
    let lease = subject.acquire(&a).await.unwrap();
    assert_eq!(lease.origin(), Origin::waited(ms(0)));
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_granted_to_a_request_that_leaves_becomes_idle() {
    let (subject, a) = (Subject::of(2), action("a"));
    let held = subject.acquire(&a).await.unwrap();
    {
        let mut leaving = Box::pin(subject.acquire(&a));
        assert!(poll_once(leaving.as_mut()).is_pending());
        held.keep();
        assert_eq!(subject.pool.stats().leased, 1, "it was granted");
    }
    pass(110).await;
    assert_eq!((subject.pool.stats().idle, subject.mock.tally().destroyed), (2, 0));
    subject.assert_quiet();
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_the_waiting_and_not_the_creation() {
    let (subject, a) = (Subject::of(1), action("a"));
    let began = Instant::now();
    let error = subject.acquire_for(&a, "_", ms(50)).await.err().unwrap();
    assert_eq!((error.kind(), began.elapsed()), (ErrorKind::DeadlineExceeded, ms(50)));
    pass(60).await;
    assert_eq!(subject.pool.stats().idle, 1);
    // A warm sandbox is had even when the deadline has passed.
    assert!(subject.acquire_for(&a, "_", ms(0)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn creations_are_bounded_per_action_and_in_total() {
    let config = PoolConfig { cold_starts: 3, cold_starts_per_action: 2, ..room(100) };
    let subject = Subject::new(script(), config);
    let (a, b, c) = (action("a"), action("b"), action("c"));
    let mut requests = Vec::new();
    for spec in [&a, &a, &a, &a, &b, &c] {
        requests.push(subject.spawn_acquire(spec));
        settle().await;
    }
    let creating = || subject.mock.tally().live.len();
    assert_eq!(creating(), 3, "two of a and one of b");
    pass(110).await;
    settle().await;
    assert!(requests[0].is_finished() && requests[1].is_finished() && requests[4].is_finished());
    assert_eq!(creating(), 6);
    pass(110).await;
    for request in requests {
        request.await.unwrap().unwrap().keep();
    }
    assert_eq!(subject.mock.tally().most_creating, 3);
    subject.assert_quiet();
}

#[tokio::test(start_paused = true)]
async fn a_start_that_waits_for_its_turn_is_given_up_when_a_sandbox_frees_up() {
    let config = PoolConfig { cold_starts_per_action: 1, ..room(100) };
    let (subject, a) = (Subject::new(script(), config), action("a"));
    let requests: Vec<_> = (0..10).map(|_| subject.spawn_acquire(&a)).collect();
    for request in requests {
        request.await.unwrap().unwrap().keep();
    }
    pass(200).await;
    assert_eq!(subject.mock.tally().created, 2, "one for the first, one that was under way when it was free");
    subject.assert_quiet();
}

#[tokio::test(start_paused = true)]
async fn places_of_one_sandbox_are_shared_up_to_the_concurrency() {
    let (subject, a) = (Subject::of(2), shared_by("a", 3));
    let requests: Vec<_> = (0..3).map(|_| subject.spawn_acquire(&a)).collect();
    settle().await;
    let mut leases = Vec::new();
    for request in requests {
        leases.push(request.await.unwrap().unwrap());
    }
    assert_eq!(subject.mock.tally().created, 1);
    let kinds: Vec<_> = leases.iter().map(|lease| lease.origin().start_kind).collect();
    assert_eq!(kinds, [StartKind::Cold, StartKind::Warm, StartKind::Warm], "init is billed once");
    leases.push(subject.acquire(&a).await.unwrap());
    assert_eq!((subject.mock.tally().created, subject.pool.stats().leased), (2, 2));
    assert!(leases[..3].iter().all(|lease| number(lease) == number(&leases[0])));
    for lease in leases {
        lease.keep();
    }
    assert_eq!(subject.pool.stats().idle, 2);
    subject.assert_quiet();
}

#[tokio::test(start_paused = true)]
async fn sandboxes_that_take_one_at_a_time_are_never_shared() {
    let config = PoolConfig { one_at_a_time: true, ..room(2) };
    let (subject, a) = (Subject::new(script(), config), shared_by("a", 3));
    let (first, second) = (subject.acquire(&a).await.unwrap(), subject.acquire(&a).await.unwrap());
    assert_ne!(number(&first), number(&second));
    assert_eq!(subject.mock.tally().created, 2);
    first.keep();
    second.keep();
    subject.assert_quiet();
}

#[tokio::test(start_paused = true)]
async fn a_shared_sandbox_with_a_dirty_place_is_destroyed_with_its_last_lease() {
    let (subject, a) = (Subject::of(2), shared_by("a", 2));
    let (first, second) = (subject.acquire(&a).await.unwrap(), subject.acquire(&a).await.unwrap());
    assert_eq!(number(&first), number(&second));
    drop(first);
    let third = subject.acquire(&a).await.unwrap();
    assert_ne!(number(&third), number(&second), "no place of it is given out any more");
    second.keep();
    settle().await;
    assert_eq!((subject.mock.tally().destroyed, subject.pool.stats().leased), (1, 1));
    third.keep();
    subject.assert_quiet();
}

#[tokio::test(start_paused = true)]
async fn five_actions_warmed_at_once_take_one_creation() {
    let subject = Subject::of(5);
    let began = Instant::now();
    let members: Vec<_> = (0..5).map(|n| action(&format!("member{n}"))).collect();
    let warming = members.iter().map(|spec| {
        let (pool, spec) = (Arc::clone(&subject.pool), Arc::clone(spec));
        tokio::spawn(async move { pool.warm(&spec, "_", 1).await })
    });
    for warmed in warming.collect::<Vec<_>>() {
        assert_eq!(warmed.await.unwrap().unwrap(), 1);
    }
    assert_eq!(began.elapsed(), ms(110));
    for member in &members {
        assert_eq!(subject.acquire(member).await.unwrap().origin(), Origin::waited(ms(0)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_takes_what_is_being_warmed() {
    let (subject, a) = (Subject::of(4), action("a"));
    let mut warming = Box::pin(subject.pool.warm(&a, "_", 1));
    assert!(poll_once(warming.as_mut()).is_pending());
    pass(40).await;
    let lease = subject.acquire(&a).await.unwrap();
    assert_eq!(lease.origin(), Origin::waited(ms(70)), "it was begun ahead of the request");
    assert_eq!(subject.mock.tally().created, 1);
    lease.keep();
    assert_eq!(warming.await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_over_the_budget_is_refused_for_good() {
    let subject = Subject::of(4);
    let error = subject.acquire(&sized("big", 5)).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(!error.is_temporary() && error.message().contains("5 MiB"), "{error}");
    subject.assert_quiet();
}
