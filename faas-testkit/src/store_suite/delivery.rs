//! What delivery asks of a store: work that is begun at once, taken over, kept apart by keys, shared by namespaces.

use std::sync::Arc;

use faas_core::store::{Claim, Claimed, FollowUp, IdempotencyKey, Job, JobState, JobStatus, Store};
use faas_core::{Activation, ErrorKind, Namespace, Timestamp};

use super::MAX_JOBS;
use super::made::{at, attempt, dead_letters, found, id, job, keep, number, record, refused, status};

/// A job that its caller runs is claimed or started at once, and nobody else is given it.
pub async fn begin_accepts_claims_and_starts(store: Arc<dyn Store>) {
    let claim = store.begin(job(1), false).await.unwrap();
    assert_eq!(claim, Claim { id: id(1), attempt: 1 });
    assert_eq!(store.job(id(1)).await.unwrap(), status(job(1), JobState::Claimed, 1));
    let started = store.begin(job(2), true).await.unwrap();
    assert_eq!(store.job(id(2)).await.unwrap(), status(job(2), JobState::Started, 1));
    assert!(store.claim_next(at(100), 10).await.unwrap().is_empty());
    assert_eq!((store.pending().await.unwrap(), store.next_due().await.unwrap()), (2, None));
    store.start(claim, Vec::new()).await.unwrap();
    for claim in [claim, started] {
        store.finish(claim, record(number(claim.id)).into(), FollowUp::default()).await.unwrap();
    }
    assert_eq!(store.pending().await.unwrap(), 0);
}

/// A job that is queued or has a record is not begun.
pub async fn a_known_job_is_not_begun(store: Arc<dyn Store>) {
    store.accept(vec![job(1)]).await.unwrap();
    keep(&*store, [record(2)]).await;
    for known in [1, 2] {
        let error = store.begin(Job { depth: 9, ..job(known) }, true).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        assert!(error.to_string().contains(&id(known).to_string()), "the error names the id: {error}");
    }
    assert_eq!(store.job(id(1)).await.unwrap(), status(job(1), JobState::Accepted, 0));
}

/// A full queue takes what follows from accepted work, so that this can end, and refuses the rest until there is room:
/// that is `Overloaded`, and temporary.
pub async fn a_full_queue_refuses_new_work_and_takes_what_follows(store: Arc<dyn Store>) {
    let full = MAX_JOBS as u64;
    store.accept((1..=full).map(job).collect()).await.unwrap();
    let error = store.accept(vec![job(full + 1)]).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::Overloaded, true));
    assert_eq!(refused(store.begin(job(full + 1), true).await), Some(ErrorKind::Overloaded));
    assert_eq!(store.pending().await.unwrap(), full);
    let step = Job { cause: Some(id(1)), ..job(full + 1) };
    let step = store.begin(step, true).await.unwrap();
    store.append(record(full + 2).into(), vec![job(full + 3)].into()).await.unwrap();
    assert_eq!(store.pending().await.unwrap(), full + 2);
    store.finish(step, record(full + 1).into(), FollowUp::default()).await.unwrap();
    assert_eq!(refused(store.accept(vec![job(full + 4)]).await), Some(ErrorKind::Overloaded));
    for number in [1, 2] {
        let claim = store.claim(id(number)).await.unwrap();
        store.finish(claim, record(number).into(), FollowUp::default()).await.unwrap();
    }
    store.accept(vec![job(full + 4)]).await.unwrap();
}

