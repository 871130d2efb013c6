//! Entities: from what an app gives to what is stored, deployed and registered.

use std::sync::Arc;

use serde_json::{Value, json};

use super::Inner;
use super::lane::Lane;
use super::registry::{ActionEntry, Entry, PackageEntry, RuleEntry, Switch, TriggerEntry};
use super::target::{Deployed, Runs, Target};
use crate::action::{ActionSpec, Destination, Limits, Parameters, RetryPolicy};
use crate::activation::{ActionRevision, ActivationKind, Version};
use crate::error::{Error, ErrorKind};
use crate::name::EntityName;
use crate::payload::Payload;
use crate::rule::Rule;
use crate::scheduler::RunAverage;
use crate::store::{Entity, EntityKind, Expect, Revision};
use crate::trigger::Trigger;
use crate::units::MemoryMib;

impl Inner {
    /// Deploys many actions and publishes them in one step.
    pub(super) async fn put_actions(&self, specs: Vec<Arc<ActionSpec>>) -> Result<(), Error> {
        let _writing = self.writing.lock().await;
        let mut entries = Vec::with_capacity(specs.len());
        for spec in specs {
            let (name, entry, _) = self.make_action(spec, Expect::Any).await?;
            entries.push((name, entry));
        }
        self.registry.put(entries)
    }

    pub(super) async fn make_action(
        &self,
        mut spec: Arc<ActionSpec>,
        expect: Expect,
    ) -> Result<(EntityName, Entry, Revision), Error> {
        let name = spec.name.resolve(self.registry.home());
        Arc::make_mut(&mut spec).name = name.clone();
        check_package(name.package())?;
        spec.check()?;
        let lane = self.lane(spec.backend.as_deref()).map_err(|error| error.with_context("action", &name))?;
        let body = body_of(&spec, &lane)?;
        let planned = self.plan(&name, EntityKind::Action, &body).await?;
        Arc::make_mut(&mut spec).version = planned.version;
        let record = Arc::new(ActionRevision {
            name: name.clone(),
            version: planned.version,
            kind: ActivationKind::Action,
            memory: spec.limits.memory,
            backend: Arc::clone(lane.name()),
        });
        let own = spec.parameters.clone();
        let deployment =
            lane.backend.deploy(spec).await.map_err(|error| error.with_context("action", &name))?;
        let deployed = Deployed { lane, deployment, average: RunAverage::default() };
        let revision = self.commit(&name, EntityKind::Action, planned, body, expect).await?;
        let runs = Runs::Action(Arc::new(deployed));
        let target = Target::new(record, revision, self.defaults(&name, own), runs);
        Ok((name, action_entry(target), revision))
    }

    pub(super) async fn put_sequence(
        &self,
        name: &str,
        members: &[String],
        expect: Expect,
    ) -> Result<Revision, Error> {
        let _writing = self.writing.lock().await;
        let home = self.registry.home();
        let name = name.parse::<EntityName>()?.resolve(home);
        check_package(name.package())?;
        let members: Vec<EntityName> = members
            .iter()
            .map(|member| member.parse::<EntityName>().map(|member| member.resolve(home)))
            .collect::<Result<_, _>>()?;
        self.check_sequence(&name, &members)?;
        let body = Payload::from_value(&json!({ "components": members }))?;
        let planned = self.plan(&name, EntityKind::Sequence, &body).await?;
        let record = Arc::new(ActionRevision {
            name: name.clone(),
            version: planned.version,
            kind: ActivationKind::Sequence,
            memory: self.sequence_memory(&members),
            backend: "".into(),
        });
        let revision = self.commit(&name, EntityKind::Sequence, planned, body, expect).await?;
        let defaults = self.defaults(&name, Parameters::new());
        let target = Target::new(record, revision, defaults, Runs::Sequence(members.into()));
        self.publish(name, action_entry(target))?;
        Ok(revision)
    }

