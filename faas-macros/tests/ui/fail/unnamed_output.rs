use faas_core::action;

use serde::Serialize;

#[action]
async fn list() -> impl Serialize {
    [1, 2]
}

#[action]
fn future() -> impl Future<Output = Vec<u32>> {
    std::future::ready(vec![1, 2])
}

#[action]
async fn never() -> ! {
    std::future::pending().await
}

fn main() {}
