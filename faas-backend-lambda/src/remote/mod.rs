//! AWS Lambda itself, over aws-sdk-lambda.

mod builder;
mod client;
mod code;
mod config;
mod deploy;
mod error;
mod invoke;
mod owner;
mod pause;
mod remove;
mod steps;
mod warm;

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use aws_config::SdkConfig;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::error::ProvideErrorMetadata as _;
use faas_core::backend::{BackendUrl, Cancel, LogsAfterKill};
use faas_core::guest::lambda::wire::MAX_LOGS;
use faas_core::{
    ActionSpec, Backend, BackendInfo, Capability, Capacity, Completion, Deployment, Entropy, Error,
    ErrorKind, Health, Invocation, payload,
};
use tokio::sync::{OnceCell, watch};
use tokio::time::Instant;

pub use self::builder::LambdaBuilder;
use self::code::Code;
use self::config::Config;
use self::deploy::{Deploying, Wanted};
use self::error::of_call;
use self::invoke::Target;
use self::remove::Uses;
use self::steps::Steps;
use crate::artifact::Catalogue;
use crate::function::{Function, LONGEST, MARGIN, MAX_TIMEOUT};
use crate::report::TAIL;

/// Runs actions as functions of AWS Lambda.
///
/// ```no_run
/// use faas_backend_lambda::LambdaBackend;
/// use faas_core::Platform;
/// # async fn example(actions: faas_core::ActionSet) -> Result<(), faas_core::Error> {
/// let backend = LambdaBackend::builder()
///     .from_env()?
///     .artifact("target/faas/app/lambda")
///     .role("arn:aws:iam::123456789012:role/functions")
///     .build()?;
/// let app = Platform::builder().backend(backend).actions(actions).build().await?;
/// # Ok(())
/// # }
/// ```
pub struct LambdaBackend {
    info: BackendInfo,
    config: Config,
    catalogue: Catalogue,
    adopted: BTreeMap<String, String>,
    entropy: OnceLock<Arc<Entropy>>,
    aws: OnceCell<Aws>,
    uses: Uses,
    closed: watch::Sender<bool>,
    /// What its deployments are recognised by.
    identity: Arc<()>,
}

/// The connection to AWS.
struct Aws {
    config: SdkConfig,
    /// For calls that take as long as they take: invocations, and those that carry code.
    lambda: Client,
    /// For all others.
    control: Client,
}

/// What a deployment keeps.
struct Deployed {
    backend: Arc<()>,
    target: Target,
    /// Whether it was counted out.
    removed: AtomicBool,
}

impl LambdaBackend {
    /// What AWS Lambda can do.
    pub const CAPABILITY: Capability = {
        let mut capability = faas_core::LocalBackend::CAPABILITY;
        capability.cancel = Cancel::Abandons;
        capability.logs_after_kill = LogsAfterKill::Tail(TAIL);
        capability.enforces_memory = true;
        capability.stops_cpu_loop = true;
        capability.survives_exit = true;
        capability.isolates = true;
        capability.pauses = false;
        capability.prewarms = false;
        capability.egress = true;
        capability.fresh_instance = false;
        capability.captures_stdout = true;
        // What Lambda itself stops is stopped at a whole second.
        capability.timeout_granularity = Duration::from_secs(1).saturating_add(MARGIN);
        capability.max_timeout = MAX_TIMEOUT;
        capability.max_payload = payload::MAX_BYTES as u64;
        capability.max_logs = MAX_LOGS;
        capability
    };

    /// The annotation of an action, a whole number, that reserves that much of the account's concurrency for its function;
    /// with 0 it never runs.
    pub const RESERVED_CONCURRENCY: &'static str = crate::function::RESERVED;

    /// Collects what a backend is made of.
    pub fn builder() -> LambdaBuilder {
        LambdaBuilder::default()
    }

    /// A backend of one artifact, the folder that `cargo faas build --backend lambda` made, with defaults and what the
    /// environment says.
    ///
    /// # Errors
    /// As from [`LambdaBuilder::build`] and [`LambdaBuilder::from_env`].
    pub fn open(artifact: impl Into<PathBuf>) -> Result<Self, Error> {
        Self::builder().from_env()?.artifact(artifact).build()
    }

    /// The backend that a URL of the scheme `lambda` names, over what the environment says; see
    /// [`LambdaBuilder::with_url`].
    ///
    /// # Errors
    /// As from [`LambdaBuilder::build`], [`LambdaBuilder::with_url`] and [`LambdaBuilder::from_env`].
    pub fn from_url(url: &BackendUrl) -> Result<Self, Error> {
        Self::builder().from_env()?.with_url(url)?.build()
    }

