//! What is registered: actions, sequences, triggers, rules and packages, by name.
//!
//! Readers load a snapshot and share nothing that is written; writers replace the snapshot. An update of an
//! action replaces only what its entry points to.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasherDefault, DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use super::target::{OwnTarget, Target};
use crate::action::Parameters;
use crate::error::{Error, ErrorKind};
use crate::name::{EntityName, Namespace};
use crate::rule::Rule;
use crate::store::{EntityKind, Revision};
use crate::stripe::OwnArcs;

/// Names are looked up by their path, `[package/]name`, within a namespace.
#[derive(Clone, PartialEq, Eq)]
struct ByPath(EntityName);

impl Borrow<str> for ByPath {
    fn borrow(&self) -> &str {
        self.0.path()
    }
}

impl Hash for ByPath {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.path().hash(state);
    }
}

/// Fixed keys: nothing may depend on a random hash, and names come from whoever registers.
type Map<K, V> = HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

/// An action or sequence: what its name stands for now.
pub(crate) struct ActionEntry {
    target: ArcSwap<Target>,
    own: OwnArcs<OwnTarget>,
}

impl ActionEntry {
    pub(crate) fn new(target: Target) -> Self {
        Self { target: ArcSwap::from_pointee(target), own: OwnArcs::new() }
    }

    /// What the name stands for now.
    pub(crate) fn target(&self) -> Arc<Target> {
        self.target.load_full()
    }

    /// The same, to be held for an activation.
    pub(crate) fn own_target(&self) -> Arc<OwnTarget> {
        self.own.get(|| OwnTarget::new(self.target.load_full()))
    }

    /// Lets the name stand for something else from now on.
    pub(crate) fn replace(&self, target: Arc<Target>) {
        self.target.store(target);
        self.own.clear();
    }
}

/// A trigger with its default parameters.
pub(crate) struct TriggerEntry {
    pub(crate) name: EntityName,
    pub(crate) parameters: Parameters,
    pub(crate) switch: Switch,
    pub(crate) record: Arc<crate::activation::ActionRevision>,
}

/// A rule with its code.
pub(crate) struct RuleEntry {
    pub(crate) name: EntityName,
    pub(crate) trigger: EntityName,
    pub(crate) action: EntityName,
    pub(crate) rule: Box<dyn Rule>,
    pub(crate) switch: Switch,
}

/// Whether a trigger or rule is enabled, and the revision that the store gave that state.
pub(crate) struct Switch {
    enabled: AtomicBool,
    revision: AtomicU64,
}

impl Switch {
    pub(crate) fn new(enabled: bool, revision: Revision) -> Self {
        Self { enabled: AtomicBool::new(enabled), revision: AtomicU64::new(revision.0) }
    }

    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled.load(Ordering::Acquire)
    }

    pub(crate) fn set(&self, enabled: bool, revision: Revision) {
        self.revision.store(revision.0, Ordering::Relaxed);
        self.enabled.store(enabled, Ordering::Release);
    }
}

/// A package: default parameters for the actions in it.
pub(crate) struct PackageEntry {
    pub(crate) name: EntityName,
    pub(crate) parameters: Parameters,
}

/// Whatever has a name. All kinds share one key space.
#[derive(Clone)]
pub(crate) enum Entry {
    Action(Arc<ActionEntry>),
    Trigger(Arc<TriggerEntry>),
    Rule(Arc<RuleEntry>),
    Package(Arc<PackageEntry>),
}

impl Entry {
    pub(crate) fn kind(&self) -> EntityKind {
        match self {
            Self::Action(entry) => entry.target().entity_kind(),
            Self::Trigger(_) => EntityKind::Trigger,
            Self::Rule(_) => EntityKind::Rule,
            Self::Package(_) => EntityKind::Package,
        }
    }

    /// What may replace it: actions and sequences each other, everything else its own kind.
    fn group(&self) -> std::mem::Discriminant<Self> {
        std::mem::discriminant(self)
    }
}

#[derive(Clone)]
struct Snapshot {
    /// The platform's own namespace, where most names are looked up.
    home: (Namespace, Map<ByPath, Entry>),
    /// All others.
    others: Map<Namespace, Map<ByPath, Entry>>,
    /// The rules of each trigger, by the rule's name.
    rules: Map<EntityName, Arc<BTreeMap<EntityName, Arc<RuleEntry>>>>,
}

impl Snapshot {
    fn space(&self, namespace: &str) -> Option<&Map<ByPath, Entry>> {
        if self.home.0.as_str() == namespace { Some(&self.home.1) } else { self.others.get(namespace) }
    }

    fn space_mut(&mut self, namespace: &str) -> Result<&mut Map<ByPath, Entry>, Error> {
        if self.home.0.as_str() == namespace {
            return Ok(&mut self.home.1);
        }
        Ok(self.others.entry(Namespace::new(namespace)?).or_default())
    }

    /// Takes a rule that is no longer under its name from its trigger.
    fn unlink(&mut self, name: &EntityName, old: Option<Entry>) {
        if let Some(Entry::Rule(rule)) = old
            && let Some(rules) = self.rules.get_mut(&rule.trigger)
        {
            Arc::make_mut(rules).remove(name);
        }
    }
}

/// All that is registered with a platform.
pub(crate) struct Registry {
    home: Namespace,
    current: ArcSwap<Snapshot>,
    writing: Mutex<()>,
}

