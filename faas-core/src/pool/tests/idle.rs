//! Idle sandboxes: expiry, and pausing.

use tokio::time::{Instant, sleep_until};

use super::mock::{Fault, Script, action, ms};
use super::{Subject, pass, room, script, settle};
use crate::activation::StartKind;
use crate::error::ErrorKind;
use crate::pool::{ContainerPool, FixedTtl, Lease, Origin, PoolConfig};

fn paused_after(millis: u64) -> Subject {
    let times = Script { pause: ms(5), resume: ms(7), ..script() };
    Subject::new(times, PoolConfig { pause_after: Some(ms(millis)), ..room(4) })
}

#[tokio::test(start_paused = true)]
async fn idle_sandboxes_expire_exactly() {
    let config = PoolConfig { keep_alive: Box::new(FixedTtl(ms(1000))), ..room(4) };
    let (subject, a, b) = (Subject::new(script(), config), action("a"), action("b"));
    subject.make_idle(&a).await;
    let first = Instant::now() + ms(1000);
    pass(400).await;
    subject.make_idle(&b).await;
    let second = Instant::now() + ms(1000);
    // Using it once more gives it a new life.
    pass(300).await;
    subject.make_idle(&a).await;
    let third = Instant::now() + ms(1000);
    sleep_until(third + ms(1)).await;
    settle().await;
    assert!(first < second && second < third);
    assert_eq!(subject.mock.tally().destroyed_at, [second, third]);
    assert_eq!((subject.pool.stats().expirations, subject.pool.stats().memory), (2, 0));
    subject.assert_quiet();
}

#[tokio::test(start_paused = true)]
async fn what_is_not_needed_any_more_expires_although_its_action_is_used() {
    let config = PoolConfig { keep_alive: Box::new(FixedTtl(ms(1000))), ..room(4) };
    let (subject, a) = (Subject::new(script(), config), action("a"));
    let both = (subject.acquire(&a).await.unwrap(), subject.acquire(&a).await.unwrap());
    both.0.keep();
    both.1.keep();
    for _ in 0..10 {
        pass(200).await;
        subject.make_idle(&a).await;
    }
    assert_eq!((subject.pool.stats().idle, subject.pool.stats().expirations), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_idle_sandbox_is_paused_and_resumed_when_it_is_used() {
    let (subject, a) = (paused_after(1000), action("a"));
    subject.make_idle(&a).await;
    pass(999).await;
    assert_eq!(subject.pool.stats().idle, 1);
    pass(7).await;
    assert_eq!((subject.pool.stats().idle, subject.pool.stats().paused), (0, 1));
    let lease = subject.acquire(&a).await.unwrap();
    assert_eq!(lease.origin(), Origin::waited(ms(7)));
    lease.keep();
    pass(1005).await;
    let tally = (subject.mock.tally().pauses, subject.mock.tally().resumes, subject.mock.tally().created);
    assert_eq!(tally, (2, 1, 1));
    subject.assert_quiet();
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_is_up_is_taken_before_a_paused_one() {
    let (subject, a) = (paused_after(1000), action("a"));
    let (first, second) = (subject.acquire(&a).await.unwrap(), subject.acquire(&a).await.unwrap());
    first.keep();
    pass(500).await;
    second.keep();
    pass(600).await;
    assert_eq!((subject.pool.stats().idle, subject.pool.stats().paused), (1, 1));
    assert_eq!(subject.acquire(&a).await.unwrap().origin(), Origin::waited(ms(0)));
    assert_eq!(subject.mock.tally().resumes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_cannot_be_resumed_is_replaced() {
    let (subject, a) = (paused_after(1000), action("a"));
    subject.make_idle(&a).await;
    pass(1005).await;
    subject.mock.script().resume_faults.push_back(Some(Fault::Fails(ErrorKind::SandboxLost)));
    let lease = subject.acquire(&a).await.unwrap();
    assert_eq!((lease.origin().start_kind, lease.origin().wait), (StartKind::Cold, ms(7)));
    assert_eq!((subject.mock.tally().destroyed, subject.pool.stats().memory), (1, 1));
    lease.keep();
    subject.mock.script().pause_faults.push_back(Some(Fault::Panics));
    pass(1005).await;
    assert_eq!((subject.mock.tally().destroyed, subject.pool.stats().memory), (2, 0));
    subject.assert_quiet();
}

#[tokio::test(start_paused = true)]
async fn a_request_that_comes_while_its_sandbox_is_paused_waits_for_it() {
    let (subject, a) = (paused_after(1000), action("a"));
    subject.make_idle(&a).await;
    pass(1003).await;
    assert_eq!(subject.pool.stats().creating, 1, "it is being paused");
    let lease = subject.acquire(&a).await.unwrap();
    assert_eq!(lease.origin(), Origin::waited(ms(9)));
    assert_eq!(subject.mock.tally().created, 1);
}

#[tokio::test(start_paused = true)]
async fn paused_sandboxes_are_evicted_and_expire_too() {
    let keep_alive = Box::new(FixedTtl(ms(3000)));
    let config = PoolConfig { pause_after: Some(ms(1000)), keep_alive, ..room(1) };
    let (subject, a, b) = (Subject::new(script(), config), action("a"), action("b"));
    subject.make_idle(&a).await;
    pass(1100).await;
    assert_eq!(subject.pool.stats().paused, 1);
    subject.make_idle(&b).await;
    assert_eq!(subject.pool.stats().evictions, 1);
    pass(3000).await;
    assert_eq!((subject.pool.stats().expirations, subject.pool.stats().memory), (1, 0));
    subject.assert_quiet();
}

#[tokio::test(start_paused = true)]
async fn warming_counts_what_is_paused_and_leaves_it_so() {
    let (subject, a) = (paused_after(1000), action("a"));
    subject.make_idle(&a).await;
    pass(1005).await;
    assert_eq!(subject.pool.warm(&a, "_", 2).await.unwrap(), 2);
    assert_eq!((subject.pool.stats().idle, subject.pool.stats().paused), (1, 1));
    assert_eq!((subject.mock.tally().created, subject.mock.tally().resumes), (2, 0));
}
