use faas_core::action;

use serde::de::DeserializeOwned;

#[action]
async fn any(input: impl DeserializeOwned + Send) {
    let _ = input;
}

fn main() {}
