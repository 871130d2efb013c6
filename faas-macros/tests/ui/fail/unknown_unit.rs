use faas_core::action;

#[action(memory = "256MB")]
async fn megabytes() {}

#[action(timeout = "30")]
async fn no_unit() {}

#[action(timeout = "2 days")]
async fn days() {}

#[action(timeout = "1.5s")]
async fn fraction() {}

fn main() {}
