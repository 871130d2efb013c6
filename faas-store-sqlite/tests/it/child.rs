//! Processes of their own: this program, told by the environment what to do.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use faas_core::store::{FollowUp, Store};

use crate::made::{open, record};

/// What a child is to do, and where.
const TASK: &str = "FAAS_TEST_STORE_TASK";
const PLACE: &str = "FAAS_TEST_STORE_PLACE";

fn start(task: &str, place: &Path) -> Child {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "child::does_what_it_is_told", "--nocapture"]);
    command.env(TASK, task).env(PLACE, place).stdout(Stdio::piped()).stdin(Stdio::piped());
    command.spawn().unwrap()
}

/// Runs in the child; in the parent there is nothing to do.
#[test]
fn does_what_it_is_told() {
    let (Ok(task), Some(place)) = (env::var(TASK), env::var_os(PLACE)) else { return };
    let place = PathBuf::from(place);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = open(&place).unwrap();
    let say = |text: String| writeln!(std::io::stdout(), "CHILD {text}").unwrap();
    match &*task {
        "hold" => {
            say("holds".to_owned());
            // Until the parent goes on or is gone.
            let _ = std::io::stdin().read_line(&mut String::new());
        }
        _ => runtime.block_on(async {
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
