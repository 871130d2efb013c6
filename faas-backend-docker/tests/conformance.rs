//! The backend suite on containers of an image that `cargo faas build` made.

use faas_backend_docker::DockerBackend;
use faas_core::{Backend, ErrorKind};
use faas_testkit::backend_suite::BackendSubject;
use faas_testkit::conformance;

conformance!(BackendSubject::where_present("docker", backend), ran = 130, skipped = 0);

/// A backend of the testkit's fixtures, or why there is no engine or compiler for it.
async fn backend() -> Result<DockerBackend, String> {
    let fixtures = match faas_build::docker!("../faas-testkit") {
        Err(error) if error.kind() == ErrorKind::Unsupported => return Err(error.message().to_owned()),
        built => built.expect("an artifact of the fixtures"),
    };
    let backend = DockerBackend::builder().artifact(fixtures).pool("faas-conformance").build();
    let backend = backend.expect("a backend of the fixtures");
    match backend.health().await.problem {
        Some(problem) => {
            // Set by the checks of the repository where they have started an engine for the tests.
            let was_there = std::env::var_os("FAAS_TEST_ENGINE_RUNS").is_some();
            assert!(!was_there, "the engine that was started for the tests is gone: {problem}");
            Err(problem)
        }
        None => Ok(backend),
    }
}
