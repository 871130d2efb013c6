use faas_core::action;

use serde::Serialize;

#[action]
async fn of_type<T: Serialize>(input: Vec<T>) -> Vec<T> {
    input
}

#[action]
async fn of_lifetime<'a>() {}

#[action]
async fn of_const<const N: usize>() {}

#[action]
async fn bounded()
where
    Vec<u32>: Serialize,
{
}

fn main() {}
