//! Images of somebody else's: how they are initialised and what they are told, as an action and as a runtime.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use faas_backend_docker::Runtime;
use faas_core::{ErrorKind, MemoryMib, Outcome, StartKind, Status, Timestamp};
use serde_json::json;
use tokio::task::JoinSet;

use crate::puppets::{BOX, KIND, MIB, boxed, coded, played};
use crate::site::{ground, millis};
use crate::{puppet, watch};

const FAILED: &str = "The action did not initialize or run as expected. Log data might be missing.";
const NOT_INITIALISED: &str = "The action did not initialize and exited unexpectedly.";

#[tokio::test]
async fn an_initialisation_that_fails_says_why() {
    let deep = "z".repeat(5000);
    let cases = [
        (json!({ "status": 502, "body": r#"{"error":"no such module"}"# }), "no such module".to_owned()),
        (
            json!({ "status": 500, "body": "oops" }),
            "The action failed during initialization: oops".to_owned(),
        ),
        (json!({ "status": 500, "body": "" }), "The action failed during initialization: ".to_owned()),
        (
            json!({ "status": 404, "body": deep }),
            format!("The action failed during initialization: {}", &deep[..1024]),
        ),
        (json!({ "hang_up": true }), NOT_INITIALISED.to_owned()),
        (json!({ "exit": 0 }), NOT_INITIALISED.to_owned()),
        (json!({ "exit": 137 }), NOT_INITIALISED.to_owned()),
        (json!({ "raw": "oops" }), NOT_INITIALISED.to_owned()),
        (json!({ "raw": "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}" }), NOT_INITIALISED.to_owned()),
        (
            json!({ "raw": "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" }),
            NOT_INITIALISED.to_owned(),
        ),
        (json!({ "grow": true }), "The action exhausted its memory and was aborted.".to_owned()),
    ];
    let Some(ground) = ground("inits").await else { return };
    let mut builder = ground.puppets().await;
    let names: Vec<String> = (0..cases.len()).map(|n| format!("a{n}")).collect();
    for (name, (code, _)) in names.iter().zip(&cases) {
        builder = builder.code(name, KIND, code.to_string(), "main");
    }
    let site = ground.site_on(builder, names.iter().map(|name| played(name, 20_000))).await;
    let mut calls = JoinSet::new();
    for (name, (code, text)) in names.into_iter().zip(cases) {
        let app = site.app.clone();
        calls.spawn(async move {
            let record = app.invoke(&name, json!({})).await.unwrap();
            let code = code.to_string();
            assert_eq!(record.outcome, Outcome::developer_error(text), "{}", &code[..code.len().min(100)]);
            assert!(record.times.init > millis(0) && record.times.run == millis(0), "{:?}", record.times);
        });
    }
    site.fine().await;
    calls.join_all().await;
    site.gone(MIB).await;
    site.end(1).await;
}

#[tokio::test]
async fn an_initialisation_that_fails_has_its_logs() {
    let said = json!({ "stdout": ["Unexpected token", ""], "stderr": ["at line 1"] });
    let ends = [
        ("told", json!({ "status": 502, "body": r#"{"error":{"code":7}}"# })),
        ("garbage", json!({ "raw": "oops" })),
        ("exits", json!({ "exit": 1 })),
        ("hangs", json!({ "never": true })),
    ];
    let codes = ends.map(|(name, end)| {
        let mut code = said.clone();
        code.as_object_mut().unwrap().extend(end.as_object().unwrap().clone());
        (name, code, 1_500)
    });
    let Some(site) = coded("initlogs", codes).await else { return };
    for name in ["told", "garbage", "exits", "hangs"] {
        let record = site.run(name, json!({})).await;
        assert_eq!(record.status(), Status::DeveloperError, "{name}: {:?}", record.outcome);
        if name == "told" {
            assert_eq!(record.outcome, Outcome::developer_error(json!({ "code": 7 })));
        }
        let mut texts = watch::texts(&record);
        assert_eq!(texts.pop(), Some(FAILED), "{name}");
        // The engine keeps the order of one stream, and not of two.
        texts.sort_unstable();
        assert_eq!(texts, ["", "Unexpected token", "at line 1"], "{name}");
        site.gone(MIB).await;
    }
    site.end(4).await;
}

#[tokio::test]
async fn the_log_of_an_initialisation_is_bounded_and_none_where_there_is_no_room_for_it() {
    let Some(ground) = ground("initlimit").await else { return };
    let code = json!({ "flood_kib": 100, "status": 502 }).to_string();
    let builder = ground.puppets().await;
    let builder = builder.code("little", KIND, code.clone(), "main").code("none", KIND, code, "main");
    let limited = |name: &str, limit| {
        let mut spec = played(name, 20_000);
        spec.limits.logs = limit;
        spec
    };
    let site = ground.site_on(builder, [limited("little", 5_000), limited("none", 0)]).await;
    let record = site.run("little", json!({})).await;
    let notice = "Logs were truncated because the total bytes size exceeds the limit of 5000 bytes.";
    assert_eq!((watch::texts(&record)[0].len(), &watch::texts(&record)[1..]), (4_999, &[notice, FAILED][..]));
    assert_eq!(site.run("none", json!({})).await.logs, []);
    site.end(2).await;
}

#[tokio::test]
async fn what_a_good_initialisation_prints_is_the_first_activations() {
    let Some(site) = coded("initsays", [("a", json!({ "stdout": ["loading"] }), 20_000)]).await else {
        return;
    };
    for expected in [vec!["loading", "own"], vec!["own"]] {
        let record = site.run("a", json!({ "stdout": ["own"] })).await;
        assert_eq!(watch::texts(&record), expected);
    }
    site.end(2).await;
}

#[tokio::test]
async fn an_initialisation_has_the_time_of_the_action() {
    let never = json!({ "never": true });
    let trickling = json!({ "trickle_ms": 100, "body": "it takes its time to say so" });
    let actions =
        [("never", never, 700), ("trickles", trickling, 700), ("waits", json!({ "wait_ms": 700 }), 9_000)];
    let Some(site) = coded("inittime", actions).await else { return };
    for name in ["never", "trickles"] {
        let record = site.run(name, json!({})).await;
        let text = "The action exceeded its time limits of 700 milliseconds during initialization.";
        assert_eq!(record.outcome.error().as_deref(), Some(text), "{name}");
        assert!(record.times.init >= millis(700) && record.times.init < millis(2_500), "{:?}", record.times);
        site.gone(MIB).await;
    }
    let record = site.run("waits", json!({ "n": 1 })).await;
    assert_eq!(record.outcome.result().to_value(), json!({ "n": 1 }));
    assert!(record.times.init >= millis(700), "{:?}", record.times);
    site.end(3).await;
}

#[tokio::test]
async fn a_body_of_a_good_initialisation_does_not_matter_and_503_is_no_fault_of_the_action() {
    let odd = json!({ "body": "OK!" });
    let Some(site) =
        coded("initodd", [("odd", odd, 9_000), ("ending", json!({ "status": 503 }), 9_000)]).await
    else {
        return;
    };
    assert_eq!(site.result("odd", json!({ "n": 1 })).await, json!({ "n": 1 }));
    let before = site.stats().await.created;
    let error = site.app.invoke("ending", json!({})).await.unwrap_err();
    assert_eq!((error.kind(), error.is_temporary()), (ErrorKind::SandboxLost, true), "{error:?}");
    assert_eq!(site.stats().await.created - before, 3, "each of them says so");
    site.end_without(1, 1).await;
}

#[tokio::test]
async fn a_runtime_is_told_what_openwhisk_tells() {
    let Some(ground) = ground("told").await else { return };
    let text = "function main() { return {} } // größer";
    let zip = b"PK\x03\x04 a zip".to_vec();
    let builder = ground.puppets().await;
    let builder =
        builder.code("pack/text", KIND, text, "main").code("zip", KIND, zip.clone(), "module.entry");
    let spec = |name: &str| played(name, 20_000).with_env("ONE", "1").with_env("EMPTY", "");
    let site = ground.site_on(builder, [spec("pack/text"), spec("zip"), spec(BOX)]).await;

    let told = site.result("pack/text", json!({ "tell_init": true })).await;
    let value = &told["value"];
    assert_eq!(told.as_object().unwrap().keys().collect::<Vec<_>>(), ["value"]);
    let keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["binary", "code", "env", "main", "name"]);
    assert_eq!((&value["name"], &value["main"]), (&json!("text"), &json!("main")));
    assert_eq!((&value["binary"], &value["code"]), (&json!(false), &json!(text)));
    let env = value["env"].as_object().unwrap();
    let namespace = site.app.namespace().as_str();
    assert_eq!((&env["ONE"], &env["EMPTY"]), (&json!("1"), &json!("")));
    assert_eq!(env["__OW_NAMESPACE"], namespace);
    assert_eq!(env["__OW_ACTION_NAME"], format!("/{namespace}/pack/text"));
    assert_eq!(env["__OW_ACTION_VERSION"], "0.0.1");
    assert!(env["__OW_DEADLINE"].as_str().unwrap().parse::<u64>().unwrap() > 1_700_000_000_000);
    assert_eq!(env.len(), 6, "{env:?}");

    let told = site.result("zip", json!({ "tell_init": true })).await;
    assert_eq!((&told["value"]["binary"], &told["value"]["main"]), (&json!(true), &json!("module.entry")));
    assert_eq!(STANDARD.decode(told["value"]["code"].as_str().unwrap()).unwrap(), zip);
    let told = site.result(BOX, json!({ "tell_init": true })).await;
    assert!(told["value"].get("code").is_none(), "an action without code is given none: {told}");

    let record = site.run("pack/text", json!({ "tell_run": true, "n": [1] })).await;
    let told = record.outcome.result().to_value();
    let id = record.id.to_string();
    assert_eq!(told["value"], json!({ "tell_run": true, "n": [1] }));
    for (key, value) in [
        ("namespace", namespace),
        ("action_name", &format!("/{namespace}/pack/text")),
        ("action_version", "0.0.1"),
        ("activation_id", &id),
        ("transaction_id", &id),
    ] {
        assert_eq!(told[key], value, "{key}");
    }
    let left = told["deadline"].as_str().unwrap().parse::<u64>().unwrap() - record.start.millis();
    assert!((19_000..21_000).contains(&left), "the deadline is in {left} ms");
    // Runtimes make an environment variable of each, and some of them end when one is no text.
    let others = told.as_object().unwrap().iter().filter(|(key, _)| *key != "value");
    assert_eq!(
        others.filter(|(_, value)| value.is_string()).count(),
        told.as_object().unwrap().len() - 1,
        "{told}"
    );
    site.end(4).await;
}

#[tokio::test]
async fn a_container_is_used_again_until_it_fails() {
    let Some(site) = boxed("again", 20_000).await else { return };
    for (input, kind, status) in [
        (json!({}), StartKind::Cold, Status::Success),
        (json!({ "body": r#"{"error":"no"}"# }), StartKind::Warm, Status::ApplicationError),
        (json!({}), StartKind::Warm, Status::Success),
        (json!({ "status": 502 }), StartKind::Warm, Status::DeveloperError),
        (json!({}), StartKind::Cold, Status::Success),
    ] {
        let record = site.run(BOX, input).await;
        assert_eq!((record.start_kind, record.status()), (Some(kind), status));
        if status == Status::DeveloperError {
            site.gone(MIB).await;
        }
    }
    site.end(3).await;
}

#[tokio::test]
async fn stem_cells_of_a_runtime_are_made_before_any_action_is_known() {
    let Some(ground) = ground("runtimestems").await else { return };
    let image = puppet::image(&ground.docker).await;
    let runtime = Runtime::new(image).with_stems(2, MemoryMib::new(48));
    let builder =
        ground.builder().runtime(KIND, runtime).code("a", KIND, "{}", "main").code("b", KIND, "{}", "main");
    let site = ground.site_on(builder, [played("a", 20_000), played("b", 20_000)]).await;
    site.until_pool("two stem cells", |pool| pool.stems == 2).await;
    assert_eq!(site.containers_of(MIB).await.len(), 2);
    for name in ["a", "b"] {
        assert_eq!(site.start_kind(name, json!({})).await, StartKind::Prewarmed, "{name}");
    }
    site.until_pool("two stem cells again", |pool| pool.stems == 2).await;
    assert_eq!(site.start_kind("a", json!({})).await, StartKind::Warm);
    site.end(3).await;
}

#[tokio::test]
async fn a_paused_container_of_another_image_is_resumed_and_its_logs_go_on() {
    let Some(ground) = ground("foreignpause").await else { return };
    let builder = ground.puppets().await.code("code", KIND, "{}", "main").pause_after(Some(millis(100)));
    let site = ground.site_on(builder, [played("code", 20_000)]).await;
    for n in 0..3 {
        let record = site.app.invoke("code", json!({ "stdout": [format!("line {n}")] })).await.unwrap();
        assert_eq!(watch::texts(&record), [format!("line {n}")]);
        assert_eq!(record.start_kind, Some(if n == 0 { StartKind::Cold } else { StartKind::Warm }));
        site.until_pool("paused", |pool| pool.paused >= 1 && pool.idle == 0).await;
        let inspected = site.docker.inspect_container(&site.container_of(MIB).await, None).await.unwrap();
        assert_eq!(inspected.state.unwrap().paused, Some(true));
    }
    site.end(3).await;
}

#[tokio::test]
async fn several_activations_run_at_once_in_one_container_and_have_no_logs() {
    let Some(ground) = ground("foreignbeside").await else { return };
    let mut spec = played(BOX, 20_000);
    spec.limits.concurrency = 4;
    let builder = ground.puppets().await;
    let site = ground.site_on(builder, [spec]).await;
    site.result(BOX, json!({})).await;
    let calls: Vec<_> = (0..4)
        .map(|n| site.begin(BOX, json!({ "wait_ms": 1500, "n": n, "stdout": ["whose is this?"] })))
        .collect();
    let (mut begun, mut ended) = (Timestamp::from_millis(0), Timestamp::from_nanos(u64::MAX));
    for (n, call) in calls.into_iter().enumerate() {
        let record = call.await.unwrap().unwrap();
        (begun, ended) = (begun.max(record.start), ended.min(record.end));
        assert_eq!(record.outcome.result().to_value()["n"], json!(n));
        assert_eq!(record.logs, []);
    }
    assert!(begun < ended, "they ran at once");
    site.container_of(MIB).await;
    site.end(5).await;
}

#[tokio::test]
async fn an_idle_container_that_is_gone_is_noticed_soon() {
    let Some(ground) = ground("foreigngone").await else { return };
    let builder = ground.puppets().await;
    let site = ground.site_on(builder, [played(BOX, 20_000)]).await;
    for how in ["killed", "removed"] {
        site.result(BOX, json!({})).await;
        let id = site.container_of(MIB).await;
        match how {
            "killed" => site.docker.kill_container(&id, None).await.unwrap(),
            _ => {
                let force =
                    bollard::query_parameters::RemoveContainerOptions { force: true, v: true, link: false };
                site.docker.remove_container(&id, Some(force)).await.unwrap();
            }
        }
        let begun = std::time::Instant::now();
        let record = site.run(BOX, json!({ "n": 1 })).await;
        assert!(record.outcome.is_success() && record.attempts == 1, "{how}: {:?}", record.outcome);
        assert!(begun.elapsed() < millis(6_000), "{how}: {:?}", begun.elapsed());
    }
    site.end(4).await;
}

#[tokio::test]
async fn a_limit_is_kept_also_while_nobody_answers_at_the_address() {
    let Some(ground) = ground("nobody").await else { return };
    let builder = ground.puppets().await;
    let site = ground.site_on(builder, [played(BOX, 700)]).await;
    site.result(BOX, json!({})).await;
    site.docker.kill_container(&site.container_of(MIB).await, None).await.unwrap();
    let record = site.run(BOX, json!({})).await;
    assert!(record.outcome.is_success(), "{:?}", record.outcome);
    // It was tried for no longer than a connection takes, and all of that was waiting.
    assert!(record.times.wait < millis(1_000) && record.times.run < millis(700), "{:?}", record.times);
    site.end(2).await;
}

#[tokio::test]
async fn a_stem_cell_that_is_gone_costs_nobody_an_activation() {
    let Some(ground) = ground("gonestems").await else { return };
    let image = puppet::image(&ground.docker).await;
    let runtime = Runtime::new(image).with_stems(2, MemoryMib::new(48));
    let builder = ground.builder().runtime(KIND, runtime).code("a", KIND, "{}", "main");
    let site = ground.site_on(builder, [played("a", 20_000)]).await;
    site.until_pool("two stem cells", |pool| pool.stems == 2).await;
    for id in site.containers_of(MIB).await {
        site.docker.kill_container(&id, None).await.unwrap();
    }
    let record = site.run("a", json!({})).await;
    assert!(record.outcome.is_success() && record.attempts == 1, "{:?}", record.outcome);
    site.end(1).await;
}
