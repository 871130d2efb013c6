#[path = "../support.rs"]
mod support;

use faas_core::{Action, Limits, NamedAction, action};
use serde_json::json;

#[action]
async fn greet() {}

fn main() {
    assert_eq!(<greet as NamedAction>::NAME, "greet");
    let spec = Action::spec(&greet {});
    assert_eq!(spec.name.path(), "greet");
    assert_eq!(spec.limits, Limits::default());
    assert_eq!(spec.retry.retries, 0);
    assert!(!spec.blocking);
    assert!(spec.annotations.is_empty());
    assert_eq!(spec.description, "");
    assert_eq!(support::result(greet {}, json!({})), json!({}));
    assert_eq!(support::result(greet {}, json!({"ignored": true})), json!({}));
}