    fn new(config: Config, catalogue: Catalogue) -> Self {
        let mut capability = Self::CAPABILITY;
        capability.prewarms = config.provisioned;
        if config.emulated {
            capability.enforces_memory = false;
            capability.logs_after_kill = LogsAfterKill::None;
        }
        let capacity = Capacity::Slots(config.concurrency);
        let adopted = config.adopted.iter();
        let adopted =
            adopted.map(|(action, function)| (action.path().to_owned(), function.clone())).collect();
        Self {
            info: BackendInfo { name: config.name.clone(), capability, capacity },
            config,
            catalogue,
            adopted,
            entropy: OnceLock::new(),
            aws: OnceCell::new(),
            uses: Uses::default(),
            closed: watch::Sender::new(false),
            identity: Arc::new(()),
        }
    }

    async fn aws(&self) -> &Aws {
        self.aws
            .get_or_init(|| async {
                let config = client::connect(&self.config).await;
                let lambda = Client::new(&config);
                let control = client::control(&config);
                Aws { config, lambda, control }
            })
            .await
    }

    fn entropy(&self) -> &Arc<Entropy> {
        self.entropy.get_or_init(|| Arc::new(Entropy::default()))
    }

    fn check_open(&self) -> Result<(), Error> {
        if *self.closed.borrow() {
            return Err(self.is_closed());
        }
        Ok(())
    }

    fn is_closed(&self) -> Error {
        Error::new(ErrorKind::Closed, format!("backend '{}' is shut down", self.info.name))
    }

    /// Does what a shutdown ends, wherever it is.
    async fn while_open<T>(&self, doing: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let mut closed = self.closed.subscribe();
        tokio::select! {
            biased;
            _ = closed.wait_for(|closed| *closed) => Err(self.is_closed()),
            done = doing => done,
        }
    }

    fn deployed<'a>(&self, deployment: &'a Deployment) -> Result<&'a Deployed, Error> {
        self.check_open()?;
        let deployed = deployment.state::<Deployed>();
        deployed.filter(|deployed| Arc::ptr_eq(&deployed.backend, &self.identity)).ok_or_else(|| {
            let text = format!("the deployment is not one of backend '{}'", self.info.name);
            Error::new(ErrorKind::InvalidArgument, text).with_context("action", &deployment.spec.name)
        })
    }

    /// The function of an action, made or found.
    async fn target(&self, spec: &ActionSpec) -> Result<Target, Error> {
        spec.check()?;
        self.info.capability.check_timeout(spec.limits.timeout)?;
        if let Some(function) = self.adopted.get(spec.name.path()) {
            return self.adopt(function).await;
        }
        let artifact = self.catalogue.find(&spec.name)?;
        let function = Function::of(spec, &self.config.prefix)?;
        let code = Code::of(artifact, &self.config)?;
        let aws = self.aws().await;
        let deadline = Instant::now() + self.config.deploy_timeout;
        let _turn = self.uses.turn(&function.name, deadline).await?;
        let (client, carrier, config, uses) = (&aws.control, &aws.lambda, &self.config, &self.uses);
        let deploying = Deploying { client, carrier, config, uses, aws: &aws.config, deadline };
        let wanted = Wanted { function: &function, code: &code, package: &artifact.manifest.package };
        let version = deploying.run(&wanted).await?;
        let Function { name, memory, timeout, .. } = function;
        let timeout = Duration::from_secs(timeout);
        let target = Target { name, qualifier: Some(version), is_own: true, memory, timeout };
        uses.deployed(&target);
        if config.provisioned {
            warm::find(client, uses, &target, deadline).await;
        }
        Ok(target)
    }

    /// A function that is there already.
    async fn adopt(&self, function: &str) -> Result<Target, Error> {
        let client = &self.aws().await.control;
        let limit = self.config.deploy_timeout;
        let mut steps = Steps::new(function, limit, Instant::now() + limit);
        let found = loop {
            let look = async {
                let found = client.get_function_configuration().function_name(function).send().await;
                found.map_err(|error| of_call(&format!("look at function '{function}'"), &error).into())
            };
            match steps.take(look).await {
                Ok(found) => break found,
                Err(stopped) => steps.rest(stopped).await?,
            }
        };
        let memory = found.memory_size().and_then(|memory| u64::try_from(memory).ok()).unwrap_or(u64::MAX);
        let timeout =
            found.timeout().and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
        let timeout = timeout.unwrap_or(LONGEST);
        Ok(Target { name: function.to_owned(), qualifier: None, is_own: false, memory, timeout })
    }
}

