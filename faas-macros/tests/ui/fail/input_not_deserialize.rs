use faas_core::action;

struct Order;

#[action]
async fn charge(input: Order) {
    let _ = input;
}

fn main() {}
