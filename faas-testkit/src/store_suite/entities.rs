//! Entities: one key space, compare-and-set, revisions that only grow.

use std::sync::Arc;

use faas_core::ErrorKind;
use faas_core::store::{Entity, EntityKind, Expect, Revision, Store};
use serde_json::json;

use super::made::{at, create, encoded, entity, refused};

const KINDS: [EntityKind; 5] =
    [EntityKind::Action, EntityKind::Sequence, EntityKind::Trigger, EntityKind::Rule, EntityKind::Package];

/// An entity is found by its name, with every field as it was and the revision that its write was told.
pub async fn an_entity_is_found_as_it_was_written(store: Arc<dyn Store>) {
    for (n, kind) in (1..).zip(KINDS) {
        let written = Entity {
            version: faas_core::Version(1, 2, n),
            updated: at(n.into()),
            body: encoded(&json!({ "deep": [{ "n": n }, null, "nö"], "big": u64::MAX, "half": 0.5 })),
            ..entity(kind, &format!("entity{n}"))
        };
        let revision = create(&*store, written.clone()).await;
        let found = store.entity(&written.name).await.unwrap();
        assert_eq!(found, Some(Entity { revision, ..written }));
    }
}

/// A name without an entity gives none, and no error.
pub async fn an_unknown_entity_is_none(store: Arc<dyn Store>) {
    create(&*store, entity(EntityKind::Action, "greet")).await;
    for name in ["/guest/gree", "/acme/greet", "/guest/greet/greet"] {
        assert_eq!(store.entity(&name.parse().unwrap()).await.unwrap(), None, "{name}");
    }
}

/// The revision that an entity comes with is ignored.
pub async fn the_store_gives_the_revision(store: Arc<dyn Store>) {
    let greet = Entity { revision: Revision(u64::MAX), ..entity(EntityKind::Action, "greet") };
    let revision = create(&*store, greet.clone()).await;
    assert_ne!(revision, Revision(u64::MAX));
    assert_eq!(store.entity(&greet.name).await.unwrap().unwrap().revision, revision);
}

/// A name that belongs to an entity of one kind cannot be written as another, whatever is expected.
pub async fn a_name_belongs_to_one_kind(store: Arc<dyn Store>) {
    let action = entity(EntityKind::Action, "greet");
    let revision = create(&*store, action.clone()).await;
    for kind in &KINDS[1..] {
        for expect in [Expect::Absent, Expect::Any, Expect::Revision(revision)] {
            let other = entity(*kind, "greet");
            assert_eq!(refused(store.put_entity(other, expect).await), Some(ErrorKind::AlreadyExists));
        }
    }
    assert_eq!(store.entity(&action.name).await.unwrap(), Some(Entity { revision, ..action }));
}

/// The same last segment in another package or namespace is another name.
pub async fn packages_and_namespaces_keep_names_apart(store: Arc<dyn Store>) {
    let names = ["/guest/greet", "/guest/orders/greet", "/acme/greet", "/acme/orders/greet"];
    for (kind, name) in KINDS.into_iter().zip(names) {
        create(&*store, Entity { name: name.parse().unwrap(), ..entity(kind, "greet") }).await;
    }
    for (kind, name) in KINDS.into_iter().zip(names) {
        assert_eq!(store.entity(&name.parse().unwrap()).await.unwrap().unwrap().kind, kind, "{name}");
    }
}

/// Creating what exists is `AlreadyExists` and changes nothing.
pub async fn creating_what_exists_is_refused(store: Arc<dyn Store>) {
    let greet = entity(EntityKind::Action, "greet");
    let revision = create(&*store, greet.clone()).await;
    let second = Entity { body: encoded(&json!({ "second": true })), ..greet.clone() };
    assert_eq!(refused(store.put_entity(second, Expect::Absent).await), Some(ErrorKind::AlreadyExists));
    assert_eq!(store.entity(&greet.name).await.unwrap(), Some(Entity { revision, ..greet }));
}

/// Updating what does not exist is `NotFound` and creates nothing.
pub async fn updating_what_is_missing_is_not_found(store: Arc<dyn Store>) {
    let greet = entity(EntityKind::Action, "greet");
    let update = store.put_entity(greet.clone(), Expect::Revision(Revision(1))).await;
    assert_eq!(refused(update), Some(ErrorKind::NotFound));
    assert_eq!(store.entity(&greet.name).await.unwrap(), None);
}

/// Updating from another revision is `Conflict` and changes nothing.
pub async fn updating_another_revision_is_a_conflict(store: Arc<dyn Store>) {
    let greet = entity(EntityKind::Action, "greet");
    let first = create(&*store, greet.clone()).await;
    let updated = Entity { body: encoded(&json!({ "n": 2 })), ..greet.clone() };
    let second = store.put_entity(updated.clone(), Expect::Revision(first)).await.unwrap();
    for stale in [first, Revision(second.0 + 1)] {
        let late = Entity { body: encoded(&json!({ "n": 3 })), ..greet.clone() };
        assert_eq!(refused(store.put_entity(late, Expect::Revision(stale)).await), Some(ErrorKind::Conflict));
    }
    assert_eq!(store.entity(&greet.name).await.unwrap(), Some(Entity { revision: second, ..updated }));
}

