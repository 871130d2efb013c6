//! The backends that the quickstart can run on.

#[cfg(any(feature = "docker", feature = "lambda", feature = "wasm"))]
use std::path::PathBuf;

use faas_core::backend::{BackendRegistry, BackendUrl};
use faas_core::{Error, ErrorKind};

/// The local backend, `wasm`, `docker`, `lambda-local` and `lambda`. What a backend has to build first is shown on the error output if `verbose`.
pub(crate) fn registry(verbose: bool) -> BackendRegistry {
    BackendRegistry::local()
        .with("wasm", move |url| wasm(url, verbose))
        .with("docker", move |url| docker(url, verbose))
        .with("lambda-local", move |url| lambda_local(url, verbose))
        .with("lambda", move |url| lambda(url, verbose))
}

/// The Wasm backend. A URL that names no artifact is for the actions of this package, which are built if need be.
#[cfg(feature = "wasm")]
async fn wasm(url: BackendUrl, verbose: bool) -> Result<faas_backend_wasm::WasmBackend, Error> {
    let builder = faas_backend_wasm::WasmBackend::builder().from_env()?.with_url(&url)?;
    if names_artifact(&url, "FAAS_WASM_ARTIFACT") {
        return builder.build();
    }
    builder.artifact(built(verbose, |build| build.wasm()).await?).build()
}

/// There is none in this build.
#[cfg(not(feature = "wasm"))]
async fn wasm(_: BackendUrl, _: bool) -> Result<faas_core::LocalBackend, Error> {
    Err(lacks("wasm", "wasm"))
}

/// The Docker backend; likewise.
#[cfg(feature = "docker")]
async fn docker(url: BackendUrl, verbose: bool) -> Result<faas_backend_docker::DockerBackend, Error> {
    let builder = faas_backend_docker::DockerBackend::builder().from_env()?.with_url(&url)?;
    if names_artifact(&url, "FAAS_DOCKER_ARTIFACT") {
        return builder.build();
    }
    builder.artifact(built(verbose, |build| build.docker()).await?).build()
}

/// There is none in this build.
#[cfg(not(feature = "docker"))]
async fn docker(_: BackendUrl, _: bool) -> Result<faas_core::LocalBackend, Error> {
    Err(lacks("docker", "docker"))
}

/// The stand-in for AWS Lambda on this machine; likewise.
#[cfg(all(feature = "lambda", target_os = "linux"))]
async fn lambda_local(
    url: BackendUrl,
    verbose: bool,
) -> Result<faas_backend_lambda::LambdaLocalBackend, Error> {
    let builder = faas_backend_lambda::LambdaLocalBackend::builder().from_env()?.with_url(&url)?;
    if names_artifact(&url, "FAAS_LAMBDA_LOCAL_ARTIFACT") {
        return builder.build();
    }
    builder.artifact(built(verbose, |build| build.lambda()).await?).build()
}

/// There is none in this build.
#[cfg(not(all(feature = "lambda", target_os = "linux")))]
async fn lambda_local(_: BackendUrl, _: bool) -> Result<faas_core::LocalBackend, Error> {
    if cfg!(feature = "lambda") {
        let text = "the programs of Lambda functions run on Linux alone".to_owned();
        return Err(Error::new(ErrorKind::Unsupported, text));
    }
    Err(lacks("lambda", "lambda-local"))
}

/// AWS Lambda itself; likewise, but what comes after the colon is the region.
#[cfg(feature = "lambda")]
async fn lambda(url: BackendUrl, verbose: bool) -> Result<faas_backend_lambda::LambdaBackend, Error> {
    let builder = faas_backend_lambda::LambdaBackend::builder().from_env()?.with_url(&url)?;
    if builder.has_artifacts() {
        return builder.build();
    }
    builder.artifact(built(verbose, |build| build.lambda()).await?).build()
}

/// There is none in this build.
#[cfg(not(feature = "lambda"))]
async fn lambda(_: BackendUrl, _: bool) -> Result<faas_core::LocalBackend, Error> {
    Err(lacks("lambda", "lambda"))
}

/// Whether the URL or the environment names an artifact.
#[cfg(any(feature = "docker", feature = "lambda", feature = "wasm"))]
fn names_artifact(url: &BackendUrl, variable: &str) -> bool {
    !url.rest().is_empty() || std::env::var_os(variable).is_some_and(|folder| !folder.is_empty())
}

/// The artifact of this package's actions.
#[cfg(any(feature = "docker", feature = "lambda", feature = "wasm"))]
async fn built(
    verbose: bool,
    build: impl FnOnce(faas_build::Build) -> Result<PathBuf, Error> + Send + 'static,
) -> Result<PathBuf, Error> {
    use faas_build::{Build, Output};

    let output = if verbose { Output::Full } else { Output::Quiet };
    let own = Build::new(env!("CARGO_MANIFEST_DIR")).output(output);
    let built = tokio::task::spawn_blocking(move || build(own)).await;
    built.map_err(|lost| {
        Error::new(ErrorKind::Internal, "the build of the actions panicked").with_source(lost)
    })?
}

/// The error of a backend that this build has no code for.
#[cfg(not(all(feature = "docker", feature = "lambda", feature = "wasm")))]
fn lacks(feature: &str, backend: &str) -> Error {
    let text = format!(
        "this build lacks the feature `{feature}`: run it by `cargo run --release -p faas-examples --features {feature} \
         --example quickstart -- --backend {backend}`"
    );
    Error::new(ErrorKind::Unsupported, text)
}
