use faas_core::action;

use serde::Serialize;

#[derive(Serialize)]
struct SearchResult {
    hits: Vec<u32>,
}

#[action]
async fn search() -> SearchResult {
    SearchResult { hits: vec![] }
}

fn main() {}
