use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use metrics_util::debugging::{DebugValue, DebuggingRecorder};

use super::*;
use crate::activation::{
    ActionRevision, ActivationId, ActivationKind, Record, StartKind, Times, Usage, Version,
};
use crate::name::EntityName;
use crate::outcome::Outcome;
use crate::payload::Payload;
use crate::units::{MemoryMib, Timestamp};

fn name(text: &str) -> EntityName {
    text.parse().unwrap()
}

fn record(action: &str, outcome: Outcome, start_kind: Option<StartKind>) -> Record {
    let revision = ActionRevision {
        name: name(action),
        version: Version::FIRST,
        kind: ActivationKind::Action,
        memory: MemoryMib::DEFAULT,
        backend: "local".into(),
    };
    Record {
        id: ActivationId::from_u128(1),
        invoker: None,
        revision: Arc::new(revision),
        start_kind,
        start: Timestamp::default(),
        end: Timestamp::default(),
        times: Times {
            wait: Duration::from_millis(500),
            create: Duration::ZERO,
            init: Duration::from_secs(2),
            run: Duration::from_secs(3),
        },
        billed_ms: 5_000,
        usage: Usage::default(),
        usage_known: true,
        attempts: 1,
        cause: None,
        outcome,
        logs: Vec::new(),
        earlier: Vec::new(),
        input: None,
    }
}

/// What `body` records, as `name{label="value",…}` and the values.
fn recorded(body: impl FnOnce()) -> BTreeMap<String, String> {
    let recorder = DebuggingRecorder::new();
    metrics::with_local_recorder(&recorder, body);
    let text = |value: DebugValue| match value {
        DebugValue::Counter(count) => count.to_string(),
        DebugValue::Gauge(value) => value.to_string(),
        DebugValue::Histogram(values) => format!("{:?}", values.iter().map(|v| v.0).collect::<Vec<_>>()),
    };
    let row = |(key, _, _, value): (metrics_util::CompositeKey, _, _, DebugValue)| {
        let labels: Vec<String> =
            key.key().labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        (format!("{}{{{}}}", key.key().name(), labels.join(",")), text(value))
    };
    recorder.snapshotter().snapshot().into_vec().into_iter().map(row).collect()
}

#[test]
fn an_activation_is_counted_by_action_outcome_and_start_kind() {
    let rows = recorded(|| {
        let (metrics, greet) = (Metrics::new(), ActionMetrics::default());
        let success = || Outcome::success(Payload::empty());
        metrics.record(&greet, &record("greet", success(), Some(StartKind::Cold)));
        metrics.record(&greet, &record("greet", success(), Some(StartKind::Warm)));
        metrics.record(&greet, &record("greet", success(), Some(StartKind::Warm)));
        metrics
            .record(&greet, &record("greet", Outcome::application_error("no"), Some(StartKind::Prewarmed)));
    });
    let count = |outcome: &str, start: &str| {
        let key = format!("{ACTIVATIONS}{{action=_/greet,outcome={outcome},start_kind={start}}}");
        rows.get(&key).cloned()
    };
    assert_eq!(count("success", "warm").as_deref(), Some("2"));
    assert_eq!(count("success", "cold").as_deref(), Some("1"));
    assert_eq!(count("application_error", "prewarmed").as_deref(), Some("1"));
    assert_eq!(rows[&format!("{BILLED}{{action=_/greet}}")], "20000");
    assert_eq!(rows[&format!("{WAIT}{{action=_/greet}}")], "[0.5, 0.5, 0.5, 0.5]");
    assert_eq!(rows[&format!("{INIT}{{action=_/greet}}")], "[2.0, 2.0]", "of cold and prewarmed starts only");
    assert_eq!(rows[&format!("{RUN}{{action=_/greet}}")], "[3.0, 3.0, 3.0, 3.0]");
    assert_eq!(rows.len(), 7, "{rows:?}");
}

