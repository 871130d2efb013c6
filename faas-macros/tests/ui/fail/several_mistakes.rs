use faas_core::action;

use serde_json::Value;

#[action(memory = "256MB", retries = 1000, colour = "red", blocking)]
async unsafe fn hopeless(_: &str, _: Value, _: Value) -> u32 {
    3
}

fn main() {}
