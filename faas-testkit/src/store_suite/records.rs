//! Activation records: kept once, found, listed and counted.

use std::sync::Arc;

use faas_core::store::{ActivationQuery, Store};
use faas_core::{Activation, ErrorKind, Namespace, Record};

use super::made::{at, found, full_record, id, job, keep, number, record, record_of, refused};

/// A record is found by its id, with every field as it was.
pub async fn a_record_is_found_as_it_was_kept(store: Arc<dyn Store>) {
    keep(&*store, [full_record(1), record(2)]).await;
    assert_eq!(store.activation(id(1)).await.unwrap(), Some(full_record(1).into()));
    assert_eq!(store.activation(id(2)).await.unwrap(), Some(record(2).into()));
    assert_eq!(
        store.activations(&ActivationQuery::default()).await.unwrap().last(),
        Some(&full_record(1).into())
    );
}

/// An id without a record gives none, and no error.
pub async fn an_unknown_activation_is_none(store: Arc<dyn Store>) {
    keep(&*store, [record(1)]).await;
    assert_eq!(store.activation(id(2)).await.unwrap(), None);
    assert!(found(&*store, &query(|q| q.name = Some("other".into()))).await.is_empty());
}

/// A second record of an id is `AlreadyExists`, changes nothing, and its follow-up jobs are not accepted.
pub async fn a_record_is_kept_once(store: Arc<dyn Store>) {
    keep(&*store, [record(1)]).await;
    let second = Activation::from(Record { billed_ms: 77, start: at(9), ..record(1) });
    assert_eq!(refused(store.append(second, vec![job(2)].into()).await), Some(ErrorKind::AlreadyExists));
    assert_eq!(store.activation(id(1)).await.unwrap(), Some(record(1).into()));
    assert_eq!(store.activations(&ActivationQuery::default()).await.unwrap(), [record(1).into()]);
    assert_eq!(store.pending().await.unwrap(), 0);
}

/// Of eight tasks that append the same id at once, one succeeds.
pub async fn concurrent_appends_of_one_id_keep_one(store: Arc<dyn Store>) {
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let store = Arc::clone(&store);
            let record = Record { billed_ms: task, ..record(1) };
            tokio::spawn(async move {
                store.append(record.into(), vec![job(10 + task)].into()).await.map(|()| task)
            })
        })
        .collect();
    let mut winners = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            Ok(winner) => winners.push(winner),
            Err(error) => assert_eq!(error.kind(), ErrorKind::AlreadyExists),
        }
    }
    let kept = store.activation(id(1)).await.unwrap().unwrap();
    assert_eq!(winners, [kept.billed_ms]);
    assert_eq!(
        (store.pending().await.unwrap(), store.job(id(10 + kept.billed_ms)).await.unwrap().is_some()),
        (1, true)
    );
}

