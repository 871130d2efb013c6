#[path = "../support.rs"]
mod support;

use faas_core::{BoxError, action};
use serde_json::{Value, json};

#[action]
async fn parse(input: Value) -> Result<Vec<u64>, BoxError> {
    let text = input["n"].as_str().ok_or("n is absent")?;
    Ok(vec![text.parse()?])
}

fn main() {
    assert_eq!(support::result(parse {}, json!({"n": "12"})), json!([12]));
    assert_eq!(support::run(parse {}, json!({})).error().as_deref(), Some("n is absent"));
    assert_eq!(
        support::run(parse {}, json!({"n": "x"})).error().as_deref(),
        Some("invalid digit found in string")
    );
}
