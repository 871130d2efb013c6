//! Real functions on the backend: what actions do that they should not, and what they find.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::OnceLock;

use faas_backend_lambda::LambdaLocalBackend;
use faas_core::{ActionSpec, ErrorKind, Outcome, StartKind, Status};
use serde_json::{Value, json};

use crate::site::{Site, millis, texts};

/// The artifact of the guests; `None`, which is told, where there is no compiler for it.
pub(crate) fn guests(test: &str) -> Option<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| match faas_build::lambda!("guests") {
        Err(error) if error.kind() == ErrorKind::Unsupported => Err(error.message().to_owned()),
        built => Ok(built.expect("an artifact of the guests")),
    });
    match built {
        Ok(folder) => Some(folder.clone()),
        Err(reason) => {
            // Past the harness, which keeps what a test prints that passes.
            let _ = writeln!(std::io::stdout(), "SKIP {test}: {reason}");
            None
        }
    }
}

/// The specification of a guest.
pub(crate) fn spec(name: &str) -> ActionSpec {
    let own = faas_lambda_guests::actions().into_specs().into_iter().find(|spec| spec.name.path() == name);
    own.expect("one of the guests")
}

/// A site of guests, and of the puppet's neighbour.
async fn site(test: &str, specs: impl IntoIterator<Item = ActionSpec>) -> Option<Site> {
    let builder: faas_backend_lambda::LambdaLocalBuilder = crate::site::puppets().artifact(guests(test)?);
    Some(Site::new(test, builder, specs).await)
}

impl Site {
    /// What `stay` finds, which succeeds.
    async fn found(&self, input: Value) -> Value {
        let record = self.run("stay", input).await;
        assert!(record.outcome.is_success(), "{:?}", record.outcome);
        record.outcome.result().to_value()
    }
}

#[tokio::test]
async fn however_an_action_ends_its_program_the_outcome_says_so_and_others_run_on() {
    let specs = [
        spec("exit"),
        spec("panic"),
        spec("stay").with_timeout(millis(500)),
        spec("sleep").with_timeout(millis(500)),
    ];
    let Some(site) = site("gends", specs).await else { return };
    for by in [json!({ "code": 0 }), json!({ "code": 7 }), json!({ "abort": {} }), json!({ "overflow": {} })]
    {
        let record = site.run("exit", by.clone()).await;
        assert_eq!(record.outcome, Outcome::exited(), "{by}");
    }
    let record = site.run("panic", json!({ "message": "oh" })).await;
    assert_eq!(record.outcome, Outcome::panicked("oh"));
    for then in ["sleep", "spin"] {
        let record = site.run("stay", json!({ "then": then, "print": "printed" })).await;
        assert_eq!(record.outcome, Outcome::timed_out(millis(500)), "{then}");
        assert_eq!(texts(&record), ["INFO staying", "printed"], "{then}");
    }
    for (then, last) in [("kill", Some("INFO killing")), ("fault", None)] {
        let record = site.run("stay", json!({ "then": then, "print": "printed" })).await;
        assert_eq!(record.outcome, Outcome::exited(), "{then}");
        assert_eq!(texts(&record), [&["INFO staying", "printed"], last.as_slice()].concat(), "{then}");
    }
    let hoarded = site.found(json!({ "then": "hoard" })).await;
    assert!(hoarded["files"].as_u64().unwrap() > 100, "{hoarded}");
    for how in ["await", "block", "spin"] {
        let record = site.run("sleep", json!({ how: 60_000 })).await;
        assert_eq!(record.outcome, Outcome::timed_out(millis(500)), "{how}");
        assert!(record.times.run < millis(2_000), "{how}: {:?}", record.times);
    }
    site.found(json!({})).await;
    site.end(1).await;
}

#[tokio::test]
async fn what_an_action_left_goes_with_a_run_that_ended_badly_and_stays_with_one_that_did_not() {
    let Some(site) = site("gleft", [spec("stay").with_timeout(millis(500))]).await else { return };
    for then in ["sleep", "spin", "panic"] {
        let kept = site.found(json!({ "leave": "a" })).await;
        // An error of its own is a way to end well.
        let failed = site.run("stay", json!({ "leave": "b", "then": "fail" })).await;
        assert_eq!(failed.status(), Status::ApplicationError);
        let found = site.found(json!({})).await;
        assert_eq!((&found["kept"], &found["pid"]), (&json!(["a", "b"]), &kept["pid"]), "{then}");
        assert!(found["ticks"].as_u64().unwrap() > 0, "{found}");
        let ended = site.run("stay", json!({ "leave": "c", "litter": true, "then": then })).await;
        assert_eq!(ended.status(), Status::DeveloperError, "{then}");
        let found = site.found(json!({})).await;
        assert_eq!((&found["kept"], &found["ticks"]), (&json!([]), &json!(0)), "{then}");
        assert_ne!(found["pid"], kept["pid"], "{then}");
        assert_eq!((&found["folder"], &found["children"]), (&json!("/"), &json!(0)), "{then}");
    }
    site.end(9).await;
}

