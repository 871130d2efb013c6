#[path = "../support.rs"]
mod support;

use faas_core::{Context, action};
use serde_json::{Value, json};

#[action]
async fn alone(cx: &Context) -> Vec<u64> {
    cx.sleep(std::time::Duration::from_secs(1)).await;
    vec![cx.random()]
}

#[action]
async fn with_input(cx: &Context, input: Value) -> Value {
    json!({"attempt": cx.attempt(), "input": input})
}

#[action]
fn plain(cx: &faas_core::Context, input: Value) -> Value {
    json!([cx.action().name.name(), input])
}

#[action]
fn unused(_: &'_ faas_core::context::Context) {}

fn main() {
    assert_eq!(support::result(alone {}, json!({})), json!([4]));
    assert_eq!(support::result(with_input {}, json!({"a": 1})), json!({"attempt": 1, "input": {"a": 1}}));
    assert_eq!(support::result(plain {}, json!({"a": 1})), json!(["plain", {"a": 1}]));
    assert_eq!(support::result(unused {}, json!({})), json!({}));
}