/// Taking over puts claimed jobs back, and started ones as lost; what was fenced off stays so.
pub async fn take_over_ends_every_claim(store: Arc<dyn Store>) {
    store.accept(vec![job(1), job(2)]).await.unwrap();
    let claimed = store.claim(id(1)).await.unwrap();
    let started = store.begin(job(3), true).await.unwrap();
    assert_eq!(store.take_over().await.unwrap(), 2);
    assert_eq!(store.job(id(1)).await.unwrap(), status(job(1), JobState::Accepted, 1));
    assert_eq!(store.job(id(2)).await.unwrap(), status(job(2), JobState::Accepted, 0));
    assert_eq!(store.job(id(3)).await.unwrap(), status(job(3), JobState::Lost, 1));
    for claim in [claimed, started] {
        let conflict = Some(ErrorKind::Conflict);
        let done = || Activation::from(record(number(claim.id)));
        assert_eq!(refused(store.start(claim, Vec::new()).await), conflict, "{claim:?}");
        assert_eq!(refused(store.retry(claim, at(9), Vec::new()).await), conflict, "{claim:?}");
        assert_eq!(refused(store.finish(claim, done(), FollowUp::default()).await), conflict, "{claim:?}");
    }
    assert_eq!(store.take_over().await.unwrap(), 0);
    assert_eq!(store.pending().await.unwrap(), 3);
}

/// Who claims a job that was lost is told so, and what became of the attempts before.
pub async fn a_lost_job_is_claimed_with_its_past(store: Arc<dyn Store>) {
    let claim = store.begin(job(1), true).await.unwrap();
    store.start(claim, vec![attempt(1)]).await.unwrap();
    store.take_over().await.unwrap();
    let Claimed { job: given, claim, state, earlier, .. } =
        store.claim_next(at(100), 10).await.unwrap().pop().unwrap();
    assert_eq!((given, state, earlier), (job(1), JobState::Lost, vec![attempt(1)]));
    assert_eq!(claim.attempt, 2);
    let again = JobStatus { job: job(1), state: JobState::Started, attempt: 2, earlier: vec![attempt(1)] };
    assert_eq!(store.job(id(1)).await.unwrap(), Some(again));
    store.finish(claim, record(1).into(), FollowUp::default()).await.unwrap();
}

/// Who claims a lost job and is lost too, before anything was told of it, hides no attempt.
pub async fn a_lost_job_that_is_only_claimed_stays_lost(store: Arc<dyn Store>) {
    store.begin(job(1), true).await.unwrap();
    for attempt in 2..=3 {
        store.take_over().await.unwrap();
        assert_eq!(store.job(id(1)).await.unwrap(), status(job(1), JobState::Lost, attempt - 1));
        let claimed = store.claim_next(at(100), 1).await.unwrap().pop().unwrap();
        assert_eq!((claimed.state, claimed.claim.attempt), (JobState::Lost, attempt));
    }
    store.take_over().await.unwrap();
    let claim = store.claim(id(1)).await.unwrap();
    store.retry(claim, at(5), vec![attempt(1)]).await.unwrap();
    let claimed = store.claim_next(at(5), 1).await.unwrap().pop().unwrap();
    assert_eq!((claimed.state, claimed.earlier), (JobState::Accepted, vec![attempt(1)]));
}

/// A start may be told again by whoever holds the claim; the last one says what the earlier attempts were.
pub async fn a_start_may_be_repeated(store: Arc<dyn Store>) {
    let claim = store.begin(job(1), true).await.unwrap();
    store.start(claim, vec![attempt(1)]).await.unwrap();
    store.start(claim, vec![attempt(1), attempt(2)]).await.unwrap();
    let earlier = vec![attempt(1), attempt(2)];
    let started = JobStatus { job: job(1), state: JobState::Started, attempt: 1, earlier };
    assert_eq!(store.job(id(1)).await.unwrap(), Some(started));
}

/// What was told of attempts when a job was put back is told to whoever claims it next.
pub async fn retry_keeps_what_the_attempts_were(store: Arc<dyn Store>) {
    let claim = store.begin(job(1), true).await.unwrap();
    store.retry(claim, at(5), vec![attempt(3)]).await.unwrap();
    let again = store.claim_next(at(5), 1).await.unwrap().pop().unwrap();
    assert_eq!((again.state, again.earlier), (JobState::Accepted, vec![attempt(3)]));
}

