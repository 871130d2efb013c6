//! The image of the puppet, a runtime that does what it is told.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use bollard::Docker;
use bollard::query_parameters::CreateImageOptions;
use futures_util::StreamExt;

/// The name of the image.
pub(crate) const IMAGE: &str = "faas-test/puppet:1";

/// The label of the image that tells which program is in it.
const PROGRAM: &str = "io.faas.test.program";

/// Builds the puppet, once in this process, and sees to it that the engine has an image of it.
pub(crate) async fn image(docker: &Docker) -> &'static str {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    static IMPORTING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let program = PROGRAM.get_or_init(build);
    let _one = IMPORTING.lock().await;
    import(docker, program).await;
    IMAGE
}

/// Compiles the puppet to a static program, as an app of its own: what this build is told by cargo is not for it.
fn build() -> PathBuf {
    let target = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("puppet");
    let mut cargo = Command::new("cargo");
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        if (name.starts_with("CARGO") && name != "CARGO_HOME") || name.starts_with("RUSTFLAGS") {
            cargo.env_remove(name);
        }
    }
    let variable = format!("CARGO_TARGET_{}_RUSTFLAGS", target.to_uppercase().replace('-', "_"));
    cargo
        .args(["build", "--quiet", "--release", "--locked", "-p", "faas-docker-puppet", "--target", &target])
        .arg("--target-dir")
        .arg(&folder)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env(variable, "-C target-feature=+crt-static");
    assert!(cargo.status().expect("cargo").success(), "the puppet does not build");
    folder.join(target).join("release/faas-docker-puppet")
}

/// Makes an image of the program, unless the engine has one of the very same.
async fn import(docker: &Docker, program: &Path) {
    let mut hasher = DefaultHasher::new();
    std::fs::read(program).unwrap().hash(&mut hasher);
    let hash = format!("{:016x}", hasher.finish());
    let present = docker.inspect_image(IMAGE).await.ok().and_then(|image| image.config?.labels);
    if present.is_some_and(|labels| labels.get(PROGRAM) == Some(&hash)) {
        return;
    }
    let mut archive = tar::Builder::new(Vec::new());
    archive.append_path_with_name(program, "puppet").unwrap();
    let (repository, tag) = IMAGE.split_once(':').unwrap();
    let options = CreateImageOptions {
        from_src: Some("-".to_owned()),
        repo: Some(repository.to_owned()),
        tag: Some(tag.to_owned()),
        changes: vec!["ENTRYPOINT [\"/puppet\"]".to_owned(), format!("LABEL {PROGRAM}={hash}")],
        ..CreateImageOptions::default()
    };
    let body = bollard::body_full(archive.into_inner().unwrap().into());
    let mut steps = docker.create_image(Some(options), Some(body), None);
    while let Some(step) = steps.next().await {
        step.expect("the image of the puppet");
    }
}
