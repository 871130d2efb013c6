//! What the conformance suite does not know: the bounds.

use std::sync::Arc;

use super::*;
use crate::activation::{ActionRevision, ActivationKind, Record, Version};
use crate::outcome::Outcome;
use crate::payload::Payload;
use crate::store::{SHARD_BITS, Work};
use crate::units::MemoryMib;

const SECOND: u64 = 1_000_000_000;

/// A record in shard `shard` that starts and ends at second `number`.
fn record_in(shard: u128, number: u64) -> Activation {
    let revision = ActionRevision {
        name: "greet".parse().unwrap(),
        version: Version::FIRST,
        kind: ActivationKind::Action,
        memory: MemoryMib::DEFAULT,
        backend: "local".into(),
    };
    let at = Timestamp::from_nanos(number * SECOND);
    let id = ActivationId::new(at, u128::from(number) << SHARD_BITS | shard);
    Activation::from(Record::without_run(id, Arc::new(revision), at, Outcome::success(Payload::empty())))
}

/// The record of a trigger that was fired from outside.
fn event_in(shard: u128, number: u64) -> Activation {
    let record = Record::clone(&record_in(shard, number));
    let revision =
        ActionRevision { kind: ActivationKind::Trigger, ..ActionRevision::clone(&record.revision) };
    Activation::from(Record { revision: Arc::new(revision), ..record })
}

fn job(number: u64) -> Job {
    Job {
        id: ActivationId::from_u128(number.into()),
        work: Work::Invoke("greet".parse().unwrap()),
        payload: Payload::empty(),
        invoker: None,
        cause: None,
        rule: None,
        depth: 0,
        accepted: Timestamp::default(),
        not_before: Timestamp::default(),
        key: None,
    }
}

async fn seconds(store: &MemoryStore) -> Vec<u64> {
    let records = store.activations(&ActivationQuery::default()).await.unwrap();
    records.iter().map(|record| record.start.nanos() / SECOND).collect()
}

#[tokio::test]
async fn a_small_store_keeps_exactly_the_newest_records_whatever_their_shard() {
    let store = MemoryStore::new().with_max_records(100).with_max_age(Duration::MAX);
    for number in 0..1_000 {
        store.append(record_in(u128::from(number) * 7, number), FollowUp::default()).await.unwrap();
        assert_eq!(store.count_activations(&ActivationQuery::default()).await.unwrap(), 100.min(number + 1));
    }
    assert_eq!(seconds(&store).await, (900..1_000).rev().collect::<Vec<_>>());
    assert_eq!(store.activation(record_in(899 * 7, 899).id).await.unwrap(), None);
    assert_eq!(store.activation(record_in(950 * 7, 950).id).await.unwrap(), Some(record_in(950 * 7, 950)));
}

#[tokio::test]
async fn a_store_that_keeps_nothing_still_answers() {
    let store = MemoryStore::new().with_max_records(0);
    store.append(record_in(0, 1), FollowUp::default()).await.unwrap();
    assert!(seconds(&store).await.is_empty());
}

#[tokio::test]
async fn one_shard_alone_keeps_the_newest_of_the_bound() {
    let max = 10_240;
    let store = MemoryStore::new().with_max_records(max).with_max_age(Duration::MAX);
    for number in 0..3 * max as u64 {
        store.append(record_in(5, number), FollowUp::default()).await.unwrap();
    }
    let kept = seconds(&store).await;
    assert!((max..max + 10).contains(&kept.len()), "{}", kept.len());
    assert!(kept.iter().zip((0..3 * max as u64).rev()).all(|(kept, expected)| *kept == expected));
}

#[tokio::test]
async fn uneven_shards_keep_15_of_16_and_never_more_than_18_of_16() {
    let max = 10_240_u32;
    let store = MemoryStore::new().with_max_records(max as usize).with_max_age(Duration::MAX);
    let mut rng = fastrand::Rng::with_seed(1);
    let total = u64::from(4 * max);
    for number in 0..total {
        // Most go to a few shards; some shards get a record now and then only.
        let shard = u128::from(rng.u8(0..64).min(rng.u8(0..64)).min(rng.u8(0..64)));
        store.append(record_in(shard, number), FollowUp::default()).await.unwrap();
        if number % 512 == 0 {
            let kept = store.count_activations(&ActivationQuery::default()).await.unwrap();
            assert!(kept <= u64::from(max + max / 8), "{kept} after {number}");
        }
    }
    let kept = seconds(&store).await;
    let sure = (max - max / 16) as usize;
    assert!(kept.len() >= sure, "{}", kept.len());
    assert!(kept.iter().zip((0..total).rev()).take(sure).all(|(kept, expected)| *kept == expected));
}

