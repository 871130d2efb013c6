use faas_core::action;

use serde::Deserialize;

#[derive(Deserialize)]
struct Order {
    id: u32,
}

#[action]
pub fn charge(input: Order) {
    let _ = input.id;
}

fn main() {}
