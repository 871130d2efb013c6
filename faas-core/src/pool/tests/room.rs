//! The budget: eviction, refusal and its end.

use std::pin::pin;

use tokio::time::Instant;

use super::mock::{action, ms, shared_by, sized};
use super::{Subject, pass, poll_once, room, script, settle};
use crate::activation::StartKind;
use crate::error::ErrorKind;
use crate::pool::{ContainerPool, GreedyDual, Lease, PoolConfig};

#[tokio::test(start_paused = true)]
async fn eviction_waits_for_the_destruction() {
    let (subject, a, b) = (Subject::of(1), action("a"), action("b"));
    subject.make_idle(&a).await;
    subject.mock.script().destroy = ms(40);
    let began = Instant::now();
    let lease = subject.acquire(&b).await.unwrap();
    assert_eq!(began.elapsed(), ms(150));
    assert_eq!((lease.origin().wait, lease.origin().create), (ms(40), ms(100)));
    assert_eq!((subject.mock.tally().most_mib, subject.pool.stats().evictions), (1, 1));
    lease.keep();
    subject.assert_quiet();
}

#[tokio::test(start_paused = true)]
async fn the_deadline_also_ends_the_waiting_for_a_destruction() {
    let (subject, a, b) = (Subject::of(1), action("a"), action("b"));
    subject.make_idle(&a).await;
    subject.mock.script().destroy = ms(1000);
    let error = subject.acquire_for(&b, "_", ms(30)).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::DeadlineExceeded);
    pass(1000).await;
    assert_eq!((subject.pool.stats().memory, subject.mock.tally().created), (0, 1), "nothing was begun");
    subject.assert_quiet();
}