impl Registry {
    pub(crate) fn new(home: Namespace) -> Self {
        let empty =
            Snapshot { home: (home.clone(), Map::default()), others: Map::default(), rules: Map::default() };
        Self { home, current: ArcSwap::from_pointee(empty), writing: Mutex::new(()) }
    }

    pub(crate) fn home(&self) -> &Namespace {
        &self.home
    }

    /// The action or sequence that `name` stands for.
    pub(crate) fn action(&self, name: &str) -> Result<Arc<OwnTarget>, Error> {
        self.with_entry(name, "action", |entry| match entry {
            Entry::Action(entry) => Some(entry.own_target()),
            _ => None,
        })
    }

    pub(crate) fn trigger(&self, name: &str) -> Result<Arc<TriggerEntry>, Error> {
        self.with_entry(name, "trigger", |entry| match entry {
            Entry::Trigger(entry) => Some(Arc::clone(entry)),
            _ => None,
        })
    }

    pub(crate) fn rule(&self, name: &str) -> Result<Arc<RuleEntry>, Error> {
        self.with_entry(name, "rule", |entry| match entry {
            Entry::Rule(entry) => Some(Arc::clone(entry)),
            _ => None,
        })
    }

    /// The default parameters of a package; none when it is not registered.
    pub(crate) fn package(&self, name: &EntityName) -> Option<Arc<PackageEntry>> {
        match self.entry(name) {
            Some(Entry::Package(entry)) => Some(entry),
            _ => None,
        }
    }

    /// Whatever is registered under a full name.
    pub(crate) fn entry(&self, name: &EntityName) -> Option<Entry> {
        let snapshot = self.current.load();
        snapshot.space(name.namespace()).and_then(|space| space.get(name.path())).cloned()
    }

    /// The rules of a trigger, by name.
    pub(crate) fn rules_of(&self, trigger: &EntityName) -> Arc<BTreeMap<EntityName, Arc<RuleEntry>>> {
        self.current.load().rules.get(trigger).cloned().unwrap_or_default()
    }

    /// All entries of a namespace, by name.
    pub(crate) fn entries(&self, namespace: &str) -> BTreeMap<EntityName, Entry> {
        let snapshot = self.current.load();
        let space = snapshot.space(namespace);
        space.into_iter().flatten().map(|(name, entry)| (name.0.clone(), entry.clone())).collect()
    }

    /// Adds entries, all or none, under names that are free or hold an entity of the same kind.
    pub(crate) fn put(&self, entries: impl IntoIterator<Item = (EntityName, Entry)>) -> Result<(), Error> {
        self.write(|snapshot| {
            for (name, entry) in entries {
                let space = snapshot.space_mut(name.namespace())?;
                if let Some(other) = space.get(name.path())
                    && other.group() != entry.group()
                {
                    return Err(taken(&name, other.kind()));
                }
                let old = space.insert(ByPath(name.clone()), entry.clone());
                snapshot.unlink(&name, old);
                if let Entry::Rule(rule) = entry {
                    let rules = snapshot.rules.entry(rule.trigger.clone()).or_default();
                    Arc::make_mut(rules).insert(name, rule);
                }
            }
            Ok(())
        })
    }

    /// Removes an entry.
    pub(crate) fn remove(&self, name: &EntityName) -> Result<(), Error> {
        self.write(|snapshot| {
            let old = snapshot.space_mut(name.namespace())?.remove(name.path());
            snapshot.unlink(name, old);
            Ok(())
        })
    }

    fn write(&self, change: impl FnOnce(&mut Snapshot) -> Result<(), Error>) -> Result<(), Error> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut snapshot = Snapshot::clone(&self.current.load());
        change(&mut snapshot)?;
        self.current.store(Arc::new(snapshot));
        Ok(())
    }

    /// Finds by any form of a name. The usual forms are looked up as they are; others are parsed, which also
    /// tells what is wrong with them.
    fn with_entry<T>(&self, text: &str, what: &str, pick: impl Fn(&Entry) -> Option<T>) -> Result<T, Error> {
        let snapshot = self.current.load();
        let (namespace, path) = split(text).unwrap_or((self.home.as_str(), text));
        let find = |namespace: &str, path: &str| {
            snapshot.space(namespace).and_then(|space| space.get(path)).and_then(&pick)
        };
        if let Some(found) = find(namespace, path) {
            return Ok(found);
        }
        let name = text.parse::<EntityName>()?.resolve(&self.home);
        find(name.namespace(), name.path()).ok_or_else(|| {
            let known = snapshot.space(name.namespace());
            let same = known.into_iter().flatten().filter(|(_, entry)| pick(entry).is_some());
            Error::unknown(what, name.path(), same.map(|(name, _)| name.0.path()))
                .with_context("namespace", name.namespace())
        })
    }
}

/// The namespace and path of an absolute name; `None` for a name in the home namespace.
fn split(text: &str) -> Option<(&str, &str)> {
    let absolute = text.strip_prefix('/');
    let rest = absolute.unwrap_or(text);
    if absolute.is_none() && rest.bytes().filter(|b| *b == b'/').count() < 2 {
        return None;
    }
    rest.split_once('/')
}

fn taken(name: &EntityName, kind: EntityKind) -> Error {
    let kind = kind.as_str();
    Error::new(ErrorKind::AlreadyExists, format!("the name '{name}' belongs to a registered {kind}"))
}