#[tokio::test]
async fn an_action_that_asks_for_it_finds_nothing_of_those_before() {
    let mut stay = spec("stay");
    stay.annotations.insert(ActionSpec::FRESH_SANDBOX.to_owned(), json!(true));
    let Some(site) = site("gfresh", [stay]).await else { return };
    let mut programs = Vec::new();
    for _ in 0..5 {
        let record = site.run("stay", json!({ "leave": "a", "litter": true })).await;
        assert_eq!(record.start_kind, Some(StartKind::Cold));
        let found = record.outcome.result().to_value();
        assert_eq!(found["kept"], json!([]));
        programs.push(found["pid"].as_u64().unwrap());
    }
    programs.dedup();
    assert_eq!(programs.len(), 5);
    site.end(5).await;
}

#[tokio::test]
async fn an_action_sees_the_environment_that_lambda_promises_and_nothing_of_its_host() {
    let Some(site) = site("genv", [spec("stay").with_env("OWN", "value")]).await else { return };
    let secret = std::env::temp_dir().join(format!("faas-secret-{}", std::process::id()));
    let own = std::fs::File::create(&secret).unwrap();
    let found = site.found(json!({})).await;
    let mut variables: Vec<&str> =
        found["variables"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    variables.sort_unstable();
    let promised = [
        "AWS_DEFAULT_REGION",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_LAMBDA_RUNTIME_API",
        "AWS_REGION",
        "FAAS_ACTION",
        "LANG",
        "PATH",
        "TZ",
        "_HANDLER",
    ];
    assert_eq!(variables, promised);
    // What the host opened is closed in its programs.
    assert!(found["files"].as_array().unwrap().iter().all(|file| *file != json!(secret)), "{found}");
    drop(own);
    std::fs::remove_file(secret).unwrap();
    site.end(1).await;
}

#[tokio::test]
async fn a_log_is_bounded_and_whole_however_its_action_prints() {
    let mut print = spec("print");
    print.limits.logs = 10_000;
    let Some(site) = site("glogs", [print]).await else { return };
    let notice = "Logs were truncated because the total bytes size exceeds the limit of 10000 bytes.";
    for input in [
        json!({ "text": "x".repeat(1000), "lines": 1000 }),
        json!({ "lines": 0, "raw": { "stdout": "y".repeat(100_000).as_bytes() } }),
        json!({ "lines": 0, "raw": { "stderr": "z\n".repeat(50_000).as_bytes() } }),
    ] {
        let record = site.app.invoke("print", input.clone()).await.unwrap();
        assert!(record.outcome.is_success(), "{:?}", record.outcome);
        assert_eq!(texts(&record).last(), Some(&notice));
        let bytes: usize = texts(&record).iter().map(|text| text.len() + 1).sum();
        assert!((10_000..10_200).contains(&bytes), "{bytes}");
    }
    let label = "0000000000000000000000000000000f 2026-01-01T00:00:00.000000000Z of another";
    let record =
        site.app.invoke("print", json!({ "lines": 0, "raw": { "stdout": label.as_bytes() } })).await.unwrap();
    assert_eq!(texts(&record), [label], "it is text as any other");
    site.end(4).await;
}

#[tokio::test]
async fn memory_beyond_the_limit_is_there_as_this_stand_in_declares() {
    let Some(site) = site("gmemory", [spec("allocate").with_timeout(millis(20_000))]).await else { return };
    let record = site.run("allocate", json!({ "mib": 300 })).await;
    assert!(record.outcome.is_success(), "{:?}", record.outcome);
    site.end(1).await;
}

#[tokio::test]
async fn a_backend_of_guests_alone_needs_no_more_than_its_folder() {
    let Some(folder) = guests("alone") else { return };
    let backend = LambdaLocalBackend::open(folder).unwrap();
    let app = faas_core::Platform::builder().backend(backend).spec(spec("stay")).build().await.unwrap();
    assert!(app.invoke("stay", json!({})).await.unwrap().outcome.is_success());
    app.shutdown(millis(5_000)).await.unwrap();
}