/// The first time at which a job may run is told, also when it is over, and of no job that is claimed.
pub async fn the_next_time_is_that_of_the_first_unclaimed_job(store: Arc<dyn Store>) {
    assert_eq!(store.next_due().await.unwrap(), None);
    let later = |number, time| Job { not_before: at(time), ..job(number) };
    let elsewhere = Job { invoker: Some(Namespace::new("acme").unwrap()), ..later(3, 20) };
    store.accept(vec![later(1, 30), later(2, 10), elsewhere]).await.unwrap();
    assert_eq!(store.next_due().await.unwrap(), Some(at(10)));
    store.claim(id(2)).await.unwrap();
    assert_eq!(store.next_due().await.unwrap(), Some(at(20)));
    assert_eq!(store.claim_next(at(25), 10).await.unwrap().len(), 1);
    assert_eq!(store.next_due().await.unwrap(), Some(at(30)));
    let claim = store.claim(id(1)).await.unwrap();
    assert_eq!(store.next_due().await.unwrap(), None);
    store.retry(claim, at(40), Vec::new()).await.unwrap();
    assert_eq!(store.next_due().await.unwrap(), Some(at(40)));
}

/// Namespaces take turns, one job each, however many one of them has, and from one call to the next.
pub async fn namespaces_take_turns(store: Arc<dyn Store>) {
    let of = |number, namespace| Job { invoker: Some(Namespace::new(namespace).unwrap()), ..job(number) };
    store.accept((0..100).map(|number| of(number, "flood")).collect()).await.unwrap();
    store.accept(vec![of(200, "acme"), of(201, "acme"), of(300, "zeta")]).await.unwrap();
    let namespaces = async |limit| {
        let claimed = store.claim_next(at(1_000), limit).await.unwrap();
        claimed.iter().map(|claimed| claimed.job.namespace().to_owned()).collect::<Vec<_>>()
    };
    let mut turns = namespaces(4).await;
    turns.extend(namespaces(3).await);
    let count = |namespace: &str| turns.iter().filter(|turn| *turn == namespace).count();
    assert_eq!((count("acme"), count("zeta"), count("flood")), (2, 1, 4), "{turns:?}");
    let late = of(400, "acme");
    store.accept(vec![late]).await.unwrap();
    assert!(namespaces(2).await.contains(&"acme".to_owned()), "its turn came at once");
}

/// Namespaces take turns with jobs too that had to wait for their time, however many of one were due before another's.
pub async fn namespaces_take_turns_with_delayed_jobs(store: Arc<dyn Store>) {
    const FLOOD: u64 = 1_100;
    let delayed = |number, namespace, due| Job {
        invoker: Some(Namespace::new(namespace).unwrap()),
        accepted: at(0),
        not_before: at(due),
        ..job(number)
    };
    store.accept((1..=FLOOD).map(|number| delayed(number, "flood", number)).collect()).await.unwrap();
    store.accept(vec![delayed(2_001, "acme", 5_000), delayed(2_002, "zeta", 5_001)]).await.unwrap();
    store.accept(vec![delayed(2_003, "acme", 9_999)]).await.unwrap();
    let claim = async |limit| {
        let claimed = store.claim_next(at(6_000), limit).await.unwrap();
        claimed.iter().map(|claimed| number(claimed.job.id)).collect::<Vec<_>>()
    };
    let mut turns = claim(4).await;
    turns.sort_unstable();
    assert_eq!(turns, [1, 2, 2_001, 2_002]);
    let mut rest = Vec::new();
    while rest.len() < 1_098 {
        let more = claim(100).await;
        assert!(!more.is_empty(), "{} of them", rest.len());
        rest.extend(more);
    }
    assert_eq!(rest, (3..=FLOOD).collect::<Vec<_>>());
    assert_eq!(store.next_due().await.unwrap(), Some(at(9_999)));
}

