//! HTTP requests of Rust guests, which their host makes: what is granted works as on the local backend, and nothing else
//! connects.

use faas_core::http::encode_request;
use faas_core::{ActionSpec, Expect, HttpRequest, LocalBackend, MemoryMib, Outcome, Platform, Status};
use faas_testkit::loopback::Server;
use serde_json::{Value, json};

use crate::site::{Site, ground, millis, spec, until};
use crate::watch::PATIENCE;

/// The memory of actions that make requests.
const MIB: i64 = 40;

fn granted(name: &str, egress: &str) -> ActionSpec {
    spec(name).with_memory(MemoryMib::new(40)).with_timeout(millis(20_000)).with_egress(egress)
}

fn ungranted(name: &str) -> ActionSpec {
    spec(name).with_memory(MemoryMib::new(40)).with_timeout(millis(20_000))
}

fn requests(asked: &[(&str, String, &str)]) -> Value {
    let asked = asked.iter().map(|(method, url, body)| json!({ "method": method, "url": url, "body": body }));
    json!({ "requests": asked.collect::<Vec<_>>() })
}

async fn site_of(test: &str, spec: ActionSpec) -> Option<Site> {
    Some(ground(test).await?.site([spec]).await)
}

/// What the local backend makes of the same.
async fn locally(spec: ActionSpec, input: Value) -> Value {
    let app = Platform::builder().backend(LocalBackend::new()).spec(spec).build().await.unwrap();
    app.invoke("fetch", input).await.unwrap().outcome.result().to_value()
}

#[tokio::test]
async fn a_granted_host_answers_as_it_does_locally() {
    let server = Server::start().await;
    let spec = granted("fetch", &server.address.to_string());
    let Some(site) = site_of("egressgranted", spec.clone()).await else { return };
    let large = "x".repeat(500_000);
    for asked in [
        ("GET", server.url("/a?b=c%20d"), ""),
        ("POST", server.url("/echo"), "grüße"),
        ("DELETE", server.url("/missing"), ""),
        ("POST", server.url("/large"), &large),
        ("GET", "http://127.0.0.1:1/".to_owned(), ""),
        ("GET", "no url".to_owned(), ""),
        ("G E T", server.url("/"), ""),
    ] {
        let (input, before) = (requests(&[asked]), server.requests().len());
        let answer = site.result("fetch", input.clone()).await;
        assert_eq!(answer, locally(spec.clone(), input).await);
        let made = &server.requests()[before..];
        if answer[0]["status"].is_number() {
            assert_eq!(answer[0]["name"], "loopback", "{answer}");
            assert_eq!(made[0], made[1], "the server saw the same");
        } else {
            assert!(answer[0]["error"].is_string() && made.is_empty(), "{answer}");
        }
    }
    site.end(7).await;
}

#[tokio::test]
async fn a_host_that_is_not_granted_is_refused_as_it_is_locally_and_nothing_connects() {
    let server = Server::start().await;
    let specs = [
        ungranted("fetch"),
        granted("fetch", "api.example.com"),
        granted("fetch", "127.0.0.1"),
        granted("fetch", "localhost"),
    ];
    for spec in specs {
        let Some(site) = site_of("egressrefused", spec.clone()).await else { return };
        let input = requests(&[("GET", server.url("/"), "")]);
        let answer = site.result("fetch", input.clone()).await;
        let text = format!(
            "http: permission denied: host '{}' is not granted to the action; granted: {}",
            server.address, spec.egress
        );
        assert_eq!(answer[0]["error"], text);
        assert_eq!(answer, locally(spec.clone(), input).await);
        site.end(1).await;
    }
    assert_eq!(server.connections(), 0);
}

/// A request as it is on the socket.
fn encoded(url: String) -> String {
    String::from_utf8(encode_request(&HttpRequest::get(url))).unwrap()
}

#[tokio::test]
async fn a_guest_that_does_not_look_itself_is_refused_by_its_host() {
    let server = Server::start().await;
    let Some(site) = site_of("egressforged", granted("forge", "127.0.0.1:1")).await else { return };
    let forged = encoded(server.url("/"));
    let send = |length: usize, text: &str| json!({ "length": length, "text": text });
    let told = site.result("forge", send(forged.len(), &forged)).await;
    let text = format!("host '{}' is not granted to the action; granted: 127.0.0.1:1", server.address);
    assert!(told["answer"].as_str().unwrap().contains(&text), "{told}");
    let (half, huge) = (&forged[..forged.len() / 2], 1 << 40);
    for (length, text, answer) in [
        (5, "short", "error"),
        (half.len(), half, "error"),
        (0, "", "error"),
        (huge, "x", "the request has 1099511627776 bytes"),
        (usize::MAX, "x", "bytes, and"),
        // One that says more than it sends is not answered.
        (100, "x", ""),
    ] {
        let told = site.result("forge", send(length, text)).await;
        let told = told["answer"].as_str().unwrap();
        assert!(told.contains(answer) && told.is_empty() == answer.is_empty(), "{length} {text}: {told}");
    }
    let leaves = json!({ "length": forged.len(), "text": forged, "leaves": true });
    site.result("forge", leaves).await;
    assert_eq!(server.connections(), 0);
    site.end(8).await;
}

