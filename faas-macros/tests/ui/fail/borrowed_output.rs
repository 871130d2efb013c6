use faas_core::action;

use faas_core::Context;
use serde::Serialize;

#[derive(Serialize)]
struct Reply<'a>(&'a [u32]);

#[action]
async fn borrowing(_: &Context) -> Reply<'_> {
    Reply(&[])
}

#[action]
async fn reference(_: &Context) -> Result<&[u32], String> {
    Ok(&[])
}

fn main() {}