#[tokio::test(start_paused = true)]
async fn several_are_evicted_where_one_is_not_enough_the_oldest_first() {
    let (subject, big) = (Subject::of(4), sized("big", 2));
    let small: Vec<_> = (0..4).map(|n| action(&format!("small{n}"))).collect();
    for spec in &small {
        subject.make_idle(spec).await;
    }
    subject.make_idle(&small[0]).await;
    subject.acquire(&big).await.unwrap().keep();
    assert_eq!(subject.pool.stats().evictions, 2);
    for (spec, kind) in [(&small[0], StartKind::Warm), (&small[3], StartKind::Warm)] {
        let lease = subject.acquire(spec).await.unwrap();
        assert_eq!(lease.origin().start_kind, kind);
        lease.keep();
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_evicted_where_all_together_do_not_suffice() {
    let (subject, a, b, big) = (Subject::of(3), action("a"), action("b"), sized("big", 3));
    let held = subject.acquire(&a).await.unwrap();
    subject.make_idle(&b).await;
    assert_eq!(subject.acquire(&big).await.err().unwrap().kind(), ErrorKind::Exhausted);
    assert_eq!((subject.pool.stats().idle, subject.pool.stats().evictions), (1, 0));
    held.keep();
    assert!(subject.acquire(&big).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn room_is_made_for_several_requests_at_once() {
    let subject = Subject::of(4);
    for n in 0..4 {
        subject.make_idle(&action(&format!("old{n}"))).await;
    }
    subject.mock.script().destroy = ms(40);
    let began = Instant::now();
    let requests: Vec<_> = (0..4).map(|n| subject.spawn_acquire(&action(&format!("new{n}")))).collect();
    for request in requests {
        request.await.unwrap().unwrap().keep();
    }
    assert_eq!((began.elapsed(), subject.pool.stats().evictions), (ms(150), 4));
    assert_eq!(subject.mock.tally().most_mib, 4);
    subject.assert_quiet();
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_nobody_waits_for_any_more_makes_room_once_it_is_made() {
    let (subject, a, b) = (Subject::of(1), action("a"), action("b"));
    {
        let mut leaving = pin!(subject.acquire(&a));
        assert!(poll_once(leaving.as_mut()).is_pending());
    }
    let lease = subject.acquire(&b).await.unwrap();
    assert_eq!((lease.origin().wait, subject.pool.stats().evictions), (ms(110), 1));
    assert_eq!(subject.mock.tally().most_mib, 1);
}

#[tokio::test(start_paused = true)]
async fn a_request_without_room_is_refused_at_once() {
    let (subject, a, b) = (Subject::of(1), action("a"), action("b"));
    let held = subject.acquire(&a).await.unwrap();
    for spec in [&a, &b] {
        let mut refused = pin!(subject.acquire(spec));
        let error = match poll_once(refused.as_mut()) {
            std::task::Poll::Ready(Err(error)) => error,
            _ => panic!("not refused at once"),
        };
        assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Exhausted, true));
    }
    held.keep();
    let lease = subject.acquire(&b).await.unwrap();
    drop(lease);
    settle().await;
    subject.assert_quiet();
}

#[tokio::test(start_paused = true)]
async fn what_was_promised_to_a_waiting_request_is_not_leased_to_a_later_one() {
    let (subject, a, b) = (Subject::of(1), action("a"), action("b"));
    subject.make_idle(&a).await;
    subject.mock.script().destroy = ms(40);
    let waiting = subject.spawn_acquire(&b);
    settle().await;
    assert_eq!(subject.acquire(&a).await.err().unwrap().kind(), ErrorKind::Exhausted);
    waiting.await.unwrap().unwrap().keep();
    subject.assert_quiet();
}

#[tokio::test(start_paused = true)]
async fn ready_completes_when_capacity_comes_back() {
    let (subject, a, b) = (Subject::of(1), action("a"), action("b"));
    let held = subject.acquire(&a).await.unwrap();
    assert!(subject.acquire(&b).await.is_err());
    let mut ready = pin!(subject.pool.ready());
    assert!(poll_once(ready.as_mut()).is_pending());
    held.keep();
    assert!(poll_once(ready.as_mut()).is_ready());
    // It came back between the refusal and the question.
    let held = subject.acquire(&b).await.unwrap();
    assert!(subject.acquire(&a).await.is_err());
    drop(held);
    assert!(poll_once(pin!(subject.pool.ready())).is_ready());
}

#[tokio::test(start_paused = true)]
async fn ready_completes_when_a_waiting_request_leaves_or_fails() {
    let (subject, a, b) = (Subject::of(1), action("a"), action("b"));
    let waiting = subject.spawn_acquire(&a);
    settle().await;
    assert!(subject.acquire(&b).await.is_err());
    let mut ready = pin!(subject.pool.ready());
    assert!(poll_once(ready.as_mut()).is_pending());
    waiting.abort();
    settle().await;
    assert!(poll_once(ready.as_mut()).is_ready());
    assert!(subject.acquire(&b).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn ready_completes_when_a_place_of_a_shared_sandbox_is_free() {
    let (subject, a) = (Subject::of(1), shared_by("a", 2));
    let (first, _second) = (subject.acquire(&a).await.unwrap(), subject.acquire(&a).await.unwrap());
    assert!(subject.acquire(&a).await.is_err());
    let mut ready = pin!(subject.pool.ready());
    assert!(poll_once(ready.as_mut()).is_pending());
    first.keep();
    assert!(poll_once(ready.as_mut()).is_ready());
    assert!(subject.acquire(&a).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn warming_evicts_nobody_and_takes_no_promised_memory() {
    let (subject, a, b) = (Subject::of(2), action("a"), action("b"));
    subject.make_idle(&a).await;
    assert_eq!(subject.pool.warm(&b, "_", 3).await.unwrap(), 1);
    assert_eq!(subject.pool.warm(&b, "_", 3).await.unwrap(), 1, "what is idle counts");
    assert_eq!((subject.pool.stats().idle, subject.pool.stats().evictions), (2, 0));
    assert_eq!(subject.pool.warm(&sized("big", 3), "_", 1).await.unwrap(), 0);
    assert_eq!(subject.pool.warm(&b, "_", 0).await.unwrap(), 0);
    subject.assert_quiet();
}

#[tokio::test(start_paused = true)]
async fn warming_waits_for_its_turn_among_creations() {
    let config = PoolConfig { cold_starts: 1, ..room(10) };
    let (subject, a) = (Subject::new(script(), config), action("a"));
    let began = Instant::now();
    assert_eq!(subject.pool.warm(&a, "_", 3).await.unwrap(), 3);
    assert_eq!((began.elapsed(), subject.mock.tally().most_creating), (ms(330), 1));
}

#[tokio::test(start_paused = true)]
async fn greedy_dual_keeps_what_is_used_often() {
    let config = PoolConfig { keep_alive: Box::new(GreedyDual::new()), ..room(2) };
    let (subject, often, once, new) =
        (Subject::new(script(), config), action("often"), action("once"), action("new"));
    for _ in 0..3 {
        subject.make_idle(&often).await;
    }
    subject.make_idle(&once).await;
    subject.make_idle(&new).await;
    assert_eq!(subject.acquire(&often).await.unwrap().origin().start_kind, StartKind::Warm);
}

/// All arrive at once; who is refused comes again when the pool tells it to.
#[tokio::test(start_paused = true)]
async fn a_stampede_stays_in_the_budget_and_all_finish() {
    let (subject, a) = (Subject::of(16), action("a"));
    let requests: Vec<_> = (0..1000)
        .map(|_| {
            let (pool, a) = (std::sync::Arc::clone(&subject.pool), std::sync::Arc::clone(&a));
            tokio::spawn(async move {
                let deadline = Instant::now() + ms(600_000);
                let request = crate::pool::AcquireRequest { spec: &a, namespace: "_", deadline };
                loop {
                    match pool.acquire(&request).await {
                        Ok(lease) => {
                            tokio::time::sleep(ms(20)).await;
                            return lease.keep();
                        }
                        Err(error) => assert_eq!(error.kind(), ErrorKind::Exhausted),
                    }
                    pool.ready().await;
                }
            })
        })
        .collect();
    for request in requests {
        request.await.unwrap();
    }
    pass(1000).await;
    let (stats, tally) = (subject.pool.stats(), subject.mock.tally());
    assert!(tally.most_mib <= 16 && tally.created <= 16, "{tally:?}");
    assert_eq!(stats.cold_starts + stats.warm_starts, 1000, "{stats:?}");
    assert!(stats.cold_starts <= 16);
    subject.assert_quiet();
}
