//! A host that is killed, and could end nothing: its programs end all the same, whatever they do.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::artifact::PUPPET;
use crate::process::{runs, state, until};
use crate::site::{Site, puppet, puppets};

/// Set in the process that is to be killed to the steps of its programs.
const STEPS: &str = "FAAS_TEST_STEPS";

/// A process with a site whose programs do something. Dropped, all of them are killed.
struct Host {
    child: Child,
    /// Its programs, and what they started.
    ids: Vec<u32>,
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for id in self.ids.iter().filter_map(|id| Pid::from_raw(i32::try_from(*id).ok()?)) {
            let _ = kill_process(id, Signal::KILL);
        }
    }
}

impl Host {
    /// Starts one whose programs do these steps, and waits until there are so many processes of it.
    fn start(steps: &Value) -> Self {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "child::a_process_has_programs", "--nocapture"]);
        command.env(STEPS, steps.to_string()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.find_map(|line| Some(line.unwrap().split_once("PROGRAMS ")?.1.to_owned()));
        let ids: Vec<u32> = serde_json::from_str(&line.expect("programs")).unwrap();
        Self { child, ids }
    }

    /// Ends it by a signal.
    fn end(&mut self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        assert!(!self.child.wait().unwrap().success());
    }
}

/// What happens in such a process; in any other, nothing.
#[test]
fn a_process_has_programs() {
    let Ok(steps) = std::env::var(STEPS) else { return };
    let steps: Value = serde_json::from_str(&steps).unwrap();
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let site = Site::new("host", puppets(), [puppet(600_000)]).await;
        let count = 1 + usize::from(steps.to_string().contains("child"));
        drop(site.begin(PUPPET, json!({ "steps": steps })));
        let mut ids = site.until_puppets(count).await;
        site.fine().await;
        // It has been asked and has begun.
        tokio::time::sleep(crate::site::millis(300)).await;
        ids.extend(site.processes());
        println!("PROGRAMS {}", json!(ids));
        std::future::pending::<()>().await;
    });
}

#[tokio::test]
async fn no_program_outlives_a_host_that_was_killed() {
    for (steps, signal) in [
        (json!(["answer"]), Signal::KILL),
        (json!(["hang"]), Signal::KILL),
        (json!(["spin"]), Signal::KILL),
        (json!(["child", "spin"]), Signal::KILL),
        (json!(["child", "answer"]), Signal::KILL),
        (json!([{ "babble": "x" }, "hang"]), Signal::KILL),
        (json!(["spin"]), Signal::TERM),
        (json!(["child", "answer"]), Signal::TERM),
    ] {
        let mut host = Host::start(&steps);
        assert!(host.ids.len() >= 2 && host.ids.iter().all(|id| runs(*id)), "{steps}: {:?}", host.ids);
        let stopped = host.ids.iter().filter(|id| state(**id) == Some('T')).count();
        assert!(stopped >= 1, "{steps}: the neighbour at least is frozen");
        host.end(signal);
        until(&format!("gone: {steps}"), || {
            let left: Vec<_> = host.ids.iter().filter(|id| runs(**id)).map(|id| (*id, state(*id))).collect();
            if left.is_empty() { Ok(()) } else { Err(left) }
        })
        .await;
    }
}
