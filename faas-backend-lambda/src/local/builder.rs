//! Making a local stand-in for Lambda: by calls, by environment variables, by URL.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use faas_core::backend::BackendUrl;
use faas_core::backend::settings::{Settings, check_range, duration, memory, number};
use faas_core::{Error, FixedTtl, KeepAlive, MemoryMib, PoolConfig};

use super::LambdaLocalBackend;
use crate::artifact::Catalogue;

/// The options of a URL and of the environment.
const SETTINGS: Settings = Settings {
    names: &["cold_starts", "freeze", "keep_alive", "memory", "name"],
    prefix: "FAAS_LAMBDA_LOCAL_",
};

/// The variable that names the folder of an artifact.
const ARTIFACT: &str = "FAAS_LAMBDA_LOCAL_ARTIFACT";

/// Collects what a [`LambdaLocalBackend`] is made of; [`build`](Self::build) reads the manifests.
///
/// ```no_run
/// use faas_backend_lambda::LambdaLocalBackend;
/// use faas_core::MemoryMib;
/// let backend = LambdaLocalBackend::builder()
///     .artifact("target/faas/app/lambda")
///     .memory(MemoryMib::new(8192))
///     .build()?;
/// # Ok::<(), faas_core::Error>(())
/// ```
#[must_use = "a builder does nothing until it builds"]
pub struct LambdaLocalBuilder {
    name: String,
    artifacts: Vec<PathBuf>,
    memory: MemoryMib,
    cold_starts: usize,
    keep_alive: Duration,
    policy: Option<Box<dyn KeepAlive>>,
    freezes: bool,
}

impl Default for LambdaLocalBuilder {
    /// The memory is arbitrary; ten minutes are about what Lambda keeps an idle environment.
    fn default() -> Self {
        Self {
            name: "lambda-local".to_owned(),
            artifacts: Vec::new(),
            memory: MemoryMib::new(4096),
            cold_starts: 16,
            keep_alive: Duration::from_secs(600),
            policy: None,
            freezes: true,
        }
    }
}

impl LambdaLocalBuilder {
    /// Takes the actions of an artifact: the folder that `cargo faas build --backend lambda` made.
    pub fn artifact(mut self, folder: impl Into<PathBuf>) -> Self {
        self.artifacts.push(folder.into());
        self
    }

    /// The name of the backend; `lambda-local` unless told.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The memory of all environments together, by the limits of their actions; 4 GiB unless told.
    pub fn memory(mut self, memory: MemoryMib) -> Self {
        self.memory = memory;
        self
    }

    /// How many environments are made at once; 16 unless told.
    pub fn cold_starts(mut self, count: usize) -> Self {
        self.cold_starts = count;
        self
    }

    /// How long an idle environment is kept; 10 minutes unless told. Zero scales to none at once.
    pub fn keep_alive(mut self, idle: Duration) -> Self {
        self.keep_alive = idle;
        self
    }

    /// Decides by this policy how long idle environments are kept and which one makes room.
    pub fn keep_alive_policy(mut self, policy: impl KeepAlive) -> Self {
        self.policy = Some(Box::new(policy));
        self
    }

    /// Whether a program is stopped while it has nothing to do, as Lambda does: what it began and did not wait for goes
    /// on only during later runs, and for some milliseconds after each. It is unless told.
    pub fn freeze(mut self, freeze: bool) -> Self {
        self.freezes = freeze;
        self
    }

    /// Sets what the environment says: `FAAS_LAMBDA_LOCAL_MEMORY=8GiB` and so on, one variable for each option of a URL,
    /// and `FAAS_LAMBDA_LOCAL_ARTIFACT`, a folder.
    ///
    /// # Errors
    /// `InvalidArgument` for a value that its option cannot have, naming the variable.
    pub fn from_env(self) -> Result<Self, Error> {
        self.with_variables(|name| std::env::var(name).ok())
    }

