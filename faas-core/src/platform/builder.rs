//! What a platform is made with.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tracing::level_filters::LevelFilter;

use super::dispatch::{self, Dispatch};
use super::in_flight::InFlight;
use super::lane::Lane;
use super::registry::Registry;
use super::unfinished::Orphan;
use super::waiters::Waiters;
use super::{Inner, KEY_RETENTION, MAX_CAUSAL_DEPTH, Platform};
use crate::action::{Action, ActionSet, ActionSpec, Destination, Parameters};
use crate::backend::Backend;
use crate::entropy::Entropy;
use crate::error::{Error, ErrorKind};
use crate::metrics::Metrics;
use crate::name::{EntityName, Namespace};
use crate::payload;
use crate::rule::Rule;
use crate::scheduler::{Quota, Quotas, SchedulerConfig};
use crate::store::{Expect, MemoryStore, Store};
use crate::trigger::Trigger;

/// Collects what a platform is made with; [`build`](Self::build) checks it and starts it.
///
/// Mistakes in names and limits are reported by `build`, so that the calls chain.
pub struct PlatformBuilder {
    namespace: String,
    backends: Vec<Arc<dyn Backend>>,
    store: Option<Arc<dyn Store>>,
    entropy: Entropy,
    scheduler: SchedulerConfig,
    quota: Quota,
    quotas_of: Vec<(String, Quota)>,
    max_payload: usize,
    max_causal_depth: u32,
    dispatch_window: usize,
    key_retention: Duration,
    record_inputs: Option<bool>,
    log_level: LevelFilter,
    pub(super) entities: Entities,
}

/// What is registered when the platform is built, in the order in which it must be.
#[derive(Default)]
pub(super) struct Entities {
    packages: Vec<(String, Parameters)>,
    /// Shared already, so that none of what may be very many is moved once more.
    actions: Vec<Arc<ActionSpec>>,
    sequences: Vec<(String, Vec<String>)>,
    triggers: Vec<(String, Parameters)>,
    feeds: Vec<Arc<dyn Trigger>>,
    rules: Vec<Box<dyn Rule>>,
}

impl Default for PlatformBuilder {
    fn default() -> Self {
        Self {
            namespace: "guest".into(),
            backends: Vec::new(),
            store: None,
            entropy: Entropy::system(),
            scheduler: SchedulerConfig::default(),
            quota: Quota::default(),
            quotas_of: Vec::new(),
            max_payload: payload::MAX_BYTES,
            max_causal_depth: MAX_CAUSAL_DEPTH,
            dispatch_window: dispatch::WINDOW,
            key_retention: KEY_RETENTION,
            record_inputs: None,
            log_level: LevelFilter::INFO,
            entities: Entities::default(),
        }
    }
}

impl PlatformBuilder {
    /// The platform's own namespace; `guest` unless told.
    #[must_use]
    pub fn namespace(mut self, name: impl Into<String>) -> Self {
        self.namespace = name.into();
        self
    }

    /// Adds a backend. The first is the default; an action chooses another by its name.
    #[must_use]
    pub fn backend(self, backend: impl Backend) -> Self {
        self.shared_backend(Arc::new(backend))
    }

    /// Adds a backend that is shared, or was chosen at run time.
    #[must_use]
    pub fn shared_backend(mut self, backend: Arc<dyn Backend>) -> Self {
        self.backends.push(backend);
        self
    }

    /// Keeps records, entities and accepted work in this store; in memory unless told.
    #[must_use]
    pub fn store(self, store: impl Store) -> Self {
        self.shared_store(Arc::new(store))
    }

    /// Keeps records, entities and accepted work in a store that is shared.
    #[must_use]
    pub fn shared_store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// Takes clock, randomness and ids from here; from the system unless told.
    #[must_use]
    pub fn entropy(mut self, entropy: Entropy) -> Self {
        self.entropy = entropy;
        self
    }

    /// How each backend's scheduler is configured.
    #[must_use]
    pub fn scheduler(mut self, config: SchedulerConfig) -> Self {
        self.scheduler = config;
        self
    }

    /// The quota of every namespace that has none of its own; none unless told.
    #[must_use]
    pub fn quota(mut self, quota: Quota) -> Self {
        self.quota = quota;
        self
    }

    /// The quota of one namespace.
    #[must_use]
    pub fn quota_of(mut self, namespace: impl Into<String>, quota: Quota) -> Self {
        self.quotas_of.push((namespace.into(), quota));
        self
    }

    /// The largest payload, in bytes; 1 MiB unless told.
    #[must_use]
    pub fn max_payload(mut self, bytes: usize) -> Self {
        self.max_payload = bytes;
        self
    }

    /// How many events may lie between an activation and what came from outside;
    /// [`MAX_CAUSAL_DEPTH`] unless told.
    #[must_use]
    pub fn max_causal_depth(mut self, depth: u32) -> Self {
        self.max_causal_depth = depth;
        self
    }

