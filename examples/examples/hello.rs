//! An action, called three ways: as a function, typed, and by name.

#![allow(clippy::print_stdout, reason = "a program that talks to its user")]

use std::error::Error;
use std::time::Duration;

use faas_core::{LocalBackend, Platform, action, actions};
use serde::{Deserialize, Serialize};
use serde_json::json;

#[derive(Serialize, Deserialize)]
struct Greet {
    name: String,
}

#[derive(Serialize, Deserialize)]
struct Reply {
    greeting: String,
}

/// Greets people who have a name.
#[action(memory = "16MiB", timeout = "2s")]
async fn greet(input: Greet) -> Result<Reply, String> {
    if input.name.is_empty() {
        return Err("whoever has no name cannot be greeted".to_owned());
    }
    tracing::info!(name = input.name, "greeting");
    Ok(Reply { greeting: format!("Hello, {}!", input.name) })
}

actions![greet];

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let app = Platform::builder().backend(LocalBackend::new()).actions(actions()).build().await?;

    // The function is still there.
    println!("function: {}", greet(Greet { name: "Ada".to_owned() }).await?.greeting);

    // Typed: what goes in and comes out are the function's own types.
    let reply = app.call::<greet>(Greet { name: "Grace".to_owned() }).await?;
    println!("typed:    {}", reply.greeting);

    // By name: JSON goes in, and the activation's record comes out.
    let activation = app.invoke("greet", json!({ "name": "Alan" })).await?;
    println!("by name:  {}", activation.outcome.result().as_str());
    println!("its log:  {}", activation.logs[0].text);

    // A failed action is a record too; only a failure of the platform would be an error here.
    let failed = app.invoke("greet", json!({ "name": "" })).await?;
    println!("failed:   {}, billed {} ms", failed.status(), failed.billed_ms);
    if let Err(error) = failed.into_result() {
        println!("error:    {error}");
    }

    app.shutdown(Duration::from_secs(1)).await?;
    Ok(())
}
