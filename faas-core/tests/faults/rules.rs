//! Triggers and rules that do not fit.

use faas_core::payload::MAX_BYTES;
use faas_core::scheduler::SchedulerConfig;
use faas_core::store::Expect;
use faas_core::{Activation, ActivationKind, ErrorKind, Platform, RuleSpec, Status};
use serde_json::{Value, json};

use crate::check::Check;
use crate::probe::{Probe, local, panic_quietly};

fn rule(name: &str) -> RuleSpec {
    RuleSpec::new(name, "event", "echo").unwrap()
}

/// The records of a fired trigger: its own, and the lines of its log.
async fn fire(app: &Platform) -> (Activation, Vec<Value>) {
    let id = app.fire("event", json!({ "n": 1 })).await.unwrap();
    let record = app.activation(id).await.unwrap();
    let lines = record.logs.iter().map(|line| serde_json::from_str(&line.text).unwrap()).collect();
    (record, lines)
}

#[tokio::test(start_paused = true)]
async fn a_rule_to_what_is_missing_is_refused() {
    let probe = Probe::new();
    let with = || local().action(probe.echo("echo")).trigger("event");
    for (rule, words) in [
        (RuleSpec::new("r", "missing", "echo").unwrap(), "trigger 'guest/missing' of rule 'guest/r'"),
        (RuleSpec::new("r", "event", "missing").unwrap(), "action 'guest/missing' of rule 'guest/r'"),
        (RuleSpec::new("r", "echo", "echo").unwrap(), "trigger 'guest/echo' of rule 'guest/r'"),
        (RuleSpec::new("r", "event", "event").unwrap(), "action 'guest/event' of rule 'guest/r'"),
    ] {
        let error = with().rule(rule).build().await.expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn firing_what_is_missing_or_disabled_is_refused() {
    let probe = Probe::new();
    let app = local().action(probe.echo("echo")).trigger("event").rule(rule("r")).build().await.unwrap();
    let error = app.fire("evnt", ()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("no trigger is named 'evnt'; known: event"), "{error}");
    assert_eq!(app.fire("echo", ()).await.unwrap_err().kind(), ErrorKind::NotFound);
    app.disable_trigger("event").await.unwrap();
    let error = app.fire("event", ()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(error.to_string().contains("trigger 'guest/event' is disabled"), "{error}");
    app.enable_trigger("event").await.unwrap();
    assert!(fire(&app).await.0.outcome.is_success());
    for name in ["missing", "echo", "event"] {
        assert_eq!(app.enable_rule(name).await.unwrap_err().kind(), ErrorKind::NotFound, "{name}");
    }
    let records = Check::successes(2).probe(&probe).run(&app).await;
    assert_eq!(records.len(), 2, "what was refused left no record");
}

#[tokio::test(start_paused = true)]
async fn each_rule_has_its_own_outcome() {
    let probe = Probe::new();
    let app = local()
        .action(probe.echo("echo"))
        .action(probe.echo("gone"))
        .trigger("event")
        .rule(rule("a-good"))
        .rule(rule("b-filter").filter(|_| false))
        .rule(rule("c-fails").map(|_| Err("no map".into())))
        .rule(rule("d-map-panics").map(|_| panic_quietly("in the map")))
        .rule(rule("e-filter-panics").filter(|_| panic_quietly("in the filter")))
        .rule(rule("f-scalar").map(|_| Ok(json!(7))))
        .rule(rule("g-array").map(|_| Ok(json!([1]))))
        .rule(rule("h-huge").map(|_| Ok(json!({ "a": "x".repeat(MAX_BYTES) }))))
        .rule(rule("i-disabled"))
        .rule(RuleSpec::new("j-gone", "event", "gone").unwrap())
        .rule(rule("k-good").map(|event| Ok(json!({ "mapped": event["n"] }))))
        .build()
        .await
        .unwrap();
    app.disable_rule("i-disabled").await.unwrap();
    app.delete("gone", Expect::Any).await.unwrap();
    let (record, lines) = fire(&app).await;
    assert!(record.outcome.is_success());
    let expected = [
        ("a-good", ""),
        ("c-fails", "Rule 'guest/c-fails' failed to map the event: no map"),
        ("d-map-panics", "panicked: in the map"),
        ("e-filter-panics", "panicked: in the filter"),
        ("f-scalar", "must be a JSON object"),
        ("g-array", "must be a JSON object, but is an array"),
        ("h-huge", "1048584 bytes, more than 1048576"),
        ("i-disabled", "Rule 'guest/i-disabled' is inactive, action 'guest/echo' was not activated."),
        ("j-gone", "The requested resource does not exist."),
        ("k-good", ""),
    ];
    assert_eq!(lines.len(), expected.len(), "{lines:#?}");
    for (line, (name, error)) in lines.iter().zip(expected) {
        assert_eq!(line["rule"], format!("guest/{name}"));
        assert_eq!(line["success"], error.is_empty(), "{line}");
        assert!(line["error"].as_str().unwrap_or_default().contains(error), "{error}: {line}");
        if let Some(id) = line["activationId"].as_str() {
            let activation = app.activation(id.parse().unwrap()).await.unwrap();
            assert_eq!(
                (activation.cause, activation.outcome.is_success()),
                (Some(record.id), error.is_empty())
            );
        }
    }
    let records = Check::successes(3).probe(&probe).run(&app).await;
    let failed = records.iter().filter(|record| record.status() == Status::ApplicationError).count();
    assert_eq!((probe.count(), failed), (2, 6), "each mapping that failed has a record");
}

#[tokio::test(start_paused = true)]
async fn a_trigger_has_no_one_or_ten_thousand_rules() {
    let probe = Probe::new();
    for count in [0, 1, 10_000] {
        let mut builder = local().action(probe.echo("echo")).trigger("event");
        for n in 0..count {
            builder = builder.rule(rule(&format!("r{n}")));
        }
        let app = builder.build().await.unwrap();
        let (record, lines) = fire(&app).await;
        assert_eq!((lines.len(), record.outcome.is_success()), (count, true));
        let records = Check::successes(count as u64 + 1).run(&app).await;
        let ran = records.iter().filter(|record| record.revision.kind == ActivationKind::Action).count();
        assert_eq!(ran, count);
    }
    assert_eq!(probe.count(), 10_001);
}

#[tokio::test(start_paused = true)]
async fn rules_survive_what_they_connect() {
    let probe = Probe::new();
    let app = local().action(probe.echo("echo")).trigger("event").rule(rule("r")).build().await.unwrap();
    app.delete("echo", Expect::Any).await.unwrap();
    let (_, lines) = fire(&app).await;
    assert_eq!(lines[0]["success"], false);
    let again = faas_core::ActionSet::new().with(probe.echo("echo")).into_specs().remove(0);
    app.put_action(again, Expect::Any).await.unwrap();
    let (_, lines) = fire(&app).await;
    assert_eq!(lines[0]["success"], true);
    app.delete("r", Expect::Any).await.unwrap();
    assert_eq!(fire(&app).await.1.len(), 0);
    app.put_rule(rule("r"), Expect::Absent).await.unwrap();
    app.delete("event", Expect::Any).await.unwrap();
    assert_eq!(app.fire("event", ()).await.unwrap_err().kind(), ErrorKind::NotFound);
    Check::successes(4).probe(&probe).run(&app).await;
}

/// A feed that panics, then fails, then fires.
struct Shaky(std::sync::atomic::AtomicUsize, faas_core::EntityName);

#[async_trait::async_trait]
impl faas_core::Trigger for Shaky {
    fn name(&self) -> &faas_core::EntityName {
        &self.1
    }

    async fn run(&self, sink: faas_core::EventSink) -> Result<(), faas_core::Error> {
        match self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst) {
            0 => panic_quietly("in a feed"),
            1 => Err(faas_core::Error::new(ErrorKind::Unavailable, "no source")),
            _ => {
                let payload = faas_core::Payload::empty();
                sink.fire(faas_core::Event { id: None, at: sink.now(), payload }).await.map(drop)
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_feed_that_panics_or_fails_is_started_again() {
    let probe = Probe::new();
    let feed = Shaky(Default::default(), "event".parse().unwrap());
    let app = local().action(probe.echo("echo")).feed(feed).rule(rule("r")).build().await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(10)).await;
    Check::successes(2).probe(&probe).run(&app).await;
    assert_eq!(probe.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_trigger_storm_is_refused_while_the_backlog_is_full() {
    let probe = Probe::new();
    let config = SchedulerConfig { queue_limit: 50, ..SchedulerConfig::default() };
    let app = local().scheduler(config).action(probe.sleeper("echo")).trigger("event").rule(rule("r"));
    let app = app.build().await.unwrap();
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..1_000 {
        match app.fire("event", json!({ "ms": 1000 })).await {
            Ok(_) => accepted += 1,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Overloaded);
                assert!(error.is_temporary() && error.to_string().contains("the limit is 50"), "{error}");
                refused += 1;
            }
        }
    }
    assert_eq!((accepted, refused), (50, 950));
    let records = Check::successes(100).probe(&probe).run(&app).await;
    assert_eq!(records.len(), 100);
}

#[tokio::test(start_paused = true)]
async fn a_trigger_storm_is_recorded_to_the_last_event() {
    let probe = Probe::new();
    let app = local().action(probe.sleeper("echo")).trigger("event").rule(rule("r")).build().await.unwrap();
    let mut firing = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let app = app.clone();
        firing.spawn(async move {
            for _ in 0..100 {
                app.fire("event", json!({ "ms": 1 })).await.unwrap();
            }
        });
    }
    firing.join_all().await;
    let records = Check::successes(20_000).probe(&probe).run(&app).await;
    assert_eq!(records.len(), 20_000);
}
