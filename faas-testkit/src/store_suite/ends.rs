//! How work ends: one record, in one step with what follows from it.

use std::sync::Arc;

use faas_core::store::{ActivationQuery, Claim, DeadLetter, FollowUp, JobState, Store};
use faas_core::{ErrorKind, Outcome, Record};

use super::made::{at, dead_letters, found, full_record, id, job, keep, number, record, refused, status};

/// `finish` writes the record, accepts the follow-up jobs and removes the job.
pub async fn finish_writes_accepts_and_removes(store: Arc<dyn Store>) {
    let claim = started(&*store, 1).await;
    store.finish(claim, full_record(1).into(), vec![job(2), job(3)].into()).await.unwrap();
    assert_eq!(store.activation(id(1)).await.unwrap(), Some(full_record(1).into()));
    assert_eq!(store.job(id(1)).await.unwrap(), None);
    assert_eq!(store.job(id(2)).await.unwrap(), status(job(2), JobState::Accepted, 0));
    assert_eq!(store.job(id(3)).await.unwrap(), status(job(3), JobState::Accepted, 0));
    assert_eq!(store.pending().await.unwrap(), 2);
}

/// A job that was claimed but never started can be finished too.
pub async fn a_claimed_job_can_be_finished(store: Arc<dyn Store>) {
    store.accept(vec![job(1)]).await.unwrap();
    let claim = store.claim(id(1)).await.unwrap();
    store.finish(claim, record(1).into(), FollowUp::default()).await.unwrap();
    assert_eq!(found(&*store, &ActivationQuery::default()).await, [1]);
}

/// A second finish is `Conflict`: the first record and its jobs stay alone.
pub async fn the_first_finish_wins(store: Arc<dyn Store>) {
    let claim = started(&*store, 1).await;
    store.finish(claim, record(1).into(), vec![job(2)].into()).await.unwrap();
    let late = || Record { outcome: Outcome::internal_error("late"), ..record(1) }.into();
    let conflict = Some(ErrorKind::Conflict);
    assert_eq!(refused(store.finish(claim, late(), vec![job(3)].into()).await), conflict);
    assert_eq!(refused(store.dead_letter(claim, late(), vec![job(3)].into()).await), conflict);
    assert_eq!(refused(store.retry(claim, at(9), Vec::new()).await), conflict);
    assert_eq!(refused(store.start(claim, Vec::new()).await), conflict);
    assert_eq!(store.activation(id(1)).await.unwrap(), Some(record(1).into()));
    assert_eq!(store.activations(&ActivationQuery::default()).await.unwrap().len(), 1);
    assert_eq!((store.pending().await.unwrap(), dead_letters(&*store).await.len()), (1, 0));
}

/// Of eight tasks that finish the same claim at once, one succeeds, with its follow-up job and no other.
pub async fn concurrent_finishes_let_one_win(store: Arc<dyn Store>) {
    let claim = started(&*store, 1).await;
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let store = Arc::clone(&store);
            let record = Record { billed_ms: task, ..record(1) }.into();
            let follow_up = vec![job(10 + task)].into();
            tokio::spawn(async move {
                let end = if task % 2 == 0 {
                    store.finish(claim, record, follow_up).await
                } else {
                    store.dead_letter(claim, record, follow_up).await
                };
                end.map(|()| task)
            })
        })
        .collect();
    let mut winners = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            Ok(winner) => winners.push(winner),
            Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict),
        }
    }
    let kept = store.activation(id(1)).await.unwrap().unwrap();
    assert_eq!(winners, [kept.billed_ms]);
    assert_eq!(store.pending().await.unwrap(), 1);
    assert!(store.job(id(10 + kept.billed_ms)).await.unwrap().is_some());
    assert_eq!(dead_letters(&*store).await.len(), usize::from(kept.billed_ms % 2 == 1));
}

/// A finish whose follow-up jobs are not all new is `AlreadyExists` and changes nothing.
pub async fn finish_takes_all_follow_up_jobs_or_nothing(store: Arc<dyn Store>) {
    let claim = started(&*store, 1).await;
    store.accept(vec![job(3)]).await.unwrap();
    keep(&*store, [record(4)]).await;
    let refusal = Some(ErrorKind::AlreadyExists);
    for known in [3, 4, 1] {
        let follow_up = || vec![job(2), job(known)].into();
        assert_eq!(refused(store.finish(claim, record(1).into(), follow_up()).await), refusal);
        assert_eq!(refused(store.dead_letter(claim, record(1).into(), follow_up()).await), refusal);
        assert_eq!(store.activation(id(1)).await.unwrap(), None, "with job {known}");
        assert_eq!(store.job(id(1)).await.unwrap(), status(job(1), JobState::Started, 1), "with job {known}");
        assert_eq!(store.job(id(2)).await.unwrap(), None, "with job {known}");
    }
    assert!(dead_letters(&*store).await.is_empty());
    store.finish(claim, record(1).into(), vec![job(2)].into()).await.unwrap();
}