    /// How many accepted jobs are taken out of the store at once, at least 1; 256 unless told. All others wait there and
    /// take no memory of this process. More than run at once keep the backends busy; jobs of one backend that is full
    /// can hold up those of another once they fill the window. An invocation, whose caller waits, queues behind what was
    /// taken out, and not behind all that waits.
    #[must_use]
    pub fn dispatch_window(mut self, jobs: usize) -> Self {
        self.dispatch_window = jobs;
        self
    }

    /// For how long the same idempotency key gives the same activation; [`KEY_RETENTION`] unless told.
    #[must_use]
    pub fn idempotency_retention(mut self, retention: Duration) -> Self {
        self.key_retention = retention;
        self
    }

    /// Whether records keep what an activation was given, so that it can be run again by
    /// [`replay`](Platform::replay). Unless told, they do where the store is durable.
    #[must_use]
    pub fn record_inputs(mut self, record: bool) -> Self {
        self.record_inputs = Some(record);
        self
    }

    /// The most verbose level of `tracing` that records keep; info unless told.
    #[must_use]
    pub fn log_level(mut self, level: LevelFilter) -> Self {
        self.log_level = level;
        self
    }

    /// Registers the actions of a set.
    #[must_use]
    pub fn actions(mut self, actions: ActionSet) -> Self {
        self.entities.actions.extend(actions.into_specs().into_iter().map(Arc::new));
        self
    }

    /// Registers one action.
    #[must_use]
    pub fn action(self, action: impl Action) -> Self {
        self.actions(ActionSet::new().with(action))
    }

    /// Registers an action that is bound to its code already.
    #[must_use]
    pub fn spec(mut self, spec: ActionSpec) -> Self {
        self.entities.actions.push(Arc::new(spec));
        self
    }

    /// Registers a package with the default parameters of the actions in it.
    #[must_use]
    pub fn package(mut self, name: impl Into<String>, parameters: Parameters) -> Self {
        self.entities.packages.push((name.into(), parameters));
        self
    }

    /// Registers a sequence: each member's result is the next one's payload. Members may be sequences that are
    /// registered before.
    ///
    /// One that was killed finds the steps that have run by their records. A durable store has to keep those for longer
    /// than sequences take with all that they wait: one that lacks a record fails, and begins again where no later step
    /// tells that.
    #[must_use]
    pub fn sequence<M: Into<String>>(
        mut self,
        name: impl Into<String>,
        members: impl IntoIterator<Item = M>,
    ) -> Self {
        self.entities.sequences.push((name.into(), members.into_iter().map(Into::into).collect()));
        self
    }

    /// Registers a trigger that is fired by hand.
    #[must_use]
    pub fn trigger(self, name: impl Into<String>) -> Self {
        self.trigger_with(name, Parameters::new())
    }

    /// Registers a trigger that is fired by hand, with default parameters.
    #[must_use]
    pub fn trigger_with(mut self, name: impl Into<String>, parameters: Parameters) -> Self {
        self.entities.triggers.push((name.into(), parameters));
        self
    }

    /// Registers a trigger that produces its own events; it starts with the platform.
    #[must_use]
    pub fn feed(mut self, feed: impl Trigger) -> Self {
        self.entities.feeds.push(Arc::new(feed));
        self
    }

    /// Registers a rule.
    #[must_use]
    pub fn rule(mut self, rule: impl Rule) -> Self {
        self.entities.rules.push(Box::new(rule));
        self
    }

    /// Checks everything, deploys the actions, and starts. Work that an earlier platform accepted in the same store goes
    /// on: what had not started is run, and what was lost while it ran is run again where its retries allow that, or
    /// has a record that says it was lost. So one platform at a time works on a store.
    ///
    /// # Errors
    /// `InvalidArgument` for bad names, limits, sequences and rules, and for rules and schedules that are stored while
    /// their code is not registered; `AlreadyExists` for a name that is used twice; `NotFound` for a backend, action or
    /// destination that is named but missing; what a backend refuses a
    /// deployment with; `Unavailable` when the store cannot be used.
    ///
    /// # Cancel safety
    /// Dropping it stops what was started; entities that were stored by then stay in the store.
    pub async fn build(self) -> Result<Platform, Error> {
        let home = Namespace::new(&self.namespace)?;
        if self.backends.is_empty() {
            let text = "a platform needs a backend: add one, such as LocalBackend::new()";
            return Err(Error::new(ErrorKind::InvalidArgument, text).with_operation("build"));
        }
        let entropy = Arc::new(self.entropy);
        let mut background = JoinSet::new();
        let mut lanes: Vec<Arc<Lane>> = Vec::new();
        let (queue_deadline, queue_limit) = (self.scheduler.queue_deadline, self.scheduler.queue_limit);
        for backend in self.backends {
            check_unique(&lanes, &*backend)?;
            backend.attach(&entropy);
            let (lane, janitor) = Lane::new(backend, self.scheduler.clone());
            background.spawn(janitor);
            lanes.push(Arc::new(lane));
        }
        let quotas_of = self.quotas_of.into_iter().map(|(name, quota)| Ok((Namespace::new(&name)?, quota)));
        let quotas_of = quotas_of.collect::<Result<Vec<_>, Error>>()?;
        let store = self.store.unwrap_or_else(|| Arc::new(MemoryStore::new()));
        let durable = store.is_durable();
        let (finisher, orphans) = mpsc::unbounded_channel();
        let (dispatch, kept) = Dispatch::new(self.dispatch_window);
        let inner = Arc::new(Inner {
            registry: Registry::new(home),
            lanes,
            durable,
            store,
            entropy,
            quotas: Quotas::new(self.quota, quotas_of),
            in_flight: InFlight::new(),
            waiters: Waiters::default(),
            dispatch,
            finisher,
            closing: watch::Sender::new(false),
            shut: watch::Sender::new(false),
            background: Mutex::new(background),
            queue_deadline,
            queue_limit,
            max_payload: self.max_payload,
            max_causal_depth: self.max_causal_depth,
            key_retention: self.key_retention,
            record_inputs: self.record_inputs.unwrap_or(durable),
            log_level: self.log_level,
            writing: tokio::sync::Mutex::new(()),
            metrics: Metrics::new(),
        });
        crate::metrics::describe();
        tokio::spawn(finish_orphans(orphans));
        let handle = Arc::new(());
        inner.open(self.entities).await.map_err(|error| error.with_operation("build"))?;
        let (shared, weak) = (Arc::clone(&inner.dispatch), Arc::downgrade(&inner));
        inner.spawn_background(dispatch::run(shared, weak, Arc::downgrade(&handle), kept));
        Ok(Platform(inner, handle))
    }
}

