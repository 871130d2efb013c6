//! Making a Docker backend: by calls, by environment variables, by URL.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use faas_core::backend::BackendUrl;
use faas_core::backend::settings::{Settings, check_range, duration, memory, number};
use faas_core::http::HttpClient;
use faas_core::{Error, ErrorKind, KeepAlive, MemoryMib};

use crate::backend::DockerBackend;
use crate::catalogue::{Catalogue, Code};
use crate::config::{DockerConfig, Hardening, Runtime, Transport};
use crate::engine::Pull;
use crate::error;

/// The options of a URL and of the environment.
const SETTINGS: Settings = Settings {
    names: &[
        "cold_starts",
        "engine_timeout",
        "home",
        "host",
        "keep_alive",
        "memory",
        "name",
        "pause_after",
        "pool",
        "publish_on",
        "pull",
        "runtime",
        "start_timeout",
        "stems",
        "transport",
    ],
    prefix: "FAAS_DOCKER_",
};

/// Collects what a [`DockerBackend`] is made of; [`build`](Self::build) reads the manifests. The engine is connected to
/// when the first action is deployed.
///
/// ```no_run
/// use faas_backend_docker::{DockerBackend, Runtime};
/// use faas_core::MemoryMib;
/// let backend = DockerBackend::builder()
///     .artifact("target/faas/app/docker")
///     .image("thumbnail", "example.com/thumbnail:3")
///     .source("greet", "nodejs:20", "greet.js")
///     .memory(MemoryMib::new(8192))
///     .stems(1)
///     .build()?;
/// # Ok::<(), faas_core::Error>(())
/// ```
#[derive(Default)]
#[must_use = "a builder does nothing until it builds"]
pub struct DockerBuilder {
    config: DockerConfig,
    given: Vec<Given>,
    http: Option<Arc<dyn HttpClient>>,
    keep_alive: Option<Box<dyn KeepAlive>>,
}

/// Where actions come from.
#[derive(Clone, Debug)]
enum Given {
    Folder(PathBuf),
    Image { action: String, image: String },
    Code { action: String, kind: String, code: Origin, main: String },
}

/// Where code comes from.
#[derive(Clone)]
enum Origin {
    File(PathBuf),
    Bytes(Vec<u8>),
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.fmt(f),
            Self::Bytes(bytes) => write!(f, "{} bytes", bytes.len()),
        }
    }
}

impl DockerBuilder {
    /// Takes the actions of an artifact: the folder that `cargo faas build --backend docker` made.
    pub fn artifact(mut self, folder: impl Into<PathBuf>) -> Self {
        self.given.push(Given::Folder(folder.into()));
        self
    }

    /// Takes an image as one action: any that speaks OpenWhisk's action interface.
    pub fn image(mut self, action: impl Into<String>, image: impl Into<String>) -> Self {
        self.given.push(Given::Image { action: action.into(), image: image.into() });
        self
    }

    /// Takes a file of source code, or a zip, as one action of a kind such as `nodejs:20`; its function is called `main`.
    pub fn source(
        self,
        action: impl Into<String>,
        kind: impl Into<String>,
        file: impl Into<PathBuf>,
    ) -> Self {
        self.with_code(action.into(), kind.into(), Origin::File(file.into()), "main".to_owned())
    }

    /// Takes code that is in memory as one action of a kind; `main` is the function that is called.
    pub fn code(
        self,
        action: impl Into<String>,
        kind: impl Into<String>,
        code: impl Into<Vec<u8>>,
        main: impl Into<String>,
    ) -> Self {
        self.with_code(action.into(), kind.into(), Origin::Bytes(code.into()), main.into())
    }

    fn with_code(mut self, action: String, kind: String, code: Origin, main: String) -> Self {
        self.given.push(Given::Code { action, kind, code, main });
        self
    }

    /// Adds a runtime for actions of a kind, or replaces the one that is known.
    pub fn runtime(mut self, kind: impl Into<String>, runtime: Runtime) -> Self {
        self.config.runtimes.insert(kind.into(), runtime);
        self
    }

