//! The crate of actions that is built: where it is, and all that its shim has to know of it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package, PackageId, TargetKind};
use faas_core::{Error, ErrorKind};
use toml::Table;

use crate::source;
use crate::{environment, failure};

/// The crate that every crate of actions depends on.
const CORE: &str = "faas-core";

/// Where the list of actions is unless the crate says otherwise: at the root of the library.
const ACTIONS: &str = "actions";

/// A crate with a list of actions.
#[derive(Clone, Debug)]
pub(crate) struct App {
    /// Its name.
    pub(crate) name: String,
    /// Its version.
    pub(crate) version: String,
    /// The folder of its `Cargo.toml`. Cargo runs here, so that its toolchain file and configuration count.
    pub(crate) folder: PathBuf,
    /// The folder of its workspace's `Cargo.toml`.
    pub(crate) root: PathBuf,
    /// The folder for all that is built here: `faas` within the workspace's target folder.
    pub(crate) target: PathBuf,
    /// The path of the function `actions` within the library.
    pub(crate) actions: String,
    /// The very `faas-core` that the crate was resolved to, as an entry of `[dependencies]`.
    pub(crate) core: Table,
    /// The `Cargo.toml` of each crate that it is built of and that is on this machine to be edited.
    pub(crate) manifests: Vec<PathBuf>,
    /// Whether one of those has a build script, and so may depend on what no list of files tells.
    pub(crate) has_build_script: bool,
}

impl App {
    /// Finds the crate that `path` names, a folder within it or its `Cargo.toml`, or `package` of its workspace.
    pub(crate) fn find(path: &Path, package: Option<&str>) -> Result<Self, Error> {
        let manifest = manifest(path)?;
        let metadata = metadata(&manifest)?;
        let package = choose(&metadata, package)?;
        if !package.targets.iter().any(is_library) {
            let text =
                format!("package '{}' has no library: its actions belong into src/lib.rs", package.name);
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        let Some(core) = dependencies(&metadata, &package.id).find(|package| package.name == CORE) else {
            let text = format!("package '{}' does not depend on {CORE}, so it has no actions", package.name);
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        };
        let local = local(&metadata, package);
        Ok(Self {
            name: package.name.to_string(),
            version: package.version.to_string(),
            folder: parent(package).to_owned(),
            root: metadata.workspace_root.clone().into(),
            target: metadata.target_directory.join("faas").into(),
            actions: actions(package)?,
            core: source::dependency(core)?,
            manifests: local.iter().map(|package| package.manifest_path.clone().into()).collect(),
            has_build_script: local.iter().any(|package| package.targets.iter().any(|t| t.is_custom_build())),
        })
    }

    /// A cargo that runs in the crate's folder, without what an outer cargo says of its own build.
    pub(crate) fn cargo(&self) -> Command {
        cargo(&self.folder)
    }
}

fn cargo(folder: &Path) -> Command {
    let mut cargo = Command::new(environment::cargo());
    environment::scrub(&mut cargo);
    cargo.current_dir(folder);
    cargo
}

/// The `Cargo.toml` that the path names: itself, or the next one in the folder or above.
fn manifest(path: &Path) -> Result<PathBuf, Error> {
    let path = std::path::absolute(path).map_err(|error| failure::io("find", path, error))?;
    if path.is_file() {
        return Ok(path);
    }
    let found = path.ancestors().map(|folder| folder.join("Cargo.toml")).find(|file| file.is_file());
    found.filter(|_| path.is_dir()).ok_or_else(|| {
        let text = if path.is_dir() {
            format!("there is no Cargo.toml in {} or above it", path.display())
        } else {
            format!("there is no {}", path.display())
        };
        Error::new(ErrorKind::NotFound, text)
    })
}

fn metadata(manifest: &Path) -> Result<Metadata, Error> {
    let mut command = MetadataCommand::new();
    command.cargo_path(environment::cargo()).manifest_path(manifest);
    let mut command = command.cargo_command();
    environment::scrub(&mut command);
    environment::pass_target_dir(&mut command);
    command.current_dir(manifest.parent().unwrap_or(manifest));
    let text =
        failure::printed(&mut command).map_err(|error| error.with_context("manifest", manifest.display()))?;
    MetadataCommand::parse(text).map_err(|error| {
        Error::new(ErrorKind::Internal, "cargo metadata printed what cannot be read").with_source(error)
    })
}

/// The named member of the workspace, else the package of the manifest, else the only one with actions.
fn choose<'a>(metadata: &'a Metadata, name: Option<&str>) -> Result<&'a Package, Error> {
    let members = metadata.workspace_packages();
    let names = |packages: &[&'a Package]| packages.iter().map(|p| p.name.as_str()).collect::<Vec<&str>>();
    if let Some(name) = name {
        let found = members.iter().find(|package| package.name == name);
        return found
            .copied()
            .ok_or_else(|| Error::unknown("package of the workspace", name, names(&members)));
    }
    if let Some(package) = metadata.root_package() {
        return Ok(package);
    }
    let has_actions = |package: &&&Package| dependencies(metadata, &package.id).any(|on| on.name == CORE);
    match members.iter().filter(has_actions).copied().collect::<Vec<_>>().as_slice() {
        [only] => Ok(only),
        several => {
            let named = if several.is_empty() { names(&members) } else { names(several) };
            let text = format!("the workspace has several packages; name one with -p: {}", named.join(", "));
            Err(Error::new(ErrorKind::InvalidArgument, text))
        }
    }
}

/// Whether another package can depend on it.
fn is_library(target: &cargo_metadata::Target) -> bool {
    target.kind.iter().any(|kind| matches!(kind, TargetKind::Lib | TargetKind::RLib))
}

/// What the package is built of, as it was resolved: not what only its tests need.
fn dependencies<'a>(metadata: &'a Metadata, id: &PackageId) -> impl Iterator<Item = &'a Package> {
    let nodes = metadata.resolve.iter().flat_map(|graph| &graph.nodes);
    let edges = nodes.filter(move |node| node.id == *id).flat_map(|node| &node.deps);
    let built =
        edges.filter(|edge| edge.dep_kinds.iter().any(|kind| kind.kind != DependencyKind::Development));
    built.map(|edge| &metadata[&edge.pkg])
}

/// The package and those that it is built of, as far as they are folders of this machine.
fn local<'a>(metadata: &'a Metadata, package: &'a Package) -> Vec<&'a Package> {
    let mut seen = BTreeSet::from([&package.id]);
    let mut found = vec![package];
    let mut next = 0;
    while let Some(package) = found.get(next) {
        next += 1;
        for dependency in dependencies(metadata, &package.id) {
            if dependency.source.is_none() && seen.insert(&dependency.id) {
                found.push(dependency);
            }
        }
    }
    found
}

fn parent(package: &Package) -> &Path {
    package.manifest_path.parent().unwrap_or(&package.manifest_path).as_std_path()
}

/// The path of `actions`, from `[package.metadata.faas]`.
fn actions(package: &Package) -> Result<String, Error> {
    let Some(named) = package.metadata.get("faas").and_then(|faas| faas.get("actions")) else {
        return Ok(ACTIONS.to_owned());
    };
    let is_name = |part: &str| {
        let mut chars = part.chars();
        chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
            && chars.all(|c| c.is_alphanumeric() || c == '_')
    };
    named.as_str().filter(|path| path.split("::").all(is_name)).map(str::to_owned).ok_or_else(|| {
        let text = format!(
            "`actions` in [package.metadata.faas] of package '{}' is {named}, not a path such as \"fixtures::actions\"",
            package.name
        );
        Error::new(ErrorKind::InvalidArgument, text)
    })
}
