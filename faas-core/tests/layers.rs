//! Layers around a backend, below a platform.

use std::sync::Arc;

use faas_core::layer::{ChaosConfig, ChaosLayer, Layer, RetryLayer, TraceLayer};
use faas_core::store::ActivationQuery;
use faas_core::{Backend, Entropy, LocalBackend, Platform, RetryPolicy, Status, action, actions};
use serde_json::{Value, json};

#[action]
async fn echo(input: Value) -> Value {
    input
}

actions![echo];

async fn platform(backend: impl Backend) -> Platform {
    let builder = Platform::builder().backend(backend).entropy(Entropy::seeded(7));
    builder.actions(actions()).build().await.expect("a platform")
}

#[tokio::test(start_paused = true)]
async fn retries_hide_what_chaos_refuses() {
    let chaos = ChaosConfig { refuse: 0.3, ..ChaosConfig::default() };
    let policy = RetryPolicy { retries: 20, ..RetryPolicy::default() };
    let chaotic = ChaosLayer::new(chaos, 1).unwrap().around(Arc::new(LocalBackend::new()));
    let retried = RetryLayer::new().with_policy(policy).around(Arc::new(chaotic));
    let app = platform(TraceLayer::new().around(Arc::new(retried))).await;
    let mut waited = 0;
    for n in 0..200 {
        let activation = app.invoke("echo", json!({ "n": n })).await.unwrap();
        assert_eq!(activation.outcome.result().to_value(), json!({ "n": n }));
        assert_eq!(activation.attempts, 1, "a try that did not start is no attempt");
        waited += usize::from(!activation.times.wait.is_zero());
    }
    assert!((30..100).contains(&waited), "{waited} of 200 were refused at least once");
}

#[tokio::test(start_paused = true)]
async fn each_activation_has_one_record_whatever_chaos_does() {
    let chaos = ChaosConfig { lose: 0.2, fail: 0.2, ..ChaosConfig::default() };
    let app = platform(ChaosLayer::new(chaos, 2).unwrap().around(Arc::new(LocalBackend::new()))).await;
    let mut ids = Vec::new();
    for n in 0..200 {
        ids.push(app.submit("echo", json!({ "n": n })).await.unwrap());
    }
    let mut statuses = [0; 4];
    for id in &ids {
        statuses[usize::from(app.activation(*id).await.unwrap().status().code())] += 1;
    }
    let count = |status: Status| statuses[usize::from(status.code())];
    assert!(count(Status::Success) > 100, "{statuses:?}");
    assert!(count(Status::DeveloperError) > 10 && count(Status::InternalError) > 10, "{statuses:?}");
    assert_eq!(app.activations(&ActivationQuery::default()).await.unwrap().len(), ids.len());
}