    /// The name of the backend; `docker` unless told.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.config.name = name.into();
        self
    }

    /// The engine's address, such as `unix:///var/run/docker.sock` or `tcp://127.0.0.1:2375`; unless told, what
    /// `DOCKER_HOST` says, or the first that answers of the user's socket, Podman's and the system's.
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.config.host = Some(host.into());
        self
    }

    /// The longest that a call to the engine may take; 60 s unless told.
    pub fn engine_timeout(mut self, limit: Duration) -> Self {
        self.config.engine_timeout = limit;
        self
    }

    /// The label of this app's containers; `faas` unless told. Leftovers are looked for among those of the same label.
    pub fn pool(mut self, pool: impl Into<String>) -> Self {
        self.config.pool = pool.into();
        self
    }

    /// The folder for sockets and for the lock of this process; unless told, one in the user's runtime folder, or in the
    /// one for temporary files.
    pub fn home(mut self, folder: impl Into<PathBuf>) -> Self {
        self.config.home = Some(folder.into());
        self
    }

    /// How containers are talked to.
    pub fn transport(mut self, transport: Transport) -> Self {
        self.config.transport = transport;
        self
    }

    /// The address of the engine's machine where ports of containers are published, instead of its loopback address: whoever
    /// reaches such a port may call the action, so that it should be one of a private network.
    pub fn publish_on(mut self, address: IpAddr) -> Self {
        self.config.publish_on = Some(address);
        self
    }

    /// When images are pulled.
    pub fn pull(mut self, pull: Pull) -> Self {
        self.config.pull = pull;
        self
    }

    /// The memory of all containers together; 4 GiB unless told.
    pub fn memory(mut self, memory: MemoryMib) -> Self {
        self.config.memory = memory;
        self
    }

    /// The stem cells that are kept ready of every shape that was asked for; none unless told.
    pub fn stems(mut self, count: usize) -> Self {
        self.config.stems = count;
        self
    }

    /// How many containers are created at once, and how many of them for one action; 16 and 8 unless told.
    pub fn cold_starts(mut self, all: usize, of_one_action: usize) -> Self {
        (self.config.cold_starts, self.config.cold_starts_per_action) = (all, of_one_action);
        self
    }

    /// How long a container is idle before it is paused; 10 s unless told. `None` never pauses.
    pub fn pause_after(mut self, idle: Option<Duration>) -> Self {
        self.config.pause_after = idle;
        self
    }

    /// How long an idle container is kept; 10 minutes unless told.
    pub fn keep_alive(mut self, idle: Duration) -> Self {
        self.config.keep_alive = idle;
        self
    }

    /// Decides by this policy how long idle containers are kept and which one makes room.
    pub fn keep_alive_policy(mut self, policy: impl KeepAlive) -> Self {
        self.keep_alive = Some(Box::new(policy));
        self
    }

    /// How long a container may take until its server listens; 30 s unless told.
    pub fn start_timeout(mut self, limit: Duration) -> Self {
        self.config.start_timeout = limit;
        self
    }

    /// What containers are kept from.
    pub fn hardening(mut self, hardening: Hardening) -> Self {
        self.config.hardening = hardening;
        self
    }

    /// Has the HTTP requests of Rust guests made by this client; unless told, by the one of `faas-core`, which the feature
    /// `http` of this crate turns on. What an action may call, its specification grants.
    pub fn http(mut self, client: impl HttpClient) -> Self {
        self.http = Some(Arc::new(client));
        self
    }

    /// Sets what the environment says: `FAAS_DOCKER_MEMORY=8GiB` and so on, one variable for each option of a URL, and
    /// `FAAS_DOCKER_ARTIFACT`, a folder.
    ///
    /// # Errors
    /// `InvalidArgument` for a value that its option cannot have, naming the variable.
    pub fn from_env(self) -> Result<Self, Error> {
        self.with_variables(|name| std::env::var(name).ok())
    }

    fn with_variables(mut self, read: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        SETTINGS.read_variables(&read, |key, value| self.set(key, value))?;
        match read("FAAS_DOCKER_ARTIFACT").filter(|value| !value.is_empty()) {
            Some(folder) => Ok(self.artifact(folder)),
            None => Ok(self),
        }
    }

    /// What a URL says: `docker:FOLDER?key=value&…`. The folder is that of an artifact; several are separated by commas.
    ///
    /// # Errors
    /// `InvalidArgument` for unknown options and bad values, telling the allowed ones.
    pub fn with_url(mut self, url: &BackendUrl) -> Result<Self, Error> {
        SETTINGS.read_url(url, |key, value| self.set(key, value))?;
        for folder in url.rest().split(',').filter(|folder| !folder.is_empty()) {
            self = self.artifact(folder);
        }
        Ok(self)
    }

    /// Sets an option of that name, or tells what is allowed.
    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let config = &mut self.config;
        match key {
            "cold_starts" => config.cold_starts = number(value)?,
            "engine_timeout" => config.engine_timeout = duration(value)?,
            "home" => config.home = Some(value.into()),
            "host" => config.host = Some(value.to_owned()),
            "keep_alive" => config.keep_alive = duration(value)?,
            "memory" => config.memory = memory(value)?,
            "name" => value.clone_into(&mut config.name),
            "pause_after" if value == "never" => config.pause_after = None,
            "pause_after" => {
                let allowed = "`never`, or a whole number with the unit ms, s, m or h";
                config.pause_after = Some(duration(value).map_err(|_| allowed.to_owned())?);
            }
            "pool" => value.clone_into(&mut config.pool),
            "publish_on" => {
                config.publish_on = Some(value.parse().map_err(|_| "an IP address".to_owned())?);
            }
            "pull" => config.pull = value.parse().map_err(|_| "auto, missing, always or never".to_owned())?,
            "runtime" => config.hardening.runtime = Some(value.to_owned()),
            "start_timeout" => config.start_timeout = duration(value)?,
            "stems" => config.stems = number(value)?,
            "transport" => {
                let allowed = "auto, local, address or published";
                config.transport = value.parse().map_err(|_| allowed.to_owned())?;
            }
            _ => return Err(format!("one of {}", SETTINGS.names.join(", "))),
        }
        Ok(())
    }

    /// Reads the manifests and the code, and makes the backend. The engine is not asked anything yet.
    ///
    /// # Errors
    /// `InvalidArgument` for values out of range, manifests that are none and names of images with tricks in them;
    /// `NotFound` for a folder without a manifest, a file that is not there, and a kind without a runtime;
    /// `AlreadyExists` for two actions of the same name; `Unavailable` and `PermissionDenied` when the folder for sockets
    /// cannot be used.
    pub fn build(self) -> Result<DockerBackend, Error> {
        self.check()?;
        let Self { config, given, http, keep_alive } = self;
        let mut catalogue = Catalogue::default();
        for given in given {
            match given {
                Given::Folder(folder) => catalogue.add_folder(&folder)?,
                Given::Image { action, image } => catalogue.add_image(&action, &image)?,
                Given::Code { action, kind, code, main } => {
                    let code = read_code(&config, &kind, code, main)
                        .map_err(|error| error.with_context("action", &action))?;
                    catalogue.add_code(&action, code)?;
                }
            }
        }
        DockerBackend::new(config, catalogue, http, keep_alive)
    }

    fn check(&self) -> Result<(), Error> {
        let config = &self.config;
        let range = check_range::<u128>;
        range("memory in MiB", config.memory.mib().into(), 1, u32::MAX.into())?;
        range("cold_starts", config.cold_starts as u128, 1, 1_000)?;
        range("stems", config.stems as u128, 0, 1_000)?;
        range("engine_timeout in ms", config.engine_timeout.as_millis(), 1_000, 3_600_000)?;
        range("start_timeout in ms", config.start_timeout.as_millis(), 1, 3_600_000)?;
        range("pids", u128::try_from(config.hardening.pids).unwrap_or(0), 4, 4_194_304)?;
        range("open_files", u128::try_from(config.hardening.open_files).unwrap_or(0), 16, 1_048_576)?;
        config.hardening.check()?;
        config.runtimes.iter().try_for_each(|(kind, runtime)| runtime.check(kind))?;
        let pool = &config.pool;
        let is_label = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if pool.is_empty() || pool.len() > 64 || !pool.chars().all(is_label) {
            let text = format!("pool '{}' is not 1 to 64 letters, digits or . _ -", pool.escape_debug());
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        Ok(())
    }
}

