#[path = "../support.rs"]
mod support;

use faas_core::{Action, NamedAction, actions};
use serde_json::json;

mod orders {
    use faas_core::action;

    #[action(package = "orders")]
    pub async fn charge() -> Vec<u32> {
        vec![1]
    }

    pub mod refunds {
        #[faas_core::action]
        pub(in crate::orders) async fn hidden() -> Vec<u32> {
            vec![2]
        }

        #[faas_core::action]
        pub(crate) async fn refund() -> Vec<u32> {
            vec![3]
        }
    }

    pub fn hidden() -> impl faas_core::Action {
        refunds::hidden {}
    }
}

// An import brings both the function and the action.
use orders::refunds::refund;

actions![orders::charge, refund];

fn main() {
    let names: Vec<_> = actions().into_specs().iter().map(|spec| spec.name.path().to_owned()).collect();
    assert_eq!(names, ["orders/charge", "refund"]);
    assert_eq!(<orders::charge as NamedAction>::NAME, "orders/charge");
    assert_eq!(support::result(refund {}, json!({})), json!([3]));
    assert_eq!(orders::hidden().spec().name.path(), "hidden");
    let _ = refund();
}
