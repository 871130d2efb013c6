//! Actions that make HTTP requests, by the library and past it.

use std::future::{Future, poll_fn};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use faas_core::{BoxError, Context, HttpRequest, action};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Requests to make, all at once.
#[derive(Debug, Serialize, Deserialize)]
pub struct Fetch {
    /// The requests.
    pub requests: Vec<Asked>,
}

/// A request to make.
#[derive(Debug, Serialize, Deserialize)]
pub struct Asked {
    /// Its method.
    pub method: String,
    /// Its URL.
    pub url: String,
    /// Its body.
    #[serde(default)]
    pub body: String,
}

type Fetching<'a> = Pin<Box<dyn Future<Output = Value> + Send + 'a>>;

/// Makes HTTP requests, and tells what was answered or why nothing was.
///
/// # Errors
/// None: what goes wrong with a request is told.
#[action(memory = "32MiB")]
pub async fn fetch(cx: &Context, input: Fetch) -> Result<Value, BoxError> {
    tracing::info!("fetching");
    let mut fetching: Vec<Fetching<'_>> = Vec::new();
    for asked in input.requests {
        let request = HttpRequest::new(asked.method, asked.url).with_body(asked.body);
        fetching.push(Box::pin(async {
            match cx.http(request).await {
                Ok(answer) => json!({
                    "status": answer.status, "name": answer.header("x-name"), "body": answer.text(),
                }),
                Err(error) => json!({ "error": error.to_string(), "kind": error.kind().as_str() }),
            }
        }));
    }
    let mut told = vec![Value::Null; fetching.len()];
    poll_fn(|task| {
        let mut waits = false;
        for (place, fetching) in told.iter_mut().zip(&mut fetching) {
            if place.is_null() {
                match fetching.as_mut().poll(task) {
                    Poll::Ready(answer) => *place = answer,
                    Poll::Pending => waits = true,
                }
            }
        }
        if waits { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
    Ok(Value::Array(told))
}

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
