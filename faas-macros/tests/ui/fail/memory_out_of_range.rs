use faas_core::action;

#[action(memory = "0MiB")]
async fn none() {}

#[action(memory = "11GiB")]
async fn too_much() {}

#[action(memory = "99999999999999999999GiB")]
async fn overflowing() {}

fn main() {}
