use faas_core::action;

use faas_core::{Action, NamedAction};

// What uses the action compiles, so that the one mistake is the one error.
#[action(timeout = "soon")]
async fn greet() {}

fn main() {
    let _ = greet {}.spec();
    let _ = <greet as NamedAction>::NAME;
    let _ = greet();
}
