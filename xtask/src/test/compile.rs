//! The steps that judge the sources without running them: format, clippy, docs.

use anyhow::Result;

use crate::process;
use crate::report::Outcome;
use crate::tools::{self, Component};
use crate::workspace::Workspace;

/// What is built without its default features, and the ones that are turned on then: guests, and parts of a backend.
const PARTS: [(&str, &str); 6] = [
    ("faas-core", "macros,guest-wasi"),
    ("faas-core", "macros,guest-http"),
    ("faas-core", "macros,guest-lambda"),
    ("faas-testkit", ""),
    ("faas-backend-lambda", "aws"),
    ("faas-backend-lambda", "local"),
];

/// Checks that every file is formatted.
pub(crate) fn format(workspace: &Workspace) -> Result<Outcome> {
    if let Some(skip) = tools::missing(workspace, Component::Rustfmt) {
        return Ok(skip);
    }
    let mut outcome = Outcome::default();
    for manifest in ["Cargo.toml", "fuzz/Cargo.toml"] {
        let mut fmt = workspace.cargo_unlocked();
        let status = process::run(fmt.args(["fmt", "--all", "--check", "--manifest-path", manifest]))?;
        outcome.merge(Outcome::from_status(&format!("cargo fmt of {manifest}"), status));
    }
    Ok(outcome)
}

/// Runs clippy over the workspace, then over what is built of a part of its features.
pub(crate) fn clippy(workspace: &Workspace) -> Result<Outcome> {
    if let Some(skip) = tools::missing(workspace, Component::Clippy) {
        return Ok(skip);
    }
    let deny = ["--", "-D", "warnings"];
    let everything = [
        "--workspace",
        "--all-targets",
        "--features",
        "faas-backend-lambda/s3,faas-core/guest-lambda,faas-examples/docker,faas-examples/lambda,faas-examples/wasm",
    ];
    let all = process::run(workspace.cargo("clippy").args(everything).args(deny))?;
    let mut outcome = Outcome::from_status("clippy of the workspace", all);
    for (package, features) in PARTS {
        let part = ["-p", package, "--no-default-features", "--features", features];
        let status = process::run(workspace.cargo("clippy").args(part).args(deny))?;
        outcome.merge(Outcome::from_status(&format!("clippy of {package} with '{features}' alone"), status));
    }
    Ok(outcome)
}

/// Builds the documentation of every crate; a broken link or a bad block fails.
pub(crate) fn docs(workspace: &Workspace) -> Result<Outcome> {
    let mut doc = workspace.cargo("doc");
    let status = process::run(doc.args(["--no-deps", "--workspace"]).env("RUSTDOCFLAGS", "-Dwarnings"))?;
    Ok(Outcome::from_status("cargo doc", status))
}
