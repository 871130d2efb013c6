//! Making a Wasm backend: by calls, by environment variables, by URL.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use faas_core::backend::BackendUrl;
use faas_core::backend::settings::{Settings, check_range, duration, memory, number};
use faas_core::http::HttpClient;
use faas_core::{Error, MemoryMib};

use crate::backend::WasmBackend;
use crate::catalogue::Catalogue;
use crate::config::{CacheConfig, Directory, ModuleLimits, WasmConfig};

/// The options of a URL and of the environment.
const SETTINGS: Settings = Settings {
    names: &[
        "cache",
        "compile_threads",
        "compile_timeout",
        "fuel",
        "instances",
        "memory",
        "name",
        "reuse_memory",
        "tick",
    ],
    prefix: "FAAS_WASM_",
};

/// Collects what a [`WasmBackend`] is made of; [`build`](Self::build) reads the manifests and starts it.
///
/// ```no_run
/// use faas_backend_wasm::WasmBackend;
/// use faas_core::MemoryMib;
/// let backend = WasmBackend::builder()
///     .artifact("target/faas/app/wasm")
///     .memory(MemoryMib::new(4096))
///     .cache("target/faas/cache")
///     .build()?;
/// # Ok::<(), faas_core::Error>(())
/// ```
#[derive(Clone, Default)]
#[must_use = "a builder does nothing until it builds"]
pub struct WasmBuilder {
    config: WasmConfig,
    given: Vec<Given>,
    http: Option<Arc<dyn HttpClient>>,
}

/// Where actions come from.
#[derive(Clone, Debug)]
enum Given {
    Folder(PathBuf),
    File(String, PathBuf),
    Bytes(String, Bytes),
}

impl WasmBuilder {
    /// Takes the actions of an artifact: the folder that `cargo faas build --backend wasm` made.
    pub fn artifact(mut self, folder: impl Into<PathBuf>) -> Self {
        self.given.push(Given::Folder(folder.into()));
        self
    }

    /// Takes a module as the code of one action: a guest of the interface in `ABI.md`, or a WASI command, which gets
    /// the payload on its standard input and prints the result as its last line.
    pub fn module(mut self, action: impl Into<String>, file: impl Into<PathBuf>) -> Self {
        self.given.push(Given::File(action.into(), file.into()));
        self
    }

    /// Takes a module that is in memory as the code of one action.
    pub fn module_bytes(mut self, action: impl Into<String>, module: impl Into<Bytes>) -> Self {
        self.given.push(Given::Bytes(action.into(), module.into()));
        self
    }

