//! Limits and configuration out of their range.

use std::time::Duration;

use faas_core::store::Expect;
use faas_core::units::parse_duration;
use faas_core::{ActionSpec, ErrorKind, Limits, LocalBackend, MemoryMib, RetryPolicy};
use serde_json::json;

use crate::check::Check;
use crate::probe::{Probe, local, on, spec};

fn out_of_range() -> Vec<(ActionSpec, [&'static str; 2])> {
    let with = |limits: Limits| spec("bad").with_limits(limits);
    let usual = Limits::default();
    let retry = |retries| spec("bad").with_retries(retries);
    vec![
        (with(Limits { timeout: Duration::ZERO, ..usual }), ["timeout 0ns", "1 ms to 24 h"]),
        (with(Limits { timeout: Duration::from_micros(999), ..usual }), ["timeout 999µs", "1 ms to 24 h"]),
        (with(Limits { timeout: Duration::from_secs(86_401), ..usual }), ["timeout 86401s", "1 ms to 24 h"]),
        (with(Limits { timeout: Duration::MAX, ..usual }), ["timeout 18446744073709551615", "1 ms to 24 h"]),
        (with(Limits { memory: MemoryMib::new(0), ..usual }), ["memory 0 MiB", "1 MiB to 10240 MiB"]),
        (
            with(Limits { memory: MemoryMib::new(10_241), ..usual }),
            ["memory 10241 MiB", "1 MiB to 10240 MiB"],
        ),
        (with(Limits { memory: MemoryMib::new(u32::MAX), ..usual }), ["memory 4294967295", "1 MiB to 10240"]),
        (with(Limits { logs: (10 << 20) + 1, ..usual }), ["log limit 10485761", "0 to 10485760 bytes"]),
        (with(Limits { logs: u64::MAX, ..usual }), ["log limit 18446744073709551615", "0 to 10485760"]),
        (with(Limits { concurrency: 0, ..usual }), ["concurrency 0", "1 to 1000"]),
        (with(Limits { concurrency: 1_001, ..usual }), ["concurrency 1001", "1 to 1000"]),
        (retry(101), ["retries 101", "0 to 100"]),
        (retry(u32::MAX), ["retries 4294967295", "0 to 100"]),
    ]
}

#[tokio::test(start_paused = true)]
async fn each_limit_names_its_value_and_its_range() {
    let probe = Probe::new();
    let app = local().action(probe.echo("echo")).build().await.unwrap();
    for (bad, words) in out_of_range() {
        let code = || probe.spec(bad.clone(), |_, input| async { Ok(input) });
        let bound = faas_core::ActionSet::new().with(code()).into_specs().remove(0);
        let errors = [
            local().action(code()).build().await.expect_err("refused"),
            app.put_action(bound, Expect::Any).await.unwrap_err(),
        ];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
            assert_eq!(error.context("action"), Some("guest/bad"));
            for word in words {
                assert!(error.to_string().contains(word), "{word}: {error}");
            }
        }
    }
    assert!(app.entity("bad").await.unwrap().is_none(), "nothing is stored of what is refused");
    Check::successes(0).run(&app).await;
}

#[tokio::test(start_paused = true)]
async fn the_ends_of_each_range_are_allowed() {
    let probe = Probe::new();
    let least = Limits { timeout: Duration::from_millis(1), memory: MemoryMib::MIN, logs: 0, concurrency: 1 };
    let most = Limits {
        timeout: Limits::MAX_TIMEOUT,
        memory: MemoryMib::MAX,
        logs: Limits::MAX_LOGS,
        concurrency: Limits::MAX_CONCURRENCY,
    };
    let app = local()
        .action(probe.spec(spec("least").with_limits(least), |_, input| async { Ok(input) }))
        .action(probe.spec(spec("most").with_limits(most).with_retries(100), |_, input| async { Ok(input) }))
        .build()
        .await
        .unwrap();
    for name in ["least", "most"] {
        assert!(app.invoke(name, ()).await.unwrap().outcome.is_success());
    }
    let records = Check::successes(2).probe(&probe).retries(100).run(&app).await;
    for record in records {
        assert_eq!(record.logs.len(), usize::from(record.action().name() == "most"));
    }
}

#[test]
fn unknown_units_are_refused() {
    for bad in ["256", "256MB", "256mib", "1TiB", "-1MiB", "1.5GiB", "MiB", "", "1 024MiB", "4194304GiB"] {
        let error = bad.parse::<MemoryMib>().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{bad}");
        assert!(error.to_string().contains(&format!("'{bad}'")), "{error}");
        assert!(error.to_string().contains("MiB or GiB"), "{error}");
    }
    for bad in
        ["5", "5d", "5 days", "5S", "-5s", "1.5s", "", "s", "99999999999999999999ms", "18446744073709551615h"]
    {
        let error = parse_duration(bad).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{bad}");
        assert!(error.to_string().contains("ms, s, m or h"), "{error}");
    }
    assert_eq!(parse_duration("18446744073709551615ms").unwrap(), Duration::from_millis(u64::MAX));
}

#[tokio::test(start_paused = true)]
async fn a_backend_without_slots_takes_nothing_and_says_so() {
    let probe = Probe::new();
    let app = on(LocalBackend::new().with_slots(0)).action(probe.echo("echo")).build().await.unwrap();
    for error in [app.invoke("echo", ()).await.unwrap_err(), app.submit("echo", ()).await.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains("whole capacity of 0 slots"), "{error}");
    }
    Check::successes(0).run(&app).await;
}

#[tokio::test(start_paused = true)]
async fn pauses_between_attempts_may_be_as_long_as_they_like() {
    let probe = Probe::new();
    let mut patient = spec("patient").with_retries(3);
    patient.retry =
        RetryPolicy { retries: 3, base: Duration::MAX, max: Duration::from_secs(1), ..patient.retry };
    let fails = probe.spec(patient, |_, _| async { crate::probe::panic_quietly("always") });
    let app = local().action(fails).build().await.unwrap();
    let failed = app.invoke("patient", json!({})).await.unwrap();
    assert_eq!(failed.attempts, 4);
    Check::successes(0).probe(&probe).retries(3).run(&app).await;
}
