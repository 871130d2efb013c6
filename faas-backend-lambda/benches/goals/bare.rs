//! The floors: the same program without a platform, asked by as little as will do.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use bytes::Bytes;
use faas_core::guest::lambda::wire::{Ask, encode_event};
use faas_core::guest::lambda::{ABI, SPEC};
use faas_core::{ActionSpec, ActivationId, Payload};

/// An event as the backend sends it.
pub(crate) fn event(spec: &ActionSpec) -> Bytes {
    let ask = Ask {
        abi: ABI,
        activation: ActivationId::from_u128(7),
        namespace: "guest".to_owned(),
        attempt: 1,
        level: 3,
        remaining: u64::try_from(spec.limits.timeout.as_nanos()).unwrap(),
        seed: 7,
        probe: false,
    };
    encode_event(&Payload::empty(), &ask)
}

/// The program of an artifact, as a file.
pub(crate) fn program(artifact: &Path) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;

    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bare-bootstrap");
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(crate::zip(artifact))).unwrap();
    let mut program = Vec::new();
    zip.by_name("bootstrap").unwrap().read_to_end(&mut program).unwrap();
    std::fs::write(&path, program).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// Starts the program, hands one event to it, and waits for the answer; how long that took in nanoseconds.
pub(crate) fn cold(program: &Path, spec: &ActionSpec, event: &[u8]) -> f64 {
    let told = serde_json::to_string(spec).unwrap();
    let begun = Instant::now();
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let mut child = Command::new(program)
        .env_clear()
        .env(SPEC, &told)
        .env("AWS_LAMBDA_RUNTIME_API", address)
        .env("AWS_LAMBDA_FUNCTION_NAME", "echo")
        .env("AWS_LAMBDA_FUNCTION_VERSION", "1")
        .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (stream, _) = listener.accept().unwrap();
    let answer = respond(stream, event);
    let took = begun.elapsed();
    assert!(answer.ends_with(b"\"result\":{}}"), "{}", String::from_utf8_lossy(&answer));
    child.kill().unwrap();
    child.wait().unwrap();
    took.as_nanos() as f64
}

/// Answers the program's first request with the event; what it answers to that.
fn respond(stream: TcpStream, event: &[u8]) -> Vec<u8> {
    stream.set_nodelay(true).unwrap();
    let mut write = stream.try_clone().unwrap();
    let mut read = BufReader::new(stream);
    request(&mut read);
    let head = format!(
        "HTTP/1.1 200 OK\r\nlambda-runtime-aws-request-id: 1\r\nlambda-runtime-deadline-ms: 0\r\n\
         lambda-runtime-invoked-function-arn: arn\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        event.len()
    );
    write.write_all(&[head.as_bytes(), event].concat()).unwrap();
    let answer = request(&mut read);
    write.write_all(b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n").unwrap();
    answer
}

/// Reads a request; its body.
fn request(read: &mut BufReader<TcpStream>) -> Vec<u8> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        read.read_line(&mut line).unwrap();
        let line = line.trim().to_ascii_lowercase();
        if let Some(told) = line.strip_prefix("content-length:") {
            length = told.trim().parse().unwrap();
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    read.read_exact(&mut body).unwrap();
    body
}
