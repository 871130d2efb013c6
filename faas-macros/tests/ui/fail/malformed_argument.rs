use faas_core::action;

#[action(memory)]
async fn no_value() {}

#[action(memory = 256)]
async fn not_a_string() {}

#[action(retries = "3")]
async fn not_a_number() {}

#[action(timeout = TIMEOUT)]
async fn not_a_literal() {}

#[action(retries = 3 concurrency = 4)]
async fn no_comma() {}

fn main() {}
