//! The program: greets whoever is named on the command line.

use std::error::Error;
use std::time::Duration;

use app_template::{Greet, actions, greet};
use faas_core::{LocalBackend, Platform};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let app = Platform::builder().backend(LocalBackend::new()).actions(actions()).build().await?;
    for name in std::env::args().skip(1) {
        println!("{}", app.call::<greet>(Greet { name }).await?.text);
    }
    app.shutdown(Duration::from_secs(10)).await?;
    Ok(())
}