    pub(super) async fn put_trigger(
        &self,
        name: &str,
        parameters: Parameters,
        expect: Expect,
    ) -> Result<Revision, Error> {
        let _writing = self.writing.lock().await;
        let name = simple_name(name, "trigger")?.resolve(self.registry.home());
        let enabled = self.stored_switch(&name).await?;
        let body = Payload::from_value(&json!({ "parameters": parameters, "enabled": enabled }))?;
        let planned = self.plan(&name, EntityKind::Trigger, &body).await?;
        let record = Arc::new(ActionRevision {
            name: name.clone(),
            version: planned.version,
            kind: ActivationKind::Trigger,
            memory: MemoryMib::new(0),
            backend: "".into(),
        });
        let revision = self.commit(&name, EntityKind::Trigger, planned, body, expect).await?;
        let entry =
            TriggerEntry { name: name.clone(), parameters, switch: Switch::new(enabled, revision), record };
        self.registry.put([(name, Entry::Trigger(Arc::new(entry)))])?;
        Ok(revision)
    }

    pub(super) async fn put_package(
        &self,
        name: &str,
        parameters: Parameters,
        expect: Expect,
    ) -> Result<Revision, Error> {
        let _writing = self.writing.lock().await;
        let name = simple_name(name, "package")?.resolve(self.registry.home());
        check_package(Some(name.name()))?;
        let body = Payload::from_value(&json!({ "parameters": parameters }))?;
        let planned = self.plan(&name, EntityKind::Package, &body).await?;
        let revision = self.commit(&name, EntityKind::Package, planned, body, expect).await?;
        let entry = PackageEntry { name: name.clone(), parameters };
        self.registry.put([(name.clone(), Entry::Package(Arc::new(entry)))])?;
        self.refresh_package(&name);
        Ok(revision)
    }

    pub(super) async fn put_rule(&self, rule: Box<dyn Rule>, expect: Expect) -> Result<Revision, Error> {
        let _writing = self.writing.lock().await;
        let (name, entry, revision) = self.make_rule(rule, expect).await?;
        self.registry.put([(name, entry)])?;
        Ok(revision)
    }

    /// Publishes many rules in one step.
    pub(super) async fn put_rules(&self, rules: Vec<Box<dyn Rule>>) -> Result<(), Error> {
        let _writing = self.writing.lock().await;
        let mut entries = Vec::with_capacity(rules.len());
        for rule in rules {
            let (name, entry, _) = self.make_rule(rule, Expect::Any).await?;
            entries.push((name, entry));
        }
        self.registry.put(entries)
    }

