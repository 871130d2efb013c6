//! What a Lambda backend is configured with.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use faas_core::EntityName;

use super::code::LARGEST_SENT;

/// Where and how functions are made and invoked.
#[derive(Clone)]
pub(super) struct Config {
    pub(super) name: String,
    pub(super) artifacts: Vec<PathBuf>,
    /// Functions that are there already, by the names of the actions that they stand for.
    pub(super) adopted: Vec<(EntityName, String)>,
    pub(super) region: Option<String>,
    pub(super) profile: Option<String>,
    pub(super) endpoint: Option<String>,
    pub(super) credentials: Option<Credentials>,
    /// The ARN of the role that functions run as.
    pub(super) role: Option<String>,
    /// What the names of functions begin with.
    pub(super) prefix: String,
    /// The alias that leads to the version that was deployed last.
    pub(super) alias: String,
    pub(super) tags: BTreeMap<String, String>,
    /// Where zips go that are too large to be sent.
    pub(super) bucket: Option<String>,
    /// The largest zip that is sent along, in bytes.
    pub(super) largest_sent: u64,
    /// How many activations run at once.
    pub(super) concurrency: u32,
    /// What is reserved of the account's concurrency, for each function.
    pub(super) reserved: Option<u32>,
    /// Whether warming may order provisioned concurrency.
    pub(super) provisioned: bool,
    /// How many versions of a function are kept.
    pub(super) keep_versions: usize,
    pub(super) deploy_timeout: Duration,
    /// What an endpoint does not do that AWS does.
    pub(super) emulated: bool,
}

/// A key of an account, which nothing shows.
#[derive(Clone)]
pub(super) struct Credentials {
    pub(super) id: String,
    pub(super) secret: String,
    pub(super) token: Option<String>,
}

impl Default for Config {
    /// The concurrency is arbitrary, below the 1,000 that an account has at first.
    fn default() -> Self {
        Self {
            name: "lambda".to_owned(),
            artifacts: Vec::new(),
            adopted: Vec::new(),
            region: None,
            profile: None,
            endpoint: None,
            credentials: None,
            role: None,
            prefix: "faas".to_owned(),
            alias: "live".to_owned(),
            tags: BTreeMap::new(),
            bucket: None,
            largest_sent: LARGEST_SENT,
            concurrency: 100,
            reserved: None,
            provisioned: false,
            keep_versions: 5,
            deploy_timeout: Duration::from_secs(300),
            emulated: false,
        }
    }
}

impl fmt::Debug for Config {
    /// Without the credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("name", &self.name)
            .field("artifacts", &self.artifacts)
            .field("adopted", &self.adopted)
            .field("region", &self.region)
            .field("profile", &self.profile)
            .field("endpoint", &self.endpoint)
            .field("role", &self.role)
            .field("prefix", &self.prefix)
            .field("alias", &self.alias)
            .finish_non_exhaustive()
    }
}
