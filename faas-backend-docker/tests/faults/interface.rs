//! A Rust guest as an ordinary action image of OpenWhisk's: its host knows nothing of this library.

use std::path::PathBuf;
use std::time::Instant;

use faas_core::ErrorKind;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::bare::{self, Bare, Loose, manifest};
use crate::site::{ground, millis, skip, until};
use crate::watch::PATIENCE;
use crate::wire;

const MARK: &str = "XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX\n";

/// The artifact of the guests, or `None`, which is told, where no compiler is for them.
fn artifact(test: &str) -> Option<PathBuf> {
    match faas_build::docker!("guests") {
        Err(error) if error.kind() == ErrorKind::Unsupported => skip(test, error.message()),
        built => Some(built.expect("an artifact")),
    }
}

fn told(status: u16, error: &str) -> (u16, String) {
    (status, json!({ "error": error }).to_string())
}

#[tokio::test]
async fn it_is_initialised_once_before_it_runs() {
    let Some(artifact) = artifact("it_is_initialised_once_before_it_runs") else { return };
    let bare = Bare::start(&artifact).await;
    assert_eq!(bare.run(json!({})).await.told(), told(403, "System not initialized."));
    let reply = bare.init(json!({ "name": "echo", "main": "main", "binary": false })).await;
    assert_eq!(reply.told(), (200, r#"{"ok":true}"#.to_owned()));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert_eq!(reply.header("x-faas-envelope"), None);
    for name in ["echo", "look"] {
        let again = bare.init(json!({ "name": name })).await;
        assert_eq!(again.told(), told(403, "Cannot initialize the action more than once."));
    }
    let reply = bare.run(json!({ "n": 1 })).await;
    assert_eq!(reply.told(), (200, r#"{"n":1}"#.to_owned()));
    assert_eq!(reply.header("content-length"), Some("7"));
    assert_eq!(reply.header("transfer-encoding"), None);
    assert_eq!(reply.header("x-faas-envelope"), None);
}

#[tokio::test]
async fn an_action_that_is_not_there_is_told_with_those_that_are() {
    let Some(artifact) = artifact("an_action_that_is_not_there_is_told_with_those_that_are") else { return };
    let bare = Bare::start(&artifact).await;
    let actions = manifest(&artifact)["actions"].as_array().unwrap().clone();
    let known: Vec<_> =
        actions.iter().filter_map(|action| action["name"].as_str()?.rsplit('/').next()).collect();
    let text = format!("this image has no action called 'nope'; it has: {}", known.join(", "));
    assert_eq!(bare.init(json!({ "name": "nope" })).await.told(), told(502, &text));
    assert_eq!((bare.printed("stdout"), bare.printed("stderr")), (MARK.to_owned(), MARK.to_owned()));
    // OpenWhisk's proxies take no second try either.
    assert_eq!(bare.init(json!({ "name": "echo" })).await.status, 403);
    assert_eq!(bare.run(json!({})).await.told(), told(403, "System not initialized."));
}

#[tokio::test]
async fn the_action_is_chosen_by_main_or_by_its_whole_name_or_by_its_name() {
    let Some(artifact) = artifact("the_action_is_chosen_by_main_or_by_its_whole_name_or_by_its_name") else {
        return;
    };
    let env = |name: &str| json!({ "__OW_ACTION_NAME": name });
    for (init, found) in [
        (json!({ "name": "echo" }), true),
        (json!({ "main": "echo" }), true),
        (json!({ "main": "echo", "name": "look" }), true),
        (json!({ "name": "x", "env": env("/guest/echo") }), true),
        (json!({ "name": "look", "env": env("/guest/echo") }), true),
        (json!({ "name": "echo", "env": env("/guest/pack/echo") }), true),
        (json!({ "name": "echo", "env": env("no path") }), true),
        (json!({ "name": "echo", "code": "" }), true),
        (json!({ "name": "x", "main": "y", "env": env("/guest/pack/z") }), false),
        (json!({}), false),
    ] {
        let bare = Bare::start(&artifact).await;
        let status = bare.init(init.clone()).await.status;
        assert_eq!(status, if found { 200 } else { 502 }, "{init}");
        if found {
            assert_eq!(bare.run(json!({ "n": 1 })).await.told(), (200, r#"{"n":1}"#.to_owned()), "{init}");
        }
    }
    let bare = Bare::start(&artifact).await;
    let text = "this image has its code within it and takes no other";
    assert_eq!(
        bare.init(json!({ "name": "echo", "code": "function main() {}" })).await.told(),
        told(502, text)
    );
}

#[tokio::test]
async fn its_environment_is_told_by_init() {
    let Some(artifact) = artifact("its_environment_is_told_by_init") else { return };
    let bare = Bare::start(&artifact).await;
    let env = json!({ "TOKEN": "a secret", "N": 7, "NOTHING": null, "DEEP": { "a": [1] } });
    assert_eq!(bare.init(json!({ "name": "look", "env": env })).await.status, 200);
    for (name, value) in [
        ("TOKEN", json!("a secret")),
        ("N", json!("7")),
        ("NOTHING", json!("")),
        ("DEEP", json!(r#"{"a":[1]}"#)),
        ("PATH", json!(null)),
    ] {
        assert_eq!(bare.run(json!({ "told": name })).await.json(), json!({ "text": value }), "{name}");
    }
}

#[tokio::test]
async fn what_a_run_is_told_beside_its_input_is_in_its_environment() {
    let test = "what_a_run_is_told_beside_its_input_is_in_its_environment";
    let Some(artifact) = artifact(test) else { return };
    let bare = Bare::start(&artifact).await;
    let env = json!({ "TOKEN": "a secret", "__OW_ACTION_NAME": "/guest/look", "__OW_NAMESPACE": "guest" });
    assert_eq!(bare.init(json!({ "name": "look", "env": env })).await.status, 200);
    let body = |name: &str, id: &str| {
        json!({
            "value": { "told": name }, "namespace": "caller", "action_version": "0.0.7", "activation_id": id,
            "transaction_id": "a \"transaction\"", "deadline": "99999999999999", "api_key": "a key", "number": 7,
        })
    };
    let id = "0123456789abcdef0123456789abcdef";
    for (name, value) in [
        ("TOKEN", json!("a secret")),
        ("__OW_ACTION_NAME", json!("/guest/look")),
        ("__OW_NAMESPACE", json!("caller")),
        ("__OW_ACTION_VERSION", json!("0.0.7")),
        ("__OW_ACTIVATION_ID", json!(id)),
        ("__OW_TRANSACTION_ID", json!("a \"transaction\"")),
        ("__OW_DEADLINE", json!("99999999999999")),
        ("__OW_API_KEY", json!("a key")),
        ("__OW_NUMBER", json!(null)),
        ("__OW_VALUE", json!(null)),
    ] {
        assert_eq!(bare.post("/run", body(name, id)).await.json(), json!({ "text": value }), "{name}");
    }
    // Each run is told its own, and one that is told nothing has nothing of another.
    let other = "f".repeat(32);
    let told = bare.post("/run", body("__OW_ACTIVATION_ID", &other)).await.json();
    assert_eq!(told, json!({ "text": other }));
    let told = bare.run(json!({ "told": "__OW_ACTIVATION_ID" })).await.json();
    assert_eq!(told, json!({ "text": null }));
    // A host of this library tells the whole specification, and nothing beside it.
    let sent = body("__OW_ACTIVATION_ID", id).to_string();
    let request = wire::request("/run", "x-faas-envelope: 1\r\n", sent.as_bytes());
    let told = wire::exchange(&mut bare.connect().await, &request).await.json();
    assert_eq!(told, json!({ "text": null }));
}

#[tokio::test]
async fn outcomes_have_the_status_that_openwhisk_expects_and_logs_end_with_a_mark() {
    let test = "outcomes_have_the_status_that_openwhisk_expects_and_logs_end_with_a_mark";
    let Some(artifact) = artifact(test) else { return };
    let bare = Bare::of(&artifact, "look").await;
    let reply = bare.run(json!({ "read": "/nowhere" })).await;
    assert_eq!(reply.told(), told(200, "No such file or directory (os error 2)"), "an application error");
    let reply = bare.run(json!({ "juggle": 1 })).await;
    assert_eq!(reply.status, 200, "an input that does not fit: {reply:?}");
    assert!(reply.json()["error"].is_string());

    let bare = Bare::of(&artifact, "nap").await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let body = json!({ "value": { "ms": 60_000, "text": "long" }, "deadline": (now + 300).to_string() });
    let begun = Instant::now();
    let reply = bare.post("/run", body).await;
    assert_eq!(reply.status, 502, "a developer error: {reply:?}");
    assert!(reply.json()["error"].as_str().unwrap().starts_with("The action exceeded its time limits of"));
    assert!(begun.elapsed() < millis(5_000), "{:?}", begun.elapsed());
    let reply = bare.run(json!({ "ms": 1, "text": "short" })).await;
    assert_eq!(reply.told(), (200, "{}".to_owned()));
    let lines = format!("INFO napping long\n{MARK}INFO napping short\nINFO napped short\n{MARK}");
    assert_eq!(bare.printed("stdout"), lines);
    assert_eq!(bare.printed("stderr"), MARK.repeat(2));
}

#[tokio::test]
async fn a_request_that_is_none_is_refused_and_costs_nothing() {
    let Some(artifact) = artifact("a_request_that_is_none_is_refused_and_costs_nothing") else { return };
    let bare = Bare::start(&artifact).await;
    let post = async |path: &str, body: &[u8]| {
        wire::exchange(&mut bare.connect().await, &wire::request(path, "", body)).await
    };
    for body in [&b""[..], b"{", b"[]", b"{}", b"\xff\xfe", b"{\"value\":7}", b"{\"value\":{\"env\":[]}}"] {
        let reply = post("/init", body).await;
        assert_eq!(reply.status, 400, "{reply:?}");
        assert!(
            reply.json()["error"].as_str().unwrap().starts_with("the request is malformed: "),
            "{reply:?}"
        );
    }
    assert_eq!(
        bare.init(json!({ "name": "echo" })).await.status,
        200,
        "none of them was the one that counts"
    );
    for body in [&b""[..], b"{", b"7", b"{\"value\":7}", b"{\"value\":\"text\"}", b"{\"value\":{}}x"] {
        let reply = post("/run", body).await;
        assert_eq!(reply.status, 400, "{reply:?}");
        assert!(reply.json()["error"].is_string(), "{reply:?}");
    }
    for body in [&b"{}"[..], b"{\"value\":null}", b"{\"value\":{}}", b"{\"value\":{},\"deadline\":\"soon\"}"]
    {
        assert_eq!(post("/run", body).await.told(), (200, "{}".to_owned()));
    }
    let text = "there is no POST /stop: a guest takes POST /init and POST /run";
    assert_eq!(post("/stop", b"{}").await.told(), told(404, text));
    let get = b"GET /run HTTP/1.1\r\nhost: x\r\n\r\n";
    let reply = wire::exchange(&mut bare.connect().await, get).await;
    assert_eq!(reply.told(), told(404, "there is no GET /run: a guest takes POST /init and POST /run"));
    assert_eq!(bare.run(json!({ "n": 1 })).await.told(), (200, r#"{"n":1}"#.to_owned()));
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_and_one_below_is_read() {
    let Some(artifact) = artifact("a_body_over_the_limit_is_refused_and_one_below_is_read") else { return };
    let bare = Bare::of(&artifact, "echo").await;
    let large = json!({ "a": "x".repeat(1_000_000) });
    assert_eq!(bare.run(large.clone()).await.json(), large);
    let length = (48 << 20) + 1;
    let mut stream = bare.connect().await;
    let head = format!("POST /run HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let piece = vec![b'x'; 1 << 20];
    // It may have answered, and read no more, before all is written.
    let writing = async {
        for _ in 0..49 {
            if writer.write_all(&piece).await.is_err() {
                break;
            }
        }
    };
    let (reply, ()) = tokio::join!(wire::reply(&mut reader), writing);
    let text = "the request cannot be read, or has more than 50331648 bytes";
    assert_eq!(reply.unwrap().told(), told(413, text));
    assert_eq!(bare.run(json!({})).await.status, 200);
}

#[tokio::test]
async fn connections_are_kept_where_the_host_wants_it_and_broken_ones_harm_nobody() {
    let test = "connections_are_kept_where_the_host_wants_it_and_broken_ones_harm_nobody";
    let Some(artifact) = artifact(test) else { return };
    let bare = Bare::of(&artifact, "echo").await;
    let mut kept = bare.connect().await;
    for n in 0..3 {
        let reply = wire::post(&mut kept, "/run", &json!({ "value": { "n": n } })).await;
        assert_eq!(reply.json(), json!({ "n": n }));
    }
    let closing = wire::request("/run", "connection: close\r\n", b"{\"value\":{\"n\":1}}");
    assert_eq!(wire::exchange(&mut kept, &closing).await.json(), json!({ "n": 1 }));
    assert_eq!(kept.read(&mut [0]).await.unwrap(), 0, "it was closed, as the host asked");
    for broken in [
        &b"oops\r\n\r\n"[..],
        b"POST /run HTTP/1.1\r\ncontent-length: 100\r\n\r\n{",
        b"POST /run HTTP/1.1\r\ncontent-le",
        b"POST /run HTTP/1.1\r\ncontent-length: -1\r\n\r\n",
        b"\0\xff\0\xff",
        b"",
    ] {
        bare.connect().await.write_all(broken).await.unwrap();
        assert_eq!(bare.run(json!({ "n": 2 })).await.json(), json!({ "n": 2 }));
    }
    let old = b"POST /run HTTP/1.0\r\ncontent-length: 17\r\n\r\n{\"value\":{\"n\":3}}";
    assert_eq!(wire::exchange(&mut bare.connect().await, old).await.json(), json!({ "n": 3 }));
}

#[tokio::test]
async fn a_host_that_leaves_has_the_action_dropped() {
    let Some(artifact) = artifact("a_host_that_leaves_has_the_action_dropped") else { return };
    let bare = Bare::of(&artifact, "nap").await;
    let mut leaving = bare.connect().await;
    let body = json!({ "value": { "ms": 500, "text": "left" } }).to_string();
    leaving.write_all(&wire::request("/run", "", body.as_bytes())).await.unwrap();
    let began =
        until(
            PATIENCE,
            async || {
                if bare.printed("stdout").contains("napping left") { Ok(()) } else { Err(()) }
            },
        );
    began.await.expect("it began");
    drop(leaving);
    assert_eq!(bare.run(json!({ "ms": 800, "text": "stayed" })).await.status, 200);
    let printed = bare.printed("stdout");
    assert!(printed.contains("napped stayed") && !printed.contains("napped left"), "{printed}");
}

#[tokio::test]
async fn it_ends_when_it_is_told_to_and_tells_what_it_contains() {
    let Some(artifact) = artifact("it_ends_when_it_is_told_to_and_tells_what_it_contains") else { return };
    let mut bare = Bare::of(&artifact, "nap").await;
    let mut running = bare.connect().await;
    let body = json!({ "value": { "ms": 60_000 } }).to_string();
    running.write_all(&wire::request("/run", "", body.as_bytes())).await.unwrap();
    assert_eq!(bare.stop(), Some(0));
    assert!(wire::reply(&mut running).await.is_none());
    assert!(!bare.printed("stderr").contains("error"), "{}", bare.printed("stderr"));

    let described = bare::output(&artifact, &["--describe"]);
    assert!(described.status.success());
    let described: Value = serde_json::from_slice(&described.stdout).unwrap();
    assert_eq!(described["actions"], manifest(&artifact)["actions"]);
    let refused = bare::output(&artifact, &["--explain"]);
    assert_eq!(refused.status.code(), Some(1));
    let text = "error: the only argument that is known is --describe\n";
    assert_eq!(String::from_utf8_lossy(&refused.stderr), text);
}

#[tokio::test]
async fn as_a_container_it_listens_on_port_8080() {
    let Some(ground) = ground("port").await else { return };
    let manifest = manifest(&ground.guests);
    let image = manifest["image"].as_str().unwrap().to_owned();
    let file = ground.guests.join(manifest["file"].as_str().unwrap());
    let named = image.clone();
    let loading = tokio::task::spawn_blocking(move || faas_backend_docker::load_image(&file, &named));
    loading.await.unwrap().unwrap();
    let network = format!("faas-test-port-{}", std::process::id());
    let loose = Loose::start(&ground.docker, &network, &image, 1).await;
    let connect = async || TcpStream::connect((&*loose.addresses[0], 8080)).await;
    let mut stream = until(PATIENCE, connect).await.unwrap();
    let reply = wire::post(&mut stream, "/init", &json!({ "value": { "name": "look" } })).await;
    assert_eq!(reply.told(), (200, r#"{"ok":true}"#.to_owned()));
    for _ in 0..2 {
        let reply =
            wire::post(&mut connect().await.unwrap(), "/run", &json!({ "value": { "identity": {} } })).await;
        assert_eq!((reply.status, &reply.json()["process"]), (200, &json!(1)));
    }
    loose.remove(&ground.docker).await;
}
