//! The container engine that tests and goals of the Docker backend run on: one that is there, else one of our own.
//!
//! One of our own has its sockets and its data in folders of its own, is told to nobody but the commands that it is
//! for, and touches no engine, image or container of the user's.

mod keeper;
mod socket;

use std::fs::{self, DirBuilder};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use self::keeper::Keeper;
use crate::tools;
use crate::workspace::Workspace;

/// The variable by which the Docker backend finds its engine.
const HOST: &str = "DOCKER_HOST";

/// The variable that tells tests and benchmarks that there is an engine: one that finds none has failed, and is not to
/// be skipped.
const RUNS: &str = "FAAS_TEST_ENGINE_RUNS";

/// How long an engine may take to start, and how often it is asked. Arbitrary: it takes two seconds.
const PATIENCE: Duration = Duration::from_secs(60);
const INTERVAL: Duration = Duration::from_millis(50);

/// What makes the engine one that changes nothing of the machine's network: no bridge, no rules, no forwarding.
const FLAGS: [&str; 7] = [
    "--iptables=false",
    "--ip6tables=false",
    "--ip-forward=false",
    "--ip-masq=false",
    "--bridge=none",
    "--exec-opt",
    "native.cgroupdriver=cgroupfs",
];

/// The engine for some commands.
pub(crate) enum Engine {
    /// One that somebody runs, or none; the commands find out by themselves.
    Theirs,
    /// One of our own; dropped, it is stopped and its folders are gone.
    Ours {
        /// Its process.
        _keeper: Keeper,
        /// Its address.
        host: String,
    },
}

impl Engine {
    /// Tells the command which engine to use, and that it is there.
    pub(crate) fn tell(&self, command: &mut Command) {
        if let Self::Ours { host, .. } = self {
            command.env(HOST, host).env(RUNS, "1");
        }
    }
}

/// Whether an engine answers where the Docker backend looks for one.
pub(crate) fn runs() -> bool {
    socket::any_answers()
}

/// The engine that runs here; else, if `start`, one of our own where that is possible.
///
/// Where there is none, tests skip themselves; this is the loud part, before they do.
pub(crate) fn ready(workspace: &Workspace, start: bool) -> Result<Engine> {
    if runs() {
        return Ok(Engine::Theirs);
    }
    match tools::engine() {
        Ok(program) if start => {
            self::start(workspace, &program).context("no container engine could be started")
        }
        Ok(_) => {
            println!("MISSING a running container engine; --install starts one");
            Ok(Engine::Theirs)
        }
        Err(reason) => {
            println!("MISSING a container engine, as of Docker or Podman ({reason})");
            Ok(Engine::Theirs)
        }
    }
}

fn start(workspace: &Workspace, program: &Path) -> Result<Engine> {
    let own = format!("faas-engine-{}", std::process::id());
    let places = Places {
        data: workspace.target().join("engine").join(&own),
        // Paths of sockets have to be short.
        sockets: std::env::temp_dir().join(&own),
        log: workspace.target().join("engine").join("log"),
    };
    let started = Instant::now();
    let engine = places.start(program)?;
    println!(
        "started an engine in {:.1} s; its log is {}",
        started.elapsed().as_secs_f64(),
        places.log.display()
    );
    Ok(engine)
}

/// Where an engine of our own keeps things.
struct Places {
    data: PathBuf,
    sockets: PathBuf,
    /// Kept, so that it can be read afterwards.
    log: PathBuf,
}

impl Places {
    fn start(&self, program: &Path) -> Result<Engine> {
        let made = |path: &Path| format!("cannot make the folder {}", path.display());
        fs::create_dir_all(&self.data).with_context(|| made(&self.data))?;
        // It is where everybody may make folders, so one that is there already is somebody else's.
        private_folder(&self.sockets).with_context(|| made(&self.sockets))?;
        let socket = self.sockets.join("docker.sock");
        let host = format!("unix://{}", socket.display());
        let mut arguments: Vec<_> = FLAGS.map(Into::into).into();
        for (flag, value) in [
            ("--data-root", self.data.clone()),
            ("--exec-root", self.sockets.join("exec")),
            ("--pidfile", self.sockets.join("docker.pid")),
            ("--host", PathBuf::from(&host)),
        ] {
            arguments.extend([flag.into(), value.into_os_string()]);
        }
        let mut keeper = Keeper::start(program, &arguments, [&self.data, &self.sockets], &self.log)?;
        let started = Instant::now();
        while !socket::answers(&host) {
            if keeper.has_ended() || started.elapsed() > PATIENCE {
                bail!("{} said: {}", program.display(), self.last_words());
            }
            thread::sleep(INTERVAL);
        }
        Ok(Engine::Ours { _keeper: keeper, host })
    }

    /// The last line of the log.
    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        log.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("nothing").to_owned()
    }
}

fn private_folder(path: &Path) -> std::io::Result<()> {
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::{Engine, Places, socket};
    use crate::scratch::Scratch;
    use crate::tools;

    fn places(machine: &Scratch) -> Places {
        Places { data: machine.path("data"), sockets: machine.path("run"), log: machine.path("log") }
    }

    #[test]
    fn an_engine_of_our_own_leaves_nothing() {
        // Where there can be none, there is nothing to look at.
        let Ok(program) = tools::engine() else { return };
        let machine = Scratch::new("engine");
        let places = places(&machine);
        let engine = places.start(&program).expect("an engine");
        let mut command = Command::new("true");
        engine.tell(&mut command);
        let told = command.get_envs().find_map(|(name, value)| (name == "DOCKER_HOST").then_some(value?));
        let host = told.and_then(|host| host.to_str()).expect("an address").to_owned();
        assert!(socket::answers(&host));
        assert!(command.get_envs().any(|(name, _)| name == "FAAS_TEST_ENGINE_RUNS"));
        drop(engine);
        assert!(!socket::answers(&host));
        assert!(!places.data.exists() && !places.sockets.exists() && places.log.exists());
        let mounts = std::fs::read_to_string("/proc/self/mounts").expect("the mounts");
        assert!(!mounts.contains(&machine.path("").display().to_string()), "{mounts}");
    }

    #[test]
    fn a_program_that_is_no_engine_is_told_by_its_last_words() {
        let machine = Scratch::new("engine-fails");
        let failed = places(&machine).start(Path::new("ls")).map(drop).expect_err("it is none");
        assert!(failed.to_string().starts_with("ls said: "), "{failed}");
        assert!(!machine.path("run").exists());
    }

    #[test]
    fn an_engine_that_somebody_runs_is_left_to_be_found() {
        let mut command = Command::new("true");
        Engine::Theirs.tell(&mut command);
        assert_eq!(command.get_envs().count(), 0);
    }
}
