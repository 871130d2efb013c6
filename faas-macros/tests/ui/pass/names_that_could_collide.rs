#[path = "../support.rs"]
mod support;

use faas_core::{NamedAction, action};
use serde_json::{Value, json};

#[action]
async fn cx(cx: &faas_core::Context, input: Value) -> Vec<Value> {
    let _ = cx;
    vec![input]
}

#[action]
async fn input(input: Value) -> Vec<Value> {
    vec![input]
}

#[action]
fn call() {}

#[action]
fn spec() {}

#[action]
async fn result() -> Vec<u32> {
    vec![1]
}

#[action]
async fn r#type() -> Vec<u32> {
    vec![2]
}

fn main() {
    assert_eq!(support::result(cx {}, json!({"a": 1})), json!([{"a": 1}]));
    assert_eq!(support::result(input {}, json!({"a": 1})), json!([{"a": 1}]));
    assert_eq!(support::result(call {}, json!({})), json!({}));
    assert_eq!(support::result(spec {}, json!({})), json!({}));
    assert_eq!(support::result(result {}, json!({})), json!([1]));
    assert_eq!(support::result(r#type {}, json!({})), json!([2]));
    assert_eq!(<r#type as NamedAction>::NAME, "type");
}
