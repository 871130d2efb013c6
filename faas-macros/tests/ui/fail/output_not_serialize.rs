use faas_core::action;

struct Receipt;

#[action]
async fn charge() -> Receipt {
    Receipt
}

#[action]
async fn refund() -> Result<Receipt, String> {
    Ok(Receipt)
}

fn main() {}
