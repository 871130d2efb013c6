//! Actions by which the tests of the Docker backend look at a container from inside, and misbehave there.
//!
//! They are the code of somebody who means no good: what they get away with, an action gets away with.

use std::fs::{self, File, OpenOptions};
use std::hint::black_box;
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use faas_core::{BoxError, Context, HttpRequest, action, actions};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

actions![echo, look, nap, spin, grow, fill, crowd, flood, end, remember, ask];

/// Gives its input back.
#[action(memory = "16MiB")]
pub async fn echo(input: Value) -> Value {
    input
}

/// Something to try within the container.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Look {
    /// Read a file.
    Read(String),
    /// List a folder.
    List(String),
    /// Write a small file.
    Write(String),
    /// Write a program and run it.
    Run(String),
    /// Let others write to a file or folder.
    Open(String),
    /// Connect to a TCP address.
    Connect(SocketAddr),
    /// Connect to a Unix socket.
    Socket(String),
    /// Start a program.
    Start(String),
    /// List the environment.
    Environment {},
    /// Tell who runs this: the numbers of user and group, and of this process and its parent.
    Identity {},
}

/// Tries something, and tells what came of it.
///
/// # Errors
/// The error that it met, as text.
#[action(memory = "32MiB")]
pub async fn look(input: Look) -> Result<Value, BoxError> {
    Ok(match input {
        Look::Read(path) => json!({ "text": String::from_utf8_lossy(&fs::read(path)?) }),
        Look::List(path) => {
            let names =
                fs::read_dir(path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
            let mut names = names.collect::<io::Result<Vec<String>>>()?;
            names.sort();
            json!({ "names": names })
        }
        Look::Write(path) => {
            fs::write(path, "written")?;
            json!({})
        }
        Look::Run(path) => {
            fs::copy("/proc/self/exe", &path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
            let status = Command::new(&path).arg("--describe").output()?.status;
            json!({ "ran": status.success() })
        }
        Look::Open(path) => {
            fs::set_permissions(path, fs::Permissions::from_mode(0o777))?;
            json!({})
        }
        Look::Connect(address) => {
            TcpStream::connect_timeout(&address, Duration::from_secs(2))?;
            json!({})
        }
        Look::Socket(path) => {
            UnixStream::connect(path)?;
            json!({})
        }
        Look::Start(program) => json!({ "ended": Command::new(program).status()?.code() }),
        Look::Environment {} => {
            json!({ "names": std::env::vars().map(|(name, _)| name).collect::<Vec<_>>() })
        }
        Look::Identity {} => json!({
            "user": rustix::process::getuid().as_raw(),
            "group": rustix::process::getgid().as_raw(),
            "process": rustix::process::getpid().as_raw_pid(),
            "parent": rustix::process::getppid().map(|parent| parent.as_raw_pid()),
        }),
    })
}

/// A time in milliseconds.
#[derive(Debug, Serialize, Deserialize)]
pub struct Millis {
    /// The milliseconds.
    pub ms: u64,
}

/// Sleeps, after it has said so.
#[action(memory = "16MiB")]
pub async fn nap(cx: &Context, input: Millis) {
    tracing::info!("napping");
    cx.sleep(Duration::from_millis(input.ms)).await;
}

/// Computes without end, after it has said so.
#[action(memory = "16MiB", timeout = "500ms")]
pub async fn spin() {
    tracing::info!("spinning");
    let mut n = 0_u64;
    loop {
        n = black_box(n.wrapping_mul(31).wrapping_add(7));
    }
}

/// Takes memory without end.
#[action(memory = "32MiB")]
pub async fn grow() -> Value {
    tracing::info!("growing");
    let mut held = Vec::new();
    loop {
        held.push(black_box(vec![1_u8; 1 << 20]));
    }
}

/// Where a disk is to be filled.
#[derive(Debug, Serialize, Deserialize)]
pub struct Fill {
    /// The file.
    pub path: String,
    /// The most that is written, in MiB.
    pub mib: usize,
}

/// Writes to a file until it cannot; tells how much it wrote and why it stopped.
#[action(memory = "64MiB")]
pub async fn fill(input: Fill) -> Value {
    let mut written = 0;
    let mut write = || -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).append(true).open(&input.path)?;
        let piece = vec![7_u8; 1 << 20];
        while written < input.mib {
            file.write_all(&piece)?;
            written += 1;
        }
        Ok(())
    };
    let stopped = write().err().map(|error| error.to_string());
    json!({ "mib": written, "stopped": stopped })
}

/// What there is to be too many of.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Crowd {
    /// Threads.
    Threads,
    /// Processes, each of which starts more.
    Processes,
    /// Open files.
    Files,
}

