use faas_core::action;

use std::rc::Rc;

#[action]
async fn counts() -> Vec<u32> {
    let count = Rc::new(3);
    std::future::ready(()).await;
    vec![*count]
}

fn main() {}
