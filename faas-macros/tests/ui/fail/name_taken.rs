use faas_core::action;

mod greet {}

#[action]
async fn greet() {}

fn main() {}