/// The code of an action and the runtime of its kind.
fn read_code(config: &DockerConfig, kind: &str, code: Origin, main: String) -> Result<Code, Error> {
    let runtime = config.runtimes.get(kind);
    let known = || config.runtimes.keys().map(String::as_str);
    let runtime = runtime.ok_or_else(|| Error::unknown("runtime", kind, known()))?.clone();
    let bytes = match code {
        Origin::Bytes(bytes) => bytes,
        Origin::File(path) => read_file(&path)?,
    };
    Code::new(kind, runtime, bytes, main)
}

fn read_file(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|source| {
        let kind = match source.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Unavailable,
        };
        error::file(kind, "cannot read the code in", path, source)
    })
}

impl fmt::Debug for DockerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DockerBuilder")
            .field("config", &self.config)
            .field("given", &self.given)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_url(url: &str) -> Result<DockerBuilder, Error> {
        DockerBuilder::default().with_url(&url.parse().unwrap())
    }

    #[test]
    fn a_url_sets_every_option() {
        let url = "docker:a/b,c?cold_starts=3&engine_timeout=5s&home=h&host=unix:///x.sock&keep_alive=1m\
                   &memory=1GiB&name=d&pause_after=2s&pool=p&publish_on=10.0.0.1&pull=never&runtime=runsc&start_timeout=9s&stems=2\
                   &transport=address";
        let DockerBuilder { config, given, .. } = from_url(url).unwrap();
        assert_eq!((config.cold_starts, config.stems), (3, 2));
        let seconds =
            [config.engine_timeout, config.keep_alive, config.start_timeout].map(|time| time.as_secs());
        assert_eq!(seconds, [5, 60, 9]);
        assert_eq!((config.name.as_str(), config.pool.as_str()), ("d", "p"));
        assert_eq!((config.home, config.host.as_deref()), (Some("h".into()), Some("unix:///x.sock")));
        assert_eq!((config.memory.mib(), config.pull), (1024, Pull::Never));
        assert_eq!(config.pause_after, Some(Duration::from_secs(2)));
        assert_eq!(config.hardening.runtime.as_deref(), Some("runsc"));
        assert_eq!(config.transport, Transport::Address);
        assert_eq!(config.publish_on, Some([10, 0, 0, 1].into()));
        assert_eq!(format!("{given:?}"), r#"[Folder("a/b"), Folder("c")]"#);
        assert_eq!(from_url("docker?pause_after=never").unwrap().config.pause_after, None);
    }

    #[test]
    fn a_bad_value_tells_what_is_allowed() {
        let refusal = |url: &str| from_url(url).unwrap_err().message().to_owned();
        assert_eq!(
            refusal("docker?memory=lots"),
            "option 'memory' of backend 'docker' is 'lots', not a whole number with the unit MiB or GiB"
        );
        assert!(refusal("docker?pull=sometimes").ends_with("not auto, missing, always or never"));
        assert!(refusal("docker?transport=pigeon").ends_with("not auto, local, address or published"));
        assert!(refusal("docker?publish_on=here").ends_with("not an IP address"));
        assert!(refusal("docker?speed=9").contains("allowed: cold_starts, engine_timeout"));
        for (url, text) in [
            ("docker?cold_starts=0", "cold_starts is 0, out of range: 1 to 1000"),
            ("docker?engine_timeout=1ms", "engine_timeout in ms is 1, out of range: 1000 to 3600000"),
            ("docker?pool=a%20b", "pool 'a b' is not 1 to 64 letters, digits or . _ -"),
        ] {
            let refused = from_url(url).and_then(|builder| builder.build().map(drop)).unwrap_err();
            assert_eq!(refused.message(), text);
        }
    }

    #[test]
    fn the_environment_sets_the_same_options_and_names_a_bad_variable() {
        let variables = |name: &str| match name {
            "FAAS_DOCKER_MEMORY" => Some("3GiB".to_owned()),
            "FAAS_DOCKER_ARTIFACT" => Some("there".to_owned()),
            "FAAS_DOCKER_NAME" => Some(String::new()),
            _ => None,
        };
        let builder = DockerBuilder::default().with_variables(variables).unwrap();
        assert_eq!((builder.config.memory.mib(), builder.config.name.as_str()), (3072, "docker"));
        assert_eq!(format!("{:?}", builder.given), r#"[Folder("there")]"#);
        let bad = |name: &str| (name == "FAAS_DOCKER_STEMS").then(|| "some".to_owned());
        let error = DockerBuilder::default().with_variables(bad).unwrap_err();
        assert!(
            error.message().starts_with("environment variable FAAS_DOCKER_STEMS is 'some', not"),
            "{error}"
        );
    }

    #[test]
    fn what_cannot_be_run_is_refused_before_the_engine_is_asked() {
        let refusal = |builder: DockerBuilder| builder.build().map(drop).unwrap_err();
        let error = refusal(DockerBackend::builder().image("a", "../../etc"));
        assert!(error.message().contains("is no name of an image"), "{error}");
        let error = refusal(DockerBackend::builder().code("a", "cobol:85", "x", "main"));
        assert!(error.message().starts_with("no runtime is named 'cobol:85'; known: go:1.20"), "{error}");
        let error = refusal(DockerBackend::builder().code("a", "nodejs:20", "", "main"));
        assert_eq!(error.message(), "the code is empty");
        let error = refusal(DockerBackend::builder().source("a", "nodejs:20", "/nowhere/a.js"));
        assert_eq!(error.kind(), ErrorKind::NotFound);
        let error = refusal(DockerBackend::builder().image("a", "x:1").image("a", "x:2"));
        assert_eq!(error.kind(), ErrorKind::AlreadyExists);
        for profile in ["unconfined", "", "{}", "[]", "\"SCMP_ACT_ALLOW\"", "/etc/profile.json", "builtin"] {
            let hardening = Hardening { seccomp: Some(profile.to_owned()), ..Hardening::default() };
            let error = refusal(DockerBackend::builder().hardening(hardening));
            let text = format!("seccomp '{}' is no profile", profile.escape_debug());
            assert!(error.message().starts_with(&text), "{error}");
        }
        for folder in ["", "/", "work", "./work"] {
            let runtime = Runtime::new("x").with_scratch(folder, MemoryMib::new(1));
            let error = refusal(DockerBackend::builder().runtime("x:1", runtime));
            let text = format!("runtime 'x:1' cannot write 1 MiB to '{folder}'");
            assert!(error.message().starts_with(&text), "{error}");
        }
        let error = refusal(DockerBackend::builder().artifact("/nowhere"));
        assert!(error.message().contains("cargo faas build --backend docker"), "{error}");
    }
}
