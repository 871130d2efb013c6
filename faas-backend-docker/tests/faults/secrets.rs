//! Secrets that are planted wherever an action can put them: nobody else finds them, and nobody tells them.

use std::fmt::Write as _;

use bollard::query_parameters::RemoveContainerOptions;
use faas_core::{ActionSpec, ErrorKind, Expect, InvokeOptions, MemoryMib, Namespace, StartKind};
use serde_json::{Value, json};

use crate::alone::alone;
use crate::kept::Kept;
use crate::puppets::{BOX, KIND, MIB, played};
use crate::site::{Site, ground, millis, spec};

/// The secret. It is looked for backwards, so that no search puts it where it is looked for.
const SECRET: &str = "tr0ub4dor-and-3-planted";

fn sought() -> Value {
    json!({ "backwards": SECRET.chars().rev().collect::<String>() })
}

/// Whether an action finds the secret anywhere.
async fn finds(site: &Site, action: &str) -> Vec<String> {
    let found = site.result(action, sought()).await;
    found["places"].as_array().unwrap().iter().map(|place| place.as_str().unwrap().to_owned()).collect()
}

fn remembering() -> ActionSpec {
    spec("remember").with_env("TOKEN", SECRET).with_parameter("key", SECRET)
}

#[tokio::test]
async fn no_other_action_namespace_or_revision_finds_a_secret() {
    let Some(ground) = ground("secretfound").await else { return };
    let builder = ground.builder().stems(1);
    // All of one size, so that stem cells are interchangeable.
    let (seek, remember) = (spec("seek"), remembering().with_memory(MemoryMib::new(32)));
    let site = ground.site_on(builder, [seek, remember]).await;
    let plant = json!({ "secret": SECRET });
    for n in 0..2 {
        let found = site.result("remember", plant.clone()).await;
        let mine = vec![SECRET; n];
        assert_eq!(found["memory"], json!(mine), "its own container remembers");
        assert_eq!(finds(&site, "seek").await, Vec::<String>::new());
    }
    let options =
        InvokeOptions { namespace: Some(Namespace::new("tenant").unwrap()), ..InvokeOptions::default() };
    let record =
        site.app.invoke_with("remember", json!({ "secret": "other" }), options.clone()).await.unwrap();
    assert_eq!(record.outcome.result().to_value(), json!({ "memory": [], "disk": "" }));
    assert_ne!(record.start_kind, Some(StartKind::Warm));
    let record = site.app.invoke_with("seek", sought(), options).await.unwrap();
    assert_eq!(record.outcome.result().to_value(), json!({ "places": [] }));

    let changed = remembering().with_memory(MemoryMib::new(32)).with_parameter("more", 1);
    site.app.put_action(changed, Expect::Any).await.unwrap();
    let record = site.run("remember", json!({ "secret": "new" })).await;
    assert_eq!(record.outcome.result().to_value(), json!({ "memory": [], "disk": "" }));
    assert_ne!(record.start_kind, Some(StartKind::Warm));
    assert_eq!(finds(&site, "seek").await, Vec::<String>::new());
    site.end(8).await;
}

#[tokio::test]
async fn one_who_has_the_secret_finds_it() {
    let Some(ground) = ground("secretown").await else { return };
    let site = ground.site([spec("seek").with_env("TOKEN", SECRET)]).await;
    let places = finds(&site, "seek").await;
    assert!(places.contains(&"specification".to_owned()), "{places:?}");
    assert!(places.iter().any(|place| place.starts_with("memory")), "{places:?}");
    assert!(
        !places.iter().any(|place| place.starts_with('/')),
        "no file and no process tells it: {places:?}"
    );
    site.end(1).await;
}