/// A key stands for the job that was accepted with it, also after that ended, until its time is over.
pub async fn a_key_is_taken_until_its_time_is_over(store: Arc<dyn Store>) {
    let keyed = |number, until| keyed(number, "acme/greet/1", until);
    let lookup = async |seconds| store.keyed("acme/greet/1", at(seconds)).await.unwrap();
    assert_eq!(lookup(0).await, None);
    store.accept(vec![keyed(1, 60)]).await.unwrap();
    assert_eq!(lookup(59).await, Some(id(1)));
    assert_eq!(refused(store.accept(vec![keyed(2, 99)]).await), Some(ErrorKind::AlreadyExists));
    assert_eq!(refused(store.begin(keyed(3, 99), true).await), Some(ErrorKind::AlreadyExists));
    let claim = store.claim(id(1)).await.unwrap();
    store.finish(claim, record(1).into(), FollowUp::default()).await.unwrap();
    assert_eq!(refused(store.accept(vec![keyed(4, 99)]).await), Some(ErrorKind::AlreadyExists));
    assert_eq!((store.pending().await.unwrap(), lookup(59).await), (0, Some(id(1))));
    assert_eq!(lookup(60).await, None);
    store.accept(vec![keyed(60, 120)]).await.unwrap();
    assert_eq!(lookup(61).await, Some(id(60)));
}

/// Jobs of one call are refused when two have the same key, and other keys do not matter.
pub async fn keys_are_taken_all_or_none(store: Arc<dyn Store>) {
    let twice = vec![keyed(1, "a", 60), keyed(2, "b", 60), keyed(3, "a", 60)];
    assert_eq!(refused(store.accept(twice).await), Some(ErrorKind::AlreadyExists));
    assert_eq!(store.keyed("b", at(4)).await.unwrap(), None);
    assert_eq!(store.pending().await.unwrap(), 0);
    store.accept(vec![keyed(1, "a", 60), keyed(2, "b", 60)]).await.unwrap();
    assert_eq!(store.keyed("b", at(4)).await.unwrap(), Some(id(2)));
}

/// A job is found with its key and the rule that asked for it.
pub async fn a_job_keeps_its_key_and_rule(store: Arc<dyn Store>) {
    let full = Job { rule: Some("/guest/rule".parse().unwrap()), ..keyed(1, "nö \u{0}\u{1F680}", 60) };
    store.accept(vec![full.clone()]).await.unwrap();
    assert_eq!(store.job(id(1)).await.unwrap(), status(full, JobState::Accepted, 0));
}

/// Eight tasks that accept with one key at once get one job accepted.
pub async fn concurrent_jobs_of_one_key_let_one_win(store: Arc<dyn Store>) {
    let tasks: Vec<_> = (0..8)
        .map(|number| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { (number, store.accept(vec![keyed(number, "one", 60)]).await) })
        })
        .collect();
    let mut winners = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            (number, Ok(())) => winners.push(id(number)),
            (_, Err(error)) => assert_eq!(error.kind(), ErrorKind::AlreadyExists),
        }
    }
    assert_eq!((winners.len(), store.pending().await.unwrap()), (1, 1));
    assert_eq!(store.keyed("one", at(9)).await.unwrap(), winners.pop());
}

/// Records that follow are kept in the same step as the record; where one of them is known, nothing is.
pub async fn records_that_follow_are_kept_all_or_none(store: Arc<dyn Store>) {
    keep(&*store, [record(9)]).await;
    store.accept(vec![job(8)]).await.unwrap();
    let follow = |numbers: &[u64]| FollowUp {
        jobs: vec![job(2)],
        records: numbers.iter().map(|number| record(*number).into()).collect(),
        ..FollowUp::default()
    };
    for bad in [&[3, 9][..], &[3, 3], &[3, 1], &[3, 8], &[2]] {
        let appended = store.append(record(1).into(), follow(bad)).await;
        assert_eq!(refused(appended), Some(ErrorKind::AlreadyExists), "{bad:?}");
        assert_eq!(found(&*store, &Default::default()).await, [9], "{bad:?}");
        assert_eq!(store.pending().await.unwrap(), 1, "{bad:?}");
    }
    store.append(record(1).into(), follow(&[3, 4])).await.unwrap();
    let claim = store.begin(job(5), true).await.unwrap();
    let follow_up = FollowUp { jobs: vec![job(7)], records: vec![record(6).into()], ..FollowUp::default() };
    store.finish(claim, record(5).into(), follow_up).await.unwrap();
    assert_eq!(found(&*store, &Default::default()).await, [9, 6, 5, 4, 3, 1]);
    assert_eq!(store.pending().await.unwrap(), 3);
}