#[tokio::test]
async fn one_without_a_grant_has_no_socket_to_write_to() {
    let Some(site) = site_of("egressnone", ungranted("forge")).await else { return };
    let error = site.error("forge", json!({ "length": 1, "text": "x" })).await;
    assert!(error.contains("No such file"), "{error}");
    site.end(0).await;
}

#[tokio::test]
async fn requests_overlap_and_a_seventeenth_at_once_is_refused() {
    let server = Server::start().await;
    let Some(site) = site_of("egressmany", granted("fetch", &server.address.to_string())).await else {
        return;
    };
    let asked = vec![("GET", server.url("/together/16"), ""); 17];
    let answers = site.result("fetch", requests(&asked)).await;
    let answers = answers.as_array().unwrap();
    let (refused, answered): (Vec<&Value>, Vec<_>) =
        answers.iter().partition(|answer| answer["error"].is_string());
    assert!(answered.iter().all(|answer| answer["status"] == 200), "{answers:?}");
    assert_eq!((answered.len(), refused.len()), (16, 1), "{answers:?}");
    assert_eq!(refused[0]["error"], "http: exhausted: an activation may have 16 requests under way");
    // Those that are over take no place any more.
    let asked = vec![("GET", server.url("/"), ""); 16];
    let answers = site.result("fetch", requests(&asked)).await;
    assert!(answers.as_array().unwrap().iter().all(|answer| answer["status"] == 200), "{answers}");
    site.end(2).await;
}

#[tokio::test]
async fn a_server_that_never_answers_is_left_with_the_run() {
    let server = Server::start().await;
    let spec = granted("fetch", &server.address.to_string()).with_timeout(millis(800));
    let Some(site) = site_of("egresssilent", spec).await else { return };
    let silent = requests(&[("GET", server.url("/silent"), "")]);
    let record = site.run("fetch", silent.clone()).await;
    assert_eq!(record.outcome, Outcome::timed_out(millis(800)));
    let left = async || if server.hung_up() == server.connections() { Ok(()) } else { Err(()) };
    until(PATIENCE, left).await.expect("the request was left");
    assert_eq!(server.connections(), 1);
    // A caller who leaves takes the request along.
    let call = site.begin("fetch", silent.clone());
    until(PATIENCE, async || if server.requests().len() == 2 { Ok(()) } else { Err(()) }).await.unwrap();
    call.abort();
    until(PATIENCE, left).await.expect("the request was left again");
    // So does one that is killed.
    let call = site.begin("fetch", silent);
    until(PATIENCE, async || if server.requests().len() == 3 { Ok(()) } else { Err(()) }).await.unwrap();
    let containers = site.containers_of(MIB).await;
    for id in containers {
        let _ = site.docker.kill_container(&id, None).await;
    }
    assert_eq!(call.await.unwrap().unwrap().status(), Status::DeveloperError);
    until(PATIENCE, left).await.expect("the request was left once more");
    site.end_without(1, 1).await;
}

#[tokio::test]
async fn what_is_granted_is_that_of_the_revision_that_runs() {
    let server = Server::start().await;
    let address = server.address.to_string();
    let Some(site) = site_of("egressrevised", granted("fetch", &address)).await else { return };
    let input = requests(&[("GET", server.url("/"), "")]);
    assert_eq!(site.result("fetch", input.clone()).await[0]["status"], 200);
    site.app.put_action(granted("fetch", "api.example.com"), Expect::Any).await.unwrap();
    let refused = site.result("fetch", input.clone()).await;
    assert!(refused[0]["error"].as_str().unwrap().contains("is not granted"), "{refused}");
    site.app.put_action(granted("fetch", &address), Expect::Any).await.unwrap();
    assert_eq!(site.result("fetch", input).await[0]["status"], 200);
    assert_eq!(server.requests().len(), 2);
    site.end(3).await;
}
