//! Making a Lambda backend: by calls, by environment variables, by URL.

use std::path::PathBuf;
use std::time::Duration;

use faas_core::backend::BackendUrl;
use faas_core::backend::settings::{Settings, check_range, duration, number};
use faas_core::{EntityName, Error, ErrorKind};

use super::config::{Config, Credentials};
use super::{LambdaBackend, owner};
use crate::artifact::Catalogue;
use crate::function::MOST_RESERVED;

/// The options of a URL and of the environment.
const SETTINGS: Settings = Settings {
    names: &[
        "adopt",
        "alias",
        "artifact",
        "bucket",
        "concurrency",
        "deploy_timeout",
        "emulated",
        "endpoint",
        "keep_versions",
        "name",
        "prefix",
        "profile",
        "provisioned",
        "region",
        "reserved",
        "role",
        "tags",
    ],
    prefix: "FAAS_LAMBDA_",
};

/// The longest prefix of the names of functions, so that something of the action's name is seen. Arbitrary.
const LONGEST_PREFIX: usize = 24;

/// Collects what a [`LambdaBackend`] is made of; [`build`](Self::build) reads the manifests. AWS is asked nothing until
/// the first action is deployed.
///
/// ```no_run
/// use faas_backend_lambda::LambdaBackend;
/// let backend = LambdaBackend::builder()
///     .artifact("target/faas/app/lambda")
///     .region("eu-west-1")
///     .role("arn:aws:iam::123456789012:role/functions")
///     .adopt("thumbnail", "arn:aws:lambda:eu-west-1:123456789012:function:thumbnail")
///     .build()?;
/// # Ok::<(), faas_core::Error>(())
/// ```
#[derive(Debug, Default)]
#[must_use = "a builder does nothing until it builds"]
pub struct LambdaBuilder {
    config: Config,
    /// Functions that are there already: actions and functions.
    adopted: Vec<(String, String)>,
}

impl LambdaBuilder {
    /// Takes the actions of an artifact: the folder that `cargo faas build --backend lambda` made.
    pub fn artifact(mut self, folder: impl Into<PathBuf>) -> Self {
        self.config.artifacts.push(folder.into());
        self
    }

    /// Whether it was given an artifact.
    #[must_use]
    pub fn has_artifacts(&self) -> bool {
        !self.config.artifacts.is_empty()
    }

    /// Takes a function that is there already as an action: its name or ARN, with a version or alias if one is meant. It
    /// is invoked with the payload alone, and neither changed nor removed. Its own timeout ends it, not that of the
    /// action.
    pub fn adopt(mut self, action: impl Into<String>, function: impl Into<String>) -> Self {
        self.adopted.push((action.into(), function.into()));
        self
    }

