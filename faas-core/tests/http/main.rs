//! HTTP requests of actions on the local backend, against servers on the loopback interface.

mod server;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use faas_core::guest::{Call, Guest};
use faas_core::{
    Action, ActionSet, ActionSpec, ActivationId, BoxError, Context, Entropy, Error, ErrorKind, HttpRequest,
    HttpResponse, LocalBackend, NetworkClient, Outcome, Payload, Platform, Status,
};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::{Value, json};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::rustls::{ServerConfig, crypto};
use tracing::level_filters::LevelFilter;

use self::server::{Server, TOGETHER};

/// Code that is made at run time, since the server's port is part of the grant.
struct Code<F> {
    spec: ActionSpec,
    run: F,
}

impl<F, Fut> Action for Code<F>
where
    F: Fn(Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Value, BoxError>> + Send + 'static,
{
    type Input = ();
    type Output = Value;

    fn spec(&self) -> ActionSpec {
        self.spec.clone()
    }

    async fn call(&self, cx: Context, (): ()) -> Result<Value, BoxError> {
        (self.run)(cx).await
    }
}

fn spec(egress: &str) -> ActionSpec {
    ActionSpec::new("code").expect("a name").with_egress(egress)
}

async fn run_on<F, Fut>(backend: LocalBackend, spec: ActionSpec, run: F) -> Outcome
where
    F: Fn(Context) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Value, BoxError>> + Send + 'static,
{
    let actions = ActionSet::new().with(Code { spec, run });
    let app = Platform::builder().backend(backend).actions(actions).build().await.expect("an app");
    app.invoke("code", ()).await.expect("an activation").outcome.clone()
}

/// What one request is answered.
async fn send_on(
    backend: LocalBackend,
    egress: &str,
    request: HttpRequest,
) -> Result<HttpResponse, (ErrorKind, bool, String)> {
    let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
    let outcome = run_on(backend, spec(egress), move |cx| {
        let (sender, request) = (sender.clone(), request.clone());
        async move {
            sender.send(cx.http(request).await).await?;
            Ok(json!({}))
        }
    })
    .await;
    assert!(outcome.is_success(), "{outcome:?}");
    let answer = receiver.recv().await.expect("the action sent it");
    answer.map_err(|error: Error| (error.kind(), error.is_temporary(), error.to_string()))
}

async fn send(egress: &str, request: HttpRequest) -> Result<HttpResponse, (ErrorKind, bool, String)> {
    send_on(LocalBackend::new(), egress, request).await
}

#[tokio::test]
async fn a_granted_host_gets_the_request_and_the_action_its_answer() {
    let server = Server::start().await;
    let egress = server.address.to_string();
    let request =
        HttpRequest::get(server.url("/a?b=c%20d")).with_header("X-Key", "1").with_header("X-Key", "2");
    let response = send(&egress, request).await.unwrap();
    assert_eq!((response.status, &response.body[..]), (200, &b""[..]));
    let cookies: Vec<_> = response.headers.iter().filter(|(name, _)| name == "set-cookie").collect();
    assert_eq!(cookies.len(), 2);
    assert_eq!(response.header("x-name"), Some("gr\u{fffd}\u{fffd}e"));
    let request = HttpRequest::post(server.url("/echo"), "").with_json(&json!({ "text": "grüße" })).unwrap();
    let response = send(&egress, request).await.unwrap();
    assert_eq!(response.json::<Value>().unwrap(), json!({ "text": "grüße" }));
    let response = send(&egress, HttpRequest::new("DELETE", server.url("/missing"))).await.unwrap();
    assert_eq!((response.status, &*response.text()), (404, "nothing here"));
    assert!(!response.is_success());
    // Nothing is sent but what the request has, and what the connection needs.
    let address = server.address;
    assert_eq!(
        server.requests(),
        [
            format!("GET /a?b=c%20d HTTP/1.1\r\nx-key: 1\r\nx-key: 2\r\nhost: {address}\r\n\r\n"),
            format!(
                "POST /echo HTTP/1.1\r\ncontent-type: application/json\r\nhost: {address}\r\ncontent-length: 18\r\n\r\n\
                 {{\"text\":\"grüße\"}}"
            ),
            format!("DELETE /missing HTTP/1.1\r\nhost: {address}\r\n\r\n"),
        ]
    );
}

#[tokio::test]
async fn a_host_that_is_not_granted_is_refused_and_nothing_connects() {
    let server = Server::start().await;
    let port = server.address.port();
    for egress in ["api.example.com", "127.0.0.1", "localhost", "*.example.com"] {
        let (kind, temporary, text) =
            send(egress, HttpRequest::get(server.url("/?secret"))).await.unwrap_err();
        assert_eq!((kind, temporary), (ErrorKind::PermissionDenied, false));
        let host = format!("host '127.0.0.1:{port}' is not granted to the action; granted: {egress}");
        assert_eq!(text, format!("http: permission denied: {host}"));
    }
    let malformed = send("*", HttpRequest::get("127.0.0.1")).await.unwrap_err();
    assert_eq!(malformed.0, ErrorKind::InvalidArgument);
    assert_eq!((server.connections(), server.requests().len()), (0, 0));
    send("*", HttpRequest::get(server.url("/"))).await.unwrap();
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn no_action_calls_anybody_unless_its_specification_says_so() {
    let spec = ActionSpec::new("code").unwrap();
    let outcome = run_on(LocalBackend::new(), spec, |cx| async move {
        let error = cx.http(HttpRequest::get("http://127.0.0.1:1/")).await.unwrap_err();
        Ok(json!({ "text": error.to_string() }))
    });
    let text = "http: permission denied: host '127.0.0.1:1' is not granted to the action; granted: none";
    assert_eq!(outcome.await.result().to_value(), json!({ "text": text }));
    let actions = ActionSet::new().with(Code { spec: self::spec("a b"), run: |_| async { Ok(json!({})) } });
    let refused =
        Platform::builder().backend(LocalBackend::new()).actions(actions).build().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidArgument);
    assert!(refused.message().starts_with("egress 'a b' is not allowed"), "{refused}");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_followed() {
    let server = Server::start().await;
    let response = send("*", HttpRequest::get(server.url("/moved"))).await.unwrap();
    assert_eq!((response.status, response.header("Location")), (302, Some("http://127.0.0.1:1/elsewhere")));
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn bodies_over_the_limit_are_refused_with_both_sizes() {
    let server = Server::start().await;
    for (path, size) in [("/large", "9000000"), ("/endless", "more")] {
        let (kind, _, text) = send("*", HttpRequest::get(server.url(path))).await.unwrap_err();
        assert_eq!(kind, ErrorKind::InvalidArgument);
        let expected = format!("the body of the response has {size} bytes, over the 8388608 allowed");
        assert_eq!(text, format!("http: invalid argument: {expected}"));
        server.client_hung_up().await;
    }
    let large = HttpRequest::post(server.url("/echo"), vec![0; 9_000_000]);
    let (kind, _, text) = send("*", large).await.unwrap_err();
    assert_eq!(kind, ErrorKind::InvalidArgument);
    assert!(text.ends_with("the body of the request has 9000000 bytes, over the 8388608 allowed"), "{text}");
    let largest = HttpRequest::post(server.url("/echo"), vec![7; 8 << 20]);
    assert_eq!(send("*", largest).await.unwrap().body.len(), 8 << 20);
}

#[tokio::test]
async fn without_a_connection_the_error_is_temporary_and_after_one_it_is_not() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let url = format!("http://{closed}/path?key=secret");
    let (kind, temporary, text) = send("*", HttpRequest::get(url)).await.unwrap_err();
    assert_eq!((kind, temporary), (ErrorKind::Unavailable, true));
    assert!(
        text.starts_with(&format!("http: unavailable: no connection to '{closed}': Connection refused")),
        "{text}"
    );
    let server = Server::start().await;
    let (kind, temporary, text) = send("*", HttpRequest::get(server.url("/broken"))).await.unwrap_err();
    assert_eq!((kind, temporary), (ErrorKind::Unavailable, false));
    assert!(
        text.contains(&format!("'{}' broke off before its answer was complete: ", server.address)),
        "{text}"
    );
}

#[tokio::test]
async fn a_server_that_never_answers_is_ended_by_the_actions_timeout() {
    let server = Server::start().await;
    let url = server.url("/silent");
    let spec = spec("*").with_timeout(Duration::from_secs(1));
    let outcome = run_on(LocalBackend::new(), spec, move |cx| {
        let request = HttpRequest::get(url.clone());
        async move { Ok(json!({ "status": cx.http(request).await?.status })) }
    });
    let outcome = outcome.await;
    assert_eq!(outcome.status(), Status::DeveloperError);
    assert_eq!(outcome.error().unwrap(), "The action exceeded its time limits of 1000 milliseconds.");
    assert_eq!(server.requests().len(), 1);
    server.client_hung_up().await;
}

#[tokio::test]
async fn requests_of_one_action_are_under_way_together() {
    let server = Server::start().await;
    let url = server.url("/together");
    let outcome = run_on(LocalBackend::new(), spec("*"), move |cx| {
        let urls: [String; TOGETHER] = std::array::from_fn(|_| url.clone());
        async move {
            let [a, b, c, d] = urls.map(|url| cx.http(HttpRequest::get(url)));
            // The server answers none before it has all.
            let answers = tokio::try_join!(a, b, c, d)?;
            Ok(json!({ "bodies": [answers.0.text(), answers.3.text()] }))
        }
    });
    assert_eq!(outcome.await.result().to_value(), json!({ "bodies": ["together", "together"] }));
    assert_eq!(server.connections(), TOGETHER);
}

#[tokio::test]
async fn connections_are_kept_for_the_requests_that_follow() {
    let server = Server::start().await;
    let url = server.url("/");
    let outcome = run_on(LocalBackend::new(), spec("*"), move |cx| {
        let url = url.clone();
        async move {
            for _ in 0..5 {
                cx.http(HttpRequest::get(&url)).await?;
            }
            Ok(json!({}))
        }
    });
    assert!(outcome.await.is_success());
    assert_eq!((server.connections(), server.requests().len()), (1, 5));
    // The server's cookies are not sent back.
    assert!(!server.requests().concat().contains("cookie"));
}

#[tokio::test]
async fn https_is_for_servers_that_somebody_trusted_vouches_for() {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der()).into();
    let config = ServerConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let server = Server::with_tls(TlsAcceptor::from(Arc::new(config))).await;
    let port = server.address.port();
    let get = || HttpRequest::post(format!("https://localhost:{port}/echo"), "hello");
    let trusting = || LocalBackend::new().with_http(NetworkClient::trusting(&cert.pem()).unwrap());
    let response = send_on(trusting(), &format!("localhost:{port}"), get()).await.unwrap();
    assert_eq!(&*response.text(), "hello");
    let (kind, _, text) = send("*", get()).await.unwrap_err();
    assert_eq!(kind, ErrorKind::Unavailable);
    assert!(
        text.contains(&format!("no connection to 'localhost:{port}': invalid peer certificate")),
        "{text}"
    );
    let address = HttpRequest::get(format!("https://127.0.0.1:{port}/"));
    let (_, _, text) = send_on(trusting(), "*", address).await.unwrap_err();
    assert!(text.contains("invalid peer certificate"), "{text}");
    assert_eq!(server.requests().len(), 1);
    for pem in ["", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"] {
        assert_eq!(NetworkClient::trusting(pem).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
}

#[tokio::test]
async fn without_time_nothing_is_sent_and_without_a_client_nothing_can_be() {
    let run = |left: Duration| async move {
        let code = |cx: Context| async move {
            Ok(json!({ "status": cx.http(HttpRequest::get("http://a/")).await?.status }))
        };
        let mut specs = ActionSet::new().with(Code { spec: spec("a"), run: code }).into_specs();
        let entropy = Arc::new(Entropy::system());
        let deadline = faas_core::context::Host::monotonic(&*entropy) + left;
        let guest = Guest::new(Arc::new(specs.remove(0)), entropy).unwrap();
        let call = Call {
            id: ActivationId::from_u128(1),
            attempt: 1,
            deadline,
            payload: Payload::empty(),
            log_level: LevelFilter::INFO,
        };
        guest.run(call).await.outcome.error().unwrap().to_owned()
    };
    assert_eq!(run(Duration::ZERO).await, "http: deadline exceeded: the action's time is over");
    assert_eq!(run(Duration::from_secs(60)).await, "http: unsupported: this host makes no HTTP requests");
}
