//! One program, and the events that the emulator hands to it.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufStream};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::name;
use crate::cloud::Invoked;

/// A program that runs. Dropping it kills it.
pub(crate) struct Environment {
    port: u16,
    number: usize,
    child: Child,
    /// To the emulator, once there was an event.
    connection: Option<BufStream<TcpStream>>,
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
        Self { port, number, child: command.spawn().unwrap(), connection: None }
    }

    /// Has it run an event.
    pub(crate) async fn run(&mut self, invoked: &Invoked) -> Result<Bytes, Ended> {
        let limit = Duration::from_secs(invoked.timeout);
        if self.connection.is_none() {
            let connection = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
            connection.set_nodelay(true).unwrap();
            self.connection = Some(BufStream::new(connection));
        }
        let connection = self.connection.as_mut().unwrap();
        let function = name(self.number);
        tokio::select! {
            answer = post(connection, &function, &invoked.payload) => answer,
            ended = self.child.wait() => Err(Ended::Exited(ended.unwrap().to_string())),
            () = tokio::time::sleep(limit) => {
                self.child.start_kill().unwrap();
                Err(Ended::Late)
            }
        }
    }
}

/// Sends an event to the emulator, and waits for what the program answers.
async fn post(connection: &mut BufStream<TcpStream>, function: &str, event: &Bytes) -> Result<Bytes, Ended> {
    let head = format!(
        "POST /2015-03-31/functions/{function}/invocations HTTP/1.1\r\nhost: emulator\r\ncontent-length: {}\r\n\r\n",
        event.len()
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    connection.write_all(event).await.unwrap();
    connection.flush().await.unwrap();
    let (mut is_good, mut length) = (None, 0);
    loop {
        let mut line = String::new();
        assert!(connection.read_line(&mut line).await.unwrap() > 0, "the emulator hung up");
        let line = line.trim_end().to_ascii_lowercase();
        assert!(!line.starts_with("transfer-encoding"), "{line}");
        if is_good.is_none() {
            is_good = Some(line.split(' ').nth(1) == Some("200"));
        } else if let Some(told) = line.strip_prefix("content-length:") {
            length = told.trim().parse().unwrap();
        } else if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body).await.unwrap();
    if is_good == Some(true) { Ok(body.into()) } else { Err(Ended::Failed(body.into())) }
}
