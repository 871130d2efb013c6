//! An action that makes requests past the library.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use faas_core::{BoxError, action};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Bytes for the socket where the host makes requests.
#[derive(Debug, Serialize, Deserialize)]
pub struct Forged {
    /// How many there are said to be.
    pub length: u64,
    /// Those that are sent.
    pub text: String,
    /// Whether it hangs up at once.
    #[serde(default)]
    pub leaves: bool,
}

/// Writes to that socket by itself, and tells what is answered.
///
/// # Errors
/// When it cannot connect.
#[action(memory = "32MiB")]
pub async fn forge(input: Forged) -> Result<Value, BoxError> {
    let mut stream = UnixStream::connect("/faas/egress")?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(&input.length.to_le_bytes())?;
    stream.write_all(input.text.as_bytes())?;
    if input.leaves {
        return Ok(json!({}));
    }
    if (input.text.len() as u64) < input.length {
        stream.shutdown(std::net::Shutdown::Write)?;
    }
    let mut answer = Vec::new();
    // It may be closed with more to read: what was answered before counts.
    let _ = stream.read_to_end(&mut answer);
    let answer = answer.get(8..).unwrap_or_default();
    Ok(json!({ "answer": String::from_utf8_lossy(answer) }))
}