/// A write that expects anything creates what is missing and updates what is there.
pub async fn any_creates_and_updates(store: Arc<dyn Store>) {
    let greet = entity(EntityKind::Action, "greet");
    store.put_entity(greet.clone(), Expect::Any).await.unwrap();
    let updated = Entity { body: encoded(&json!({ "n": 2 })), ..greet };
    let revision = store.put_entity(updated.clone(), Expect::Any).await.unwrap();
    assert_eq!(store.entity(&updated.name).await.unwrap(), Some(Entity { revision, ..updated }));
}

/// Each write gets a greater revision, whatever entity it is of, and also after a deletion.
pub async fn revisions_increase_across_deletion(store: Arc<dyn Store>) {
    let mut revisions = Vec::new();
    for _ in 0..3 {
        for name in ["a", "b"] {
            revisions.push(create(&*store, entity(EntityKind::Action, name)).await);
            revisions.push(store.put_entity(entity(EntityKind::Action, name), Expect::Any).await.unwrap());
        }
        for name in ["b", "a"] {
            store.delete_entity(&entity(EntityKind::Action, name).name, Expect::Any).await.unwrap();
        }
    }
    assert!(revisions.is_sorted_by(|a, b| a < b), "{revisions:?}");
}

/// A list has the entities of the kind in the namespace, packages included, by name.
pub async fn entities_are_listed_by_kind_and_namespace_in_order(store: Arc<dyn Store>) {
    let action = |name: &str| Entity { name: name.parse().unwrap(), ..entity(EntityKind::Action, "any") };
    for name in ["/guest/c", "/guest/a", "/guest/b/z", "/guest/b/a", "/acme/a", "/guest2/a"] {
        create(&*store, action(name)).await;
    }
    create(&*store, entity(EntityKind::Trigger, "b")).await;
    let names = async |kind, namespace: &str| {
        let list = store.entities(kind, namespace).await.unwrap();
        list.iter().map(|entity| entity.name.as_str().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(EntityKind::Action, "guest").await, ["guest/a", "guest/b/a", "guest/b/z", "guest/c"]);
    assert_eq!(names(EntityKind::Action, "acme").await, ["acme/a"]);
    assert_eq!(names(EntityKind::Trigger, "guest").await, ["guest/b"]);
    assert!(names(EntityKind::Rule, "guest").await.is_empty());
    assert!(names(EntityKind::Action, "gues").await.is_empty());
}

/// A deleted entity is found no more, and deleting it again is `NotFound`.
pub async fn a_deleted_entity_is_gone(store: Arc<dyn Store>) {
    let greet = entity(EntityKind::Action, "greet");
    let revision = create(&*store, greet.clone()).await;
    create(&*store, entity(EntityKind::Action, "other")).await;
    store.delete_entity(&greet.name, Expect::Revision(revision)).await.unwrap();
    assert_eq!(store.entity(&greet.name).await.unwrap(), None);
    assert_eq!(store.entities(EntityKind::Action, "guest").await.unwrap().len(), 1);
    for expect in [Expect::Any, Expect::Revision(revision)] {
        assert_eq!(refused(store.delete_entity(&greet.name, expect).await), Some(ErrorKind::NotFound));
    }
}

/// Deleting from another revision is `Conflict`, and the entity stays.
pub async fn deleting_another_revision_is_a_conflict(store: Arc<dyn Store>) {
    let greet = entity(EntityKind::Action, "greet");
    let first = create(&*store, greet.clone()).await;
    store.put_entity(greet.clone(), Expect::Any).await.unwrap();
    let deletion = store.delete_entity(&greet.name, Expect::Revision(first)).await;
    assert_eq!(refused(deletion), Some(ErrorKind::Conflict));
    assert!(store.entity(&greet.name).await.unwrap().is_some());
}

/// A name whose entity was deleted may become another kind.
pub async fn a_deleted_name_is_free_for_another_kind(store: Arc<dyn Store>) {
    create(&*store, entity(EntityKind::Action, "greet")).await;
    store.delete_entity(&entity(EntityKind::Action, "greet").name, Expect::Any).await.unwrap();
    let trigger = entity(EntityKind::Trigger, "greet");
    create(&*store, trigger.clone()).await;
    assert_eq!(store.entity(&trigger.name).await.unwrap().unwrap().kind, EntityKind::Trigger);
}

/// Of eight tasks that update the same revision at once, one succeeds: no update is lost.
pub async fn concurrent_updates_of_one_revision_let_one_win(store: Arc<dyn Store>) {
    let greet = entity(EntityKind::Action, "greet");
    let first = create(&*store, greet.clone()).await;
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let (store, body) = (Arc::clone(&store), encoded(&json!({ "task": task })));
            let update = Entity { body: body.clone(), ..greet.clone() };
            tokio::spawn(async move {
                store.put_entity(update, Expect::Revision(first)).await.map(|revision| (body, revision))
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
    let found = store.entity(&greet.name).await.unwrap().unwrap();
    assert_eq!(winners, [(found.body, found.revision)]);
}
