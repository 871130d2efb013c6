#[path = "../support.rs"]
mod support;

use std::rc::Rc;

use faas_core::action;
use serde_json::{Value, json};

#[action]
fn greet(input: Value) -> Value {
    // Nothing is awaited here, so nothing need be `Send`.
    let name = Rc::new(input["name"].clone());
    json!({"text": format!("Hello, {}!", name.as_str().unwrap_or("you"))})
}

#[action(blocking)]
fn crunch() -> Result<Vec<u32>, std::fmt::Error> {
    Ok(vec![1, 2, 3])
}

fn main() {
    assert_eq!(greet(json!({"name": "Ada"})), json!({"text": "Hello, Ada!"}));
    assert_eq!(support::result(greet {}, json!({"name": "Ada"})), json!({"text": "Hello, Ada!"}));
    assert_eq!(support::result(crunch {}, json!({})), json!([1, 2, 3]));
    assert!(faas_core::Action::spec(&crunch {}).blocking);
}
