//! The functions of the app. They know nothing of where they run.

use faas_core::{Context, InitContext, action, actions};
use serde::{Deserialize, Serialize};

actions![greet; init = setup];

/// What all runs in one sandbox share.
pub struct Shared {
    salutation: String,
}

/// Reads the environment once for each sandbox.
async fn setup(cx: InitContext) -> Result<Shared, std::convert::Infallible> {
    Ok(Shared { salutation: cx.env("SALUTATION").unwrap_or("Hello").to_owned() })
}

/// Whom to greet.
#[derive(Serialize, Deserialize)]
pub struct Greet {
    /// The name.
    pub name: String,
}

/// A greeting.
#[derive(Serialize, Deserialize)]
pub struct Greeting {
    /// The text.
    pub text: String,
}

/// Greets by name.
#[action(memory = "16MiB", timeout = "2s")]
pub async fn greet(cx: &Context, input: Greet) -> Result<Greeting, String> {
    let name = input.name.trim();
    if name.is_empty() {
        return Err("a name is needed".to_owned());
    }
    tracing::info!(name, "greeting");
    Ok(Greeting { text: polite(&cx.state::<Shared>().salutation, name) })
}

fn polite(salutation: &str, name: &str) -> String {
    format!("{salutation}, {name}!")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_greeting_is_polite() {
        assert_eq!(super::polite("Good day", "Ada"), "Good day, Ada!");
    }
}
