//! What a Docker backend is made of.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use faas_core::{Error, ErrorKind, MemoryMib};

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
    /// The address of the engine's machine where ports of containers are published; its loopback address where it is not
    /// told.
    pub publish_on: Option<IpAddr>,
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
            publish_on: None,
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
    /// Rust guests over a Unix socket, where the engine is this machine's own, and others over their address, where it is
    /// root's; over a published port elsewhere.
    #[default]
    Auto,
    /// As where the engine is this machine's own.
    Local,
    /// Over TCP, by the addresses of containers in a network of their own.
    Address,
    /// Over TCP, by ports that are published on the loopback address of the engine's machine, or on
    /// [another](DockerConfig::publish_on).
    Published,
}

impl Transport {
    const ALL: [(&str, Self); 4] = [
        ("auto", Self::Auto),
        ("local", Self::Local),
        ("address", Self::Address),
        ("published", Self::Published),
    ];
}

impl FromStr for Transport {
    type Err = Error;

    /// Reads `auto`, `local`, `address` or `published`.
    ///
    /// # Errors
    /// `NotFound` for any other name, listing these.
    fn from_str(name: &str) -> Result<Self, Error> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, transport)| *transport);
        found.ok_or_else(|| Error::unknown("transport", name, Self::ALL.map(|(known, _)| known)))
    }
}

/// What containers are kept from. All of it holds for every container; a [`Runtime`] may ask for another user, for
/// folders that it may write to, and for a root file system that can be written to.
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
    /// A profile for seccomp as JSON, an object with a `defaultAction`; the engine's default where it is not told. What
    /// engines take instead of one, such as `unconfined`, is refused.
    pub seccomp: Option<String>,
    /// The most that a container whose root can be written to may write there. Not every engine can limit that: Docker
    /// does so on XFS with project quotas, on Btrfs and on ZFS, and refuses it elsewhere, where it is not to be told.
    pub disk: Option<MemoryMib>,
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
            disk: None,
            log_driver: ("json-file".to_owned(), log_options.into()),
        }
    }
}

impl Hardening {
    /// Checks what an engine would take for something else.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let Some(profile) = &self.seccomp else { return Ok(()) };
        let parsed: Result<serde_json::Value, _> = serde_json::from_str(profile);
        if parsed.is_ok_and(|profile| profile["defaultAction"].is_string()) {
            return Ok(());
        }
        let begin: String = profile.chars().take(40).collect();
        let text = format!(
            "seccomp '{}' is no profile: a JSON object with a `defaultAction`, as text and not as a path",
            begin.escape_debug()
        );
        Err(Error::new(ErrorKind::InvalidArgument, text))
    }
}

/// An image that runs code which it is given, by OpenWhisk's action interface.
///
/// ```
/// use faas_backend_docker::Runtime;
/// use faas_core::{Error, ErrorKind, MemoryMib};
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
    /// The folders that it writes to and runs programs from, with their sizes: each is memory of the container.
    pub scratch: BTreeMap<String, MemoryMib>,
}

/// What a container needs that others are kept from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    pub(crate) user: Option<String>,
    pub(crate) writes_root: bool,
    pub(crate) scratch: BTreeMap<String, MemoryMib>,
}

impl Runtime {
    /// A runtime in this image, which marks the end of activations and gets along with a file system that it cannot
    /// write to.
    #[must_use]
    pub fn new(image: impl Into<String>) -> Self {
        Self {
            image: image.into(),
            stems: Vec::new(),
            sentinels: true,
            user: None,
            writes_root: false,
            scratch: BTreeMap::new(),
        }
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

    /// The same runtime, which may write so much to this folder, given by its whole path, and run what it writes there.
    #[must_use]
    pub fn with_scratch(mut self, folder: impl Into<String>, size: MemoryMib) -> Self {
        self.scratch.insert(folder.into(), size);
        self
    }

    /// The same runtime, which may write to its root file system: to the disk of the engine, and without a limit unless
    /// [`Hardening::disk`] sets one. Where it is known which folders it needs, [`with_scratch`](Self::with_scratch) is
    /// the better way.
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

    /// Checks what an engine would take for something else.
    pub(crate) fn check(&self, kind: &str) -> Result<(), Error> {
        for (folder, size) in &self.scratch {
            let path = Path::new(folder);
            if !path.is_absolute() || path.parent().is_none() || size.mib() == 0 {
                let text = format!(
                    "runtime '{kind}' cannot write {size} to '{}': a whole path of a folder other than `/`, and at least 1 MiB",
                    folder.escape_debug()
                );
                return Err(Error::new(ErrorKind::InvalidArgument, text));
            }
        }
        Ok(())
    }

    pub(crate) fn needs(&self) -> Needs {
        Needs { user: self.user.clone(), writes_root: self.writes_root, scratch: self.scratch.clone() }
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
