use faas_core::action;

// The function is still there, so that the one mistake is the one error.
#[action]
fn answer() -> u32 {
    42
}

fn main() {
    let _: u32 = answer();
}
