//! Entities with revisions, and the positions of schedules.

use faas_core::store::{Entity, EntityKind, Expect, Revision};
use faas_core::{EntityName, Error, ErrorKind, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};

use super::Txn;
use crate::blobs::Blobs;
use crate::codec::{Kind, Parts, Sealed, checksum, digests};
use crate::error::{Failure, damaged};
use crate::rows::{check_sum, kind_number, time};

/// What is kept of an entity under a name.
struct Found {
    kind: i64,
    revision: Revision,
    body: Vec<u8>,
}

impl Txn<'_> {
    pub(crate) fn put_entity(&mut self, entity: &NewEntity, expect: Expect) -> Result<Revision, Failure> {
        let NewEntity { name, kind, sealed } = entity;
        let found = self.find_entity(name)?;
        if let Some(other) = found.as_ref().filter(|found| found.kind != kind_number(*kind)) {
            return Err(exists(name, other));
        }
        check(name, found.as_ref(), expect)?;
        let revision = self.next_revision()?;
        self.forget_entity(name, found)?;
        let sql = "INSERT INTO entities (name, kind, revision, sum, body) VALUES (?1, ?2, ?3, ?4, ?5)";
        let kind = kind_number(*kind);
        let (number, sum) = (revision.0.cast_signed(), entity_sum(name.as_str(), kind, revision));
        self.execute(sql, params![name.as_str(), kind, number, sum, sealed.body])?;
        self.hold_pinned(sealed)?;
        Ok(revision)
    }

    pub(crate) fn delete_entity(&mut self, name: &EntityName, expect: Expect) -> Result<(), Failure> {
        let found = self.find_entity(name)?;
        if found.is_none() {
            return Err(missing(name));
        }
        check(name, found.as_ref(), expect)?;
        self.forget_entity(name, found)?;
        self.next_revision().map(drop)
    }

    fn forget_entity(&mut self, name: &EntityName, found: Option<Found>) -> Result<(), Failure> {
        let Some(found) = found else { return Ok(()) };
        self.execute("DELETE FROM entities WHERE name = ?1", [name.as_str()])?;
        self.release(digests(Kind::Entity, name.as_str().as_bytes(), &found.body)?)
    }

    fn find_entity(&self, name: &EntityName) -> Result<Option<Found>, Failure> {
        let sql = "SELECT kind, revision, body, sum FROM entities WHERE name = ?1";
        let found = self.find(sql, [name.as_str()], |row| {
            let revision = Revision(row.get::<_, i64>(1)?.cast_unsigned());
            Ok((Found { kind: row.get(0)?, revision, body: row.get(2)? }, row.get(3)?))
        })?;
        let Some((found, sum)) = found else { return Ok(None) };
        check_sum(
            &format!("the entity '{name}'"),
            entity_sum(name.as_str(), found.kind, found.revision),
            sum,
        )?;
        Ok(Some(found))
    }

    fn next_revision(&mut self) -> Result<Revision, Failure> {
        let Revision(last) = last_revision(self.connection)?;
        let next = Revision(last + 1);
        let sql = "INSERT OR REPLACE INTO meta (key, value) VALUES ('revision', ?1)";
        self.execute(sql, [format!("{} {}", next.0, last_sum(next))])?;
        Ok(next)
    }

    pub(crate) fn put_schedule(&mut self, name: &EntityName, position: Timestamp) -> Result<(), Failure> {
        let sql = "INSERT OR REPLACE INTO schedules (name, position, sum) VALUES (?1, ?2, ?3)";
        let sum = schedule_sum(name.as_str(), position);
        self.execute(sql, params![name.as_str(), time(position), sum]).map(drop)
    }

    pub(crate) fn delete_schedule(&mut self, name: &EntityName) -> Result<(), Failure> {
        self.execute("DELETE FROM schedules WHERE name = ?1", [name.as_str()]).map(drop)
    }
}

/// An entity, ready to be written.
pub(crate) struct NewEntity {
    name: EntityName,
    kind: EntityKind,
    sealed: Sealed,
}

impl NewEntity {
    pub(crate) fn seal(entity: &Entity, blobs: &Blobs, inline: usize) -> Result<Self, Error> {
        let id = entity.name.as_str().as_bytes();
        let sealed = Parts::of_entity(entity)?.seal(Kind::Entity, id, blobs, inline)?;
        Ok(Self { name: entity.name.clone(), kind: entity.kind, sealed })
    }
}

/// The last revision that was given.
pub(crate) fn last_revision(connection: &Connection) -> Result<Revision, Failure> {
    let find = |sql| connection.prepare_cached(sql)?.query_row([], |row| row.get::<_, String>(0)).optional();
    let Some(text) = find("SELECT value FROM meta WHERE key = 'revision'")? else {
        return match find("SELECT name FROM entities LIMIT 1")? {
            None => Ok(Revision(0)),
            Some(_) => Err(damaged("the database is damaged: it lacks the last revision").into()),
        };
    };
    let parsed = text.split_once(' ').and_then(|(last, sum)| Some((last.parse().ok()?, sum.parse().ok()?)));
    let (last, sum) = parsed.map_or((Revision(0), 0), |(last, sum)| (Revision(last), sum));
    check_sum("the last revision", last_sum(last), sum)?;
    Ok(last)
}

fn last_sum(last: Revision) -> u32 {
    checksum(Kind::Revision, &[&last.0.to_le_bytes()])
}

/// The checksum of an entity's columns.
pub(crate) fn entity_sum(name: &str, kind: i64, revision: Revision) -> u32 {
    checksum(Kind::Entity, &[name.as_bytes(), &kind.to_le_bytes(), &revision.0.to_le_bytes()])
}

/// The checksum of a schedule's row.
pub(crate) fn schedule_sum(name: &str, position: Timestamp) -> u32 {
    checksum(Kind::Schedule, &[name.as_bytes(), &time(position).to_le_bytes()])
}

fn check(name: &EntityName, found: Option<&Found>, expect: Expect) -> Result<(), Failure> {
    match (expect, found) {
        (Expect::Any, _) | (Expect::Absent, None) => Ok(()),
        (Expect::Absent, Some(found)) => Err(exists(name, found)),
        (Expect::Revision(_), None) => Err(missing(name)),
        (Expect::Revision(expected), Some(found)) if found.revision == expected => Ok(()),
        (Expect::Revision(expected), Some(found)) => {
            let text =
                format!("'{name}' is at revision {}, not at {} any more", found.revision.0, expected.0);
            Err(Error::new(ErrorKind::Conflict, text).into())
        }
    }
}

fn exists(name: &EntityName, found: &Found) -> Failure {
    const KINDS: [EntityKind; 5] = [
        EntityKind::Action,
        EntityKind::Sequence,
        EntityKind::Trigger,
        EntityKind::Rule,
        EntityKind::Package,
    ];
    let kind = KINDS.into_iter().find(|kind| kind_number(*kind) == found.kind);
    let kind = kind.map_or("entity", EntityKind::as_str);
    Error::new(ErrorKind::AlreadyExists, format!("the name '{name}' belongs to a {kind} already")).into()
}

fn missing(name: &EntityName) -> Failure {
    Error::new(ErrorKind::NotFound, format!("no entity is named '{name}'")).into()
}