    /// The name of the backend; `wasm` unless told.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.config.name = name.into();
        self
    }

    /// The memory limits of all activations that run at once, together; 2 GiB unless told.
    pub fn memory(mut self, memory: MemoryMib) -> Self {
        self.config.memory = memory;
        self
    }

    /// The memory of instances that are kept for reuse; 256 MiB unless told.
    pub fn reuse_memory(mut self, memory: MemoryMib) -> Self {
        self.config.reuse_memory = memory;
        self
    }

    /// The instances that there may be at once, 1 to 20,000; 1,000 unless told. Each reserves 4 GiB of address space.
    pub fn instances(mut self, instances: u32) -> Self {
        self.config.instances = instances;
        self
    }

    /// Keeps compiled modules in this folder instead of the user's cache.
    pub fn cache(mut self, folder: impl Into<PathBuf>) -> Self {
        self.config.cache = CacheConfig::Folder(folder.into());
        self
    }

    /// Keeps no compiled modules.
    pub fn without_cache(mut self) -> Self {
        self.config.cache = CacheConfig::Off;
        self
    }

    /// The time between two epochs, 1 ms to 1 s; 1 ms unless told.
    pub fn tick(mut self, tick: Duration) -> Self {
        self.config.tick = tick;
        self
    }

    /// Has guests count their instructions, for the record's `fuel`.
    pub fn fuel(mut self, counts: bool) -> Self {
        self.config.fuel = counts;
        self
    }

    /// How long one module may take to compile; 60 s unless told.
    pub fn compile_timeout(mut self, limit: Duration) -> Self {
        self.config.compile_timeout = limit;
        self
    }

    /// How many modules are compiled at once; half of the processors unless told.
    pub fn compile_threads(mut self, threads: usize) -> Self {
        self.config.compile_threads = threads;
        self
    }

    /// What a module may have.
    pub fn limits(mut self, limits: ModuleLimits) -> Self {
        self.config.limits = limits;
        self
    }

    /// Lets actions read a folder of the host: those that ask for it by this name, with the annotation
    /// `wasm-dirs = ["name"]`, see it as `/name`.
    pub fn directory(self, name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        self.with_directory(name.into(), path.into(), false)
    }

    /// Lets actions read and write a folder of the host; see [`directory`](Self::directory).
    pub fn writable_directory(self, name: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        self.with_directory(name.into(), path.into(), true)
    }

    fn with_directory(mut self, name: String, path: PathBuf, writable: bool) -> Self {
        self.config.directories.insert(name, Directory { path, writable });
        self
    }

    /// Has the HTTP requests of actions made by this client; unless told, by the one of `faas-core`, which the feature
    /// `http` of this crate turns on. What an action may call, its specification grants.
    pub fn http(mut self, client: impl HttpClient) -> Self {
        self.http = Some(Arc::new(client));
        self
    }

    /// Sets what the environment says: `FAAS_WASM_MEMORY=4GiB` and so on, one variable for each option of a URL, and
    /// `FAAS_WASM_ARTIFACT`, a folder.
    ///
    /// # Errors
    /// `InvalidArgument` for a value that its option cannot have, naming the variable.
    pub fn from_env(self) -> Result<Self, Error> {
        self.with_variables(|name| std::env::var(name).ok())
    }

    fn with_variables(mut self, read: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        SETTINGS.read_variables(&read, |key, value| self.set(key, value))?;
        match read("FAAS_WASM_ARTIFACT").filter(|value| !value.is_empty()) {
            Some(folder) => Ok(self.artifact(folder)),
            None => Ok(self),
        }
    }

    /// What a URL says: `wasm:PATH?key=value&…`. The path is the folder of an artifact, or a module whose action is
    /// called as its file; several are separated by commas. `cache=off` keeps no compiled modules.
    ///
    /// # Errors
    /// `InvalidArgument` for unknown options and bad values, telling the allowed ones.
    pub fn with_url(mut self, url: &BackendUrl) -> Result<Self, Error> {
        SETTINGS.read_url(url, |key, value| self.set(key, value))?;
        for path in url.rest().split(',').filter(|path| !path.is_empty()) {
            let is_module = Path::new(path).extension().is_some_and(|extension| extension == "wasm");
            self = match Path::new(path).file_stem().filter(|_| is_module) {
                Some(stem) => self.module(stem.to_string_lossy(), path),
                None => self.artifact(path),
            };
        }
        Ok(self)
    }

    /// Sets an option of that name, or tells what is allowed.
    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "cache" if value == "off" => self.config.cache = CacheConfig::Off,
            "cache" => self.config.cache = CacheConfig::Folder(value.into()),
            "compile_threads" => self.config.compile_threads = number(value)?,
            "compile_timeout" => self.config.compile_timeout = duration(value)?,
            "fuel" => self.config.fuel = value.parse().map_err(|_| "true or false".to_owned())?,
            "instances" => {
                self.config.instances = number(value)?.try_into().map_err(|_| "a whole number".to_owned())?;
            }
            "memory" => self.config.memory = memory(value)?,
            "name" => value.clone_into(&mut self.config.name),
            "reuse_memory" => self.config.reuse_memory = memory(value)?,
            _ => self.config.tick = duration(value)?,
        }
        Ok(())
    }

    /// Reads the manifests, makes the engine and starts the backend.
    ///
    /// # Errors
    /// `InvalidArgument` for values out of range and manifests that are none; `NotFound` for a folder without one;
    /// `AlreadyExists` when two modules have an action of the same name; `Unavailable` when there is no room for the
    /// engine.
    pub fn build(self) -> Result<WasmBackend, Error> {
        self.check()?;
        let mut catalogue = Catalogue::default();
        for given in self.given {
            match given {
                Given::Folder(folder) => catalogue.add_folder(&folder)?,
                Given::File(action, path) => catalogue.add_file(&action, &path)?,
                Given::Bytes(action, bytes) => catalogue.add_bytes(&action, bytes)?,
            }
        }
        WasmBackend::new(self.config, catalogue, self.http)
    }

    fn check(&self) -> Result<(), Error> {
        let config = &self.config;
        let range = check_range::<u128>;
        range("instances", config.instances.into(), 1, 20_000)?;
        range("tick in ms", config.tick.as_millis(), 1, 1_000)?;
        range("memory in MiB", config.memory.mib().into(), 1, u32::MAX.into())?;
        range("compile_timeout in ms", config.compile_timeout.as_millis(), 1, 3_600_000)?;
        range("compile_threads", config.compile_threads as u128, 1, 1_024)
    }
}