    /// The name of the backend; `lambda` unless told.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.config.name = name.into();
        self
    }

    /// The region; unless told, what `AWS_REGION` or the profile says.
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.config.region = Some(region.into());
        self
    }

    /// The profile of AWS's configuration files; unless told, what `AWS_PROFILE` says, or `default`.
    pub fn profile(mut self, profile: impl Into<String>) -> Self {
        self.config.profile = Some(profile.into());
        self
    }

    /// The address of the service, if it is not AWS's own.
    pub fn endpoint(mut self, endpoint: impl Into<String>) -> Self {
        self.config.endpoint = Some(endpoint.into());
        self
    }

    /// An access key, and the token of a session; unless told, credentials are found as AWS's tools find them.
    ///
    /// Nothing of this library shows them. AWS's SDK itself does not either, but for its events at the level `trace`:
    /// there it shows all that AWS says, which may repeat what was signed.
    pub fn credentials(
        mut self,
        id: impl Into<String>,
        secret: impl Into<String>,
        token: Option<String>,
    ) -> Self {
        self.config.credentials = Some(Credentials { id: id.into(), secret: secret.into(), token });
        self
    }

    /// The ARN of the role that functions run as. Without one no function is made, only found.
    pub fn role(mut self, arn: impl Into<String>) -> Self {
        self.config.role = Some(arn.into());
        self
    }

    /// What the names of functions begin with; `faas` unless told.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.config.prefix = prefix.into();
        self
    }

    /// The alias that leads to the version that was deployed last, for who invokes functions by it; `live` unless told.
    pub fn alias(mut self, alias: impl Into<String>) -> Self {
        self.config.alias = alias.into();
        self
    }

    /// Adds a tag to the functions.
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.tags.insert(key.into(), value.into());
        self
    }

    /// The S3 bucket for zips of more than 50 MiB, which cannot be sent along. It needs the feature `s3`.
    pub fn bucket(mut self, bucket: impl Into<String>) -> Self {
        self.config.bucket = Some(bucket.into());
        self
    }

    /// For tests of large zips with small ones: what is larger, in bytes, goes through the bucket.
    #[doc(hidden)]
    pub fn largest_sent(mut self, bytes: u64) -> Self {
        self.config.largest_sent = bytes;
        self
    }

    /// How many activations run at once, of all functions; 100 unless told. An account has 1,000 at first.
    pub fn concurrency(mut self, count: u32) -> Self {
        self.config.concurrency = count;
        self
    }

    /// Reserves that much of the account's concurrency for each function, which is then its limit, too. An action says so
    /// for itself by the annotation [`RESERVED_CONCURRENCY`](LambdaBackend::RESERVED_CONCURRENCY). With 0 it never runs.
    pub fn reserved_concurrency(mut self, count: u32) -> Self {
        self.config.reserved = Some(count);
        self
    }

    /// Whether warming an action orders provisioned concurrency, which is billed until the backend shuts down; it does
    /// not unless told. What a process ordered that was killed is ended by the next one that may order and deploys the
    /// same version.
    pub fn provisioned_concurrency(mut self, allowed: bool) -> Self {
        self.config.provisioned = allowed;
        self
    }

    /// How many versions of a function are kept; 5 unless told.
    pub fn keep_versions(mut self, count: usize) -> Self {
        self.config.keep_versions = count;
        self
    }

    /// How long deploying a function, or warming it, may take; 5 minutes unless told.
    pub fn deploy_timeout(mut self, limit: Duration) -> Self {
        self.config.deploy_timeout = limit;
        self
    }

    /// Whether the endpoint is an emulator that enforces no memory limit and sends no log: the backend then does not
    /// claim so.
    pub fn emulated(mut self, emulated: bool) -> Self {
        self.config.emulated = emulated;
        self
    }

    /// Sets what the environment says: `FAAS_LAMBDA_ROLE=arn:…` and so on, one variable for each option of a URL.
    ///
    /// # Errors
    /// `InvalidArgument` for a value that its option cannot have, naming the variable.
    pub fn from_env(self) -> Result<Self, Error> {
        self.with_variables(|name| std::env::var(name).ok())
    }

    fn with_variables(mut self, read: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        SETTINGS.read_variables(&read, |key, value| self.set(key, value))?;
        Ok(self)
    }

    /// What a URL says: `lambda:REGION?key=value&…`.
    ///
    /// # Errors
    /// `InvalidArgument` for unknown options and bad values, telling the allowed ones.
    pub fn with_url(mut self, url: &BackendUrl) -> Result<Self, Error> {
        SETTINGS.read_url(url, |key, value| self.set(key, value))?;
        match url.rest() {
            "" => Ok(self),
            region => Ok(self.region(region)),
        }
    }

    /// Sets an option of that name, or tells what is allowed.
    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        let config = &mut self.config;
        let count = |value: &str| number(value).map(|count| u32::try_from(count).unwrap_or(u32::MAX));
        let flag = |value: &str| value.parse::<bool>().map_err(|_| "true or false".to_owned());
        match key {
            "adopt" => self.adopted.extend(pairs(value)?),
            "alias" => value.clone_into(&mut config.alias),
            "artifact" => config.artifacts.extend(value.split(',').map(PathBuf::from)),
            "bucket" => config.bucket = Some(value.to_owned()),
            "concurrency" => config.concurrency = count(value)?,
            "deploy_timeout" => config.deploy_timeout = duration(value)?,
            "emulated" => config.emulated = flag(value)?,
            "endpoint" => config.endpoint = Some(value.to_owned()),
            "keep_versions" => config.keep_versions = number(value)?,
            "name" => value.clone_into(&mut config.name),
            "prefix" => value.clone_into(&mut config.prefix),
            "profile" => config.profile = Some(value.to_owned()),
            "provisioned" => config.provisioned = flag(value)?,
            "region" => config.region = Some(value.to_owned()),
            "reserved" => config.reserved = Some(count(value)?),
            "role" => config.role = Some(value.to_owned()),
            _ => config.tags.extend(pairs(value)?),
        }
        Ok(())
    }

    /// Reads the manifests and makes the backend.
    ///
    /// # Errors
    /// `InvalidArgument` for values out of range and manifests that are none; `NotFound` for a folder without a manifest;
    /// `AlreadyExists` for two actions of the same name.
    pub fn build(self) -> Result<LambdaBackend, Error> {
        let Self { mut config, adopted } = self;
        check_range("concurrency", config.concurrency, 1, 1_000_000)?;
        check_range("keep_versions", config.keep_versions, 1, 1_000)?;
        check_range("deploy_timeout in ms", config.deploy_timeout.as_millis(), 1_000, 3_600_000)?;
        check_name("prefix", &config.prefix, LONGEST_PREFIX)?;
        check_name("alias", &config.alias, 128)?;
        if config.alias.chars().all(|c| c.is_ascii_digit()) {
            let text = format!("alias '{}' is a number, as only versions are called", config.alias);
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        check_range("reserved", config.reserved.unwrap_or(0), 0, MOST_RESERVED)?;
        owner::check_asked(&config.tags)?;
        let mut catalogue = Catalogue::default();
        for folder in &config.artifacts {
            catalogue.add_folder(folder)?;
        }
        for (action, function) in adopted {
            let action: EntityName = action.parse()?;
            let twice = config.adopted.iter().any(|(other, _)| other.path() == action.path());
            if twice || catalogue.find(&action).is_ok() {
                let text = format!("the backend is given two actions called '{}'", action.path());
                return Err(Error::new(ErrorKind::AlreadyExists, text));
            }
            config.adopted.push((action, function));
        }
        Ok(LambdaBackend::new(config, catalogue))
    }
}

