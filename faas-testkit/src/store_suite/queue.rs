//! Work before it ends: accepted, claimed, fenced, started, put back.

use std::sync::Arc;

use faas_core::store::{Claim, Claimed, FollowUp, Job, JobState, Store, Work};
use faas_core::{ErrorKind, Namespace};

use super::made::{at, dead_letters, id, job, keep, number, record, refused, status};

/// An accepted job is found with every field as it was, and no attempt yet.
pub async fn an_accepted_job_is_found_as_it_was(store: Arc<dyn Store>) {
    let full = Job {
        work: Work::Fire("/guest/orders/quake".parse().unwrap()),
        invoker: Some(Namespace::new("acme").unwrap()),
        cause: Some(id(7)),
        depth: 3,
        not_before: at(50),
        ..job(1)
    };
    store.accept(vec![full.clone(), job(2)]).await.unwrap();
    assert_eq!(store.job(id(1)).await.unwrap(), status(full, JobState::Accepted, 0));
    assert_eq!(store.job(id(2)).await.unwrap(), status(job(2), JobState::Accepted, 0));
    assert_eq!(store.job(id(3)).await.unwrap(), None);
}

/// A job that is queued, in whatever state, is not accepted again: that is `AlreadyExists`, and changes nothing.
pub async fn a_job_is_accepted_once(store: Arc<dyn Store>) {
    store.accept(vec![job(1)]).await.unwrap();
    let again = || async { refused(store.accept(vec![Job { depth: 9, ..job(1) }]).await) };
    assert_eq!(again().await, Some(ErrorKind::AlreadyExists));
    let claim = store.claim(id(1)).await.unwrap();
    assert_eq!(again().await, Some(ErrorKind::AlreadyExists));
    store.start(claim, Vec::new()).await.unwrap();
    assert_eq!(again().await, Some(ErrorKind::AlreadyExists));
    assert_eq!(store.job(id(1)).await.unwrap(), status(job(1), JobState::Started, 1));
    assert_eq!(store.pending().await.unwrap(), 1);
}

