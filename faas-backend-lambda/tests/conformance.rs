//! The backend suite on the programs of Lambda functions that `cargo faas build` made.

use std::path::PathBuf;

use faas_core::ErrorKind;
use faas_testkit::backend_suite::BackendSubject;
use faas_testkit::conformance;

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
