//! What an app changes while it runs: entities are created, updated, enabled, disabled and deleted, with revisions.

use std::sync::Arc;

use super::Platform;
use super::registry::Entry;
use crate::action::{ActionSpec, Parameters};
use crate::error::{Error, ErrorKind};
use crate::name::EntityName;
use crate::rule::Rule;
use crate::store::{Entity, EntityKind, Expect, Revision};

impl Platform {
    /// Creates or updates an action and deploys it. Activations that were admitted before an update still run
    /// the old revision, whose sandboxes are removed after the last of them.
    ///
    /// # Errors
    /// `InvalidArgument` for bad limits; `AlreadyExists`, `NotFound` or `Conflict` when it does not find what it
    /// expects; what the backend refuses the deployment with.
    ///
    /// # Cancel safety
    /// Dropping it leaves the entity as it was, or updated in the store but not in effect: put it again.
    pub async fn put_action(&self, spec: ActionSpec, expect: Expect) -> Result<Revision, Error> {
        let _writing = self.0.writing.lock().await;
        let (name, entry, revision) = self.0.make_action(Arc::new(spec), expect).await?;
        self.0.publish(name, entry)?;
        Ok(revision)
    }

    /// Creates or updates a sequence.
    ///
    /// # Errors
    /// `InvalidArgument` when a member is missing, it contains itself or is too long; as
    /// [`put_action`](Self::put_action) for the revision.
    ///
    /// # Cancel safety
    /// As [`put_action`](Self::put_action).
    pub async fn put_sequence(
        &self,
        name: &str,
        members: &[&str],
        expect: Expect,
    ) -> Result<Revision, Error> {
        let members: Vec<String> = members.iter().map(|member| (*member).to_owned()).collect();
        self.0.put_sequence(name, &members, expect).await
    }

    /// Creates or updates a trigger.
    ///
    /// # Errors
    /// As [`put_action`](Self::put_action) for names and revisions.
    ///
    /// # Cancel safety
    /// As [`put_action`](Self::put_action).
    pub async fn put_trigger(
        &self,
        name: &str,
        parameters: Parameters,
        expect: Expect,
    ) -> Result<Revision, Error> {
        self.0.put_trigger(name, parameters, expect).await
    }

    /// Creates or updates a package: the default parameters of the actions in it.
    ///
    /// # Errors
    /// As [`put_action`](Self::put_action) for names and revisions; the name `default` is reserved.
    ///
    /// # Cancel safety
    /// As [`put_action`](Self::put_action).
    pub async fn put_package(
        &self,
        name: &str,
        parameters: Parameters,
        expect: Expect,
    ) -> Result<Revision, Error> {
        self.0.put_package(name, parameters, expect).await
    }

    /// Creates or updates a rule; an update keeps it enabled or disabled.
    ///
    /// # Errors
    /// `InvalidArgument` when its trigger or action does not exist; as [`put_action`](Self::put_action) for the
    /// revision.
    ///
    /// # Cancel safety
    /// As [`put_action`](Self::put_action).
    pub async fn put_rule(&self, rule: impl Rule, expect: Expect) -> Result<Revision, Error> {
        self.0.put_rule(Box::new(rule), expect).await
    }

    /// Deletes whatever has the name, a feed's with its schedule. Activations that were admitted before still run.
    ///
    /// # Errors
    /// `NotFound`, `Conflict` for another revision or a package that is not empty.
    ///
    /// # Cancel safety
    /// Dropping it leaves the entity as it was, or deleted from the store but still in effect: delete it
    /// again.
    pub async fn delete(&self, name: &str, expect: Expect) -> Result<(), Error> {
        let _writing = self.0.writing.lock().await;
        let name = name.parse::<EntityName>()?.resolve(self.0.registry.home());
        if let Some(Entry::Package(package)) = self.0.registry.entry(&name) {
            let inside = self.0.registry.entries(name.namespace()).into_keys();
            let inside = inside.filter(|other| other.package() == Some(package.name.name())).count();
            if inside > 0 {
                let text = format!("Package not empty (contains {inside} entities). Delete them first.");
                return Err(Error::new(ErrorKind::Conflict, text).with_context("package", &name));
            }
        }
        if let Some(Entry::Trigger(_)) = self.0.registry.entry(&name) {
            // Before the trigger: a schedule that is left alone keeps an app from starting.
            self.0.store.delete_schedule(&name).await?;
        }
        self.0.store.delete_entity(&name, expect).await?;
        self.0.registry.remove(&name)
    }

    /// The stored entity of a name: kind, version, revision and body.
    ///
    /// # Errors
    /// `InvalidArgument` for a bad name, `Unavailable` when the store cannot be read.
    ///
    /// # Cancel safety
    /// Dropping it changes nothing.
    pub async fn entity(&self, name: &str) -> Result<Option<Entity>, Error> {
        let name = name.parse::<EntityName>()?.resolve(self.0.registry.home());
        self.0.store.entity(&name).await
    }

    /// The entities of a kind in the platform's own namespace, by name.
    ///
    /// # Errors
    /// `Unavailable` when the store cannot be read.
    ///
    /// # Cancel safety
    /// Dropping it changes nothing.
    pub async fn entities(&self, kind: EntityKind) -> Result<Vec<Entity>, Error> {
        self.0.store.entities(kind, self.0.registry.home().as_str()).await
    }

    /// Lets a rule's trigger invoke its action again.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    ///
    /// # Cancel safety
    /// As [`put_action`](Self::put_action): repeat it.
    pub async fn enable_rule(&self, name: &str) -> Result<Revision, Error> {
        self.0.switch_rule(name, true).await
    }

    /// Keeps a rule's trigger from invoking its action.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    ///
    /// # Cancel safety
    /// As [`put_action`](Self::put_action): repeat it.
    pub async fn disable_rule(&self, name: &str) -> Result<Revision, Error> {
        self.0.switch_rule(name, false).await
    }

    /// Lets a trigger be fired again.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    ///
    /// # Cancel safety
    /// As [`put_action`](Self::put_action): repeat it.
    pub async fn enable_trigger(&self, name: &str) -> Result<Revision, Error> {
        self.0.switch_trigger(name, true).await
    }

    /// Keeps a trigger from being fired.
    ///
    /// # Errors
    /// `NotFound`, `Unavailable`.
    ///
    /// # Cancel safety
    /// As [`put_action`](Self::put_action): repeat it.
    pub async fn disable_trigger(&self, name: &str) -> Result<Revision, Error> {
        self.0.switch_trigger(name, false).await
    }
}