/// A job whose id has a record is not accepted: it has been run.
pub async fn a_job_with_a_record_is_not_accepted(store: Arc<dyn Store>) {
    keep(&*store, [record(1)]).await;
    let error = store.accept(vec![job(1)]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
    assert!(error.to_string().contains(&id(1).to_string()), "the error names the id: {error}");
    assert_eq!(store.pending().await.unwrap(), 0);
}

/// Jobs are accepted all or none.
pub async fn accept_takes_all_jobs_or_none(store: Arc<dyn Store>) {
    store.accept(vec![job(1)]).await.unwrap();
    keep(&*store, [record(2)]).await;
    for batch in [vec![job(3), job(1)], vec![job(3), job(2), job(4)], vec![job(3), job(4), job(3)]] {
        assert_eq!(refused(store.accept(batch).await), Some(ErrorKind::AlreadyExists));
        assert_eq!(store.job(id(3)).await.unwrap(), None);
        assert_eq!(store.job(id(4)).await.unwrap(), None);
    }
    store.accept(Vec::new()).await.unwrap();
    store.accept(vec![job(3), job(4)]).await.unwrap();
    assert_eq!(store.pending().await.unwrap(), 3);
}

/// Claims are numbered from 1, and make the job claimed.
pub async fn a_claim_gives_the_next_attempt(store: Arc<dyn Store>) {
    store.accept(vec![job(1)]).await.unwrap();
    for attempt in 1..=3 {
        assert_eq!(store.claim(id(1)).await.unwrap(), Claim { id: id(1), attempt });
        assert_eq!(store.job(id(1)).await.unwrap(), status(job(1), JobState::Claimed, attempt));
    }
}

/// A job that was never accepted, or is finished, cannot be claimed: that is `NotFound`.
pub async fn only_a_waiting_or_running_job_is_claimed(store: Arc<dyn Store>) {
    store.accept(vec![job(1)]).await.unwrap();
    assert_eq!(refused(store.claim(id(2)).await), Some(ErrorKind::NotFound));
    let claim = store.claim(id(1)).await.unwrap();
    store.finish(claim, record(1).into(), FollowUp::default()).await.unwrap();
    assert_eq!(refused(store.claim(id(1)).await), Some(ErrorKind::NotFound));
}

/// A job is started by whoever holds its claim.
pub async fn start_makes_a_job_started(store: Arc<dyn Store>) {
    store.accept(vec![job(1)]).await.unwrap();
    let claim = store.claim(id(1)).await.unwrap();
    store.start(claim, Vec::new()).await.unwrap();
    assert_eq!(store.job(id(1)).await.unwrap(), status(job(1), JobState::Started, 1));
    assert_eq!(store.pending().await.unwrap(), 1);
}

/// A job whose owner is lost can be claimed again after it started.
pub async fn a_started_job_can_be_claimed_again(store: Arc<dyn Store>) {
    store.accept(vec![job(1)]).await.unwrap();
    let lost = store.claim(id(1)).await.unwrap();
    store.start(lost, Vec::new()).await.unwrap();
    let claim = store.claim(id(1)).await.unwrap();
    assert_eq!(claim.attempt, 2);
    assert_eq!(store.job(id(1)).await.unwrap(), status(job(1), JobState::Started, 2));
    store.start(claim, Vec::new()).await.unwrap();
    store.finish(claim, record(1).into(), FollowUp::default()).await.unwrap();
}

/// A later claim fences the earlier one off: it can do nothing any more, and changes nothing.
pub async fn a_later_claim_fences_the_earlier_one_off(store: Arc<dyn Store>) {
    store.accept(vec![job(1)]).await.unwrap();
    let earlier = store.claim(id(1)).await.unwrap();
    let later = store.claim(id(1)).await.unwrap();
    let conflict = Some(ErrorKind::Conflict);
    assert_eq!(refused(store.start(earlier, Vec::new()).await), conflict);
    assert_eq!(refused(store.retry(earlier, at(9), Vec::new()).await), conflict);
    assert_eq!(refused(store.finish(earlier, record(1).into(), vec![job(2)].into()).await), conflict);
    assert_eq!(refused(store.dead_letter(earlier, record(1).into(), vec![job(2)].into()).await), conflict);
    assert_eq!(store.job(id(1)).await.unwrap(), status(job(1), JobState::Claimed, 2));
    assert_eq!(store.activation(id(1)).await.unwrap(), None);
    assert_eq!((store.pending().await.unwrap(), dead_letters(&*store).await.len()), (1, 0));
    store.start(later, Vec::new()).await.unwrap();
    store.finish(later, record(1).into(), FollowUp::default()).await.unwrap();
}

/// Claims of jobs that nobody accepted, and attempts that nobody made, are `Conflict`.
pub async fn a_claim_that_was_never_given_is_a_conflict(store: Arc<dyn Store>) {
    store.accept(vec![job(1)]).await.unwrap();
    let unclaimed = Claim { id: id(1), attempt: 0 };
    store.claim(id(1)).await.unwrap();
    for claim in [unclaimed, Claim { id: id(1), attempt: 2 }, Claim { id: id(2), attempt: 1 }] {
        assert_eq!(refused(store.start(claim, Vec::new()).await), Some(ErrorKind::Conflict), "{claim:?}");
        let done = record(number(claim.id)).into();
        assert_eq!(
            refused(store.finish(claim, done, FollowUp::default()).await),
            Some(ErrorKind::Conflict),
            "{claim:?}"
        );
    }
}

/// Jobs come by the time from which they may run, then by when they were accepted, then by id.
pub async fn due_jobs_come_oldest_first(store: Arc<dyn Store>) {
    let due = |number, accepted, not_before| Job {
        accepted: at(accepted),
        not_before: at(not_before),
        ..job(number)
    };
    let jobs = vec![due(1, 3, 30), due(2, 5, 10), due(3, 4, 10), due(5, 4, 10), due(4, 4, 10), due(6, 1, 20)];
    store.accept(jobs).await.unwrap();
    assert_eq!(claimed(&*store, 100, 10).await, [3, 4, 5, 2, 6, 1]);
}

/// A job is given from its time on, and not a moment before.
pub async fn a_job_waits_for_its_time(store: Arc<dyn Store>) {
    store.accept(vec![Job { not_before: at(10), ..job(1) }]).await.unwrap();
    let before = faas_core::Timestamp::from_nanos(at(10).nanos() - 1);
    assert!(store.claim_next(before, 10).await.unwrap().is_empty());
    assert_eq!(store.job(id(1)).await.unwrap().unwrap().attempt, 0, "looking is no attempt");
    assert_eq!(claimed(&*store, 10, 10).await, [1]);
}

/// A job that was accepted to run at once may run even if the clock was set back since, also when it is put back as it
/// came, or its owner is lost; one that is to run later may not.
pub async fn a_job_without_delay_runs_whatever_the_clock_says(store: Arc<dyn Store>) {
    const DAY: u64 = 86_400;
    let later = Job { not_before: at(DAY + 9), ..job(DAY + 1) };
    store.accept(vec![job(DAY), later]).await.unwrap();
    assert!(store.next_due().await.unwrap().is_some_and(|due| due <= at(0)), "it may run at once");
    let given = store.claim_next(at(0), 10).await.unwrap();
    assert_eq!(given.iter().map(|claimed| number(claimed.job.id)).collect::<Vec<_>>(), [DAY]);
    assert_eq!(store.next_due().await.unwrap(), Some(at(DAY + 9)));
    store.retry(given[0].claim, at(DAY), Vec::new()).await.unwrap();
    assert!(store.next_due().await.unwrap().is_some_and(|due| due <= at(0)), "it is as it came");
    assert_eq!(claimed(&*store, 0, 10).await, [DAY]);
    store.take_over().await.unwrap();
    let again = store.claim_next(at(0), 10).await.unwrap().pop().unwrap();
    assert_eq!(again.job, job(DAY));
    store.retry(again.claim, at(5), Vec::new()).await.unwrap();
    assert!(claimed(&*store, 4, 10).await.is_empty());
    assert_eq!(claimed(&*store, 5, 10).await, [DAY]);
}

/// What is claimed or started is not given to anybody else.
pub async fn due_jobs_are_given_once(store: Arc<dyn Store>) {
    store.accept((1..=4).map(job).collect()).await.unwrap();
    store.claim(id(2)).await.unwrap();
    let claim = store.claim(id(3)).await.unwrap();
    store.start(claim, Vec::new()).await.unwrap();
    assert_eq!(claimed(&*store, 100, 10).await, [1, 4]);
    assert!(claimed(&*store, 100, 10).await.is_empty());
    assert_eq!(store.pending().await.unwrap(), 4);
}

/// No more jobs are claimed than asked for.
pub async fn claim_next_keeps_to_its_limit(store: Arc<dyn Store>) {
    store.accept((1..=5).map(job).collect()).await.unwrap();
    assert!(claimed(&*store, 100, 0).await.is_empty());
    assert_eq!(claimed(&*store, 100, 2).await, [1, 2]);
    assert_eq!(claimed(&*store, 100, 2).await, [3, 4]);
    assert_eq!(store.job(id(5)).await.unwrap(), status(job(5), JobState::Accepted, 0));
    assert_eq!(claimed(&*store, 100, 2).await, [5]);
}

/// A claim of `claim_next` is worth as much as one by id.
pub async fn a_claim_by_time_can_start_and_finish(store: Arc<dyn Store>) {
    store.accept(vec![job(1)]).await.unwrap();
    let Claimed { job: given, claim, state, earlier, damage } =
        store.claim_next(at(100), 1).await.unwrap().pop().unwrap();
    assert_eq!((given, claim), (job(1), Claim { id: id(1), attempt: 1 }));
    assert_eq!((state, earlier, damage), (JobState::Accepted, Vec::new(), None));
    assert_eq!(store.job(id(1)).await.unwrap(), status(job(1), JobState::Claimed, 1));
    store.start(claim, Vec::new()).await.unwrap();
    store.finish(claim, record(1).into(), FollowUp::default()).await.unwrap();
    assert_eq!(store.pending().await.unwrap(), 0);
}

/// Eight tasks that claim at once share no job, and leave none.
pub async fn concurrent_claims_share_no_job(store: Arc<dyn Store>) {
    store.accept((0..100).map(job).collect()).await.unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let mut mine = Vec::new();
                loop {
                    let some = claimed(&*store, 1_000, 3).await;
                    if some.is_empty() {
                        return mine;
                    }
                    mine.extend(some);
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    all.sort_unstable();
    assert_eq!(all, (0..100).collect::<Vec<_>>());
}

/// A job that is put back waits for its new time; its next claim goes on counting.
pub async fn retry_puts_a_job_back_until_its_time(store: Arc<dyn Store>) {
    store.accept(vec![job(1), job(2)]).await.unwrap();
    let claim = store.claim(id(1)).await.unwrap();
    store.start(claim, Vec::new()).await.unwrap();
    store.retry(claim, at(60), Vec::new()).await.unwrap();
    let put_back = Job { not_before: at(60), ..job(1) };
    assert_eq!(store.job(id(1)).await.unwrap(), status(put_back.clone(), JobState::Accepted, 1));
    assert_eq!(claimed(&*store, 59, 10).await, [2]);
    let again = store.claim_next(at(60), 10).await.unwrap().pop().unwrap();
    assert_eq!((again.job, again.claim), (put_back, Claim { id: id(1), attempt: 2 }));
}

/// Who put a job back has no claim on it any more.
pub async fn retry_ends_the_claim(store: Arc<dyn Store>) {
    store.accept(vec![job(1)]).await.unwrap();
    let claim = store.claim(id(1)).await.unwrap();
    store.retry(claim, at(5), Vec::new()).await.unwrap();
    let conflict = Some(ErrorKind::Conflict);
    assert_eq!(refused(store.start(claim, Vec::new()).await), conflict);
    assert_eq!(refused(store.retry(claim, at(6), Vec::new()).await), conflict);
    assert_eq!(refused(store.finish(claim, record(1).into(), FollowUp::default()).await), conflict);
    assert_eq!(store.activation(id(1)).await.unwrap(), None);
    assert_eq!(claimed(&*store, 5, 1).await, [1]);
}

/// The numbers of the jobs that `claim_next` gives.
async fn claimed(store: &dyn Store, seconds: u64, limit: usize) -> Vec<u64> {
    let jobs = store.claim_next(at(seconds), limit).await.unwrap();
    jobs.iter().map(|claimed| number(claimed.job.id)).collect()
}
