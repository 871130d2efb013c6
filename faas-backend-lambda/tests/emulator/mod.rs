//! The Runtime API of `cargo lambda`'s emulator, and the programs that ask it for events.
//!
//! The emulator queues events by the names of the binaries of a cargo project. So the project has many, and each
//! environment gets the name of one: what a program is asked and whether it has ended belong together then. What the
//! emulator does not do, and AWS does, is done here: starting environments, ending them at the function's timeout, and
//! telling of one that has exited.

#![allow(dead_code, unused_imports, reason = "each test binary uses its own part of it")]

mod environment;
mod fleet;

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

pub(crate) use self::environment::{Ended, Environment};
pub(crate) use self::fleet::{Fleet, start};

/// The variable that names the program.
const VARIABLE: &str = "FAAS_CARGO_LAMBDA";

/// How many environments there may be in the life of an emulator.
const NAMES: usize = 4000;

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_secs(60);

/// Runs a program until the input ends, as that of a test's child does with the test.
const KEEPER: &str = "\"$@\" & read -r _; kill $!";

/// An emulator that runs, as long as this process does.
pub(crate) struct Emulator {
    port: u16,
    _keeper: Child,
}

impl Emulator {
    /// The one of this process, or why there is none.
    pub(crate) fn shared() -> Result<u16, String> {
        static STARTED: Mutex<Option<Result<Emulator, String>>> = Mutex::new(None);
        let mut started = STARTED.lock().unwrap();
        let emulator = started.get_or_insert_with(Self::start);
        emulator.as_ref().map(|emulator| emulator.port).map_err(Clone::clone)
    }

    fn start() -> Result<Self, String> {
        let program = std::env::var_os(VARIABLE).filter(|program| !program.is_empty());
        let program = program.ok_or_else(|| format!("{VARIABLE} names no emulator of AWS Lambda"))?;
        let port = free_port();
        let mut command = Command::new("sh");
        command.args(["-c", KEEPER, "sh"]).arg(program);
        command.args(["lambda", "watch", "--only-lambda-apis", "--ignore-changes"]);
        command.args(["--invoke-address", "127.0.0.1", "--invoke-port", &port.to_string()]);
        command.current_dir(project());
        // What the cargo of these tests is told is not for the emulator's.
        for (name, _) in std::env::vars_os() {
            let is_ours =
                name.to_str().is_some_and(|name| name.starts_with("CARGO_") && name != "CARGO_HOME");
            if is_ours {
                command.env_remove(name);
            }
        }
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let keeper = command.spawn().expect("a shell");
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "the emulator does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(Self { port, _keeper: keeper })
    }
}

/// A port that nobody listens at.
fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr()).expect("a port").port()
}

/// The project whose binaries give environments their names.
fn project() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("emulated-{NAMES}"));
    let mut manifest =
        "[package]\nname = \"emulated\"\nversion = \"0.0.0\"\nedition = \"2024\"\nautobins = false\n\n[workspace]\n"
            .to_owned();
    for number in 0..NAMES {
        manifest.push_str(&format!("\n[[bin]]\nname = \"{}\"\npath = \"main.rs\"\n", name(number)));
    }
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("main.rs"), "fn main() {}\n").expect("a program");
    std::fs::write(folder.join("Cargo.toml"), manifest).expect("a manifest");
    folder
}

/// What the emulator knows an environment by.
fn name(number: usize) -> String {
    format!("e{number}")
}