    async fn make_rule(
        &self,
        rule: Box<dyn Rule>,
        expect: Expect,
    ) -> Result<(EntityName, Entry, Revision), Error> {
        let home = self.registry.home();
        let name = rule.name().resolve(home);
        if name.package().is_some() {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("a rule is never in a package, but is named '{name}'"),
            ));
        }
        if let Some(retry) = rule.retry() {
            retry.check().map_err(|error| error.with_context("rule", &name))?;
        }
        let (trigger, action) = (rule.trigger().resolve(home), rule.action().resolve(home));
        if !matches!(self.registry.entry(&trigger), Some(Entry::Trigger(_))) {
            return Err(missing(&name, "trigger", &trigger));
        }
        if !matches!(self.registry.entry(&action), Some(Entry::Action(_))) {
            return Err(missing(&name, "action", &action));
        }
        let enabled = self.stored_switch(&name).await?;
        let body = Payload::from_value(&json!({ "trigger": trigger, "action": action, "enabled": enabled }))?;
        let planned = self.plan(&name, EntityKind::Rule, &body).await?;
        let revision = self.commit(&name, EntityKind::Rule, planned, body, expect).await?;
        let switch = Switch::new(enabled, revision);
        let entry = RuleEntry { name: name.clone(), trigger, action, rule, switch };
        Ok((name, Entry::Rule(Arc::new(entry)), revision))
    }

    /// A stored rule is only a name: without its code it would silently match nothing.
    pub(super) async fn check_stored_rules(&self) -> Result<(), Error> {
        for entity in self.store.entities(EntityKind::Rule, self.registry.home().as_str()).await? {
            if !matches!(self.registry.entry(&entity.name), Some(Entry::Rule(_))) {
                let text = format!(
                    "rule '{}' is stored but its code is not registered: register or delete it",
                    entity.name
                );
                return Err(Error::new(ErrorKind::InvalidArgument, text));
            }
        }
        Ok(())
    }

    /// A destination that does not exist would tell nobody.
    pub(super) fn check_destinations(&self, destinations: &[Destination]) -> Result<(), Error> {
        let absolute = |name: &EntityName| format!("/{}", name.resolve(self.registry.home()));
        for destination in destinations {
            let found = match destination {
                Destination::Action(name) => self.registry.action(&absolute(name)).map(drop),
                Destination::Trigger(name) => self.registry.trigger(&absolute(name)).map(drop),
            };
            found.map_err(|error| error.with_context("destination", destination))?;
        }
        Ok(())
    }

    /// A stored schedule is only a position: without its feed it would silently miss its ticks.
    pub(super) async fn check_stored_schedules(&self, feeds: &[Arc<dyn Trigger>]) -> Result<(), Error> {
        for (name, _) in self.store.schedules().await? {
            if !feeds.iter().any(|feed| feed.name().resolve(self.registry.home()) == name) {
                let text = format!(
                    "schedule '{name}' is stored but its feed is not registered: register or delete it"
                );
                return Err(Error::new(ErrorKind::InvalidArgument, text));
            }
        }
        Ok(())
    }

    /// The policy of a rule, where it is registered and has one.
    pub(super) fn retry_of(&self, rule: &EntityName) -> Option<RetryPolicy> {
        self.registry.rule(&format!("/{rule}")).ok()?.rule.retry()
    }

    pub(super) async fn switch_rule(&self, name: &str, enabled: bool) -> Result<Revision, Error> {
        let _writing = self.writing.lock().await;
        let rule = self.registry.rule(name)?;
        let revision = self.store_switch(&rule.name, enabled).await?;
        rule.switch.set(enabled, revision);
        Ok(revision)
    }

    pub(super) async fn switch_trigger(&self, name: &str, enabled: bool) -> Result<Revision, Error> {
        let _writing = self.writing.lock().await;
        let trigger = self.registry.trigger(name)?;
        let revision = self.store_switch(&trigger.name, enabled).await?;
        trigger.switch.set(enabled, revision);
        Ok(revision)
    }

    async fn stored_switch(&self, name: &EntityName) -> Result<bool, Error> {
        let stored = self.store.entity(name).await?;
        Ok(stored.is_none_or(|entity| entity.body.to_value()["enabled"] != Value::Bool(false)))
    }

    async fn store_switch(&self, name: &EntityName, enabled: bool) -> Result<Revision, Error> {
        let entity = self.store.entity(name).await?;
        let mut entity =
            entity.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("'{name}' is not stored")))?;
        let mut body = entity.body.to_value();
        if body["enabled"] == Value::Bool(enabled) {
            return Ok(entity.revision);
        }
        body["enabled"] = enabled.into();
        entity.body = Payload::from_value(&body)?;
        entity.updated = self.entropy.wall_clock();
        entity.version = entity.version.next();
        let expect = Expect::Revision(entity.revision);
        self.store.put_entity(entity, expect).await
    }

    fn lane(&self, name: Option<&str>) -> Result<Arc<Lane>, Error> {
        let Some(name) = name else { return Ok(Arc::clone(&self.lanes[0])) };
        let lane = self.lanes.iter().find(|lane| **lane.name() == *name);
        lane.cloned()
            .ok_or_else(|| Error::unknown("backend", name, self.lanes.iter().map(|lane| &**lane.name())))
    }

    /// The parameters that go under the payloads of an action: its package's, then its own.
    fn defaults(&self, name: &EntityName, own: Parameters) -> Parameters {
        let package =
            name.package().and_then(|package| EntityName::new(name.namespace(), None, package).ok());
        let mut defaults = package
            .and_then(|package| self.registry.package(&package))
            .map_or_else(Parameters::new, |p| p.parameters.clone());
        defaults.extend(own);
        defaults
    }

    /// Gives the actions of a package its new parameters; their deployments stay.
    fn refresh_package(&self, package: &EntityName) {
        for (name, entry) in self.registry.entries(package.namespace()) {
            let Entry::Action(entry) = entry else { continue };
            if name.package() != Some(package.name()) {
                continue;
            }
            let old = entry.target();
            let (own, runs) = match &old.runs {
                Runs::Action(deployed) => {
                    (deployed.spec().parameters.clone(), Runs::Action(Arc::clone(deployed)))
                }
                Runs::Sequence(members) => (Parameters::new(), Runs::Sequence(Arc::clone(members))),
            };
            let defaults = self.defaults(&name, own);
            let target = Target::new(Arc::clone(&old.record), old.revision, defaults, runs);
            entry.replace(Arc::new(target));
        }
    }

    /// Lets a name stand for a new target: an entry that exists keeps its place, so that no snapshot is made.
    pub(super) fn publish(&self, name: EntityName, entry: Entry) -> Result<(), Error> {
        match (self.registry.entry(&name), &entry) {
            (Some(Entry::Action(old)), Entry::Action(new)) => {
                old.replace(new.target());
                Ok(())
            }
            _ => self.registry.put([(name, entry)]),
        }
    }

    /// What writing an entity would make of its version: the same when nothing changes.
    async fn plan(&self, name: &EntityName, kind: EntityKind, body: &Payload) -> Result<Planned, Error> {
        // What this process has registered may differ in its code, which is not stored.
        let registered = self.registry.entry(name).is_some();
        Ok(match self.store.entity(name).await? {
            Some(old) if !registered && old.kind == kind && old.body == *body => {
                Planned { version: old.version, same: Some(old.revision) }
            }
            Some(old) => Planned { version: old.version.next(), same: None },
            None => Planned { version: Version::FIRST, same: None },
        })
    }

    async fn commit(
        &self,
        name: &EntityName,
        kind: EntityKind,
        planned: Planned,
        body: Payload,
        expect: Expect,
    ) -> Result<Revision, Error> {
        if let (Some(revision), Expect::Any) = (planned.same, expect) {
            return Ok(revision);
        }
        let entity = Entity {
            kind,
            name: name.clone(),
            version: planned.version,
            revision: Revision(0),
            updated: self.entropy.wall_clock(),
            body,
        };
        self.store.put_entity(entity, expect).await
    }
}

