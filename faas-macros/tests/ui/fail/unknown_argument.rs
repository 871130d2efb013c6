use faas_core::action;

#[action(memry = "256MiB")]
async fn misspelled() {}

#[action("greet")]
async fn no_key() {}

#[action(type = "greet")]
async fn keyword() {}

fn main() {}
