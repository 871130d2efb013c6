//! A runtime of somebody else's: it speaks the action interface as far as it is told to, and no further.
//!
//! It is the program of a container image. What it does with `/init` stands in the code that it is given, as JSON of a
//! [`Play`]; what it does with `/run` in the input. Where there is none, it answers as OpenWhisk's runtimes do.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a runtime's output is its log")]

mod respond;

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::exit;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

/// What is done with a request.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Play {
    /// Printed to standard output, with a line feed.
    stdout: Vec<String>,
    /// Printed to standard error.
    stderr: Vec<String>,
    /// So many KiB are printed to standard output without a line feed.
    flood_kib: usize,
    /// Printed to standard output last, without a line feed.
    open: String,
    /// The mark at the end of the output is left out.
    no_mark: bool,
    /// A thread prints this without end, and without a pause.
    babble: Option<String>,
    /// Printed to both streams so long after the answer, where there is something.
    later: Vec<String>,
    /// How long after.
    later_ms: u64,
    /// How long to wait before answering.
    wait_ms: u64,
    /// Whoever has run something as often as this is about to end, and says so.
    ends_after: Option<u32>,
    /// The status of the answer.
    status: Option<u16>,
    /// The body of the answer; the input without it.
    body: Option<String>,
    /// The same as bytes, which need not be text.
    bytes: Option<Vec<u8>>,
    /// The bytes of the whole answer, instead of both.
    raw: Option<String>,
    /// The body of the answer is an object of so many bytes.
    large: usize,
    /// A header of so many KiB is part of the answer.
    header_kib: usize,
    /// How long to wait between two bytes of the answer.
    trickle_ms: u64,
    /// The answer is given so often.
    times: Option<usize>,
    /// The program ends with this code before it answers.
    exit: Option<i32>,
    /// The connection is closed without an answer.
    hang_up: bool,
    /// No answer ever comes, and the connection stays open.
    never: bool,
    /// Memory is taken until there is no more.
    grow: bool,
    /// What was sent to `/init` is the result.
    tell_init: bool,
    /// What was sent to `/run` is the result.
    tell_run: bool,
    /// What comes of connecting to this address is the result.
    connect: Option<SocketAddr>,
    /// The text of this file is the result.
    read: Option<String>,
    /// What comes of writing to this file is the result.
    write: Option<String>,
    /// How much could be written to this file, up to 64 MiB, and what came of it is the result.
    fill: Option<String>,
}

/// How often this program has run something.
static RUNS: AtomicU32 = AtomicU32::new(0);

const MARK: &str = "XXX_THE_END_OF_A_WHISK_ACTIVATION_XXX";

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |text: &str| text.parse().map_err(io::Error::other);
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["--exit", code] => exit(code.parse().map_err(io::Error::other)?),
        ["--deaf"] => std::thread::sleep(Duration::from_secs(3600)),
        ["--respond", socket, request, reply] => {
            return respond::run(socket, number(request)?, number(reply)?);
        }
        _ => {}
    }
    let listener = TcpListener::bind("0.0.0.0:8080")?;
    let init = Arc::new(Mutex::new(Value::Null));
    for connection in listener.incoming() {
        let (connection, init) = (connection?, Arc::clone(&init));
        // Whoever hangs up does not end the program.
        std::thread::spawn(move || serve(connection, &init));
    }
    Ok(())
}

fn serve(mut connection: TcpStream, init: &Mutex<Value>) -> io::Result<()> {
    let Some((path, body)) = read(&connection)? else { return Ok(()) };
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let value = &request["value"];
    let play = match path.as_str() {
        "/init" => {
            *init.lock().unwrap_or_else(PoisonError::into_inner) = request.clone();
            serde_json::from_str(value["code"].as_str().unwrap_or("{}")).unwrap_or_default()
        }
        _ => serde_json::from_value(value.clone()).unwrap_or_default(),
    };
    let init = init.lock().unwrap_or_else(PoisonError::into_inner).clone();
    act(&mut connection, &path, &play, &request, &init)
}

/// Reads a request: its path and its body.
fn read(connection: &TcpStream) -> io::Result<Option<(String, Vec<u8>)>> {
    let mut reader = BufReader::new(connection);
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
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
    Ok(Some((path, body)))
}

