#[path = "../support.rs"]
mod support;

use std::collections::BTreeMap;

use faas_core::action;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Point {
    x: i64,
    y: i64,
}

#[derive(Deserialize)]
#[serde(transparent)]
struct Wrapped<T>(T);

#[action]
async fn fields(Point { x, y }: Point) -> Vec<i64> {
    vec![x, y]
}

#[action]
async fn nested(Wrapped(Point { x, .. }): Wrapped<Point>) -> Vec<i64> {
    vec![x]
}

#[action]
async fn mutable(mut input: BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    input.insert("seen".into(), Value::Bool(true));
    input
}

#[action]
async fn ignored(_: Point) {}

#[action]
async fn unit((): ()) -> Vec<()> {
    vec![()]
}

fn main() {
    assert_eq!(support::result(fields {}, json!({"x": 1, "y": 2})), json!([1, 2]));
    assert_eq!(support::result(nested {}, json!({"x": 1, "y": 2})), json!([1]));
    assert_eq!(support::result(mutable {}, json!({"a": 1})), json!({"a": 1, "seen": true}));
    assert_eq!(support::result(ignored {}, json!({"x": 1, "y": 2})), json!({}));
    assert_eq!(support::result(unit {}, json!({"a": 1})), json!([null]));

    let refused = support::run(fields {}, json!({"x": "one", "y": 2}));
    assert_eq!(refused.status(), faas_core::Status::ApplicationError);
}
