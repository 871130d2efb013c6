//! Processes of their own, which use a pool together with others and may be killed.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use faas_backend_docker::DockerBackend;
use faas_core::Backend;
use serde_json::{Value, json};

use crate::alone::in_network;
use crate::site::{FINE, ground, spec};
use crate::watch::PATIENCE;
use crate::{outside, puppet};

/// Set in such a process to what it is to do.
const TASK: &str = "FAAS_TEST_CHILD";

/// What such a process says once it has done so.
const DONE: &str = "CHILD ";

/// A process. Dropped, it is killed.
pub(crate) struct Process {
    child: Child,
    /// `None` once it is to end.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Process {
    /// Starts one that builds a backend of a pool in a home.
    pub(crate) fn start(pool: &str, home: &Path) -> Self {
        Self::begin(&json!({ "pool": pool, "home": home }), None).expect("a process")
    }

    /// What a backend says that finds this in its environment as the engine's address, and runs as this user; `None` if
    /// that is not possible.
    pub(crate) fn problem(host: &str, user: Option<u32>) -> Option<String> {
        Self::begin(&json!({ "host": host }), user)?.said_problem().map(Option::unwrap_or_default)
    }

    /// What a backend says that finds no address in its environment, and these folders; `None` if it found an engine.
    pub(crate) fn problem_among(runtime: &Path, home: &Path) -> Option<String> {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env_remove("DOCKER_HOST").env("XDG_RUNTIME_DIR", runtime).env("HOME", home);
        Self::spawn(command, &json!({ "host": "" })).unwrap().said_problem().expect("an answer")
    }

    /// What it says of the engine, and that is all; `None` if it ended.
    fn said_problem(mut self) -> Option<Option<String>> {
        let said = self.says();
        self.input = None;
        self.child.wait().unwrap();
        said.map(|said| said["problem"].as_str().map(str::to_owned))
    }

    /// Starts one that is a machine of its own, and listens at an address when it is told that address.
    pub(crate) fn machine() -> Self {
        Self::spawn(in_network(), &json!({ "machine": true })).expect("a process")
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    fn begin(task: &Value, user: Option<u32>) -> Option<Self> {
        let mut command = Command::new(std::env::current_exe().unwrap());
        if let Some(host) = task["host"].as_str() {
            command.env("DOCKER_HOST", host);
        }
        if let Some(user) = user {
            command.uid(user).gid(user).current_dir("/");
        }
        Self::spawn(command, task)
    }

    fn spawn(mut command: Command, task: &Value) -> Option<Self> {
        command.args(["--exact", "child::a_process_does_what_it_is_told", "--nocapture"]);
        command.env(TASK, task.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().ok()?;
        let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
        Some(Self { child, input, output })
    }

    /// Has it do something: `start` the backend, leave containers `idle` or running (`run`), or `end` the backend.
    pub(crate) fn tell(&mut self, what: &str) {
        writeln!(self.input.as_ref().unwrap(), "{what}").unwrap();
    }

    /// What it says when it has done it; `None` if it ended.
    pub(crate) fn says(&mut self) -> Option<Value> {
        let mut line = String::new();
        while self.output.read_line(&mut line).unwrap() > 0 {
            if let Some((_, said)) = line.split_once(DONE) {
                return Some(serde_json::from_str(said).unwrap());
            }
            line.clear();
        }
        None
    }

    /// Has it do something, which succeeds.
    pub(crate) fn does(&mut self, what: &str) {
        self.tell(what);
        assert_eq!(self.says(), Some(json!({ "done": what })));
    }

    /// Has it end its backend, and then itself.
    pub(crate) fn ends(mut self) {
        self.does("end");
        self.input = None;
        assert!(self.child.wait().unwrap().success());
    }

    /// Kills it, and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

/// What happens in such a process; in any other, nothing.
#[test]
fn a_process_does_what_it_is_told() {
    let Ok(task) = std::env::var(TASK) else { return };
    let task: Value = serde_json::from_str(&task).unwrap();
    if task["machine"] == true {
        return outside::listen();
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    match task["host"].as_str() {
        Some(_) => runtime.block_on(tell_problem()),
        None => runtime.block_on(obey(task["pool"].as_str().unwrap(), task["home"].as_str().unwrap())),
    }
}

pub(crate) fn say(what: &Value) {
    println!("{DONE}{what}");
}

async fn tell_problem() {
    let home = std::env::temp_dir().join(format!("faas-n-{}", std::process::id()));
    let backend = DockerBackend::builder().home(&home).build().unwrap();
    say(&json!({ "problem": backend.health().await.problem }));
    drop(backend);
    std::fs::remove_dir(&home).unwrap();
}

async fn obey(pool: &str, home: &str) {
    let ground = ground("child").await.expect("an engine");
    std::fs::remove_dir(ground.home().to_path_buf()).unwrap();
    let builder = ground.builder().pool(pool).home(home).image("puppet", puppet::IMAGE);
    let mut ground = Some((ground, builder));
    let mut site = None;
    loop {
        let mut what = String::new();
        if std::io::stdin().read_line(&mut what).unwrap() == 0 {
            return;
        }
        let what = what.trim();
        match what {
            "start" => {
                let (ground, builder) = ground.take().unwrap();
                let specs = [FINE, "nap", "puppet"].map(spec);
                let made = ground.site_on(builder, specs).await;
                made.fine().await;
                site = Some(made);
            }
            "idle" => {
                let site = site.as_ref().unwrap();
                let record = site.app.invoke("puppet", json!({ "a": 1 })).await.unwrap();
                assert!(record.outcome.is_success(), "{:?}", record.outcome);
            }
            "run" => {
                let site = site.as_ref().unwrap();
                for _ in 0..2 {
                    drop(site.begin("nap", json!({ "ms": 600_000 })));
                }
                site.until_pool("running", |pool| pool.leased == 2).await;
            }
            "end" => {
                let site = site.take().unwrap();
                site.fine().await;
                site.app.shutdown(PATIENCE).await.unwrap();
            }
            other => panic!("no {other}"),
        }
        say(&json!({ "done": what }));
    }
}
