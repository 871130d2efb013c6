//! One program, and the events that the emulator hands to it.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::name;
use crate::cloud::Invoked;

/// A program that runs. Dropping it kills it.
pub(crate) struct Environment {
    port: u16,
    number: usize,
    child: Child,
}

/// How a run ended without an answer.
pub(crate) enum Ended {
    /// The program told of a failure.
    Failed(Bytes),
    /// The program has ended.
    Exited(String),
    /// It took longer than its function may, and was killed.
    Late,
}

impl Environment {
    /// Starts the program with the environment that AWS gives to it.
    pub(crate) fn start(port: u16, number: usize, program: &Path, invoked: &Invoked) -> Self {
        let made_for = if invoked.is_provisioned { "provisioned-concurrency" } else { "on-demand" };
        let mut command = Command::new(program);
        command.env_clear().envs(&invoked.variables).current_dir("/").kill_on_drop(true);
        command.env("AWS_LAMBDA_RUNTIME_API", format!("http://127.0.0.1:{port}/.rt/{}", name(number)));
        command.env("AWS_LAMBDA_FUNCTION_NAME", &invoked.function);
        command.env("AWS_LAMBDA_FUNCTION_VERSION", &invoked.version);
        command.env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", invoked.memory.to_string());
        command.env("AWS_LAMBDA_INITIALIZATION_TYPE", made_for);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { port, number, child: command.spawn().unwrap() }
    }

    /// Has it run an event.
    pub(crate) async fn run(&mut self, invoked: &Invoked) -> Result<Bytes, Ended> {
        let limit = Duration::from_secs(invoked.timeout);
        let function = name(self.number);
        tokio::select! {
            answer = post(self.port, &function, &invoked.payload) => answer,
            ended = self.child.wait() => Err(Ended::Exited(ended.unwrap().to_string())),
            () = tokio::time::sleep(limit) => {
                self.child.start_kill().unwrap();
                Err(Ended::Late)
            }
        }
    }
}

/// Sends an event to the emulator, and waits for what the program answers.
async fn post(port: u16, function: &str, event: &Bytes) -> Result<Bytes, Ended> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let head = format!(
        "POST /2015-03-31/functions/{function}/invocations HTTP/1.1\r\nhost: emulator\r\nconnection: close\r\n\
         content-length: {}\r\n\r\n",
        event.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(event).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = Bytes::from(answer);
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    let head = std::str::from_utf8(&answer[..end]).unwrap().to_ascii_lowercase();
    let body = answer.slice(end + 4..);
    assert!(!head.contains("transfer-encoding"), "{head}");
    match head.split(' ').nth(1) {
        Some("200") => Ok(body),
        _ => Err(Ended::Failed(body)),
    }
}