#[test]
fn a_secret_is_in_no_log_no_error_no_description_and_no_label() {
    alone("secrets::a_secret_is_in_no_log_no_error_no_description_and_no_label", async {
        let kept = Kept::install();
        let Some(ground) = ground("secrettold").await else { return };
        let builder = ground.puppets().await.code("code", KIND, "{}", "main");
        let secret = |spec: ActionSpec| spec.with_env("TOKEN", SECRET).with_parameter("key", SECRET);
        let late = spec("late").with_timeout(millis(1_000)).with_memory(MemoryMib::new(40));
        let specs =
            [secret(spec("remember")), secret(late), secret(spec("nap")), secret(played("code", 20_000))];
        let site = ground.site_on(builder, specs).await;
        let mut told = String::new();

        site.result("remember", json!({ "secret": SECRET })).await;
        site.result("code", json!({ "wait_ms": 1, "key": SECRET })).await;
        let record = site.run("late", json!({ "ms": 5_000, "text": SECRET })).await;
        write!(told, "{:?} {:?}", record.outcome, record.logs).unwrap();
        let record = site.run("nap", json!({ "ms": "no number", "text": SECRET })).await;
        write!(told, "{:?} {:?}", record.outcome, record.logs).unwrap();
        for broken in
            [json!({ "status": 502, "body": "no", "key": SECRET }), json!({ "raw": "oops", "key": SECRET })]
        {
            let record = site.run("code", broken).await;
            write!(told, "{:?} {:?}", record.outcome, record.logs).unwrap();
        }
        let call = site.begin("late", json!({ "ms": 800, "text": SECRET }));
        let id = site.container_that_says(40, "blocking").await;
        let force = RemoveContainerOptions { force: true, v: true, link: false };
        site.docker.remove_container(&id, Some(force)).await.unwrap();
        let error = call.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::SandboxLost, "{error:?}");
        write!(told, "{error} {error:?} {:?} {:?}", site.backend, site.stats().await).unwrap();
        let refused = secret(spec("echo")).with_egress("*").with_timeout(millis(0));
        let error = site.app.put_action(refused, Expect::Any).await.unwrap_err();
        write!(told, "{error} {error:?}").unwrap();

        let containers = site.inspected().await;
        assert!(containers.len() >= 2, "{}", containers.len());
        for container in containers {
            let id = container.id.clone().unwrap();
            write!(told, "{} {}", serde_json::to_string(&container).unwrap(), site.printed(&id).await)
                .unwrap();
        }
        assert!(!told.contains(SECRET), "{}", around(&told));
        site.end_without(1, 2).await;
        let logged = kept.text();
        assert!(logged.len() > 1000, "something was logged: {logged}");
        assert!(!logged.contains(SECRET), "{}", around(&logged));
    });
}

/// What stands around the secret.
fn around(text: &str) -> String {
    let at = text.find(SECRET).unwrap_or(0);
    text.chars().skip(at.saturating_sub(300)).take(700).collect()
}

#[tokio::test]
async fn a_secret_of_one_action_is_not_in_the_container_of_another_image() {
    let Some(ground) = ground("secretforeign").await else { return };
    let builder = ground.puppets().await.code("code", KIND, "{}", "main");
    let site =
        ground.site_on(builder, [played("code", 20_000).with_env("TOKEN", SECRET), played(BOX, 20_000)]);
    let site = site.await;
    site.result("code", json!({ "write": "/tmp/left", "key": SECRET })).await;
    let told = site.result("code", json!({ "tell_init": true })).await;
    assert_eq!(told["value"]["env"]["TOKEN"], SECRET, "it is told to its own");
    let told = site.result(BOX, json!({ "tell_init": true })).await;
    assert_eq!(told["value"]["env"].get("TOKEN"), None);
    for path in ["/tmp/left", "/proc/1/environ", "/proc/self/environ"] {
        let read = site.result(BOX, json!({ "read": path })).await;
        assert!(!read.to_string().contains(SECRET), "{path}: {read}");
    }
    assert!(site.result(BOX, json!({ "read": "/tmp/left" })).await["refused"].is_string());
    assert_eq!(site.containers_of(MIB).await.len(), 2, "each has its own");
    site.end(7).await;
}
