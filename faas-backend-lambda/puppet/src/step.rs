//! What there is to do, and how it is done.

use std::hint::black_box;
use std::io::{self, Write};
use std::process::{Command, exit};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::TICKS;
use crate::api::{Api, Event};

/// What a shell does that only lives, and ignores what can be ignored.
const LIVES: &str = "trap '' TERM HUP INT; exec sleep 1000";

/// Something to do.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    /// Print this to standard output, with a line feed.
    Print(String),
    /// Print this to standard error, with a line feed.
    Complain(String),
    /// Print this to standard output, without a line feed.
    Open(String),
    /// Print so many KiB to both streams, in lines of so many bytes; without line feeds if there are none.
    Flood {
        kib: usize,
        line: usize,
    },
    /// Have a thread print this without end.
    Babble(String),
    Wait(u64),
    /// Compute for so many microseconds.
    Busy(u64),
    Exit(i32),
    Abort,
    Hang,
    Spin,
    /// Start a process that lives on, and ignores what can be ignored.
    Child,
    /// Answer, with what was seen so far as the result.
    Answer,
    /// Answer with this body.
    Body(String),
    /// Answer with a body of so many bytes.
    Large(usize),
    /// Answer for a request of this name.
    AnswerFor(String),
    /// Answer byte by byte, with a pause of so many milliseconds after every tenth.
    Trickle(u64),
    /// Send the head and half the body of an answer.
    Half,
    /// Send something that is not HTTP.
    Garbage,
    /// Tell an error with this body.
    Error(String),
    /// Tell that the initialisation failed, with this body.
    InitError(String),
    /// Ask for the path of something that is not there.
    Stray,
    /// Ask for an event and go on without waiting for one.
    Ask,
    /// Close the connection.
    HangUp,
    /// Open so many connections and keep them.
    Connect(usize),
}

/// Does steps.
pub(crate) struct Player {
    api: Api,
    /// The statuses of what was posted.
    statuses: Vec<u16>,
    runs: u32,
    held: Vec<std::net::TcpStream>,
}

impl Player {
    pub(crate) fn new(api: Api) -> Self {
        Self { api, statuses: Vec::new(), runs: 0, held: Vec::new() }
    }

    pub(crate) fn next(&mut self) -> io::Result<Event> {
        self.api.next()
    }

    /// Does the steps; answers the event, if they are none.
    pub(crate) fn play(&mut self, steps: &[Step], event: Option<&Event>) -> io::Result<()> {
        self.runs += u32::from(event.is_some());
        for step in steps {
            self.step(step, event)?;
        }
        match event {
            Some(_) if steps.is_empty() => self.step(&Step::Answer, event),
            _ => Ok(()),
        }
    }

    fn step(&mut self, step: &Step, event: Option<&Event>) -> io::Result<()> {
        let request = event.map_or("none", |event| event.request.as_str());
        match step {
            Step::Print(line) => println!("{line}"),
            Step::Complain(line) => eprintln!("{line}"),
            Step::Open(text) => {
                print!("{text}");
                io::stdout().flush()?;
            }
            Step::Flood { kib, line } => flood(*kib, *line)?,
            Step::Babble(line) => {
                let line = line.clone();
                std::thread::spawn(move || {
                    loop {
                        println!("{line}");
                    }
                });
            }
            Step::Wait(ms) => std::thread::sleep(Duration::from_millis(*ms)),
            Step::Busy(us) => {
                let begun = Instant::now();
                while begun.elapsed() < Duration::from_micros(*us) {}
            }
            Step::Exit(code) => exit(*code),
            Step::Abort => std::process::abort(),
            Step::Hang => std::thread::sleep(Duration::from_secs(3600)),
            Step::Spin => while black_box(true) {},
            Step::Child => drop(Command::new("/bin/sh").args(["-c", LIVES]).spawn()?),
            Step::Stray => self.post("invocation", b"{}")?,
            Step::Ask => self.api.write(self.api.head("GET", "invocation/next", 0).as_bytes())?,
            Step::HangUp => self.api.hang_up(),
            Step::Connect(count) => {
                let address = std::env::var("AWS_LAMBDA_RUNTIME_API").map_err(io::Error::other)?;
                for _ in 0..*count {
                    self.held.push(std::net::TcpStream::connect(&address)?);
                }
            }
            Step::InitError(body) => self.post("init/error", body.as_bytes())?,
            Step::Error(body) => self.post(&format!("invocation/{request}/error"), body.as_bytes())?,
            Step::AnswerFor(other) => {
                let body = self.answer(event);
                self.post(&format!("invocation/{other}/response"), &body)?;
            }
            _ => self.answers(step, &format!("invocation/{request}/response"), event)?,
        }
        Ok(())
    }

    /// The steps that answer the event.
    fn answers(&mut self, step: &Step, path: &str, event: Option<&Event>) -> io::Result<()> {
        let answer = self.answer(event);
        match step {
            Step::Body(body) => self.post(path, body.as_bytes()),
            Step::Large(bytes) => self.post(path, "y".repeat(*bytes).as_bytes()),
            Step::Trickle(ms) => {
                let head = self.api.head("POST", path, answer.len());
                for piece in head.as_bytes().chunks(10).chain(answer.chunks(10)) {
                    self.api.write(piece)?;
                    std::thread::sleep(Duration::from_millis(*ms));
                }
                let status = self.api.response()?.status;
                self.statuses.push(status);
                Ok(())
            }
            Step::Half => {
                let head = self.api.head("POST", path, answer.len());
                self.api.write(head.as_bytes())?;
                self.api.write(&answer[..answer.len() / 2])
            }
            Step::Garbage => self.api.write(b"\x00\x01 this is not HTTP\r\n\r\n"),
            _ => self.post(path, &answer),
        }
    }

    fn post(&mut self, path: &str, body: &[u8]) -> io::Result<()> {
        let status = self.api.post(path, body)?;
        self.statuses.push(status);
        Ok(())
    }

    /// An answer as a function of this library gives it.
    fn answer(&self, event: Option<&Event>) -> Vec<u8> {
        let activation = event.map_or(&Value::Null, |event| &event.body["faas"]["activation"]);
        let result = json!({
            "pid": std::process::id(),
            "runs": self.runs,
            "ticks": TICKS.load(Ordering::Relaxed),
            "statuses": self.statuses,
            "activation": activation,
        });
        json!({ "faas": { "status": 0 }, "result": result }).to_string().into_bytes()
    }
}

fn flood(kib: usize, line: usize) -> io::Result<()> {
    let text = match line {
        0 => vec![b'x'; 1024],
        _ => [vec![b'x'; line - 1], vec![b'\n']].concat(),
    };
    for _ in 0..(kib << 10) / text.len() {
        io::stdout().write_all(&text)?;
        io::stderr().write_all(&text)?;
    }
    io::stdout().flush()
}
