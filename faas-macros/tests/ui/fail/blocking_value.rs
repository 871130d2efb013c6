use faas_core::action;

#[action(blocking = true)]
fn crunch() {}

fn main() {}
