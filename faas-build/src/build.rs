//! The one way in: what to build, and how.

use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use faas_core::Error;
use faas_core::artifact::Description;

use crate::app::App;
use crate::arch::Arch;
use crate::artifact::Artifact;
use crate::backend::{self, Built, Options};
use crate::compiler::{self, Compiler, CompilerChoice};
use crate::output::Output;
use crate::{environment, lock, native, once, watch};

/// A build of a crate of actions.
///
/// ```no_run
/// # fn main() -> Result<(), faas_core::Error> {
/// use faas_build::{Build, Output};
///
/// let artifact = Build::new("examples").package("shop").output(Output::Full).run("wasm")?;
/// println!("{} actions in {}", artifact.manifest.description.actions.len(), artifact.folder.display());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a build does nothing until it is run"]
pub struct Build {
    path: PathBuf,
    package: Option<String>,
    compiler: Option<CompilerChoice>,
    arch: Option<Arch>,
    output: Output,
}

impl Build {
    /// A build of the crate at `path`: its folder or one within it, or its `Cargo.toml`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), package: None, compiler: None, arch: None, output: Output::default() }
    }

    /// The same build, of the package of that name in the workspace.
    pub fn package(mut self, name: impl Into<String>) -> Self {
        self.package = Some(name.into());
        self
    }

    /// The same build with the compilers for Wasm that it may use; else the environment says it, as
    /// [`CompilerChoice::from_env`] tells.
    pub fn compiler(mut self, choice: CompilerChoice) -> Self {
        self.compiler = Some(choice);
        self
    }

    /// The same build, for that architecture of AWS Lambda; else for this machine's.
    pub fn arch(mut self, arch: Arch) -> Self {
        self.arch = Some(arch);
        self
    }

    /// The same build, telling another amount of its progress.
    pub fn output(mut self, output: Output) -> Self {
        self.output = output;
        self
    }

    /// Builds the crate for the backend of that name.
    ///
    /// # Behavior
    /// - Cargo finds out what has changed; where nothing has, the artifact is left as it is and called fresh.
    /// - The file and its manifest are each written at once, the manifest last: nobody sees half of one.
    /// - Builds in the same target folder wait for each other, also those of other processes.
    ///
    /// # Errors
    /// - `NotFound`: no such backend, package or `Cargo.toml`, or no cargo.
    /// - `InvalidArgument`: the package has no library or no actions, or does not compile; what the compiler said
    ///   is the source, unless it was printed already. Also an architecture for another backend than lambda, and a
    ///   program that is larger than Lambda takes.
    /// - `Unsupported`: there is no compiler for Wasm, or for static Linux programs of that architecture; the message
    ///   says what to install.
    /// - `Internal`: files cannot be read or written.
    pub fn run(&self, backend: &str) -> Result<Artifact, Error> {
        self.build(backend).map_err(|error| error.with_operation("build"))
    }

    /// The folder with the crate's Wasm module and its manifest, built if need be.
    ///
    /// # Behavior
    /// - Within a process, a crate is built once; all others who ask for it wait, and get the same answer.
    /// - A further process finds out by itself whether a source has changed since. If none has, it answers within
    ///   milliseconds and starts no cargo. What the environment passes to the compiler (`env!`) it does not see.
    ///
    /// # Errors
    /// As [`run`](Self::run); `Unsupported` is the one by which a test can tell that it cannot run here.
    pub fn wasm(&self) -> Result<PathBuf, Error> {
        self.ask("wasm")
    }

    /// The folder with the archive of the crate's image for Docker and its manifest, built if need be. It needs no
    /// engine: who deploys the actions loads the image into his.
    ///
    /// # Behavior
    /// As [`wasm`](Self::wasm).
    ///
    /// # Errors
    /// As [`run`](Self::run); `Unsupported` is the one by which a test can tell that it cannot run here.
    pub fn docker(&self) -> Result<PathBuf, Error> {
        self.ask("docker")
    }

    /// The folder with the zip of the crate's program for AWS Lambda and its manifest, built if need be. It asks nothing
    /// of AWS: who deploys the actions uploads the zip.
    ///
    /// # Behavior
    /// As [`wasm`](Self::wasm).
    ///
    /// # Errors
    /// As [`run`](Self::run); `Unsupported` is the one by which a test can tell that it cannot run here.
    pub fn lambda(&self) -> Result<PathBuf, Error> {
        self.ask("lambda")
    }

    /// What the crate exports. It needs no compiler for Wasm: a small program that prints it is built and run.
    ///
    /// # Errors
    /// As [`run`](Self::run), but never for want of a compiler for Wasm; `InvalidArgument` also when the program fails.
    pub fn list(&self) -> Result<Description, Error> {
        let list = || {
            let app = App::find(&self.path, self.package.as_deref())?;
            native::list(&app, self.output)
        };
        list().map_err(|error: Error| error.with_operation("list"))
    }

    /// The compiler that would build the crate for Wasm; nothing is built.
    ///
    /// # Errors
    /// `Unsupported` when there is none, saying what to install; else as [`run`](Self::run).
    pub fn wasm_compiler(&self) -> Result<Compiler, Error> {
        let app = App::find(&self.path, self.package.as_deref())?;
        compiler::find(&app, self.choice()?, self.output)
    }

    /// The folder of the artifact for the backend, built only if neither this process nor an earlier one has it.
    fn ask(&self, backend: &str) -> Result<PathBuf, Error> {
        let key = self.key(backend)?;
        once::answer(&key, || match watch::recall(&self.folder(), &key) {
            Some(folder) => Ok(folder),
            None => self.run(backend).map(|artifact| artifact.folder),
        })
    }

    fn build(&self, backend: &str) -> Result<Artifact, Error> {
        let begun = Instant::now();
        let (backend, build) = backend::named(backend)?;
        backend::check_arch(backend, self.arch)?;
        let options = Options { compiler: self.choice()?, arch: self.arch, output: self.output };
        let app = App::find(&self.path, self.package.as_deref())?;
        let purpose = format!("building '{}' for {backend}", app.name);
        let lock = lock::acquire(&app.target.join("build.lock"), &purpose, self.output)?;
        let started = SystemTime::now();
        let built = build(&app, &options)?;
        let Built { folder, manifest, fresh, sources } = built;
        watch::remember(&app, &self.key(backend)?, &folder, &manifest.file, &sources, started);
        drop(lock);
        let artifact = Artifact { folder, manifest, fresh, took: begun.elapsed() };
        self.output.status(if artifact.fresh { "Fresh" } else { "Finished" }, &artifact);
        Ok(artifact)
    }

    fn choice(&self) -> Result<CompilerChoice, Error> {
        self.compiler.map_or_else(CompilerChoice::from_env, Ok)
    }

    /// The folder to start from, as it is called without links and detours.
    fn folder(&self) -> PathBuf {
        let path = self.path.canonicalize().unwrap_or_else(|_| self.path.clone());
        if path.is_file() { path.parent().unwrap_or(Path::new("")).to_owned() } else { path }
    }

    /// All that decides which artifact is meant, apart from the files.
    fn key(&self, backend: &str) -> Result<String, Error> {
        let how = (backend, self.arch, self.choice()?.to_string(), environment::toolchain());
        Ok(format!("{:?}", (self.folder(), &self.package, how)))
    }
}

/// The compiler that would build the crate of the current folder for Wasm; nothing is built.
///
/// # Errors
/// `Unsupported` when there is none, saying what to install; else as [`Build::run`].
pub fn wasm_compiler() -> Result<Compiler, Error> {
    Build::new(".").wasm_compiler()
}
