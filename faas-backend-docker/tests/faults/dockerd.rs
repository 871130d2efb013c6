//! A container engine of a test's own, which can be stopped, killed and frozen without anybody noticing.

use std::fs::{self, DirBuilder, File};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bollard::{API_DEFAULT_VERSION, Docker};

use crate::alone::is_root;
use crate::site::{millis, skip};

/// Where the program is where the search path does not lead to it.
const PROGRAMS: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];

/// How long an engine may take to start and to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// What every engine is told.
const FLAGS: [&str; 3] = ["--bridge=none", "--exec-opt", "native.cgroupdriver=cgroupfs"];

/// What keeps an engine from changing anything of the machine's network.
const UNFILTERED: [&str; 4] =
    ["--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"];

/// What distinguishes an engine from others.
#[derive(Clone, Copy, Debug, Default)]
struct Kind {
    /// Its containers outlive it.
    live_restore: bool,
    /// It has a packet filter, as an engine has that was installed. It needs a network of its own.
    filters: bool,
    /// It listens at this address as well.
    tcp: Option<&'static str>,
}

/// An engine. Dropped, it is ended and all that it had is gone.
pub(crate) struct Dockerd {
    program: PathBuf,
    /// For what it keeps.
    data: PathBuf,
    /// For its sockets, whose paths have to be short.
    run: PathBuf,
    kind: Kind,
    process: Option<Child>,
    /// Whether its containers run on without it.
    crashed: bool,
}

impl Dockerd {
    /// Starts an engine; `None`, which is told, where that is not possible.
    pub(crate) async fn start(test: &str) -> Option<Self> {
        Self::start_as(test, Kind::default()).await
    }

    /// Starts one whose containers outlive it.
    pub(crate) async fn start_outlived(test: &str) -> Option<Self> {
        Self::start_as(test, Kind { live_restore: true, ..Kind::default() }).await
    }

    /// Starts one that filters packets, which is for a test that runs in a network of its own.
    pub(crate) async fn start_filtering(test: &str) -> Option<Self> {
        Self::start_as(test, Kind { filters: true, ..Kind::default() }).await
    }

    /// The same that listens at this address as well.
    pub(crate) async fn start_listening(test: &str, address: &'static str) -> Option<Self> {
        Self::start_as(test, Kind { filters: true, tcp: Some(address), ..Kind::default() }).await
    }

    async fn start_as(test: &str, kind: Kind) -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain(PROGRAMS.map(PathBuf::from));
        let Some(program) = folders.map(|folder| folder.join("dockerd")).find(|it| it.is_file()) else {
            return skip(test, "there is no dockerd to start an engine of its own");
        };
        if !is_root() {
            return skip(test, "only root may start an engine of its own");
        }
        let name = format!("faas-d-{}-{:x}", std::process::id(), fastrand::u32(..));
        let data = Path::new(env!("CARGO_TARGET_TMPDIR")).join(&name);
        let run = std::env::temp_dir().join(&name);
        for folder in [&data, &run] {
            DirBuilder::new().mode(0o700).create(folder).unwrap();
        }
        let mut engine = Self { program, data, run, kind, process: None, crashed: false };
        engine.up().await;
        Some(engine)
    }

    /// Its address.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    fn socket(&self) -> PathBuf {
        self.run.join("docker.sock")
    }

    /// Starts it, also again, and waits until it answers.
    pub(crate) async fn up(&mut self) {
        self.begin();
        let begun = Instant::now();
        while !self.answers().await {
            let ended = self.process.as_mut().unwrap().try_wait().unwrap();
            assert!(ended.is_none() && begun.elapsed() < PATIENCE, "no engine: {}", self.last_words());
            tokio::time::sleep(millis(20)).await;
        }
    }

    /// Starts it.
    fn begin(&mut self) {
        let log = File::options().create(true).append(true).open(self.data.join("log")).unwrap();
        // Should this process be killed, the engine ends as well.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM"]).arg(&self.program).args(FLAGS);
        command.arg("--data-root").arg(self.data.join("root")).arg("--exec-root").arg(self.run.join("exec"));
        command.arg("--pidfile").arg(self.run.join("docker.pid")).arg("--host").arg(self.host());
        if let Some(address) = self.kind.tcp {
            command.args(["--host", address, "--tls=false"]);
        }
        if self.kind.live_restore {
            command.arg("--live-restore");
        }
        if !self.kind.filters {
            command.args(UNFILTERED);
        }
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.process = Some(command.spawn().expect("an engine"));
        self.crashed = false;
    }

    async fn answers(&self) -> bool {
        match Docker::connect_with_unix(&self.host(), 60, API_DEFAULT_VERSION) {
            Ok(docker) => docker.ping().await.is_ok(),
            Err(_) => false,
        }
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(self.data.join("log")).unwrap_or_default();
        log.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("nothing").to_owned()
    }

    /// Sends it a signal.
    fn signal(&self, name: &str) {
        let process = self.process.as_ref().expect("an engine that runs").id();
        let sent = Command::new("kill").args(["-s", name, &process.to_string()]).status().unwrap();
        assert!(sent.success(), "signal {name}");
    }

    /// Ends it as an administrator does.
    pub(crate) async fn stop(&mut self) {
        self.end("TERM").await;
    }

    /// Ends it as a crash does: nothing of it is put in order, and its containers run on.
    pub(crate) async fn kill(&mut self) {
        self.end("KILL").await;
        self.crashed = true;
        let _ = fs::remove_file(self.socket());
    }

    async fn end(&mut self, signal: &str) {
        self.signal(signal);
        let mut process = self.process.take().unwrap();
        let begun = Instant::now();
        while process.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < PATIENCE, "the engine does not end: {}", self.last_words());
            tokio::time::sleep(millis(10)).await;
        }
    }

    /// Stops it where it is: it takes connections, and answers nothing.
    pub(crate) fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.signal("CONT");
    }

    /// Listens in its place while it is away, hangs up on everybody, and counts them.
    pub(crate) fn stand_in(&self) -> StandIn {
        StandIn::new(self.socket())
    }
}

