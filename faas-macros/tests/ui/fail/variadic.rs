use faas_core::action;

#[action]
unsafe extern "C" fn variadic(_: ...) {}

fn main() {}
