//! The environments of all functions, made when they are needed and used again.

use std::collections::HashMap;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::environment::{Ended, Environment};
use super::{Emulator, NAMES};
use crate::cloud::{Invoked, Reply};

/// The environments of one service.
pub(crate) struct Fleet {
    port: u16,
    /// Those that nobody uses, by the version that they run.
    idle: Mutex<HashMap<String, Vec<Environment>>>,
}

impl Fleet {
    /// One at the emulator of this process, or why there is none.
    pub(crate) fn new() -> Result<Arc<Self>, String> {
        Ok(Arc::new(Self { port: Emulator::shared()?, idle: Mutex::default() }))
    }

    /// Runs a function once, and tells what AWS would.
    pub(crate) async fn run(&self, invoked: Invoked) -> Reply {
        let idle = self.idle.lock().unwrap().get_mut(&invoked.revision).and_then(Vec::pop);
        let mut environment = idle.unwrap_or_else(|| start(self.port, &program(&invoked), &invoked));
        match environment.run(&invoked).await {
            Ok(payload) => {
                self.idle.lock().unwrap().entry(invoked.revision).or_default().push(environment);
                Reply::new(payload)
            }
            Err(Ended::Failed(payload)) => {
                self.idle.lock().unwrap().entry(invoked.revision).or_default().push(environment);
                Reply { function_error: Some("Unhandled".to_owned()), ..Reply::new(payload) }
            }
            Err(Ended::Exited(how)) => Reply::failure(
                "Unhandled",
                "Runtime.ExitError",
                &format!("Error: Runtime exited with error: {how}"),
            ),
            Err(Ended::Late) => {
                let text = format!("Task timed out after {}.00 seconds", invoked.timeout);
                Reply::failure("Unhandled", "Sandbox.Timedout", &text)
            }
        }
    }
}

/// Starts one more environment.
pub(crate) fn start(port: u16, program: &Path, invoked: &Invoked) -> Environment {
    static STARTED: AtomicUsize = AtomicUsize::new(0);
    let number = STARTED.fetch_add(1, Ordering::Relaxed);
    assert!(number < NAMES, "there were {number} environments, and the emulator knows no more names");
    Environment::start(port, number, program, invoked)
}

/// The program of a zip, unpacked once.
fn program(invoked: &Invoked) -> PathBuf {
    static UNPACKED: Mutex<()> = Mutex::new(());
    let _one = UNPACKED.lock().unwrap();
    let digest: String = invoked.sha256.chars().filter(char::is_ascii_alphanumeric).collect();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("bootstrap-{digest}"));
    if !path.exists() {
        let mut zip = zip::ZipArchive::new(std::io::Cursor::new(&invoked.zip)).unwrap();
        let mut program = Vec::new();
        zip.by_name("bootstrap").unwrap().read_to_end(&mut program).unwrap();
        // It gets its name when it is whole: another process may look for it.
        let draft = path.with_extension(std::process::id().to_string());
        let mut options = std::fs::OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o755).open(&draft).unwrap();
        std::io::Write::write_all(&mut file, &program).unwrap();
        drop(file);
        std::fs::rename(&draft, &path).unwrap();
    }
    path
}
