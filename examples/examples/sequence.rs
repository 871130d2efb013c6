//! A sequence: each member's result is the next one's input, and the first that fails ends it.

#![allow(clippy::print_stdout, reason = "a program that talks to its user")]

use std::error::Error;
use std::time::Duration;

use faas_core::{ActionError, LocalBackend, Platform, action, actions};
use serde::{Deserialize, Serialize};
use serde_json::json;

#[derive(Serialize, Deserialize)]
struct Order {
    item: String,
    count: u32,
    /// In cents, once it is known.
    #[serde(default)]
    price: u32,
}

/// Looks up what the order costs.
#[action]
fn quote(order: Order) -> Order {
    Order { price: order.count * 250, ..order }
}

/// Takes the money.
#[action(package = "orders")]
fn charge(order: Order) -> Result<Order, ActionError> {
    if order.price > 1_000 {
        return Err(ActionError::json(
            json!({ "code": 402, "reason": "card declined", "price": order.price }),
        ));
    }
    Ok(order)
}

/// Sends the goods.
#[action]
fn ship(order: Order) -> serde_json::Value {
    json!({ "shipped": format!("{} × {}", order.count, order.item), "paid": order.price })
}

actions![quote, charge, ship];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let app = Platform::builder()
        .backend(LocalBackend::new())
        .actions(actions())
        .sequence("buy", ["quote", "orders/charge", "ship"])
        .build()
        .await?;

    for count in [3, 30] {
        let bought = app.invoke("buy", json!({ "item": "tea", "count": count })).await?;
        println!("buying {count}: {}, {}", bought.status(), bought.outcome.result().as_str());
        // The sequence's own record lists the activations of its members.
        for line in &bought.logs {
            let member = app.activation(line.text.parse()?).await?;
            println!("  {}: {}", member.action(), member.outcome.result().as_str());
        }
    }

    app.shutdown(Duration::from_secs(1)).await?;
    Ok(())
}