impl Drop for Dockerd {
    fn drop(&mut self) {
        self.finish();
        // Containers that run on without it end when it starts as one that they do not outlive.
        if self.crashed || self.kind.live_restore {
            self.kind.live_restore = false;
            self.begin();
            let begun = Instant::now();
            while !self.socket().exists() && begun.elapsed() < PATIENCE {
                std::thread::sleep(millis(20));
            }
            self.finish();
        }
        // What an engine that crashed has mounted, and the networks of a test that failed.
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        for place in mounts.lines().filter_map(|line| line.split(' ').nth(1)) {
            if Path::new(place).starts_with(&self.data) || Path::new(place).starts_with(&self.run) {
                quietly(Command::new("umount").args(["-l", place]));
            }
        }
        for bridge in self.bridges() {
            quietly(Command::new("ip").args(["link", "delete", &bridge, "type", "bridge"]));
        }
        if std::thread::panicking() {
            println!("the engine's last words: {}", self.last_words());
        }
        for folder in [&self.data, &self.run] {
            let _ = fs::remove_dir_all(folder);
        }
    }
}

/// Runs a program that may have nothing to do.
fn quietly(command: &mut Command) {
    let _ = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
}

impl Dockerd {
    /// Ends it, if it runs, and does not mind how.
    fn finish(&mut self) {
        let Some(mut process) = self.process.take() else { return };
        let number = process.id().to_string();
        for signal in ["CONT", "TERM"] {
            quietly(Command::new("kill").args(["-s", signal, &number]));
        }
        let begun = Instant::now();
        while matches!(process.try_wait(), Ok(None)) && begun.elapsed() < PATIENCE {
            std::thread::sleep(millis(20));
        }
        let _ = process.kill();
        let _ = process.wait();
    }

    /// The bridges that its notes tell of.
    fn bridges(&self) -> Vec<String> {
        let notes = fs::read(self.data.join("root/network/files/local-kv.db")).unwrap_or_default();
        let names = notes.windows(15).filter(|name| name.starts_with(b"br-"));
        let names = names.filter(|name| name[3..].iter().all(u8::is_ascii_hexdigit));
        let mut names: Vec<String> = names.map(|name| String::from_utf8_lossy(name).into_owned()).collect();
        names.dedup();
        names
    }
}

/// Who listens in the place of an engine. Dropped, nobody does.
pub(crate) struct StandIn {
    socket: PathBuf,
    callers: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl StandIn {
    fn new(socket: PathBuf) -> Self {
        let listener = UnixListener::bind(&socket).unwrap();
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::UnixListener::from_std(listener).unwrap();
        let callers = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&callers);
        let task = tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { socket, callers, task }
    }

    /// How many have called.
    pub(crate) fn callers(&self) -> usize {
        self.callers.load(Ordering::Relaxed)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.task.abort();
        let _ = fs::remove_file(&self.socket);
    }
}
