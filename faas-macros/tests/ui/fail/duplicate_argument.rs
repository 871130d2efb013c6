use faas_core::action;

#[action(memory = "128MiB", timeout = "30s", memory = "256MiB")]
async fn twice() {}

#[action(annotations(team = "billing", "team" = "orders"))]
async fn annotated_twice() {}

fn main() {}