/// Reads `a=b,c=d`.
fn pairs(value: &str) -> Result<Vec<(String, String)>, String> {
    let pair = |text: &str| {
        let (key, value) =
            text.split_once('=').filter(|(key, value)| !key.is_empty() && !value.is_empty())?;
        Some((key.to_owned(), value.to_owned()))
    };
    value.split(',').map(|text| pair(text).ok_or_else(|| "pairs such as a=b,c=d".to_owned())).collect()
}

/// Checks what becomes a part of names.
fn check_name(what: &str, name: &str, longest: usize) -> Result<(), Error> {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if (1..=longest).contains(&name.len()) && name.chars().all(is_allowed) {
        return Ok(());
    }
    let text = format!("{what} '{}' is not 1 to {longest} letters, digits or - _", name.escape_debug());
    Err(Error::new(ErrorKind::InvalidArgument, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_url(url: &str) -> Result<LambdaBuilder, Error> {
        LambdaBuilder::default().with_url(&url.parse().unwrap())
    }

    #[test]
    fn a_url_sets_every_option() {
        let url = "lambda:eu-west-1?adopt=a%3Df,b%3Dg&alias=x&artifact=p,q&bucket=k&concurrency=7&deploy_timeout=9s\
                   &emulated=true&endpoint=http://127.0.0.1:9&keep_versions=2&name=n&prefix=r&profile=o\
                   &provisioned=true&reserved=3&role=arn&tags=t%3Du";
        let LambdaBuilder { config, adopted } = from_url(url).unwrap();
        let texts = [config.region, config.bucket, config.endpoint, config.profile, config.role];
        let texts = texts.map(Option::unwrap);
        assert_eq!(texts, ["eu-west-1", "k", "http://127.0.0.1:9", "o", "arn"]);
        assert_eq!([config.alias, config.name, config.prefix], ["x", "n", "r"]);
        assert_eq!(adopted.len(), 2);
        assert_eq!(adopted[1], ("b".to_owned(), "g".to_owned()));
        assert_eq!(config.artifacts, [PathBuf::from("p"), PathBuf::from("q")]);
        assert_eq!((config.concurrency, config.reserved, config.keep_versions), (7, Some(3), 2));
        assert_eq!(config.deploy_timeout, Duration::from_secs(9));
        assert!(config.emulated && config.provisioned);
        assert_eq!(config.tags["t"], "u");
    }

    #[test]
    fn a_bad_value_tells_what_is_allowed() {
        let refusal =
            |url: &str| from_url(url).and_then(|b| b.build().map(drop)).unwrap_err().message().to_owned();
        assert!(refusal("lambda?tags=x").ends_with("is 'x', not pairs such as a=b,c=d"));
        assert!(refusal("lambda?emulated=so").ends_with("is 'so', not true or false"));
        assert!(refusal("lambda?speed=9").contains("allowed: adopt, alias, artifact"));
        assert_eq!(refusal("lambda?prefix=a%20b"), "prefix 'a b' is not 1 to 24 letters, digits or - _");
        assert_eq!(refusal("lambda?concurrency=0"), "concurrency is 0, out of range: 1 to 1000000");
        assert_eq!(
            refusal("lambda?reserved=3000000000"),
            "reserved is 3000000000, out of range: 0 to 2147483647"
        );
        assert_eq!(refusal("lambda?alias=7"), "alias '7' is a number, as only versions are called");
        assert!(refusal("lambda?tags=aws:t%3Du").contains("'aws:t' is not allowed"));
        let twice = LambdaBackend::builder().adopt("a", "f").adopt("a", "g").build().unwrap_err();
        assert_eq!(twice.kind(), ErrorKind::AlreadyExists);
    }

    #[test]
    fn the_environment_sets_the_same_options() {
        let variables = |name: &str| match name {
            "FAAS_LAMBDA_ROLE" => Some("arn".to_owned()),
            "FAAS_LAMBDA_ADOPT" => Some("a=f".to_owned()),
            "FAAS_LAMBDA_DEPLOY_TIMEOUT" => Some("9s".to_owned()),
            _ => None,
        };
        let LambdaBuilder { config, adopted } = LambdaBuilder::default().with_variables(variables).unwrap();
        assert_eq!((config.role.as_deref(), config.deploy_timeout), (Some("arn"), Duration::from_secs(9)));
        assert_eq!(adopted, [("a".to_owned(), "f".to_owned())]);
        let bad = |name: &str| (name == "FAAS_LAMBDA_EMULATED").then(|| "so".to_owned());
        let error = LambdaBuilder::default().with_variables(bad).unwrap_err();
        assert_eq!(error.message(), "environment variable FAAS_LAMBDA_EMULATED is 'so', not true or false");
    }

    #[test]
    fn nothing_shows_credentials() {
        let builder =
            LambdaBackend::builder().credentials("AKIDEXAMPLE", "planted-secret", Some("planted".into()));
        let shown = format!("{builder:?}");
        assert!(!shown.contains("planted") && !shown.contains("AKID"), "{shown}");
        let shown = format!("{:?}", builder.build().unwrap());
        assert!(!shown.contains("planted") && !shown.contains("AKID"), "{shown}");
    }
}
