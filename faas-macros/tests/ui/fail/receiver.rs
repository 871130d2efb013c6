use faas_core::action;

struct Shop;

impl Shop {
    #[action]
    async fn charge(&self) {}

    #[action]
    async fn refund(self: Box<Self>) {}
}

fn main() {}