/// A dead letter is found by its id, and dropped without its record.
pub async fn a_dead_letter_is_found_and_dropped(store: Arc<dyn Store>) {
    bury(&*store, 1).await;
    bury(&*store, 2).await;
    let letter = store.find_dead_letter(id(1)).await.unwrap().unwrap();
    assert_eq!((letter.job, letter.record.id), (job(1), id(1)));
    assert_eq!(store.find_dead_letter(id(3)).await.unwrap(), None);
    store.drop_dead_letter(id(1)).await.unwrap();
    assert_eq!(store.find_dead_letter(id(1)).await.unwrap(), None);
    assert_eq!(dead_letters(&*store).await.len(), 1);
    assert!(store.activation(id(1)).await.unwrap().is_some(), "its record stays");
    assert_eq!(refused(store.drop_dead_letter(id(1)).await), Some(ErrorKind::NotFound));
}

/// A dead letter makes place for a new job in one step, once.
pub async fn redrive_puts_a_job_in_place_of_a_dead_letter(store: Arc<dyn Store>) {
    bury(&*store, 1).await;
    assert_eq!(refused(store.redrive(id(1), job(1)).await), Some(ErrorKind::AlreadyExists));
    assert_eq!(refused(store.redrive(id(7), job(2)).await), Some(ErrorKind::NotFound));
    assert_eq!((dead_letters(&*store).await.len(), store.pending().await.unwrap()), (1, 0));
    store.redrive(id(1), job(2)).await.unwrap();
    assert_eq!(store.job(id(2)).await.unwrap(), status(job(2), JobState::Accepted, 0));
    assert!(dead_letters(&*store).await.is_empty());
    assert_eq!(refused(store.redrive(id(1), job(3)).await), Some(ErrorKind::NotFound));
    assert_eq!(store.pending().await.unwrap(), 1);
}

/// A schedule has the position that was written last, until it is forgotten.
pub async fn a_schedule_keeps_its_last_position(store: Arc<dyn Store>) {
    let name = |name: &str| format!("/guest/{name}").parse().unwrap();
    assert!(store.schedules().await.unwrap().is_empty());
    let exact = Timestamp::from_nanos(at(5).nanos() + 1);
    for (schedule, position) in [("b", at(9)), ("a", at(1)), ("b", exact)] {
        store.put_schedule(&name(schedule), position).await.unwrap();
    }
    assert_eq!(store.schedules().await.unwrap(), [(name("a"), at(1)), (name("b"), exact)]);
    store.delete_schedule(&name("a")).await.unwrap();
    store.delete_schedule(&name("a")).await.unwrap();
    assert_eq!(store.schedules().await.unwrap(), [(name("b"), exact)]);
}

/// How far a schedule has come is written in the same step as the record of its tick, and not without it.
pub async fn a_schedule_comes_on_with_its_record(store: Arc<dyn Store>) {
    let schedule = |seconds| Some(("/guest/tick".parse().unwrap(), at(seconds)));
    let position = async || store.schedules().await.unwrap().first().map(|(_, position)| *position);
    let follow_up = |seconds| FollowUp { schedule: schedule(seconds), ..FollowUp::default() };
    store.append(record(1).into(), follow_up(1)).await.unwrap();
    assert_eq!(position().await, Some(at(1)));
    assert_eq!(refused(store.append(record(1).into(), follow_up(2)).await), Some(ErrorKind::AlreadyExists));
    assert_eq!(position().await, Some(at(1)));
    let claim = store.begin(job(2), true).await.unwrap();
    store.finish(claim, record(2).into(), follow_up(2)).await.unwrap();
    assert_eq!(position().await, Some(at(2)));
}

/// A job with a key.
fn keyed(number: u64, key: &str, until: u64) -> Job {
    Job { key: Some(IdempotencyKey { key: key.into(), until: at(until) }), ..job(number) }
}

/// Makes a dead letter.
async fn bury(store: &dyn Store, number: u64) {
    let claim = store.begin(job(number), true).await.unwrap();
    store.dead_letter(claim, record(number).into(), FollowUp::default()).await.unwrap();
}
