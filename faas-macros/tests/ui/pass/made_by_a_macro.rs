#[path = "../support.rs"]
mod support;

use faas_core::{Action, NamedAction, action};
use serde_json::json;

macro_rules! doubling {
    ($name:ident, $cx:ty, $input:ty, $output:ty, $memory:literal) => {
        /// Doubles.
        #[action(memory = $memory)]
        async fn $name(cx: $cx, input: $input) -> $output {
            let _ = cx;
            Ok(input.iter().map(|(key, number)| (key.clone(), number * 2)).collect())
        }
    };
}

type Numbers = std::collections::BTreeMap<String, u32>;

doubling!(double, &faas_core::Context, Numbers, Result<Numbers, String>, "64MiB");

fn main() {
    assert_eq!(<double as NamedAction>::NAME, "double");
    assert_eq!(Action::spec(&double {}).limits.memory.mib(), 64);
    assert_eq!(support::result(double {}, json!({"a": 2})), json!({"a": 4}));
}