fn check_unique(lanes: &[Arc<Lane>], backend: &dyn Backend) -> Result<(), Error> {
    let name = &backend.info().name;
    if lanes.iter().any(|lane| **lane.name() == **name) {
        let text = format!("two backends are called '{name}': give one of them another name");
        return Err(Error::new(ErrorKind::AlreadyExists, text).with_operation("build"));
    }
    Ok(())
}

impl Entities {
    /// Each name is registered once: another of its kind would silently take its place.
    fn check_unique(&self, home: &Namespace) -> Result<(), Error> {
        let named = |(name, _): &(String, Parameters)| name.parse::<EntityName>();
        let names = self
            .packages
            .iter()
            .map(named)
            .chain(self.actions.iter().map(|spec| Ok(spec.name.clone())))
            .chain(self.sequences.iter().map(|(name, _)| name.parse::<EntityName>()))
            .chain(self.triggers.iter().map(named))
            .chain(self.feeds.iter().map(|feed| Ok(feed.name().clone())))
            .chain(self.rules.iter().map(|rule| Ok(rule.name().clone())));
        let mut seen = std::collections::BTreeSet::new();
        for name in names {
            let name = name?.resolve(home);
            if seen.contains(&name) {
                return Err(Error::new(
                    ErrorKind::AlreadyExists,
                    format!("the name '{name}' is registered twice"),
                ));
            }
            seen.insert(name);
        }
        Ok(())
    }
}

/// Writes the records that callers who left did not wait for. It ends with the platform, which lives until the
/// last of them is written, also after it was shut down.
async fn finish_orphans(mut orphans: mpsc::UnboundedReceiver<Orphan>) {
    while let Some(Orphan { platform, progress }) = orphans.recv().await {
        platform.finish(progress).await;
    }
}

impl Inner {
    /// Takes over what an earlier platform left, and registers what this one has: only then can that go on.
    async fn open(self: &Arc<Self>, entities: Entities) -> Result<(), Error> {
        self.store.take_over().await?;
        self.dispatch.take_over(self.store.pending().await?);
        self.register(entities).await
    }

    async fn register(self: &Arc<Self>, entities: Entities) -> Result<(), Error> {
        entities.check_unique(self.registry.home())?;
        for (name, parameters) in entities.packages {
            self.put_package(&name, parameters, Expect::Any).await?;
        }
        let destinations: Vec<Destination> = entities
            .actions
            .iter()
            .filter_map(|spec| spec.destinations.as_deref())
            .flat_map(|of| of.on_success.iter().chain(&of.on_failure).cloned())
            .collect();
        self.put_actions(entities.actions).await?;
        for (name, members) in entities.sequences {
            self.put_sequence(&name, &members, Expect::Any).await?;
        }
        for (name, parameters) in entities.triggers {
            self.put_trigger(&name, parameters, Expect::Any).await?;
        }
        for feed in &entities.feeds {
            self.put_trigger(
                &format!("/{}", feed.name().resolve(self.registry.home())),
                Parameters::new(),
                Expect::Any,
            )
            .await?;
        }
        self.put_rules(entities.rules).await?;
        self.check_stored_rules().await?;
        self.check_destinations(&destinations)?;
        self.check_stored_schedules(&entities.feeds).await?;
        for feed in entities.feeds {
            self.spawn_feed(feed);
        }
        Ok(())
    }
}

/// How long a feed that failed rests before it is started again, at first and at most. Arbitrary.
pub(super) const FEED_PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(60));
