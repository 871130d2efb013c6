//! The factory of environments.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use faas_core::sandbox::{InitError, SandboxFactory, Shape};
use faas_core::{ActionSpec, Entropy, Error, ErrorKind, Outcome};

use super::environment::Environment;
use super::program::Program;
use super::runtime_api::Place;
use super::sandbox::LambdaSandbox;
use crate::artifact::{Artifact, Catalogue};
use crate::function::Function;

/// What the names of functions begin with.
const PREFIX: &str = "faas";

/// What all environments of a backend share.
pub(super) struct Site {
    entropy: OnceLock<Arc<Entropy>>,
}

impl Site {
    pub(super) fn entropy(&self) -> &Arc<Entropy> {
        self.entropy.get_or_init(|| Arc::new(Entropy::default()))
    }
}

fn unavailable(text: &str, source: std::io::Error) -> Error {
    Error::new(ErrorKind::Unavailable, format!("{text}: {source}")).with_source(source).temporary(true)
}

/// Why a program did not start: mostly there is a lack of something, but some are none that can.
fn not_started(source: std::io::Error) -> InitError {
    let text = "the program of a function cannot be started";
    match source.kind() {
        // No format of programs, and no loader of the one that the program asks for.
        std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied => {}
        _ if source.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error()) => {}
        _ => return unavailable(text, source).into(),
    }
    InitError::Action { outcome: Outcome::init_failed(&format!("{text}: {source}")), logs: Vec::new() }
}

/// Makes the environments of a backend.
pub(super) struct LambdaFactory {
    site: Arc<Site>,
    catalogue: Catalogue,
    freezes: bool,
    /// The programs that were unpacked, by the digests of their artifacts.
    programs: Mutex<HashMap<String, Arc<Program>>>,
}

/// A program that can be started. Lambda's are bound to their function when they are started, so there is nothing to be
/// done ahead of that.
pub(super) struct LambdaStem(Arc<Program>);

impl LambdaFactory {
    pub(super) fn new(catalogue: Catalogue, freezes: bool) -> Self {
        let site = Arc::new(Site { entropy: OnceLock::new() });
        Self { site, catalogue, freezes, programs: Mutex::default() }
    }

    /// The program of an artifact, unpacked if it was not yet.
    async fn program(&self, artifact: &Arc<Artifact>) -> Result<Arc<Program>, Error> {
        let digest = &artifact.manifest.digest;
        if let Some(program) = self.programs().get(digest) {
            return Ok(Arc::clone(program));
        }
        let artifact = Arc::clone(artifact);
        let unpacked = tokio::task::spawn_blocking(move || Program::unpack(&artifact).map(Arc::new)).await;
        let program = unpacked
            .map_err(|error| Error::new(ErrorKind::Internal, "unpacking panicked").with_source(error))??;
        // Whoever was first is as good.
        Ok(Arc::clone(self.programs().entry(digest.clone()).or_insert(program)))
    }

    fn programs(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Program>>> {
        self.programs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SandboxFactory for LambdaFactory {
    type Stem = LambdaStem;
    type Sandbox = LambdaSandbox;

    fn attach(&self, entropy: &Arc<Entropy>) {
        let _ = self.site.entropy.set(Arc::clone(entropy));
    }

    async fn prepare(&self, spec: &Arc<ActionSpec>) -> Result<(), Error> {
        let artifact = self.catalogue.find(&spec.name)?;
        Function::of(spec, PREFIX)?;
        self.program(artifact).await.map(drop)
    }

    fn shape(&self, spec: &ActionSpec) -> Shape {
        // One that is not found was refused when it was deployed; nothing is ever made of its shape.
        let artifact = self.catalogue.find(&spec.name).ok();
        Shape {
            kind: "provided.al2023".into(),
            memory: spec.limits.memory,
            artifact: artifact.map(|artifact| artifact.manifest.digest.as_str().into()),
        }
    }

    async fn create(&self, shape: &Shape) -> Result<LambdaStem, Error> {
        let digest = shape.artifact.as_deref().unwrap_or_default();
        let program = self.programs().get(digest).cloned();
        let missing = || Error::new(ErrorKind::Internal, "the program of a shape was never unpacked");
        program.map(LambdaStem).ok_or_else(missing)
    }

    async fn init(&self, stem: LambdaStem, spec: &Arc<ActionSpec>) -> Result<LambdaSandbox, InitError> {
        let function = Function::of(spec, PREFIX)?;
        let place = Place::find().await;
        let place = place.map_err(|source| unavailable("no port of loopback can be listened at", source))?;
        let arn = format!("arn:aws:lambda:local:000000000000:function:{}", function.name);
        let variables = variables(function, place.address.to_string());
        let environment = Environment::start(&stem.0, variables, arn, self.freezes, spec.limits.logs)
            .map_err(not_started)?;
        let api = place.serve(&environment);
        let sandbox = LambdaSandbox::new(Arc::clone(&self.site), environment, api, Arc::clone(spec));
        sandbox.initialised().await?;
        Ok(sandbox)
    }

    async fn discard(&self, stem: LambdaStem) {
        drop(stem);
    }

    async fn sweep(&self) -> usize {
        // Programs end by themselves without the process that started them.
        0
    }
}

/// The environment of a function's program. Source: "Defined runtime environment variables", AWS Lambda Developer Guide.
fn variables(function: Function, address: String) -> BTreeMap<String, String> {
    let Function { name, memory, mut variables, .. } = function;
    let fixed = [
        ("AWS_DEFAULT_REGION", "local".to_owned()),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", memory.to_string()),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
        ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{name}")),
        ("AWS_LAMBDA_LOG_STREAM_NAME", "local".to_owned()),
        ("AWS_LAMBDA_FUNCTION_NAME", name),
        ("AWS_LAMBDA_RUNTIME_API", address),
        ("AWS_REGION", "local".to_owned()),
        ("LANG", "en_US.UTF-8".to_owned()),
        ("PATH", "/usr/local/bin:/usr/bin:/bin".to_owned()),
        ("TZ", ":UTC".to_owned()),
        ("_HANDLER", "bootstrap".to_owned()),
    ];
    variables.extend(fixed.map(|(name, value)| (name.to_owned(), value)));
    variables
}