#[async_trait]
impl Backend for LambdaBackend {
    fn info(&self) -> &BackendInfo {
        &self.info
    }

    fn attach(&self, entropy: &Arc<Entropy>) {
        let _ = self.entropy.set(Arc::clone(entropy));
    }

    async fn deploy(&self, spec: Arc<ActionSpec>) -> Result<Deployment, Error> {
        self.check_open()?;
        let refused = |error: Error| error.with_operation("deploy").with_context("action", &spec.name);
        let target = self.while_open(self.target(&spec)).await.map_err(refused)?;
        let state = Deployed { backend: Arc::clone(&self.identity), target, removed: AtomicBool::new(false) };
        Ok(Deployment::new(spec, state))
    }

    async fn invoke(&self, deployment: &Deployment, invocation: Invocation) -> Result<Completion, Error> {
        let target = &self.deployed(deployment)?.target;
        let client = &self.aws().await.lambda;
        let running = self.uses.run(target);
        let invoked = invoke::invoke(client, target, &deployment.spec, &invocation, self.entropy()).await;
        drop(running);
        invoked.map_err(|error| error.with_operation("invoke").with_context("action", &deployment.spec.name))
    }

    async fn ready(&self) {
        // It refuses nothing for want of room: what Lambda refuses is tried again within the invocation.
        std::future::pending().await
    }

    async fn warm(&self, deployment: &Deployment, count: usize) -> Result<usize, Error> {
        let target = &self.deployed(deployment)?.target;
        if !self.config.provisioned || !target.is_own || count == 0 {
            return Ok(0);
        }
        let deadline = Instant::now() + self.config.deploy_timeout;
        let aws = self.aws().await;
        let warming = async {
            // Whoever removes the function, or shuts down, comes before an order or after it.
            let turn = self.uses.turn(&target.name, deadline).await?;
            let ready = warm::warm(&aws.control, &self.uses, target, count, deadline).await?;
            drop(turn);
            let probed = invoke::probe(&aws.lambda, target, &deployment.spec, deadline, self.entropy());
            probed.await.map(|()| ready)
        };
        let warmed = self.while_open(warming).await;
        warmed.map_err(|error| error.with_operation("warm").with_context("action", &deployment.spec.name))
    }

    async fn remove(&self, deployment: &Deployment) -> Result<(), Error> {
        let Deployed { target, removed, .. } = self.deployed(deployment)?;
        if !target.is_own {
            return Ok(());
        }
        if !removed.swap(true, Ordering::Relaxed) {
            self.uses.undeployed(target);
        }
        self.uses.idle(target).await;
        let deadline = Instant::now() + self.config.deploy_timeout;
        let removing = async {
            let _turn = self.uses.turn(&target.name, deadline).await?;
            self.uses.remove(&self.aws().await.control, target, &self.config.alias).await
        };
        let removed = removing.await;
        removed.map_err(|error| error.with_operation("remove").with_context("action", &deployment.spec.name))
    }

    async fn health(&self) -> Health {
        if let Err(closed) = self.check_open() {
            return Health { problem: Some(closed.message().to_owned()), pool: None };
        }
        let problem = match self.aws().await.control.get_account_settings().send().await {
            Ok(_) => None,
            // Whoever is asked and refuses is there; what these credentials may do is told when it is done.
            Err(refused) if refused.code() == Some("AccessDeniedException") => None,
            Err(error) => {
                let error = of_call("ask for the account's settings", &error);
                match error.kind() {
                    ErrorKind::NotFound | ErrorKind::InvalidArgument | ErrorKind::Throttled => None,
                    _ => Some(error.message().to_owned()),
                }
            }
        };
        Health { problem, pool: None }
    }

    async fn shutdown(&self) -> Result<(), Error> {
        // Functions stay: they cost nothing while nobody invokes them, and the next process finds them.
        self.closed.send_replace(true);
        match self.aws.get() {
            Some(aws) if self.config.provisioned => self.uses.cool(&aws.control).await,
            _ => Ok(()),
        }
    }
}

impl std::fmt::Debug for LambdaBackend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LambdaBackend").field(&self.config).finish()
    }
}
