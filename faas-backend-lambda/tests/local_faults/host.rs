//! A host that is none of this library's: it starts a bootstrap and speaks the Runtime API to it by hand.
//!
//! What the backend never asks of a program, since it gives it up before, is asked here: AWS goes on with it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, SystemTime};

use faas_core::guest::lambda::wire::{Ask, decode_answer, encode_event};
use faas_core::guest::lambda::{ABI, SPEC};
use faas_core::guest::{Reply, lambda::wire::Told};
use faas_core::{ActionSpec, ActivationId, IntoPayload};
use serde_json::{Value, json};

/// A request of the program: the path after the version, the body, and where the response goes.
struct Request {
    path: String,
    body: Vec<u8>,
    connection: TcpStream,
}

/// A program and the API that it asks. Dropped, the program is killed.
pub(crate) struct Host {
    child: Child,
    requests: mpsc::Receiver<Request>,
    /// The request for an event that waits for one.
    asking: Option<TcpStream>,
    count: u64,
}

/// What the program did with an event.
#[derive(Debug)]
pub(crate) enum Done {
    Response(Vec<u8>),
    Error(Value),
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads requests of a connection for as long as there are any.
fn read(connection: TcpStream, requests: &mpsc::Sender<Request>) -> std::io::Result<()> {
    let mut reader = BufReader::new(connection.try_clone()?);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let path = line.split(' ').nth(1).unwrap_or_default();
        let path = path.strip_prefix("/2018-06-01/runtime/").unwrap_or_default().to_owned();
        let mut length = 0;
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let Some((name, value)) = header.split_once(':') else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let _ = requests.send(Request { path, body, connection: connection.try_clone()? });
    }
}

fn reply(mut connection: &TcpStream, status: &str, headers: &str, body: &[u8]) {
    let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
    // A program that is gone is told nothing; the test sees that elsewhere.
    let _ = connection.write_all(&[head.as_bytes(), body].concat());
}

impl Host {
    /// Starts the program in a zip for an action.
    pub(crate) fn start(program: &Path, spec: &ActionSpec) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let variables = BTreeMap::from([
            ("AWS_LAMBDA_RUNTIME_API", listener.local_addr().unwrap().to_string()),
            ("AWS_LAMBDA_FUNCTION_NAME", "test".to_owned()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "1".to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128".to_owned()),
            (SPEC, serde_json::to_string(spec).unwrap()),
        ]);
        let mut command = Command::new(program);
        command.env_clear().envs(variables).current_dir("/").stdin(Stdio::null()).stdout(Stdio::piped());
        let child = command.spawn().unwrap();
        let (sender, requests) = mpsc::channel();
        std::thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let sender = sender.clone();
                std::thread::spawn(move || read(connection, &sender));
            }
        });
        Self { child, requests, asking: None, count: 0 }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What the program has printed when it is killed.
    pub(crate) fn printed(mut self) -> String {
        let mut stdout = self.child.stdout.take().unwrap();
        self.child.kill().unwrap();
        let mut printed = String::new();
        stdout.read_to_string(&mut printed).unwrap();
        printed
    }

    fn request(&self) -> Request {
        self.requests.recv_timeout(Duration::from_secs(20)).expect("a request of the program")
    }

    /// Waits until the program asks for an event.
    pub(crate) fn asked(&mut self) {
        if self.asking.is_none() {
            let request = self.request();
            assert_eq!(request.path, "invocation/next", "{}", String::from_utf8_lossy(&request.body));
            self.asking = Some(request.connection);
        }
    }

    /// Hands an event over and waits for what comes of it; the program has so long.
    pub(crate) fn send(&mut self, event: &[u8], time: Duration) -> Done {
        self.asked();
        self.count += 1;
        let id = format!("00000000-0000-4000-8000-{:012x}", self.count);
        let until = SystemTime::now() + time;
        let until = until.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis();
        let headers = format!(
            "Lambda-Runtime-Aws-Request-Id: {id}\r\nLambda-Runtime-Deadline-Ms: {until}\r\n\
             Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:x:0:function:test\r\n"
        );
        reply(&self.asking.take().unwrap(), "200 OK", &headers, event);
        let request = self.request();
        reply(&request.connection, "202 Accepted", "", b"{}");
        match request.path.strip_prefix(&format!("invocation/{id}/")) {
            Some("response") => Done::Response(request.body),
            Some("error") => Done::Error(serde_json::from_slice(&request.body).unwrap()),
            _ => panic!("it asked for {}", request.path),
        }
    }

    /// Asks as this library does, in a namespace.
    pub(crate) fn ask(&mut self, namespace: &str, input: Value) -> (Told, Reply) {
        let ask = Ask {
            abi: ABI,
            activation: ActivationId::from_u128(u128::from(self.count) + 100),
            namespace: namespace.to_owned(),
            attempt: 1,
            level: 3,
            remaining: 2_000_000_000,
            seed: 7,
            probe: false,
        };
        let event = encode_event(&input.into_payload().unwrap(), &ask);
        match self.send(&event, Duration::from_secs(10)) {
            Done::Response(body) => decode_answer(&body.into()).unwrap(),
            Done::Error(error) => panic!("{error}"),
        }
    }

    /// What a successful run told.
    pub(crate) fn result(&mut self, namespace: &str, input: Value) -> Value {
        let (told, reply) = self.ask(namespace, input);
        assert!(reply.outcome.is_success() && told.refused.is_none(), "{:?} {told:?}", reply.outcome);
        reply.outcome.result().to_value()
    }

    /// What an event of somebody else's is answered with.
    pub(crate) fn plain(&mut self, event: &Value) -> Result<Value, Value> {
        self.plain_within(event, Duration::from_secs(10))
    }

    /// The same, with so much time.
    pub(crate) fn plain_within(&mut self, event: &Value, time: Duration) -> Result<Value, Value> {
        match self.send(event.to_string().as_bytes(), time) {
            Done::Response(body) => Ok(serde_json::from_slice(&body).unwrap_or_else(|_| json!("no JSON"))),
            Done::Error(error) => Err(error),
        }
    }
}
