//! The backend of AWS Lambda, beside the client that it calls.

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::LogType;
use faas_backend_lambda::LambdaBackend;
use faas_testkit::goals::{Goal, alternate};
use tokio::runtime::Builder;

use crate::cloud::Cloud;
use crate::emulator::Fleet;
use crate::{PAIRS, app, bare, echo, print};

const GOAL: Goal = Goal::at_most("lambda_overhead", "ns", 1.05);

/// Calls in a block.
const BLOCK: usize = 50;

/// Activations, against calls of aws-sdk-lambda alone with the same event: of the same function, in the same environment,
/// by way of the same service, which stands between them and the emulator, since that has no control plane.
pub(crate) fn lambda_overhead(artifact: &Path) {
    if !GOAL.is_wanted() {
        return;
    }
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let fleet = Fleet::new().unwrap();
    let function = Arc::new(OnceLock::new());
    let named = Arc::clone(&function);
    let cloud = runtime.block_on(Cloud::start(move |invoked| {
        let fleet = Arc::clone(&fleet);
        named.get_or_init(|| invoked.function.clone());
        Box::pin(async move { fleet.run(invoked).await })
    }));
    let backend = LambdaBackend::builder()
        .artifact(artifact)
        .endpoint(cloud.endpoint())
        .region("eu-west-1")
        .credentials("AKIDEXAMPLE", "a-secret", None)
        .role("arn:aws:iam::123456789012:role/functions")
        .emulated(true);
    let app = runtime.block_on(app(Arc::new(backend.build().unwrap()), echo()));
    let client = runtime.block_on(client(&cloud.endpoint()));
    assert!(runtime.block_on(app.invoke("echo", ())).unwrap().outcome.is_success());
    let function = function.get().expect("the name of the function");
    let event = bare::event(&echo());
    let per_call = |begun: Instant| begun.elapsed().as_nanos() as f64 / BLOCK as f64;
    let ours = || {
        let begun = Instant::now();
        runtime.block_on(async {
            for _ in 0..BLOCK {
                assert!(app.invoke("echo", ()).await.unwrap().outcome.is_success());
            }
        });
        per_call(begun)
    };
    let floor = || {
        let begun = Instant::now();
        runtime.block_on(async {
            for _ in 0..BLOCK {
                let call = client.invoke().function_name(function).qualifier("1").log_type(LogType::Tail);
                let answer = call.payload(Blob::new(event.to_vec())).send().await.unwrap();
                assert!(answer.function_error().is_none());
            }
        });
        per_call(begun)
    };
    print(&GOAL, alternate(PAIRS, ours, floor));
    runtime.block_on(app.shutdown(Duration::from_secs(30))).unwrap();
}

async fn client(endpoint: &str) -> Client {
    let config = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new("eu-west-1"))
        .credentials_provider(Credentials::new("AKIDEXAMPLE", "a-secret", None, None, "bench"))
        .retry_config(aws_config::retry::RetryConfig::disabled())
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .endpoint_url(endpoint)
        .load()
        .await;
    Client::new(&config)
}
