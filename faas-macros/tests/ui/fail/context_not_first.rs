use faas_core::action;

use faas_core::Context;
use serde_json::Value;

#[action]
async fn second(input: Value, cx: &Context) -> Value {
    let _ = cx;
    input
}

fn main() {}
