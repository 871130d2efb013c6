//! Real functions asked by hand, as AWS asks them: the program goes on after a run that ended badly.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use faas_core::artifact::Manifest;
use faas_core::{ActionSpec, Outcome, Status};
use serde_json::{Value, json};

use crate::guest::{guests, spec};
use crate::host::Host;
use crate::site::millis;

/// The program of the guests; `None`, which is told, where there is none.
fn program(test: &str) -> Option<PathBuf> {
    let folder = guests(test)?;
    let zip = File::open(folder.join(Manifest::read(&folder, "lambda").unwrap().file)).unwrap();
    let mut program = Vec::new();
    zip::ZipArchive::new(zip).unwrap().by_name("bootstrap").unwrap().read_to_end(&mut program).unwrap();
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("bootstrap-{test}"));
    fs::write(&path, program).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    Some(path)
}

fn host(test: &str, spec: &ActionSpec) -> Option<Host> {
    Some(Host::start(&program(test)?, spec))
}

fn threads(found: &Value) -> u64 {
    found["threads"].as_u64().unwrap()
}

#[test]
fn nothing_of_a_run_that_ended_badly_is_there_in_the_next_and_its_process_is_the_same() {
    let Some(mut host) = host("renewed", &spec("stay").with_timeout(millis(300))) else { return };
    let first = host.result("ns", json!({}));
    assert_eq!(first["pid"], host.pid());
    for then in ["sleep", "spin", "panic", "sleep"] {
        host.result("ns", json!({ "leave": "a" }));
        let (_, reply) = host.ask("ns", json!({ "leave": "b", "litter": true, "then": then }));
        assert_eq!(reply.outcome.status(), Status::DeveloperError, "{then}");
        let found = host.result("ns", json!({}));
        assert_eq!((&found["kept"], &found["ticks"]), (&json!([]), &json!(0)), "{then}");
        assert_eq!((&found["pid"], &found["folder"]), (&first["pid"], &json!("/")), "{then}");
        let is_left = |file: &Value| file.as_str().unwrap().ends_with("/maps");
        assert!(!found["files"].as_array().unwrap().iter().any(is_left), "{then}: {found}");
        // Two were left. None is there to run actions.
        assert_eq!(threads(&found), threads(&first), "{then}: {found}");
        assert_eq!(found["children"], 0, "{then}");
        assert_eq!(found["variables"], first["variables"], "{then}");
    }
    // Its output is its own as before.
    let (_, reply) = host.ask("ns", json!({ "print": "printed" }));
    let texts: Vec<&str> = reply.logs.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(texts, ["INFO staying", "printed"]);
    let printed = host.printed();
    assert!(printed.lines().last().is_some_and(|line| line.ends_with(" printed")), "{printed}");
}

#[test]
fn namespaces_never_share_a_program() {
    let Some(mut host) = host("namespaces", &spec("stay")) else { return };
    host.result("one", json!({ "leave": "a secret" }));
    let (told, _) = host.ask("two", json!({}));
    assert_eq!(told.refused.as_deref(), Some("activations of another namespace have run here"));
    let found = host.result("two", json!({}));
    assert_eq!(found["kept"], json!([]), "it has begun anew");
    assert_eq!(host.result("two", json!({ "leave": "b" }))["kept"], json!([]));
    assert_eq!(host.result("two", json!({}))["kept"], json!(["b"]));
}

#[test]
fn an_action_that_asks_for_it_runs_each_time_in_a_program_that_has_run_nothing() {
    let mut stay = spec("stay");
    stay.annotations.insert(ActionSpec::FRESH_SANDBOX.to_owned(), json!(true));
    let Some(mut host) = host("fresh", &stay) else { return };
    for _ in 0..5 {
        let (told, reply) = host.ask("ns", json!({ "leave": "a" }));
        assert_eq!(reply.outcome.result().to_value()["kept"], json!([]));
        assert!(told.cold);
    }
}

#[test]
fn an_event_of_somebody_elses_is_answered_plainly_and_its_failures_are_errors_of_the_function() {
    let Some(mut host) = host("plain", &spec("stay").with_timeout(millis(300))) else { return };
    let event =
        json!({ "version": "0", "detail-type": "Scheduled Event", "source": "aws.events", "detail": {} });
    let found = host.plain(&event).unwrap();
    assert_eq!(found["activation"], "00000000000040008000000000000001", "the id of the request");
    assert_eq!(host.plain(&json!({ "leave": "a" })).unwrap()["kept"], json!([]));
    let error = |kind: &str, text: &str| json!({ "errorType": kind, "errorMessage": text });
    let failed = host.plain(&json!({ "then": "fail" })).unwrap_err();
    assert_eq!(failed, error("ApplicationError", "it was asked to"));
    assert_eq!(host.plain(&json!({})).unwrap()["kept"], json!(["a"]), "and goes on");
    let late = Outcome::timed_out(millis(300)).error().unwrap();
    for (then, text) in
        [("sleep", late.as_str()), ("spin", &late), ("panic", "The action panicked: it was asked to")]
    {
        assert_eq!(
            host.plain(&json!({ "then": then, "leave": "b" })).unwrap_err(),
            error("DeveloperError", text)
        );
        assert_eq!(host.plain(&json!({})).unwrap()["kept"], json!([]), "{then}: it has begun anew");
    }
    for event in [json!([1]), json!("text"), json!(7), json!(null)] {
        let refused = host.plain(&event).unwrap_err();
        assert!(
            matches!(refused["errorType"].as_str(), Some("ApplicationError" | "DeveloperError")),
            "{refused}"
        );
    }
    // Lambda's own time counts as well: the run ends before the program would be killed.
    let found = host.plain_within(&json!({}), Duration::from_millis(200)).unwrap();
    assert!(found["remaining_ms"].as_u64().unwrap() <= 100, "{found}");
}

#[test]
fn a_function_whose_program_does_not_know_its_action_says_so_and_ends() {
    let Some(program) = program("unknown") else { return };
    let run = |variables: &[(&str, &str)]| {
        let mut command = std::process::Command::new(&program);
        let output = command.env_clear().envs(variables.iter().copied()).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = run(&[]);
    assert_eq!(code, Some(1));
    assert!(said.contains("this program is the bootstrap of an AWS Lambda function"), "{said}");
    let needed = [
        ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:1"),
        ("AWS_LAMBDA_FUNCTION_NAME", "test"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
    ];
    for (told, text) in [
        ("no JSON", "has no specification of an action"),
        (
            &serde_json::to_string(&ActionSpec::new("other").unwrap()).unwrap(),
            "has no action called 'other'; it has:",
        ),
    ] {
        let (code, said) = run(&[&needed[..], &[("FAAS_ACTION", told)]].concat());
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(text), "{said}");
    }
    let (code, said) = run(&needed);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("does not say which action this is; there are: stay, allocate"), "{said}");
}
