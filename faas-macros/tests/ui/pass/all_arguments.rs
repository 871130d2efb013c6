#[path = "../support.rs"]
mod support;

use std::time::Duration;

use faas_core::{Action, NamedAction, action};
use serde_json::{Value, json};

/// Charges a card.
///
///   Once,
/// and never twice.
#[action(
    name = "charge card",
    package = "orders",
    memory = "2GiB",
    timeout = "5min",
    concurrency = 16,
    retries = 3,
    blocking,
    egress = "api.example.com, *.example.org:8443",
    annotations(team = "billing", "web-export" = true, weight = -3, share = 0.5, final = false)
)]
fn charge(order: Value) -> Value {
    order
}

fn main() {
    assert_eq!(<charge as NamedAction>::NAME, "orders/charge card");
    let spec = Action::spec(&charge {});
    assert_eq!(spec.name.package(), Some("orders"));
    assert_eq!(spec.name.name(), "charge card");
    assert_eq!(spec.limits.memory.mib(), 2048);
    assert_eq!(spec.limits.timeout, Duration::from_secs(300));
    assert_eq!(spec.limits.concurrency, 16);
    assert_eq!(spec.retry.retries, 3);
    assert!(spec.blocking);
    assert_eq!(spec.egress.patterns().collect::<Vec<_>>(), ["api.example.com", "*.example.org:8443"]);
    assert_eq!(spec.description, "Charges a card.\n\nOnce,\nand never twice.");
    assert_eq!(
        Value::Object(spec.annotations.clone()),
        json!({"team": "billing", "web-export": true, "weight": -3, "share": 0.5, "final": false})
    );
    spec.check().expect("what the macro accepts, the platform does");
    assert_eq!(support::result(charge {}, json!({"id": 1})), json!({"id": 1}));
    assert_eq!(charge(json!({"id": 2})), json!({"id": 2}));
}
