//! What is said of the function is not said again of what stands beside it.
#![deny(warnings, missing_docs, unreachable_pub, unused, rust_2018_idioms, non_camel_case_types, unused_qualifications)]
#![forbid(unsafe_code)]

#[path = "../support.rs"]
mod support;

use faas_core::action;
use serde_json::{Value, json};

/// Old, but in use.
#[action]
#[deprecated = "use `current`"]
async fn old(_: Value) -> Vec<u32> {
    vec![1]
}

/// Its result matters.
#[action]
#[must_use]
#[inline]
fn current() -> Vec<u32> {
    vec![2]
}

/// It has more arms than clippy likes, and its attributes come after.
#[action]
#[allow(unused_variables, reason = "the point")]
fn lenient(input: Value, ) -> Vec<u32> {
    vec![3]
}

/// It is nobody's business.
#[action]
#[doc(hidden)]
fn hidden() {}

fn main() {
    assert_eq!(support::result(old {}, json!({})), json!([1]));
    assert_eq!(support::result(current {}, json!({})), json!([2]));
    assert_eq!(support::result(lenient {}, json!({})), json!([3]));
    assert_eq!(support::result(hidden {}, json!({})), json!({}));
    assert_eq!(current(), [2]);
}