#[tokio::test]
async fn records_are_dropped_when_a_newer_one_ends_too_long_after_them() {
    let store = MemoryStore::new().with_max_age(Duration::from_secs(16));
    for number in 0..100 {
        store.append(record_in(u128::from(number), number), FollowUp::default()).await.unwrap();
    }
    assert_eq!(seconds(&store).await, (83..100).rev().collect::<Vec<_>>());
    store.append(record_in(0, 1_000), FollowUp::default()).await.unwrap();
    assert_eq!(seconds(&store).await, [1_000]);
    // A clock that jumps back makes nothing old.
    store.append(record_in(0, 500), FollowUp::default()).await.unwrap();
    assert_eq!(seconds(&store).await, [1_000, 500]);
}

#[tokio::test]
async fn an_id_whose_record_was_dropped_is_new_again() {
    let store = MemoryStore::new().with_max_records(1);
    let first = record_in(0, 1);
    store.append(first.clone(), FollowUp::default()).await.unwrap();
    assert_eq!(
        store.append(first.clone(), FollowUp::default()).await.unwrap_err().kind(),
        ErrorKind::AlreadyExists
    );
    store.append(record_in(0, 2), FollowUp::default()).await.unwrap();
    store.append(first, FollowUp::default()).await.unwrap();
    assert_eq!(seconds(&store).await, [1]);
}

#[tokio::test]
async fn a_full_queue_refuses_new_work_but_takes_what_follows_from_old() {
    let store = MemoryStore::new().with_max_jobs(2);
    store.accept(vec![job(1)]).await.unwrap();
    let error = store.accept(vec![job(2), job(3)]).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Overloaded, true));
    assert!(error.to_string().contains("1 of 2 jobs, 2 more"), "{error}");
    store.accept(vec![job(2)]).await.unwrap();
    store.append(record_in(0, 9), vec![job(3), job(4)].into()).await.unwrap();
    assert_eq!(store.pending().await.unwrap(), 4);
    let event = event_in(0, 8);
    let error = store.append(event.clone(), vec![job(5)].into()).await.unwrap_err();
    assert_eq!((error.kind(), store.activation(event.id).await.unwrap()), (ErrorKind::Overloaded, None));
    store.append(event, FollowUp::default()).await.unwrap();
    let error = store.begin(job(5), true).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Overloaded);
    store.begin(Job { cause: Some(job(1).id), ..job(5) }, true).await.unwrap();
    assert_eq!(store.pending().await.unwrap(), 5);
}

#[tokio::test]
async fn dead_letters_are_bounded_too() {
    let store = MemoryStore::new().with_max_records(2);
    for number in 1..=3 {
        let record = record_in(0, number);
        store.accept(vec![Job { id: record.id, ..job(0) }]).await.unwrap();
        let claim = store.claim(record.id).await.unwrap();
        store.dead_letter(claim, record, FollowUp::default()).await.unwrap();
    }
    let ids = |dead: Vec<DeadLetter>| dead.iter().map(|letter| letter.job.id).collect::<Vec<_>>();
    let expected = [record_in(0, 2).id, record_in(0, 3).id];
    assert_eq!(ids(store.dead_letters(&ActivationQuery::default()).await.unwrap()), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn appends_of_many_threads_are_all_there() {
    let store = Arc::new(MemoryStore::new().with_max_records(32_768));
    let tasks: Vec<_> = (0..4_u64)
        .map(|task| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for number in 0..5_000 {
                    let number = number * 4 + task;
                    store.append(record_in(u128::from(task), number), FollowUp::default()).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(seconds(&store).await, (0..20_000).rev().collect::<Vec<_>>());
}

#[tokio::test]
async fn a_shard_that_fell_silent_makes_room_for_the_others() {
    let max = 2_048;
    let store = MemoryStore::new().with_max_records(max).with_max_age(Duration::MAX);
    for number in 0..max as u64 {
        store.append(record_in(1, number), FollowUp::default()).await.unwrap();
    }
    for number in max as u64..3 * max as u64 {
        store.append(record_in(2, number), FollowUp::default()).await.unwrap();
    }
    let kept = seconds(&store).await;
    assert!(kept.len() <= max + max / 8, "{}", kept.len());
    assert!(kept.iter().zip((0..3 * max as u64).rev()).take(max).all(|(kept, expected)| *kept == expected));
    // What is left of the silent shard is within the slack.
    assert!(kept.iter().filter(|second| **second < max as u64).count() <= max / 16);
}
