use faas_core::action;

use serde_json::Value;

struct Refused;

#[action]
async fn charge() -> Result<Value, Refused> {
    Err(Refused)
}

fn main() {}
