//! The metrics of each action, with handles that are made once.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use metrics::{Counter, Histogram, SharedString};

use super::{ACTIVATIONS, BILLED, INIT, RUN, WAIT};
use crate::activation::{ActivationKind, Record, StartKind};
use crate::name::EntityName;
use crate::outcome::Status;

/// The values of the label `outcome`, by [`Status::code`].
const OUTCOMES: [&str; 4] = ["success", "application_error", "developer_error", "internal_error"];
/// The values of the label `start_kind`, by [`start_index`].
const START_KINDS: [&str; 4] = ["none", "cold", "prewarmed", "warm"];
/// The value of the label `action` for actions that came too late for one of their own.
const OTHER: &str = "other";

/// Hands out the metrics of actions, and bounds the number of values that the label `action` has.
///
/// The first actions to finish an activation get a value of their own, the name with its namespace; all that come
/// after the bound share the value `other`. A deleted action's value stays taken: recorders forget nothing.
#[derive(Clone)]
pub struct Metrics(Arc<Labels>);

struct Labels {
    max: usize,
    by_name: Mutex<BTreeMap<EntityName, Arc<Handles>>>,
    other: OnceLock<Arc<Handles>>,
}

impl Metrics {
    /// How many actions have a label of their own unless told. Arbitrary: 1,000 actions make at most 20,000 series.
    pub const DEFAULT_MAX_ACTIONS: usize = 1_000;

    /// Metrics with labels for at most [`DEFAULT_MAX_ACTIONS`](Self::DEFAULT_MAX_ACTIONS) actions.
    #[must_use]
    pub fn new() -> Self {
        Self::with_max_actions(Self::DEFAULT_MAX_ACTIONS)
    }

    /// Metrics with labels for at most `max` actions.
    #[must_use]
    pub fn with_max_actions(max: usize) -> Self {
        Self(Arc::new(Labels { max, by_name: Mutex::default(), other: OnceLock::new() }))
    }

    /// Counts and measures a finished activation of the action that `of` is kept for.
    pub fn record(&self, of: &ActionMetrics, record: &Record) {
        of.handles.get_or_init(|| self.0.handles(&record.revision.name)).record(record);
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("max_actions", &self.0.max).finish_non_exhaustive()
    }
}

impl Labels {
    fn handles(&self, name: &EntityName) -> Arc<Handles> {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(handles) = by_name.get(name) {
            return Arc::clone(handles);
        }
        if by_name.len() >= self.max {
            return Arc::clone(self.other.get_or_init(|| Arc::new(Handles::new(OTHER))));
        }
        let handles = Arc::new(Handles::new(name.as_str()));
        by_name.insert(name.clone(), Arc::clone(&handles));
        handles
    }
}

/// The metrics of one action, sequence or trigger, kept beside it so that a record looks nothing up.
///
/// Nothing is registered or allocated before its first activation: most of many actions may never run.
#[derive(Default)]
pub struct ActionMetrics {
    handles: OnceLock<Arc<Handles>>,
}

impl fmt::Debug for ActionMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let action = self.handles.get().map(|handles| &handles.action);
        f.debug_struct("ActionMetrics").field("action", &action).finish_non_exhaustive()
    }
}

/// The recorder's handles for one value of the label `action`.
struct Handles {
    action: SharedString,
    /// By outcome and start kind; a combination that never occurs is never registered.
    activations: [[OnceLock<Counter>; 4]; 4],
    billed: Counter,
    wait: Histogram,
    init: OnceLock<Histogram>,
    run: OnceLock<Histogram>,
}

impl Handles {
    fn new(action: &str) -> Self {
        let action = SharedString::from_shared(action.into());
        Self {
            activations: Default::default(),
            billed: metrics::counter!(BILLED, "action" => action.clone()),
            wait: metrics::histogram!(WAIT, "action" => action.clone()),
            init: OnceLock::new(),
            run: OnceLock::new(),
            action,
        }
    }

    fn record(&self, record: &Record) {
        self.activations(record.status(), record.start_kind).increment(1);
        self.billed.increment(record.billed_ms);
        self.wait.record(record.times.wait);
        if !record.usage_known {
            return;
        }
        if matches!(record.start_kind, Some(StartKind::Cold | StartKind::Prewarmed)) {
            self.histogram(&self.init, INIT).record(record.times.init);
        }
        // An action that found no sandbox did not run; sequences and triggers need none.
        if record.start_kind.is_some() || record.revision.kind != ActivationKind::Action {
            self.histogram(&self.run, RUN).record(record.times.run);
        }
    }

    fn activations(&self, status: Status, start_kind: Option<StartKind>) -> &Counter {
        let (outcome, start) = (usize::from(status.code()), start_index(start_kind));
        self.activations[outcome][start].get_or_init(|| {
            metrics::counter!(
                ACTIVATIONS,
                "action" => self.action.clone(),
                "outcome" => OUTCOMES[outcome],
                "start_kind" => START_KINDS[start]
            )
        })
    }

    fn histogram<'a>(&self, cell: &'a OnceLock<Histogram>, name: &'static str) -> &'a Histogram {
        cell.get_or_init(|| metrics::histogram!(name, "action" => self.action.clone()))
    }
}

fn start_index(start_kind: Option<StartKind>) -> usize {
    match start_kind {
        None => 0,
        Some(StartKind::Cold) => 1,
        Some(StartKind::Prewarmed) => 2,
        Some(StartKind::Warm) => 3,
    }
}
