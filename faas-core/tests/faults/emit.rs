//! The outbox.

use faas_core::context::MAX_EMITTED;
use faas_core::payload::MAX_BYTES;
use faas_core::{ActivationKind, ErrorKind, RuleSpec, Status};
use serde_json::json;

use crate::check::Check;
use crate::probe::{Probe, empty, local, millis, panic_quietly, spec};

fn fired(records: &[faas_core::Activation]) -> usize {
    records.iter().filter(|record| record.revision.kind == ActivationKind::Trigger).count()
}

#[tokio::test(start_paused = true)]
async fn an_activation_emits_at_most_so_many_events() {
    let probe = Probe::new();
    let many = probe.action("many", |cx, _| async move {
        for _ in 0..MAX_EMITTED {
            cx.emit("event", empty())?;
        }
        let error = cx.emit("event", empty()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains("at most 1000 events"), "{error}");
        Ok(empty())
    });
    let app = local().action(many).trigger("event").build().await.unwrap();
    assert!(app.invoke("many", ()).await.unwrap().outcome.is_success());
    let records = Check::successes(1_001).probe(&probe).run(&app).await;
    assert_eq!(fired(&records), MAX_EMITTED);
}

#[tokio::test(start_paused = true)]
async fn whoever_fails_fires_nothing() {
    let probe = Probe::new();
    let app = local()
        .action(probe.action("fails", |cx, _| async move {
            cx.emit("event", empty())?;
            Err("no".into())
        }))
        .action(probe.action("replies", |cx, _| async move {
            cx.emit("event", empty())?;
            Ok(json!({ "error": "no" }))
        }))
        .action(probe.action("panics", |cx, _| async move {
            cx.emit("event", empty())?;
            panic_quietly("no")
        }))
        .action(probe.spec(spec("late").with_timeout(millis(5)), |cx, _| async move {
            cx.emit("event", empty())?;
            std::future::pending().await
        }))
        .action(probe.spec(spec("second").with_retries(1), |cx, _| async move {
            cx.emit("event", json!({ "attempt": cx.attempt() }))?;
            if cx.attempt() == 1 {
                panic_quietly("no");
            }
            Ok(empty())
        }))
        .trigger("event")
        .build()
        .await
        .unwrap();
    for name in ["fails", "replies", "panics", "late"] {
        assert!(!app.invoke(name, ()).await.unwrap().outcome.is_success());
    }
    assert!(app.invoke("second", ()).await.unwrap().outcome.is_success());
    let records = Check::successes(2).retries(1).probe(&probe).run(&app).await;
    assert_eq!(fired(&records), 1);
    let event = records.iter().find(|record| record.revision.kind == ActivationKind::Trigger).unwrap();
    assert_eq!(event.outcome.result().as_str(), r#"{"attempt":2}"#);
}

#[tokio::test(start_paused = true)]
async fn an_event_that_cannot_fire_has_a_record_that_says_why() {
    let probe = Probe::new();
    let emit = probe.action("emit", |cx, input| async move {
        let payload = match input["bytes"].as_u64() {
            Some(bytes) => json!({ "a": "x".repeat(usize::try_from(bytes).unwrap()) }),
            None => empty(),
        };
        cx.emit(input["to"].as_str().unwrap(), payload)?;
        Ok(empty())
    });
    let app = local()
        .action(emit)
        .action(probe.echo("echo"))
        .trigger("off")
        .trigger("on")
        .rule(RuleSpec::new("off-rule", "off", "echo").unwrap())
        .rule(RuleSpec::new("on-rule", "on", "echo").unwrap())
        .build()
        .await
        .unwrap();
    app.disable_trigger("off").await.unwrap();
    let cases = [
        (json!({ "to": "missing" }), "no trigger is named 'missing'"),
        (json!({ "to": "off" }), "trigger 'guest/off' is disabled"),
        (json!({ "to": "echo" }), "no trigger is named 'echo'"),
        (json!({ "to": "on", "bytes": MAX_BYTES }), "1048584 bytes, more than 1048576"),
    ];
    for (input, why) in &cases {
        assert!(app.invoke("emit", input).await.unwrap().outcome.is_success());
        app.invoke("emit", json!({ "to": "on" })).await.unwrap().into_result().unwrap();
        // The event's own record is written by a task that is awake already.
        while app.stats().in_flight > 0 {
            tokio::task::yield_now().await;
        }
        let records = app.activations(&Default::default()).await.unwrap();
        let failed: Vec<_> = records.iter().filter_map(|record| record.outcome.error()).collect();
        assert!(failed.iter().any(|error| error.contains(why)), "{why}: {failed:?}");
    }
    let records = Check::successes(12).probe(&probe).run(&app).await;
    let echo = |record: &&faas_core::Activation| {
        record.revision.kind == ActivationKind::Action && record.action().name() == "echo"
    };
    let echoed = records.iter().filter(echo).count();
    assert_eq!(echoed, cases.len(), "only the events to an enabled trigger");
}

#[tokio::test(start_paused = true)]
async fn bad_events_are_refused_where_they_are_emitted() {
    let probe = Probe::new();
    let bad = probe.action("bad", |cx, _| async move {
        let refused = [
            cx.emit("-bad", empty()),
            cx.emit("a/b/c/d", empty()),
            cx.emit("event", json!([1])),
            cx.emit("event", json!("text")),
            cx.emit("event", "{"),
        ];
        for refused in refused {
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidArgument);
        }
        Ok(empty())
    });
    let app = local().action(bad).trigger("event").build().await.unwrap();
    assert!(app.invoke("bad", ()).await.unwrap().outcome.is_success());
    let records = Check::successes(1).probe(&probe).run(&app).await;
    assert_eq!(fired(&records), 0);
}

#[tokio::test(start_paused = true)]
async fn a_cycle_of_rules_ends_at_the_causal_depth() {
    let probe = Probe::new();
    let again = probe.action("again", |cx, input| async move {
        cx.emit("event", input.clone())?;
        Ok(input)
    });
    let app = local()
        .action(again)
        .trigger("event")
        .rule(RuleSpec::new("cycle", "event", "again").unwrap())
        .max_causal_depth(5)
        .build()
        .await
        .unwrap();
    app.fire("event", ()).await.unwrap();
    let records = Check::successes(12).probe(&probe).run(&app).await;
    let failed: Vec<_> =
        records.iter().filter(|record| record.status() == Status::ApplicationError).collect();
    assert_eq!((probe.count(), failed.len()), (6, 1));
    let error = failed[0].outcome.error().unwrap();
    assert!(error.contains("6 events away from its origin, more than 5"), "{error}");
}
