//! Payloads that are not what they should be.

use faas_core::payload::{MAX_BYTES, MAX_DEPTH};
use faas_core::{Error, ErrorKind, IntoPayload, Payload};
use serde_json::json;

use crate::check::Check;
use crate::probe::{Probe, local};

/// What three ways in say to a payload.
async fn ways_in(app: &faas_core::Platform, payload: impl IntoPayload + Copy) -> [Option<Error>; 3] {
    [
        app.invoke("echo", payload).await.err(),
        app.submit("echo", payload).await.err(),
        app.fire("event", payload).await.err(),
    ]
}

async fn platform(probe: &Probe) -> faas_core::Platform {
    let rule = faas_core::RuleSpec::new("rule", "event", "echo").unwrap();
    local().action(probe.echo("echo")).trigger("event").rule(rule).build().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_is_no_object_is_refused_everywhere() {
    let probe = Probe::new();
    let app = platform(&probe).await;
    let bad = [
        "",
        " ",
        "null",
        "true",
        "7",
        "\"text\"",
        "[]",
        "[{}]",
        "{",
        "{}{}",
        "{\"a\":}",
        "{'a':1}",
        "nul",
        "\u{feff}{}",
    ];
    for text in bad {
        for error in ways_in(&app, text).await {
            let error = error.unwrap_or_else(|| panic!("{text:?} was taken"));
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{text:?}: {error}");
        }
    }
    for error in ways_in(&app, "[1]").await.into_iter().flatten() {
        assert!(error.to_string().contains("must be a JSON object, but is an array"), "{error}");
    }
    Check::successes(0).probe(&probe).run(&app).await;
    assert_eq!(probe.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_deepest_payload_is_taken_and_one_level_more_refused() {
    let probe = Probe::new();
    let app = platform(&probe).await;
    let nested = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
    for error in ways_in(&app, nested(MAX_DEPTH).as_str()).await {
        assert!(error.is_none(), "{error:?}");
    }
    for levels in [MAX_DEPTH + 1, 100_000] {
        for error in ways_in(&app, nested(levels).as_str()).await {
            let error = error.expect("refused");
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.to_string().contains("deeper than 127 levels"), "{error}");
        }
    }
    Check::successes(4).probe(&probe).run(&app).await;
}

#[tokio::test(start_paused = true)]
async fn a_payload_may_have_the_limit_and_not_one_byte_more() {
    let probe = Probe::new();
    let app = platform(&probe).await;
    let sized = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
    for bytes in [MAX_BYTES - 1, MAX_BYTES] {
        for error in ways_in(&app, sized(bytes).as_str()).await {
            assert!(error.is_none(), "{error:?}");
        }
    }
    for error in ways_in(&app, sized(MAX_BYTES + 1).as_str()).await {
        let error = error.expect("refused");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains("1048577 bytes, more than 1048576"), "{error}");
    }
    Check::successes(8).probe(&probe).run(&app).await;
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_not_utf8_are_refused() {
    for bad in [&b"{\"a\":\"\xff\"}"[..], b"{\"\xc3\x28\":1}", b"\xff\xfe{}", b"{\"a\":\"\xed\xa0\x80\"}"] {
        let error = Payload::from_json(bad.to_vec()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
    assert!(Payload::from_json(&b"{\"a\":\"\\ud83d\\ude00\"}"[..]).is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_input_that_does_not_fit_is_an_application_error_that_never_ran() {
    struct Typed;
    impl faas_core::Action for Typed {
        type Input = std::collections::BTreeMap<String, u8>;
        type Output = ();
        fn spec(&self) -> faas_core::ActionSpec {
            crate::probe::spec("typed")
        }
        async fn call(&self, _: faas_core::Context, _: Self::Input) -> Result<(), faas_core::BoxError> {
            Ok(())
        }
    }
    let app = local().action(Typed).build().await.unwrap();
    assert!(app.invoke("typed", json!({ "a": 255 })).await.unwrap().outcome.is_success());
    for bad in [json!({ "a": 256 }), json!({ "a": -1 }), json!({ "a": "1" }), json!({ "a": null })] {
        let failed = app.invoke("typed", bad).await.unwrap();
        assert!(failed.outcome.error().unwrap().starts_with("The input does not fit the action: "));
    }
    Check::successes(1).run(&app).await;
}