/// A job cannot be ended with the record of another activation.
pub async fn finish_refuses_the_record_of_another_id(store: Arc<dyn Store>) {
    let claim = started(&*store, 1).await;
    let invalid = Some(ErrorKind::InvalidArgument);
    assert_eq!(refused(store.finish(claim, record(2).into(), FollowUp::default()).await), invalid);
    assert_eq!(refused(store.dead_letter(claim, record(2).into(), FollowUp::default()).await), invalid);
    assert!(found(&*store, &ActivationQuery::default()).await.is_empty());
    assert_eq!(store.job(id(1)).await.unwrap(), status(job(1), JobState::Started, 1));
}

/// A finished job is not accepted again.
pub async fn a_finished_job_is_not_accepted_again(store: Arc<dyn Store>) {
    for number in [1, 2] {
        let claim = started(&*store, number).await;
        if number == 1 {
            store.finish(claim, record(number).into(), FollowUp::default()).await.unwrap();
        } else {
            store.dead_letter(claim, record(number).into(), FollowUp::default()).await.unwrap();
        }
        assert_eq!(refused(store.accept(vec![job(number)]).await), Some(ErrorKind::AlreadyExists));
    }
    assert_eq!(store.pending().await.unwrap(), 0);
}

/// A dead letter ends the job like `finish`, and is kept with its record.
pub async fn a_dead_letter_keeps_job_and_record(store: Arc<dyn Store>) {
    let claim = started(&*store, 1).await;
    store.dead_letter(claim, full_record(1).into(), vec![job(2)].into()).await.unwrap();
    assert_eq!(dead_letters(&*store).await, [DeadLetter { job: job(1), record: full_record(1).into() }]);
    assert_eq!(store.activation(id(1)).await.unwrap(), Some(full_record(1).into()));
    assert_eq!(store.job(id(1)).await.unwrap(), None);
    assert_eq!(refused(store.claim(id(1)).await), Some(ErrorKind::NotFound));
    assert_eq!(store.pending().await.unwrap(), 1);
    assert!(store.job(id(2)).await.unwrap().is_some());
}

/// Dead letters are listed in the order in which they became some, as many as asked for.
pub async fn dead_letters_are_listed_oldest_first(store: Arc<dyn Store>) {
    assert!(dead_letters(&*store).await.is_empty());
    for number in [2, 3, 1] {
        let claim = started(&*store, number).await;
        store.dead_letter(claim, record(number).into(), FollowUp::default()).await.unwrap();
    }
    let listed = async |limit| {
        let query = ActivationQuery { limit: Some(limit), ..ActivationQuery::default() };
        let letters = store.dead_letters(&query).await.unwrap();
        letters.iter().map(|letter| number(letter.job.id)).collect::<Vec<_>>()
    };
    assert_eq!(listed(10).await, [2, 3, 1]);
    assert_eq!(listed(2).await, [2, 3]);
    assert!(listed(0).await.is_empty());
}

/// Jobs are pending from when they are accepted until they end.
pub async fn pending_counts_what_is_not_finished(store: Arc<dyn Store>) {
    assert_eq!(store.pending().await.unwrap(), 0);
    store.accept((1..=4).map(job).collect()).await.unwrap();
    let claims = [store.claim(id(1)).await.unwrap(), store.claim(id(2)).await.unwrap()];
    store.start(claims[1], Vec::new()).await.unwrap();
    assert_eq!(store.pending().await.unwrap(), 4);
    store.finish(claims[0], record(1).into(), FollowUp::default()).await.unwrap();
    assert_eq!(store.pending().await.unwrap(), 3);
    store.retry(claims[1], at(100), Vec::new()).await.unwrap();
    assert_eq!(store.pending().await.unwrap(), 3);
    let claim = store.claim(id(3)).await.unwrap();
    store.dead_letter(claim, record(3).into(), FollowUp::default()).await.unwrap();
    assert_eq!(store.pending().await.unwrap(), 2);
}

/// Who sees a follow-up job sees the record that it follows from, and who sees the record finds the job.
pub async fn records_and_what_follows_are_seen_together(store: Arc<dyn Store>) {
    const COUNT: u64 = 200;
    store.accept((0..COUNT / 2).map(job).collect()).await.unwrap();
    let writer = {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            for number in 0..COUNT {
                let (record, follow_up) = (record(number).into(), vec![job(COUNT + number)].into());
                if number < COUNT / 2 {
                    let claim = store.claim(id(number)).await.unwrap();
                    store.finish(claim, record, follow_up).await.unwrap();
                } else {
                    store.append(record, follow_up).await.unwrap();
                }
                tokio::task::yield_now().await;
            }
        })
    };
    let mut seen = 0;
    while seen < COUNT {
        if store.job(id(COUNT + seen)).await.unwrap().is_some() {
            assert!(store.activation(id(seen)).await.unwrap().is_some(), "job before record {seen}");
            seen += 1;
        } else if store.activation(id(seen)).await.unwrap().is_some() {
            // The record was written since the job was looked for.
            assert!(store.job(id(COUNT + seen)).await.unwrap().is_some(), "record before job {seen}");
        }
        tokio::task::yield_now().await;
    }
    writer.await.unwrap();
}

/// Accepts, claims and starts a job.
async fn started(store: &dyn Store, number: u64) -> Claim {
    store.accept(vec![job(number)]).await.unwrap();
    let claim = store.claim(id(number)).await.unwrap();
    store.start(claim, Vec::new()).await.unwrap();
    claim
}
