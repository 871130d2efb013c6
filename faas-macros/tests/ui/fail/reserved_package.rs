use faas_core::action;

#[action(package = "default")]
async fn charge() {}

fn main() {}