impl fmt::Debug for WasmBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WasmBuilder")
            .field("config", &self.config)
            .field("given", &self.given)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_url(url: &str) -> Result<WasmBuilder, Error> {
        WasmBuilder::default().with_url(&url.parse().unwrap())
    }

    #[test]
    fn a_url_sets_every_option() {
        let url = "wasm:a/b,c/word.wasm?cache=x/y&compile_threads=3&compile_timeout=5s&fuel=true&instances=9\
                   &memory=1GiB&name=w&reuse_memory=7MiB&tick=2ms";
        let WasmBuilder { config, given, .. } = from_url(url).unwrap();
        assert_eq!(config.cache, CacheConfig::Folder("x/y".into()));
        assert_eq!((config.compile_threads, config.compile_timeout), (3, Duration::from_secs(5)));
        assert_eq!((config.fuel, config.instances, config.name.as_str()), (true, 9, "w"));
        assert_eq!((config.memory.mib(), config.reuse_memory.mib()), (1024, 7));
        assert_eq!(config.tick, Duration::from_millis(2));
        let shown = format!("{given:?}");
        assert_eq!(shown, r#"[Folder("a/b"), File("word", "c/word.wasm")]"#);
        assert_eq!(from_url("wasm?cache=off").unwrap().config.cache, CacheConfig::Off);
    }

    #[test]
    fn a_bad_value_tells_what_is_allowed() {
        let refusal = |url: &str| from_url(url).unwrap_err().message().to_owned();
        assert_eq!(
            refusal("wasm?memory=lots"),
            "option 'memory' of backend 'wasm' is 'lots', not a whole number with the unit MiB or GiB"
        );
        assert!(refusal("wasm?fuel=maybe").ends_with("not true or false"));
        assert!(refusal("wasm?tick=1").ends_with("not a whole number with the unit ms, s, m or h"));
        assert!(refusal("wasm?speed=9").contains("allowed: cache, compile_threads"));
        for (url, range) in [
            ("wasm?instances=0", "instances is 0, out of range: 1 to 20000"),
            ("wasm?tick=2s", "tick in ms is 2000, out of range: 1 to 1000"),
            ("wasm?compile_threads=0", "compile_threads is 0, out of range: 1 to 1024"),
        ] {
            assert_eq!(from_url(url).unwrap().build().unwrap_err().message(), range);
        }
    }

    #[test]
    fn the_environment_sets_the_same_options_and_names_a_bad_variable() {
        let variables = |name: &str| match name {
            "FAAS_WASM_MEMORY" => Some("3GiB".to_owned()),
            "FAAS_WASM_ARTIFACT" => Some("there".to_owned()),
            "FAAS_WASM_NAME" => Some(String::new()),
            _ => None,
        };
        let builder = WasmBuilder::default().with_variables(variables).unwrap();
        assert_eq!((builder.config.memory.mib(), builder.config.name.as_str()), (3072, "wasm"));
        assert_eq!(format!("{:?}", builder.given), r#"[Folder("there")]"#);
        let bad = |name: &str| (name == "FAAS_WASM_TICK").then(|| "soon".to_owned());
        let error = WasmBuilder::default().with_variables(bad).unwrap_err();
        assert!(error.message().starts_with("environment variable FAAS_WASM_TICK is 'soon', not"), "{error}");
    }
}