#[test]
fn what_did_not_run_to_a_known_end_has_no_run_time() {
    let rows = recorded(|| {
        let metrics = Metrics::new();
        let refused = record("greet", Outcome::internal_error("refused"), None);
        let lost = Record {
            usage_known: false,
            ..record("greet", Outcome::internal_error("lost"), Some(StartKind::Cold))
        };
        let greet = ActionMetrics::default();
        metrics.record(&greet, &refused);
        metrics.record(&greet, &lost);
        let revision = ActionRevision {
            name: name("pipeline"),
            kind: ActivationKind::Sequence,
            ..(*refused.revision).clone()
        };
        let sequence = Record { revision: Arc::new(revision), ..refused };
        metrics.record(&ActionMetrics::default(), &sequence);
    });
    assert!(!rows.contains_key(&format!("{RUN}{{action=_/greet}}")), "{rows:?}");
    assert!(!rows.contains_key(&format!("{INIT}{{action=_/greet}}")), "{rows:?}");
    assert_eq!(rows[&format!("{WAIT}{{action=_/greet}}")], "[0.5, 0.5]");
    assert_eq!(rows[&format!("{RUN}{{action=_/pipeline}}")], "[3.0]");
}

#[test]
fn actions_over_the_bound_share_one_label() {
    let rows = recorded(|| {
        let metrics = Metrics::with_max_actions(2);
        // A second handle of an action, as after an update, takes no second label.
        for action in ["a", "a", "b", "c", "d", "a"] {
            let success = Outcome::success(Payload::empty());
            metrics.record(&ActionMetrics::default(), &record(action, success, Some(StartKind::Warm)));
        }
    });
    let count = |action: &str| {
        rows.get(&format!("{ACTIVATIONS}{{action={action},outcome=success,start_kind=warm}}")).cloned()
    };
    assert_eq!(count("_/a").as_deref(), Some("3"));
    assert_eq!(count("_/b").as_deref(), Some("1"));
    assert_eq!(count("other").as_deref(), Some("2"));
    assert_eq!((count("_/c"), count("_/e")), (None, None));
}

#[test]
fn pools_and_queues_are_published() {
    let stats = PoolStats { stems: 1, leased: 3, memory: 1024, evictions: 7, ..PoolStats::default() };
    let rows = recorded(|| {
        publish_pool("mock", &stats);
        publish_pool("mock", &stats);
        publish_queue("mock", 5);
        publish_in_flight(2);
    });
    assert_eq!(rows[&format!("{SANDBOXES}{{backend=mock,state=stem}}")], "1");
    assert_eq!(rows[&format!("{SANDBOXES}{{backend=mock,state=leased}}")], "3");
    assert_eq!(rows[&format!("{SANDBOXES}{{backend=mock,state=idle}}")], "0");
    assert_eq!(rows[&format!("{POOL_MIB}{{backend=mock}}")], "1024");
    assert_eq!(rows[&format!("{EVICTIONS}{{backend=mock}}")], "7", "a total, not an increment");
    assert_eq!(rows[&format!("{QUEUE_LENGTH}{{backend=mock}}")], "5");
    assert_eq!(rows[&format!("{IN_FLIGHT}{{}}")], "2");
}

#[test]
fn every_metric_is_described() {
    let recorder = DebuggingRecorder::new();
    let described = metrics::with_local_recorder(&recorder, || {
        describe();
        let first = record("greet", Outcome::success(Payload::empty()), Some(StartKind::Cold));
        Metrics::new().record(&ActionMetrics::default(), &first);
        publish_pool("mock", &PoolStats::default());
        publish_queue("mock", 0);
        publish_in_flight(0);
        recorder.snapshotter().snapshot().into_vec()
    });
    assert!(described.len() >= 14);
    for (key, unit, description, _) in described {
        assert!(unit.is_some() && description.is_some(), "{}", key.key().name());
    }
}

#[test]
fn a_registered_action_takes_little_memory() {
    assert!(size_of::<ActionMetrics>() <= 16, "{}", size_of::<ActionMetrics>());
}
