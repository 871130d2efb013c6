//! The entities of a memory store, with their revisions.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::collections::BTreeSet;

use crate::error::{Error, ErrorKind};
use crate::name::EntityName;
use crate::store::{Entity, EntityKind, Expect, Revision};

/// An entity in the order of names: a set of them holds each name once, where a map would hold it twice.
/// Boxed, since a third of a tree's places are vacant.
struct ByName(Box<Entity>);

impl Borrow<EntityName> for ByName {
    fn borrow(&self) -> &EntityName {
        &self.0.name
    }
}

impl PartialEq for ByName {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for ByName {}

impl PartialOrd for ByName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.name.cmp(&other.0.name)
    }
}

/// All entities by name, of whatever kind.
#[derive(Default)]
pub(super) struct Entities {
    by_name: BTreeSet<ByName>,
    /// Of the last write.
    revision: u64,
}

impl Entities {
    pub(super) fn put(&mut self, mut entity: Entity, expect: Expect) -> Result<Revision, Error> {
        let found = self.named(&entity.name);
        if let Some(other) = found.filter(|found| found.kind != entity.kind) {
            return Err(exists(other));
        }
        check(&entity.name, found, expect)?;
        entity.revision = self.next_revision();
        let revision = entity.revision;
        self.by_name.replace(ByName(Box::new(entity)));
        Ok(revision)
    }

    pub(super) fn find(&self, name: &EntityName) -> Option<Entity> {
        self.named(name).cloned()
    }

    pub(super) fn list(&self, kind: EntityKind, namespace: &str) -> Vec<Entity> {
        let is_asked_for = |entity: &&Entity| entity.kind == kind && entity.name.namespace() == namespace;
        self.by_name.iter().map(|it| &*it.0).filter(is_asked_for).cloned().collect()
    }

    pub(super) fn delete(&mut self, name: &EntityName, expect: Expect) -> Result<(), Error> {
        let found = self.named(name);
        if found.is_none() {
            return Err(missing(name));
        }
        check(name, found, expect)?;
        self.by_name.remove(name);
        self.next_revision();
        Ok(())
    }

    fn named(&self, name: &EntityName) -> Option<&Entity> {
        self.by_name.get(name).map(|it| &*it.0)
    }

    fn next_revision(&mut self) -> Revision {
        self.revision += 1;
        Revision(self.revision)
    }
}

fn check(name: &EntityName, found: Option<&Entity>, expect: Expect) -> Result<(), Error> {
    match (expect, found) {
        (Expect::Any, _) | (Expect::Absent, None) => Ok(()),
        (Expect::Absent, Some(found)) => Err(exists(found)),
        (Expect::Revision(_), None) => Err(missing(name)),
        (Expect::Revision(expected), Some(found)) if found.revision == expected => Ok(()),
        (Expect::Revision(expected), Some(found)) => {
            let text =
                format!("'{name}' is at revision {}, not at {} any more", found.revision.0, expected.0);
            Err(Error::new(ErrorKind::Conflict, text))
        }
    }
}

fn exists(found: &Entity) -> Error {
    let text = format!("the name '{}' belongs to a {} already", found.name, found.kind.as_str());
    Error::new(ErrorKind::AlreadyExists, text)
}

fn missing(name: &EntityName) -> Error {
    Error::new(ErrorKind::NotFound, format!("no entity is named '{name}'"))
}