    fn with_variables(mut self, read: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        SETTINGS.read_variables(&read, |key, value| self.set(key, value))?;
        match read(ARTIFACT).filter(|value| !value.is_empty()) {
            Some(folder) => Ok(self.artifact(folder)),
            None => Ok(self),
        }
    }

    /// What a URL says: `lambda-local:FOLDER?key=value&…`. The folder is that of an artifact; several are separated by
    /// commas.
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
        match key {
            "cold_starts" => self.cold_starts = number(value)?,
            "freeze" => self.freezes = value.parse().map_err(|_| "true or false".to_owned())?,
            "keep_alive" => self.keep_alive = duration(value)?,
            "memory" => self.memory = memory(value)?,
            _ => value.clone_into(&mut self.name),
        }
        Ok(())
    }

    /// Reads the manifests and makes the backend. Programs are unpacked when their actions are deployed.
    ///
    /// # Errors
    /// `InvalidArgument` for values out of range and manifests that are none; `NotFound` for a folder without a manifest;
    /// `AlreadyExists` for two actions of the same name.
    pub fn build(self) -> Result<LambdaLocalBackend, Error> {
        let Self { name, artifacts, memory, cold_starts, keep_alive, policy, freezes } = self;
        check_range("memory in MiB", memory.mib(), 1, u32::MAX)?;
        check_range("cold_starts", cold_starts, 1, 1_000)?;
        let mut catalogue = Catalogue::default();
        for folder in artifacts {
            catalogue.add_folder(&folder)?;
        }
        let pool = PoolConfig {
            memory,
            cold_starts,
            cold_starts_per_action: cold_starts.min(8),
            keep_alive: policy.unwrap_or_else(|| Box::new(FixedTtl(keep_alive))),
            ..PoolConfig::default()
        };
        Ok(LambdaLocalBackend::new(name, catalogue, freezes, pool))
    }
}

impl fmt::Debug for LambdaLocalBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LambdaLocalBuilder")
            .field("name", &self.name)
            .field("artifacts", &self.artifacts)
            .field("memory", &self.memory)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use faas_core::ErrorKind;

    use super::*;

    fn from_url(url: &str) -> Result<LambdaLocalBuilder, Error> {
        LambdaLocalBuilder::default().with_url(&url.parse().unwrap())
    }

    #[test]
    fn a_url_sets_every_option() {
        let url = "lambda-local:a/b,c?cold_starts=3&freeze=false&keep_alive=0s&memory=1GiB&name=d";
        let LambdaLocalBuilder { name, artifacts, memory, cold_starts, freezes, keep_alive, .. } =
            from_url(url).unwrap();
        assert_eq!((name.as_str(), memory.mib(), cold_starts, freezes), ("d", 1024, 3, false));
        assert_eq!(artifacts, [PathBuf::from("a/b"), PathBuf::from("c")]);
        assert_eq!(keep_alive, Duration::ZERO);
    }

    #[test]
    fn a_bad_value_tells_what_is_allowed() {
        let refusal = |url: &str| from_url(url).unwrap_err().message().to_owned();
        assert!(refusal("lambda-local?freeze=hard").ends_with("is 'hard', not true or false"));
        assert!(refusal("lambda-local?speed=9").contains("allowed: cold_starts, freeze, keep_alive"));
        let refused = from_url("lambda-local?cold_starts=0").unwrap().build().unwrap_err();
        assert_eq!(refused.message(), "cold_starts is 0, out of range: 1 to 1000");
        let missing = LambdaLocalBackend::builder().artifact("/nowhere").build().unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        assert!(missing.message().contains("cargo faas build --backend lambda"), "{missing}");
    }

    #[test]
    fn the_environment_sets_the_same_options() {
        let variables = |name: &str| match name {
            "FAAS_LAMBDA_LOCAL_MEMORY" => Some("3GiB".to_owned()),
            ARTIFACT => Some("there".to_owned()),
            _ => None,
        };
        let builder = LambdaLocalBuilder::default().with_variables(variables).unwrap();
        assert_eq!((builder.memory.mib(), builder.artifacts), (3072, vec![PathBuf::from("there")]));
    }
}
