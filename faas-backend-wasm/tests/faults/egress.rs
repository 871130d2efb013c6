//! HTTP requests of guests: what is granted works as on the local backend, and nothing else connects.

use std::time::Duration;

use faas_core::{ActionSpec, LocalBackend, Platform, Status};
use faas_testkit::loopback::Server;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::alone::{alone, peak_mib, until};
use crate::guests::{self, OK, forever, times};
use crate::site::{Site, backend, built, millis, spec, timed};
use crate::traps::{EXITED, guest_spec};

fn granted(egress: &str) -> ActionSpec {
    guest_spec("fetch").with_egress(egress).with_timeout(Duration::from_secs(10))
}

fn request(method: &str, url: String, body: &str) -> Value {
    json!({ "requests": [{ "method": method, "url": url, "body": body, "header": "x" }] })
}

/// What the local backend makes of the same.
async fn locally(spec: ActionSpec, input: Value) -> Value {
    let app = Platform::builder().backend(LocalBackend::new()).spec(spec).build().await.unwrap();
    app.invoke("fetch", input).await.unwrap().outcome.result().to_value()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_granted_host_answers_as_it_does_locally() {
    let Some(guests) = built("a_granted_host_answers_as_it_does_locally") else { return };
    let server = Server::start().await;
    let spec = granted(&server.address.to_string());
    let site = Site::on(backend().artifact(&guests), [spec.clone()]).await;
    let inputs = [
        request("GET", server.url("/a?b=c%20d"), ""),
        request("POST", server.url("/echo"), "grüße"),
        request("DELETE", server.url("/missing"), ""),
        request("POST", server.url("/large"), &"x".repeat(500_000)),
    ];
    let mut requests = Vec::new();
    for input in inputs {
        let before = server.requests().len();
        let answer = site.run("fetch", input.clone()).await.outcome.result().to_value();
        assert_eq!(answer, locally(spec.clone(), input).await);
        assert!(answer[0]["status"].is_number() && answer[0]["name"] == "loopback", "{answer}");
        let made = server.requests();
        assert_eq!(made[before], made[before + 1], "the server saw the same");
        requests.push(made[before].clone());
    }
    assert!(requests[0].starts_with("GET /a?b=c%20d HTTP/1.1\r\nx-asked: x\r\n"), "{}", requests[0]);
    assert!(requests[1].ends_with("\r\n\r\ngrüße"), "{}", requests[1]);
    site.end(5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_is_not_granted_is_refused_as_it_is_locally_and_nothing_connects() {
    let test = "a_host_that_is_not_granted_is_refused_as_it_is_locally_and_nothing_connects";
    let Some(guests) = built(test) else { return };
    let server = Server::start().await;
    let specs = [guest_spec("fetch"), granted("api.example.com"), granted("127.0.0.1"), granted("localhost")];
    for spec in specs {
        let site = Site::on(backend().artifact(&guests), [spec.clone()]).await;
        for input in [request("GET", server.url("/"), ""), request("GET", "no url".to_owned(), "")] {
            let answer = site.run("fetch", input.clone()).await.outcome.result().to_value();
            assert_eq!(answer, locally(spec.clone(), input).await);
            assert!(answer[0]["error"].is_string(), "{answer}");
        }
        let refused =
            site.run("fetch", request("GET", server.url("/"), "")).await.outcome.result().to_value();
        let text = format!(
            "http: permission denied: host '{}' is not granted to the action; granted: {}",
            server.address, spec.egress
        );
        assert_eq!(refused[0]["error"], text);
        site.end(3).await;
    }
    assert_eq!(server.connections(), 0);
}

/// A guest made by hand that sends this request, and replies with what it is answered, which is no JSON.
fn sends(request: &[u8]) -> Vec<u8> {
    let body = format!(
        "(local $handle i32) (local $length i32)
         (local.set $handle (call $http_send (i32.const 8192) (i32.const {})))
         (loop $again
           (call $wait (i64.const 1000000))
           (local.set $length (i32.wrap_i64 (call $http_poll (local.get $handle))))
           (br_if $again (i32.lt_s (local.get $length) (i32.const 0))))
         (call $http_take (local.get $handle) (i32.const 16384))
         (call $reply (i32.const 0) (i32.const 16384) (local.get $length))",
        request.len()
    );
    guests::with(&guests::data(8192, request), &body)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_does_not_look_itself_is_refused_by_its_host() {
    let server = Server::start().await;
    let encoded = faas_core::http::encode_request(&faas_core::HttpRequest::get(server.url("/")));
    let other = spec("other").with_egress("127.0.0.1:1");
    let mine = spec("mine").with_egress(server.address.to_string());
    let actions = [(spec("none"), sends(&encoded)), (other, sends(&encoded)), (mine, sends(&encoded))];
    let site = Site::of(actions).await;
    for (name, grants) in [("none", "none"), ("other", "127.0.0.1:1")] {
        // Its reply is the host's answer, which encodes an error as an object of that name.
        let record = site.run(name, json!({})).await;
        let text = format!("host '{}' is not granted to the action; granted: {grants}", server.address);
        let told = json!({ "kind": "permission denied", "message": text, "temporary": false });
        assert_eq!(record.outcome.result().to_value(), json!({ "error": told }));
    }
    assert_eq!(server.connections(), 0);
    let answered = site.run("mine", json!({})).await.outcome.result().to_value();
    assert_eq!((&answered["status"], &answered["headers"][0][1]), (&json!(200), &json!("loopback")));
    assert_eq!(server.connections(), 1);
    for garbage in [&b""[..], b"no request", b"\xff\xff", &encoded[..encoded.len() / 2]] {
        let site = Site::of([(spec("a").with_egress("*"), sends(garbage))]).await;
        assert_eq!(site.run("a", json!({})).await.status(), Status::ApplicationError);
        site.end(1).await;
    }
    site.end(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_overlap_and_a_seventeenth_at_once_is_refused() {
    let Some(guests) = built("requests_overlap_and_a_seventeenth_at_once_is_refused") else { return };
    let server = Server::start().await;
    let site = Site::on(backend().artifact(&guests), [granted(&server.address.to_string())]).await;
    let one = json!({ "method": "GET", "url": server.url("/together/16") });
    let answers = site.run("fetch", json!({ "requests": vec![one; 17] })).await.outcome.result().to_value();
    let answers = answers.as_array().unwrap();
    assert_eq!(answers.len(), 17);
    assert!(answers[..16].iter().all(|answer| answer["status"] == 200), "{answers:?}");
    assert_eq!(answers[16]["error"], "http: exhausted: an activation may have 16 requests under way");
    site.end(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_never_answers_is_left_at_the_limit() {
    let Some(guests) = built("a_server_that_never_answers_is_left_at_the_limit") else { return };
    let server = Server::start().await;
    let spec = granted(&server.address.to_string()).with_timeout(millis(300));
    let site = Site::on(backend().artifact(&guests), [spec]).await;
    let text = site.fails("fetch", request("GET", server.url("/silent"), "")).await;
    assert_eq!(text, "The action exceeded its time limits of 300 milliseconds.");
    until("hung up", || server.hung_up() == 1).await;
    // A caller who leaves takes the request along.
    let call = site.app.invoke("fetch", request("GET", server.url("/silent"), ""));
    assert!(timeout(millis(100), call).await.is_err());
    until("hung up again", || server.hung_up() == server.connections()).await;
    site.end_without(1, 1).await;
}

#[test]
fn requests_that_are_never_taken_are_bounded() {
    alone("egress::requests_that_are_never_taken_are_bounded", async {
        let url = format!("http://{}.example.com/", "x".repeat(60));
        let encoded = faas_core::http::encode_request(&faas_core::HttpRequest::get(url));
        let send = format!("(drop (call $http_send (i32.const 8192) (i32.const {})))", encoded.len());
        let data = guests::data(8192, &encoded);
        let bounded = guests::with(&data, &format!("{} {OK}", times(64, &send)));
        let endless = guests::with(&data, &forever(&send));
        let site = Site::of([(timed("bounded", 5_000), bounded), (timed("endless", 5_000), endless)]).await;
        assert!(site.run("bounded", json!({})).await.outcome.is_success());
        let before = peak_mib();
        let record = site.run("endless", json!({})).await;
        assert_eq!(record.status(), Status::DeveloperError);
        assert_eq!(record.outcome.error().as_deref(), Some(EXITED));
        let said = "the module has 64 requests whose responses it has not taken, and makes one more";
        assert_eq!(record.logs[0].text, said);
        assert!(peak_mib() - before < 50, "{} MiB after {before}", peak_mib());
        site.end(2).await;
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_of_ended_and_cancelled_guests_are_gone() {
    let server = Server::start().await;
    let encoded = faas_core::http::encode_request(&faas_core::HttpRequest::get(server.url("/silent")));
    let send = format!("(call $http_send (i32.const 8192) (i32.const {}))", encoded.len());
    let data = guests::data(8192, &encoded);
    let wait = "(call $wait (i64.const 50000000))";
    let granted = |name: &str| spec(name).with_egress(server.address.to_string());
    let site = Site::of([
        (granted("returns"), guests::with(&data, &format!("(drop {send}) {wait} {OK}"))),
        (granted("traps"), guests::with(&data, &format!("(drop {send}) {wait} unreachable"))),
        (granted("cancels"), guests::with(&data, &format!("(call $http_cancel {send}) {OK}"))),
        (granted("takes"), guests::with(&data, &format!("(call $http_take {send} (i32.const 0)) {OK}"))),
    ])
    .await;
    for (name, succeeds) in [("returns", true), ("traps", false), ("cancels", true), ("takes", false)] {
        let record = site.run(name, json!({})).await;
        assert_eq!(record.outcome.is_success(), succeeds, "{name}: {:?}", record.logs);
        until("hung up", || server.hung_up() == server.connections()).await;
    }
    site.end(2).await;
}
