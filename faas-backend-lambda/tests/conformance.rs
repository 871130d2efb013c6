//! The backend suite on the programs of Lambda functions that `cargo faas build` made: by the stand-in of this machine, and
//! by the backend of AWS Lambda, whose functions run at `cargo lambda`'s emulator.

#![allow(clippy::unwrap_used, reason = "a test that fails should panic, also in what several tests share")]

use std::path::PathBuf;

use faas_core::ErrorKind;
use faas_testkit::backend_suite::BackendSubject;
use faas_testkit::conformance;

#[cfg(all(feature = "aws", unix))]
#[path = "cloud/mod.rs"]
mod cloud;
#[cfg(all(feature = "aws", unix))]
mod emulator;

/// The artifact of the testkit's fixtures, or why there is no compiler for it.
fn fixtures() -> Result<PathBuf, String> {
    match faas_build::lambda!("../faas-testkit") {
        Err(error) if error.kind() == ErrorKind::Unsupported => Err(error.message().to_owned()),
        built => Ok(built.expect("an artifact of the fixtures")),
    }
}

#[cfg(target_os = "linux")]
mod local {
    use faas_backend_lambda::LambdaLocalBackend;

    use super::{BackendSubject, conformance, fixtures};

    conformance!(BackendSubject::where_present("lambda-local", backend), ran = 127, skipped = 3);

    async fn backend() -> Result<LambdaLocalBackend, String> {
        let fixtures = fixtures()?;
        Ok(LambdaLocalBackend::builder().artifact(fixtures).build().expect("a backend of the fixtures"))
    }
}

#[cfg(all(feature = "aws", unix))]
mod emulated {
    use std::sync::Arc;

    use faas_backend_lambda::LambdaBackend;

    use super::cloud::Cloud;
    use super::emulator::Fleet;
    use super::{BackendSubject, PathBuf, conformance, fixtures};

    conformance!(
        BackendSubject::where_present("lambda", backend),
        ran = if account() { 127 } else { 121 },
        skipped = if account() { 3 } else { 9 },
    );

    /// Whether the suite shall run in an account of AWS, not at the emulator.
    fn account() -> bool {
        std::env::var_os("FAAS_LAMBDA_ACCOUNT").is_some()
    }

    async fn backend() -> Result<LambdaBackend, String> {
        let fixtures = fixtures()?;
        if account() {
            let backend = LambdaBackend::builder().artifact(fixtures).prefix("faas-suite");
            let backend = backend.provisioned_concurrency(true).from_env().expect("good variables");
            return Ok(backend.build().expect("a backend of the fixtures"));
        }
        at_the_emulator(fixtures).await
    }

    /// A backend at a service whose functions run at the emulator.
    async fn at_the_emulator(fixtures: PathBuf) -> Result<LambdaBackend, String> {
        let fleet = Fleet::new()?;
        let cloud = Cloud::start(move |invoked| {
            let fleet = Arc::clone(&fleet);
            Box::pin(async move { fleet.run(invoked).await })
        });
        // It ends with the runtime of the test.
        let cloud = Box::leak(Box::new(cloud.await));
        let backend = LambdaBackend::builder()
            .artifact(fixtures)
            .endpoint(cloud.endpoint())
            .region("eu-west-1")
            .credentials("AKIDEXAMPLE", "a-secret", None)
            .role("arn:aws:iam::123456789012:role/functions")
            .provisioned_concurrency(true)
            .emulated(true);
        Ok(backend.build().expect("a backend of the fixtures"))
    }
}
