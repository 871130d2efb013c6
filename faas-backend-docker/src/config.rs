//! What a Docker backend is made of.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use faas_core::MemoryMib;

use crate::engine::Pull;

/// What a [`DockerBackend`](crate::DockerBackend) is made of; the builder has a method for each.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct DockerConfig {
    /// The name of the backend.
    pub name: String,
    /// The engine's address; the usual ones are tried where it is not told.
    pub host: Option<String>,
    /// The longest that a call to the engine may take.
    pub engine_timeout: Duration,
    /// The label by which the containers of this app are told from those of others.
    pub pool: String,
    /// The folder for sockets and the lock of this process.
    pub home: Option<PathBuf>,
    /// How containers are talked to.
    pub transport: Transport,
    /// When images are pulled.
    pub pull: Pull,
    /// The memory of all containers together.
    pub memory: MemoryMib,
    /// The stem cells that are kept ready of every shape that was asked for.
    pub stems: usize,
    /// The containers that are created at once.
    pub cold_starts: usize,
    /// The containers that are created at once for one action.
    pub cold_starts_per_action: usize,
    /// How long a container is idle before it is paused; `None` never pauses.
    pub pause_after: Option<Duration>,
    /// How long an idle container is kept.
    pub keep_alive: Duration,
    /// How long a container may take until its server listens.
    pub start_timeout: Duration,
    /// What containers are kept from.
    pub hardening: Hardening,
    /// The runtimes of actions that are given as source, by kind.
    pub runtimes: BTreeMap<String, Runtime>,
}

impl Default for DockerConfig {
    /// # Source
    /// Pausing after 10 s and keeping for 10 min are OpenWhisk's; the bounds are arbitrary.
    fn default() -> Self {
        Self {
            name: "docker".to_owned(),
            host: None,
            engine_timeout: Duration::from_secs(60),
            pool: "faas".to_owned(),
            home: None,
            transport: Transport::default(),
            pull: Pull::default(),
            memory: MemoryMib::new(4096),
            stems: 0,
            cold_starts: 16,
            cold_starts_per_action: 8,
            pause_after: Some(Duration::from_secs(10)),
            keep_alive: Duration::from_secs(600),
            start_timeout: Duration::from_secs(30),
            hardening: Hardening::default(),
            runtimes: Runtime::usual(),
        }
    }
}

/// How containers are talked to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Transport {
    /// Rust guests over a Unix socket and others over their address, where the engine is this machine's own; all over a
    /// published port elsewhere.
    #[default]
    Auto,
    /// As where the engine is this machine's own.
    Local,
    /// Over TCP, by the addresses of containers in a network of their own.
    Address,
    /// Over TCP, by ports that are published on the loopback address of the engine's machine.
    Published,
}

impl Transport {
    pub(crate) const ALL: [(&str, Self); 4] = [
        ("auto", Self::Auto),
        ("local", Self::Local),
        ("address", Self::Address),
        ("published", Self::Published),
    ];
}

/// What containers are kept from. All of it holds for every container; a [`Runtime`] may ask for another user and for
/// a root file system that can be written to.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hardening {
    /// The user and group that actions run as, by number.
    pub user: String,
    /// The most processes and threads. Source of the default: OpenWhisk.
    pub pids: i64,
    /// The most open files. Source of the default: OpenWhisk.
    pub open_files: i64,
    /// The size of `/tmp`, which is memory of the container.
    pub tmp: MemoryMib,
    /// The processors that containers run on, such as `0-3,8`; all of them where it is not told.
    pub cpus: Option<String>,
    /// The runtime of the engine, such as `runc`, `runsc` (gVisor) or `kata`; the engine's default where it is not told.
    pub runtime: Option<String>,
    /// A profile for seccomp as JSON; the engine's default where it is not told. There is no way to turn it off.
    pub seccomp: Option<String>,
    /// The driver for what containers print, and its options. It must be one that the engine can read again.
    pub log_driver: (String, BTreeMap<String, String>),
}

impl Default for Hardening {
    /// Nobody's user, 1,024 processes, 1,024 files, 16 MiB of `/tmp`, and two files of at most 16 MiB of output.
    fn default() -> Self {
        let log_options = [("max-size", "16m"), ("max-file", "2")];
        let log_options = log_options.map(|(key, value)| (key.to_owned(), value.to_owned()));
        Self {
            user: "65534:65534".to_owned(),
            pids: 1024,
            open_files: 1024,
            tmp: MemoryMib::new(16),
            cpus: None,
            runtime: None,
            seccomp: None,
            log_driver: ("json-file".to_owned(), log_options.into()),
        }
    }
}

/// An image that runs code which it is given, by OpenWhisk's action interface.
///
/// ```
/// use faas_backend_docker::Runtime;
/// use faas_core::MemoryMib;
/// let runtime = Runtime::new("example.com/my-node:20").with_stems(2, MemoryMib::new(256)).with_user("1000");
/// # let _ = runtime;
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Runtime {
    /// The image.
    pub image: String,
    /// The stem cells that are kept ready: how many of which memory.
    pub stems: Vec<(usize, MemoryMib)>,
    /// Whether it marks the end of an activation in its output, as OpenWhisk's runtimes do.
    pub sentinels: bool,
    /// The user that it needs, where it is another than that of [`Hardening`].
    pub user: Option<String>,
    /// Whether it writes to its root file system.
    pub writes_root: bool,
}

impl Runtime {
    /// A runtime in this image, which marks the end of activations and gets along with a file system that it cannot
    /// write to.
    #[must_use]
    pub fn new(image: impl Into<String>) -> Self {
        Self { image: image.into(), stems: Vec::new(), sentinels: true, user: None, writes_root: false }
    }

    /// The same runtime with so many stem cells more.
    #[must_use]
    pub fn with_stems(mut self, count: usize, memory: MemoryMib) -> Self {
        self.stems.push((count, memory));
        self
    }

    /// The same runtime, run by this user.
    #[must_use]
    pub fn with_user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// The same runtime, which may write to its root file system.
    #[must_use]
    pub fn writing_root(mut self) -> Self {
        self.writes_root = true;
        self
    }

    /// The same runtime, which does not mark the end of activations.
    #[must_use]
    pub fn without_sentinels(mut self) -> Self {
        self.sentinels = false;
        self
    }

    /// OpenWhisk's own runtimes, which unpack code to their root file system as its owner.
    ///
    /// # Source
    /// Apache OpenWhisk's `runtimes.json`, August 2026.
    fn usual() -> BTreeMap<String, Self> {
        let images = [
            ("go:1.20", "openwhisk/action-golang-v1.20:nightly"),
            ("nodejs:18", "openwhisk/action-nodejs-v18:nightly"),
            ("nodejs:20", "openwhisk/action-nodejs-v20:nightly"),
            ("php:8.1", "openwhisk/action-php-v8.1:nightly"),
            ("python:3.10", "openwhisk/action-python-v3.10:nightly"),
            ("python:3.11", "openwhisk/action-python-v3.11:nightly"),
            ("ruby:2.5", "openwhisk/action-ruby-v2.5:nightly"),
            ("swift:5.7", "openwhisk/action-swift-v5.7:nightly"),
        ];
        let runtime = |image: &str| Self::new(image).with_user("0:0").writing_root();
        images.into_iter().map(|(kind, image)| (kind.to_owned(), runtime(image))).collect()
    }
}
