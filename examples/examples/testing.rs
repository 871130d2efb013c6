//! One test of an app, on several backends: `cargo test -p faas-examples --example testing`.

#![allow(clippy::print_stdout, reason = "a program that talks to its user")]

use std::sync::Arc;
use std::time::Duration;

use faas_core::backend::Pooled;
use faas_core::layer::{ChaosConfig, ChaosLayer, Layer, RetryLayer};
use faas_core::pool::PoolConfig;
use faas_core::store::ActivationQuery;
use faas_core::{Backend, BoxError, Context, Entropy, LocalBackend, Platform, RuleSpec, action, actions};
use faas_testkit::mock::{MockFactory, Operation, Script};
use serde_json::{Value, json};

/// Accepts an order and tells who ships it.
#[action]
fn accept(cx: &Context, order: Value) -> Result<Value, BoxError> {
    cx.emit("accepted", json!({ "order": order["number"] }))?;
    Ok(order)
}

/// Ships an order; the goods are left to your imagination.
#[action]
fn ship(_accepted: Value) {}

actions![accept, ship];

/// What the app promises, on whichever backend: orders that are accepted are shipped, once.
async fn accepted_orders_are_shipped(backend: impl Backend) -> Result<(), BoxError> {
    let rule = RuleSpec::new("ship-accepted", "accepted", "ship")?;
    let app = Platform::builder().backend(backend).actions(actions()).trigger("accepted").rule(rule);
    // One seed: with paused time, a run that passes does so every time.
    let app = app.entropy(Entropy::seeded(1)).build().await?;
    for number in 1..=50 {
        app.invoke("accept", json!({ "number": number })).await?.into_result()?;
    }
    app.drain().await;
    let query = ActivationQuery { name: Some("ship".to_owned()), ..ActivationQuery::default() };
    let shipped = app.activations(&query).await?;
    assert_eq!(shipped.iter().filter(|it| it.outcome.is_success()).count(), 50);
    println!("{}: {} orders shipped", shipped[0].revision.backend, shipped.len());
    Ok(())
}

/// A backend that refuses every third invocation, behind a layer that asks again.
fn faulty() -> Result<impl Backend, BoxError> {
    let chaos = ChaosLayer::new(ChaosConfig { refuse: 0.3, ..ChaosConfig::default() }, 7)?;
    let local = Arc::new(LocalBackend::new().with_name("faulty"));
    Ok(RetryLayer::new().around(Arc::new(chaos.around(local))))
}

/// A backend whose sandboxes take long to make, and are kept warm.
fn pooled() -> impl Backend {
    let script = Script::new().with_latency(Operation::Create, Duration::from_millis(300));
    Pooled::warm("pooled", LocalBackend::CAPABILITY, MockFactory::new(script), PoolConfig::default())
}

#[tokio::test]
async fn in_this_process() -> Result<(), BoxError> {
    accepted_orders_are_shipped(LocalBackend::new()).await
}

#[tokio::test(start_paused = true)]
async fn on_a_backend_with_faults() -> Result<(), BoxError> {
    accepted_orders_are_shipped(faulty()?).await
}

#[tokio::test(start_paused = true)]
async fn in_sandboxes_that_are_slow_to_make() -> Result<(), BoxError> {
    accepted_orders_are_shipped(pooled()).await
}

#[tokio::main(flavor = "current_thread", start_paused = true)]
async fn main() -> Result<(), BoxError> {
    accepted_orders_are_shipped(LocalBackend::new()).await?;
    accepted_orders_are_shipped(faulty()?).await?;
    accepted_orders_are_shipped(pooled()).await
}
