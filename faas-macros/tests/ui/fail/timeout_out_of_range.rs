use faas_core::action;

#[action(timeout = "0ms")]
async fn none() {}

#[action(timeout = "25h")]
async fn too_long() {}

fn main() {}
