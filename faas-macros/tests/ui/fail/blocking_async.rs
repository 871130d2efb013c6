use faas_core::action;

#[action(memory = "256MiB", blocking)]
async fn crunch() {}

fn main() {}
