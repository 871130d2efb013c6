use faas_core::action;

use faas_core::Context;
use serde_json::Value;

#[action]
async fn add(left: Value, right: Value) -> Vec<Value> {
    vec![left, right]
}

#[action]
async fn add_all(_: &Context, first: Value, second: Value, third: Value) -> Vec<Value> {
    vec![first, second, third]
}

fn main() {}