/// What is taken.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Take {
    /// Of what there is to be too many.
    pub of: Crowd,
}

/// Takes ever more of something until it gets no more; tells how many it had and why that was all.
#[action(memory = "64MiB")]
pub async fn crowd(input: Take) -> Value {
    let (count, error) = match input.of {
        Crowd::Threads => until_refused(|| {
            let sleep = || std::thread::sleep(Duration::from_secs(600));
            std::thread::Builder::new().stack_size(16 << 10).spawn(sleep).map(drop)
        }),
        // Each copy of this program waits for requests that never come.
        Crowd::Processes => until_refused(|| Command::new("/proc/self/exe").env_clear().spawn().map(drop)),
        Crowd::Files => {
            let mut held = Vec::new();
            until_refused(|| File::open("/proc/self/status").map(|file| held.push(file)))
        }
    };
    json!({ "count": count, "refused": error.to_string() })
}

fn until_refused(mut more: impl FnMut() -> io::Result<()>) -> (u32, io::Error) {
    let mut count = 0;
    loop {
        match more() {
            Ok(()) => count += 1,
            Err(error) => return (count, error),
        }
    }
}

/// What is printed.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Flood {
    /// The lines.
    pub lines: u32,
    /// The bytes of each.
    pub bytes: usize,
    /// Whether each has an end.
    pub ends: bool,
    /// Whether they are logged, not printed.
    pub logged: bool,
}

/// Prints, or logs, very much.
///
/// # Errors
/// When it cannot print.
#[action(memory = "64MiB")]
pub async fn flood(input: Flood) -> Result<(), BoxError> {
    let line = "x".repeat(input.bytes);
    let mut stdout = io::stdout().lock();
    for _ in 0..input.lines {
        if input.logged {
            tracing::info!("{line}");
            continue;
        }
        stdout.write_all(line.as_bytes())?;
        if input.ends {
            stdout.write_all(b"\n")?;
        }
    }
    Ok(())
}

/// How the runtime is ended.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The program exits with this code after it has printed something.
    Exit(i32),
    /// It aborts after it has printed something.
    Abort,
    /// It kills itself.
    Kill,
    /// It kills the first process of the container.
    KillFirst,
}

/// An end.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Ending {
    /// How it comes.
    pub by: End,
}

/// Ends its runtime.
///
/// # Errors
/// When that does not work.
#[action(memory = "16MiB")]
#[expect(clippy::print_stdout, reason = "it is what is tried")]
pub async fn end(cx: &Context, input: Ending) -> Result<Value, BoxError> {
    use rustix::process::{Pid, Signal, getpid, kill_process};
    tracing::info!("ending");
    match input.by {
        End::Exit(code) => {
            print!("printed before the exit");
            let _ = io::stdout().flush();
            std::process::exit(code)
        }
        End::Abort => {
            print!("printed before the abort");
            let _ = io::stdout().flush();
            std::process::abort()
        }
        End::Kill => kill_process(getpid(), Signal::KILL)?,
        End::KillFirst => kill_process(Pid::INIT, Signal::KILL)?,
    }
    cx.sleep(Duration::from_secs(5)).await;
    Ok(json!({ "survived": true }))
}

/// Leaves a secret wherever it can, and tells what others have left.
///
/// # Errors
/// When the files cannot be read.
#[action(memory = "16MiB")]
pub async fn remember(input: Value) -> Result<Value, BoxError> {
    const FILE: &str = "/tmp/left";
    static KEPT: std::sync::Mutex<Vec<String>> = std::sync::Mutex::new(Vec::new());
    let secret = input["secret"].as_str().unwrap_or_default().to_owned();
    let on_disk = fs::read_to_string(FILE).unwrap_or_default();
    let mut kept = KEPT.lock().map_err(|_| "the lock is poisoned")?;
    let found = json!({ "memory": *kept, "disk": on_disk });
    kept.push(secret.clone());
    drop(kept);
    fs::write(FILE, format!("{on_disk}{secret}\n"))?;
    Ok(found)
}

/// A request to make.
#[derive(Debug, Serialize, Deserialize)]
pub struct Ask {
    /// Its URL.
    pub url: String,
}

/// Makes an HTTP request, and tells what was answered.
///
/// # Errors
/// Why nothing was.
#[action(memory = "32MiB")]
pub async fn ask(cx: &Context, input: Ask) -> Result<Value, BoxError> {
    let answer = cx.http(HttpRequest::get(input.url)).await?;
    Ok(json!({ "status": answer.status, "text": answer.text() }))
}
