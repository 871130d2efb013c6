//! Processes of their own: this program, told by the environment what to do.

use std::env;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use faas_core::store::{FollowUp, Job, Store};
use faas_core::{Error, Payload};
use faas_store_sqlite::SqliteStore;

use crate::made::{job, keep, open, record};

/// What a child is to do, and where.
const TASK: &str = "FAAS_TEST_STORE_TASK";
const PLACE: &str = "FAAS_TEST_STORE_PLACE";

fn start(task: &str, place: &Path) -> Child {
    start_by(Command::new(env::current_exe().unwrap()), task, place).unwrap()
}

fn start_by(mut command: Command, task: &str, place: &Path) -> io::Result<Child> {
    command.args(["--exact", "child::does_what_it_is_told", "--nocapture"]);
    command.env(TASK, task).env(PLACE, place).stdout(Stdio::piped()).stdin(Stdio::piped());
    command.spawn()
}

/// Runs in the child; in the parent there is nothing to do.
#[test]
fn does_what_it_is_told() {
    let (Ok(task), Some(place)) = (env::var(TASK), env::var_os(PLACE)) else { return };
    let place = PathBuf::from(place);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let say = |text: String| writeln!(std::io::stdout(), "CHILD {text}").unwrap();
    match &*task {
        "hold" => {
            let _store = open(&place).unwrap();
            say("holds".to_owned());
            // Until the parent goes on or is gone.
            let _ = std::io::stdin().read_line(&mut String::new());
        }
        "open" => {
            let error = open(&place).unwrap_err();
            say(format!("{:?} {error}", error.kind()));
        }
        "write too much" => {
            for error in runtime.block_on(write_too_much(&place)) {
                say(error.to_string());
            }
        }
        _ => runtime.block_on(async {
            let store = open(&place).unwrap();
            for number in 0.. {
                store.append(record(number), FollowUp::default()).await.unwrap();
                say(number.to_string());
            }
        }),
    }
}

/// What the child says, line by line.
fn said(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.map_while(Result::ok).filter_map(|line| line.split_once("CHILD ").map(|(_, said)| said.to_owned()))
}

/// A child that has the store open until it is dropped; with its number.
pub(crate) struct Holder(Child);

impl Holder {
    pub(crate) fn start(place: &Path) -> Self {
        let mut child = start("hold", place);
        assert_eq!(said(&mut child).next().as_deref(), Some("holds"));
        Self(child)
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Has a child append until it is killed, and tells what it was answered.
pub(crate) fn append_until_killed(place: &Path) -> Vec<u64> {
    let mut child = start("append", place);
    let mut lines = said(&mut child);
    let wanted = 20 + fastrand::usize(..100);
    let mut answered: Vec<u64> = lines.by_ref().take(wanted).map(|line| line.parse().unwrap()).collect();
    child.kill().unwrap();
    child.wait().unwrap();
    // What it had said until then counts too, but for a line that it did not end.
    answered.extend(lines.filter_map(|line| line.parse::<u64>().ok()).filter(|number| *number < 100));
    answered
}

/// How long a child's files may become, in blocks of 512 bytes: less than what it writes.
const BLOCKS: u32 = 20 << 11;

/// More than SQLite keeps in memory until a commit, so that it writes within a statement.
async fn write_too_much(place: &Path) -> [Error; 2] {
    let store = SqliteStore::builder(place).inline_bytes(2 << 20).open().unwrap();
    keep(&store, 0..5).await;
    let large = |number| {
        let text = "x".repeat(1 << 20);
        let payload = Payload::from_value(&serde_json::json!({ "text": text })).unwrap();
        Job { payload, ..job(number) }
    };
    let many = store.accept((100..160).map(large).collect()).await.unwrap_err();
    [many, store.append(record(5), FollowUp::default()).await.unwrap_err()]
}

/// Has a child write more than its files may hold, so that SQLite's writes fail, and tells its errors.
pub(crate) fn write_too_much_and_fail(place: &Path) -> Vec<String> {
    let mut command = Command::new("sh");
    // Without the trap the signal would end it before it is told.
    let script = format!("trap '' XFSZ; ulimit -f {BLOCKS}; exec \"$@\"");
    command.args(["-c", &script, "sh"]).arg(env::current_exe().unwrap());
    let mut child = start_by(command, "write too much", place).unwrap();
    let errors = said(&mut child).collect();
    assert!(child.wait().unwrap().success());
    errors
}

/// The error of a child of that user that opens a store; `None` where that user cannot run this program.
pub(crate) fn open_as(user: u32, place: &Path) -> Option<String> {
    let mut command = Command::new(env::current_exe().unwrap());
    command.uid(user).gid(user);
    let mut child = match start_by(command, "open", place) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return None,
        child => child.unwrap(),
    };
    let error = said(&mut child).last().unwrap();
    assert!(child.wait().unwrap().success());
    Some(error)
}
