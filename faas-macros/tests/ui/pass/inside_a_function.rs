#[path = "../support.rs"]
mod support;

use faas_core::{Action, NamedAction, action};
use serde_json::json;

fn deploy() -> impl Action {
    #[derive(serde::Deserialize)]
    struct Input {
        n: u32,
    }

    #[action]
    async fn local(input: Input) -> Vec<u32> {
        vec![input.n]
    }

    assert_eq!(<local as NamedAction>::NAME, "local");
    local {}
}

fn main() {
    assert_eq!(support::result(deploy(), json!({"n": 5})), json!([5]));
}
