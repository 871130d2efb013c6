//! Actions by which the tests of the Docker backend look at a container from inside, and misbehave there.
//!
//! They are the code of somebody who means no good: what they get away with, an action gets away with.

mod asking;
mod ending;
mod printing;
mod seeking;
mod taking;

use std::fs;
use std::hint::black_box;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use faas_core::{BoxError, Context, action, actions};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

pub use faas_testkit::fixtures::fetch;

pub use self::asking::forge;
pub use self::ending::end;
pub use self::printing::{flood, later};
pub use self::seeking::{remember, seek};
pub use self::taking::{crowd, fill, grow};

actions![echo, look, nap, late, spin, grow, fill, crowd, flood, later, end, remember, seek, fetch, forge];

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
    /// Tell a variable of the environment that the action is told.
    Told(String),
    /// Tell who runs this: the numbers of user and group, and of this process and its parent.
    Identity {},
}

/// Tries something, and tells what came of it.
///
/// # Errors
/// The error that it met, as text.
#[action(memory = "32MiB")]
pub async fn look(cx: &Context, input: Look) -> Result<Value, BoxError> {
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
        Look::Told(name) => json!({ "text": cx.env(&name) }),
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
    /// What is said at the beginning and at the end, besides.
    #[serde(default)]
    pub text: String,
}

/// Sleeps, after it has said so.
#[action(memory = "16MiB")]
pub async fn nap(cx: &Context, input: Millis) {
    tracing::info!("napping {}", input.text);
    cx.sleep(Duration::from_millis(input.ms)).await;
    tracing::info!("napped {}", input.text);
}

/// Blocks its thread for a time, and then gives a result.
#[action(memory = "16MiB", blocking)]
pub fn late(input: Millis) -> Value {
    tracing::info!("blocking");
    std::thread::sleep(Duration::from_millis(input.ms));
    json!({ "late": true })
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