/// What many tasks append at once is all there.
pub async fn concurrent_appends_lose_nothing(store: Arc<dyn Store>) {
    let tasks: Vec<_> = (0..8_u64)
        .map(|task| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { keep(&*store, (0..25).map(|n| record(8 * n + task))).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(found(&*store, &ActivationQuery::default()).await, (0..200).rev().collect::<Vec<_>>());
}

/// Lists are ordered by start, whatever the order of arrival and of ids.
pub async fn lists_are_newest_first_by_start(store: Arc<dyn Store>) {
    let starts = [(1, 30), (2, 10), (3, 50), (4, 20), (5, 40)];
    keep(&*store, starts.map(|(number, start)| Record { start: at(start), ..record(number) })).await;
    assert_eq!(found(&*store, &ActivationQuery::default()).await, [3, 5, 1, 4, 2]);
}

/// Records that started at the same time are ordered by id, the greatest first.
pub async fn records_of_one_start_are_listed_by_id(store: Arc<dyn Store>) {
    keep(&*store, [3, 1, 4, 2].map(|number| Record { start: at(7), ..record(number) })).await;
    assert_eq!(found(&*store, &ActivationQuery::default()).await, [4, 3, 2, 1]);
}

/// A record that started exactly at `since` or `upto` is listed.
pub async fn since_and_upto_include_their_ends(store: Arc<dyn Store>) {
    keep(&*store, (1..=5).map(record)).await;
    assert_eq!(found(&*store, &query(|q| q.since = Some(at(4)))).await, [5, 4]);
    assert_eq!(found(&*store, &query(|q| q.upto = Some(at(2)))).await, [2, 1]);
    let both = |from, to| query(|q| (q.since, q.upto) = (Some(at(from)), Some(at(to))));
    assert_eq!(found(&*store, &both(2, 4)).await, [4, 3, 2]);
    assert_eq!(found(&*store, &both(3, 3)).await, [3]);
    assert!(found(&*store, &both(4, 2)).await.is_empty());
}

/// `since` and `upto` tell nanoseconds apart.
pub async fn since_and_upto_are_exact(store: Arc<dyn Store>) {
    let nano = |n| faas_core::Timestamp::from_nanos(at(1).nanos() + n);
    keep(&*store, (1..=3).map(|n| Record { start: nano(n), ..record(n) })).await;
    assert_eq!(found(&*store, &query(|q| q.since = Some(nano(2)))).await, [3, 2]);
    assert_eq!(found(&*store, &query(|q| q.upto = Some(nano(2)))).await, [2, 1]);
}

/// `skip` takes away the newest matches, `limit` bounds what is left.
pub async fn skip_comes_before_limit(store: Arc<dyn Store>) {
    keep(&*store, (1..=5).map(record)).await;
    let page = |skip, limit| query(move |q| (q.skip, q.limit) = (skip, limit));
    assert_eq!(found(&*store, &page(0, Some(2))).await, [5, 4]);
    assert_eq!(found(&*store, &page(1, Some(2))).await, [4, 3]);
    assert_eq!(found(&*store, &page(4, Some(2))).await, [1]);
    assert_eq!(found(&*store, &page(3, None)).await, [2, 1]);
    assert!(found(&*store, &page(5, Some(2))).await.is_empty());
    assert!(found(&*store, &page(0, Some(0))).await.is_empty());
    assert_eq!(found(&*store, &page(1, Some(usize::MAX))).await, [4, 3, 2, 1]);
}

/// A count is of all matches, whatever `skip` and `limit` say.
pub async fn counts_ignore_skip_and_limit(store: Arc<dyn Store>) {
    assert_eq!(store.count_activations(&ActivationQuery::default()).await.unwrap(), 0);
    keep(&*store, (1..=5).map(record)).await;
    let count = query(|q| (q.since, q.skip, q.limit) = (Some(at(2)), 3, Some(1)));
    assert_eq!(store.count_activations(&count).await.unwrap(), 4);
    assert_eq!(store.count_activations(&ActivationQuery::default()).await.unwrap(), 5);
}

/// A namespace finds what it invoked, of whomever the action is, and nothing else.
pub async fn a_namespace_finds_its_own_activations(store: Arc<dyn Store>) {
    let acme = Some(Namespace::new("acme").unwrap());
    keep(&*store, [record(1), Record { invoker: acme, ..record(2) }, record_of(3, "/acme/greet")]).await;
    let of = |namespace: &str| query(|q| q.namespace = Some(namespace.into()));
    assert_eq!(found(&*store, &of("guest")).await, [1]);
    assert_eq!(found(&*store, &of("acme")).await, [3, 2]);
    assert!(found(&*store, &of("gues")).await.is_empty());
    assert_eq!(store.count_activations(&of("acme")).await.unwrap(), 2);
}

/// A name with or without package finds the action in every namespace, and no name that merely contains it.
pub async fn a_name_finds_an_action_in_every_namespace(store: Arc<dyn Store>) {
    let names =
        ["/guest/greet", "/acme/greet", "/guest/orders/greet", "/guest/greeter", "/acme/orders/greet"];
    for (number, name) in (1..).zip(names) {
        keep(&*store, [record_of(number, name)]).await;
    }
    let of = |name: &str| query(|q| q.name = Some(name.into()));
    assert_eq!(found(&*store, &of("greet")).await, [2, 1]);
    assert_eq!(found(&*store, &of("orders/greet")).await, [5, 3]);
    assert_eq!(store.count_activations(&of("orders/greet")).await.unwrap(), 2);
}

/// All conditions of a query must hold, and a limit applies to what they leave.
pub async fn conditions_combine(store: Arc<dyn Store>) {
    let names = ["/guest/a", "/guest/b", "/acme/a"];
    keep(&*store, (0..30).map(|n| record_of(n, names[usize::try_from(n % 3).unwrap()]))).await;
    let mut asked = query(|q| {
        q.namespace = Some("guest".into());
        q.name = Some("b".into());
        (q.since, q.upto, q.limit) = (Some(at(10)), Some(at(19)), Some(2));
    });
    assert_eq!(found(&*store, &asked).await, [19, 16]);
    asked.skip = 2;
    assert_eq!(found(&*store, &asked).await, [13, 10]);
    assert_eq!(store.count_activations(&asked).await.unwrap(), 4);
}

/// A record and the jobs that follow from it are kept in one step.
pub async fn append_accepts_follow_up_jobs(store: Arc<dyn Store>) {
    store.append(record(1).into(), vec![job(2), job(3)].into()).await.unwrap();
    assert_eq!(store.pending().await.unwrap(), 2);
    let due = store.claim_next(at(100), 10).await.unwrap();
    assert_eq!(due.iter().map(|due| number(due.job.id)).collect::<Vec<_>>(), [2, 3]);
    assert!(store.activation(id(1)).await.unwrap().is_some());
}

/// A record is not kept when one of its follow-up jobs is not new, and none of them is accepted.
pub async fn append_takes_all_follow_up_jobs_or_nothing(store: Arc<dyn Store>) {
    store.accept(vec![job(3)]).await.unwrap();
    keep(&*store, [record(4)]).await;
    for known in [3, 4, 1] {
        let follow_up = vec![job(2), job(known)];
        assert_eq!(
            refused(store.append(record(1).into(), follow_up.into()).await),
            Some(ErrorKind::AlreadyExists)
        );
        assert_eq!(store.activation(id(1)).await.unwrap(), None, "with job {known}");
        assert_eq!(store.job(id(2)).await.unwrap(), None, "with job {known}");
    }
    assert_eq!(store.pending().await.unwrap(), 1);
    store.append(record(1).into(), vec![job(2)].into()).await.unwrap();
}

fn query(set: impl FnOnce(&mut ActivationQuery)) -> ActivationQuery {
    let mut query = ActivationQuery::default();
    set(&mut query);
    query
}
