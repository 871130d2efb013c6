#[path = "../support.rs"]
mod support;

use std::borrow::Cow;
use std::collections::BTreeMap;

use faas_core::action;
use serde::Serialize;
use serde_json::{Value, json};

#[derive(Serialize)]
struct Reply {
    text: Cow<'static, str>,
}

#[action]
async fn nothing() {}

#[action]
async fn unit() -> () {}

#[action]
async fn unit_result() -> Result<(), String> {
    Ok(())
}

#[action]
async fn of_struct() -> Reply {
    Reply { text: "hello".into() }
}

#[action]
async fn map() -> BTreeMap<&'static str, u32> {
    BTreeMap::from([("a", 1)])
}

#[action]
async fn list() -> Vec<&'static str> {
    vec!["a"]
}

#[action]
async fn array() -> [u8; 2] {
    [1, 2]
}

#[action]
async fn tuple() -> Result<(u8, &'static str), String> {
    Ok((1, "a"))
}

#[action]
async fn value() -> Result<Value, String> {
    Ok(json!({"a": null}))
}

fn main() {
    assert_eq!(support::result(nothing {}, json!({})), json!({}));
    assert_eq!(support::result(unit {}, json!({})), json!({}));
    assert_eq!(support::result(unit_result {}, json!({})), json!({}));
    assert_eq!(support::result(of_struct {}, json!({})), json!({"text": "hello"}));
    assert_eq!(support::result(map {}, json!({})), json!({"a": 1}));
    assert_eq!(support::result(list {}, json!({})), json!(["a"]));
    assert_eq!(support::result(array {}, json!({})), json!([1, 2]));
    assert_eq!(support::result(tuple {}, json!({})), json!([1, "a"]));
    assert_eq!(support::result(value {}, json!({})), json!({"a": null}));
}