/// The version that a write will have, and the revision that stays if it changes nothing.
struct Planned {
    version: Version,
    same: Option<Revision>,
}

/// What is stored of an action: whatever is not as usual, since there may be very many.
fn body_of(spec: &ActionSpec, lane: &Lane) -> Result<Payload, Error> {
    let mut body = Parameters::new();
    body.insert("backend".into(), (**lane.name()).into());
    if spec.limits != Limits::default() {
        body.insert("limits".into(), json!(spec.limits));
    }
    if spec.retry != RetryPolicy::default() {
        body.insert("retry".into(), json!(spec.retry));
    }
    if let Some(destinations) = &spec.destinations {
        body.insert("destinations".into(), json!(destinations));
    }
    for (key, fields) in [("parameters", &spec.parameters), ("annotations", &spec.annotations)] {
        if !fields.is_empty() {
            body.insert(key.into(), Value::Object(fields.clone()));
        }
    }
    if !spec.description.is_empty() {
        body.insert("description".into(), spec.description.as_str().into());
    }
    Payload::encode(&body)
}

fn action_entry(target: Target) -> Entry {
    Entry::Action(Arc::new(ActionEntry::new(target)))
}

/// The name of an entity that is never in a package.
fn simple_name(name: &str, what: &str) -> Result<EntityName, Error> {
    let parsed = name.parse::<EntityName>()?;
    if parsed.package().is_some() {
        return Err(Error::new(
            ErrorKind::InvalidArgument,
            format!("a {what} is never in a package, but is named '{name}'"),
        ));
    }
    Ok(parsed)
}

fn check_package(package: Option<&str>) -> Result<(), Error> {
    if package == Some("default") {
        return Err(Error::new(ErrorKind::InvalidArgument, "Package name 'default' is reserved."));
    }
    Ok(())
}

fn missing(rule: &EntityName, what: &str, name: &EntityName) -> Error {
    Error::new(ErrorKind::InvalidArgument, format!("{what} '{name}' of rule '{rule}' does not exist"))
}
