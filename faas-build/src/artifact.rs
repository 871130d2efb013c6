//! What a build leaves: a folder with the artifact and its manifest.

use std::env;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use faas_core::artifact::{Description, FORMAT, MANIFEST, Manifest};
use faas_core::{Error, ErrorKind};
use sha2::{Digest as _, Sha256};

use crate::app::App;
use crate::{failure, files};

/// What a crate was built to.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Artifact {
    /// The folder with the artifact and its manifest, which a backend takes.
    pub folder: PathBuf,
    /// The manifest, as it is in the folder.
    pub manifest: Manifest,
    /// Whether it was there before and nothing had to be written.
    pub fresh: bool,
    /// The time that the build took, waiting for other builds included.
    pub took: Duration,
}

impl Artifact {
    /// The module, the archive of the image or the zip of the program.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.folder.join(&self.manifest.file)
    }
}

impl fmt::Display for Artifact {
    /// One line: `greet in 6.5 s: 3 actions, 446 KiB, target/faas/greet/wasm`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Manifest { package, size, description, .. } = &self.manifest;
        let current = env::current_dir().unwrap_or_default();
        let folder = self.folder.strip_prefix(current).unwrap_or(&self.folder);
        let actions = match description.actions.len() {
            1 => "1 action".to_owned(),
            several => format!("{several} actions"),
        };
        let (seconds, size) = (self.took.as_secs_f64(), size.div_ceil(1024));
        write!(f, "{package} in {seconds:.1} s: {actions}, {size} KiB, {}", folder.display())
    }
}

/// What was just built, before it is put where backends find it.
pub(crate) struct Product<'a> {
    /// The backend.
    pub(crate) backend: &'static str,
    /// The folder that it goes to.
    pub(crate) folder: &'a Path,
    /// What follows the crate's name in the name of the file, such as `.wasm`.
    pub(crate) extension: &'static str,
    /// The content of the file.
    pub(crate) bytes: &'a [u8],
    /// The compiler, as it prints its version.
    pub(crate) toolchain: &'a str,
    /// The reference of the image in the file, if it is one.
    pub(crate) image: Option<&'a str>,
    /// The architecture that it runs on, where the backend has several.
    pub(crate) architecture: Option<&'a str>,
}

/// The folder of that name among those that the crate is built to.
pub(crate) fn folder(app: &App, name: &str) -> PathBuf {
    app.target.join(&app.name).join(name)
}

/// Puts the product and its manifest into their folder, each at once and the manifest last.
///
/// If the very same is there already, neither is touched and `describe` not asked. Returns the manifest, and
/// whether it was there.
pub(crate) fn publish(
    app: &App,
    product: &Product<'_>,
    describe: impl FnOnce(&[u8]) -> Result<Description, Error>,
) -> Result<(Manifest, bool), Error> {
    let folder = product.folder;
    let file = format!("{}{}", app.name, product.extension);
    let size = u64::try_from(product.bytes.len()).unwrap_or(u64::MAX);
    let digest = digest(product.bytes);
    if let Some(present) = present(folder, &digest) {
        let same = present.file == file
            && present.backend == product.backend
            && present.package == app.name
            && present.version == app.version
            && present.toolchain == product.toolchain
            && present.image.as_deref() == product.image
            && present.architecture.as_deref() == product.architecture;
        if same {
            return Ok((present, true));
        }
    }
    let manifest = Manifest {
        format: FORMAT,
        backend: product.backend.to_owned(),
        package: app.name.clone(),
        version: app.version.clone(),
        file,
        digest,
        size,
        kind: "rust".to_owned(),
        toolchain: product.toolchain.to_owned(),
        image: product.image.map(str::to_owned),
        architecture: product.architecture.map(str::to_owned),
        description: describe(product.bytes)?,
    };
    let text = serde_json::to_vec_pretty(&manifest)
        .map_err(|error| Error::new(ErrorKind::Internal, "cannot encode the manifest").with_source(error))?;
    files::update(&folder.join(&manifest.file), product.bytes)?;
    files::replace(&folder.join(MANIFEST), &text)?;
    Ok((manifest, false))
}

/// The manifest in the folder, if it is of this format and both it and its file are of that digest.
fn present(folder: &Path, digest: &str) -> Option<Manifest> {
    let manifest: Manifest = serde_json::from_slice(&fs::read(folder.join(MANIFEST)).ok()?).ok()?;
    let current = manifest.format == FORMAT && manifest.digest == digest;
    let file = fs::read(folder.join(&manifest.file)).ok().filter(|_| current)?;
    (self::digest(&file) == digest).then_some(manifest)
}

/// SHA-256 in hex.
pub(crate) fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads what cargo built.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| failure::io("read", path, error))
}
