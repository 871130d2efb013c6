//! Whose jobs come next.

use faas_core::Namespace;
use faas_core::store::{Job, Store};
use faas_store_sqlite::SqliteStore;

use crate::made::{Folder, at, id, job};

#[tokio::test]
async fn a_due_job_is_come_to_behind_any_number_of_namespaces_that_wait() {
    let folder = Folder::new();
    let store = SqliteStore::open(folder.path()).unwrap();
    let delayed = |number: u64, namespace: u64, due| {
        let invoker = Some(Namespace::new(&format!("namespace-{namespace}")).unwrap());
        Job { invoker, not_before: at(due), ..job(number) }
    };
    store.accept((1..=2_500).map(|number| delayed(number, number, 9_000)).collect()).await.unwrap();
    // The last that is come to, and then the first.
    for (number, namespace) in [(2_501, 2_500), (2_502, 1)] {
        store.accept(vec![delayed(number, namespace, 5_000)]).await.unwrap();
        let mut calls = 1;
        let found = loop {
            let claimed = store.claim_next(at(6_000), 10).await.unwrap();
            if let Some(claimed) = claimed.into_iter().next() {
                break claimed.job.id;
            }
            assert!(store.next_due().await.unwrap().unwrap() <= at(6_000), "there is one to look for");
            calls += 1;
            assert!(calls <= 3, "all were gone to");
        };
        assert_eq!(found, id(number));
    }
    assert_eq!(store.next_due().await.unwrap(), Some(at(9_000)));
}