/// Does what is to be done with a request.
fn act(connection: &mut TcpStream, path: &str, play: &Play, request: &Value, init: &Value) -> io::Result<()> {
    print(play)?;
    if path == "/run" && !play.no_mark {
        println!("{MARK}");
        eprintln!("{MARK}");
    }
    std::thread::sleep(Duration::from_millis(play.wait_ms));
    if play.grow {
        let mut held = Vec::new();
        loop {
            held.push(std::hint::black_box(vec![1_u8; 1 << 20]));
        }
    }
    if let Some(code) = play.exit {
        exit(code);
    }
    if play.never {
        std::thread::sleep(Duration::from_secs(3600));
    }
    if play.hang_up {
        return Ok(());
    }
    let answer = answer(path, play, request, init);
    for _ in 0..play.times.unwrap_or(1) {
        if play.trickle_ms == 0 {
            connection.write_all(&answer)?;
        } else {
            for byte in &answer {
                connection.write_all(std::slice::from_ref(byte))?;
                std::thread::sleep(Duration::from_millis(play.trickle_ms));
            }
        }
    }
    connection.flush()?;
    if !play.later.is_empty() {
        std::thread::sleep(Duration::from_millis(play.later_ms));
        for line in &play.later {
            println!("{line}");
            eprintln!("{line}");
        }
    }
    Ok(())
}

fn print(play: &Play) -> io::Result<()> {
    for line in &play.stdout {
        println!("{line}");
    }
    for line in &play.stderr {
        eprintln!("{line}");
    }
    let piece = [b'x'; 1024];
    let mut stdout = io::stdout().lock();
    for _ in 0..play.flood_kib {
        stdout.write_all(&piece)?;
    }
    if play.flood_kib > 0 {
        stdout.write_all(b"\n")?;
    }
    stdout.write_all(play.open.as_bytes())?;
    if let Some(line) = play.babble.clone() {
        std::thread::spawn(move || {
            loop {
                println!("{line}");
            }
        });
    }
    stdout.flush()
}

/// What was tried, if anything was: its result.
fn tried(play: &Play) -> Option<Value> {
    let of = |tried: io::Result<String>| match tried {
        Ok(text) => json!({ "text": text }),
        Err(error) => json!({ "refused": error.to_string() }),
    };
    if let Some(address) = &play.connect {
        let connected = TcpStream::connect_timeout(address, Duration::from_secs(2));
        return Some(of(connected.map(|_| String::new())));
    }
    if let Some(path) = &play.read {
        return Some(of(fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())));
    }
    if let Some(path) = &play.fill {
        let (mut mib, piece) = (0, vec![7; 1 << 20]);
        let mut fill = || {
            let mut file = fs::File::create(path)?;
            while mib < 64 {
                file.write_all(&piece)?;
                mib += 1;
            }
            Ok(String::new())
        };
        let mut told = of(fill());
        told["mib"] = json!(mib);
        return Some(told);
    }
    play.write.as_ref().map(|path| of(fs::write(path, "written").map(|()| String::new())))
}

fn answer(path: &str, play: &Play, request: &Value, init: &Value) -> Vec<u8> {
    if let Some(raw) = &play.raw {
        return raw.clone().into_bytes();
    }
    let text = match &play.body {
        _ if play.large > 0 => json!({ "a": "y".repeat(play.large - 8) }).to_string(),
        Some(body) => body.clone(),
        None if path == "/init" => json!({ "ok": true }).to_string(),
        None if play.tell_init => init.to_string(),
        None if play.tell_run => request.to_string(),
        None => tried(play).unwrap_or_else(|| request["value"].clone()).to_string(),
    };
    let runs = if path == "/run" { RUNS.fetch_add(1, Ordering::Relaxed) } else { 0 };
    let ends = play.ends_after.is_some_and(|most| runs >= most);
    let status = if ends { 503 } else { play.status.unwrap_or(200) };
    let body = play.bytes.clone().unwrap_or_else(|| text.into_bytes());
    let header = match play.header_kib {
        0 => String::new(),
        kib => format!("x-large: {}\r\n", "z".repeat(kib << 10)),
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} Told\r\nContent-Type: application/json\r\n{header}Content-Length: {length}\r\n\r\n"
    );
    [head.into_bytes(), body].concat()
}
