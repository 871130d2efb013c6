//! Shim packages: the package around a crate that becomes a Wasm module or a program.
//!
//! A shim depends on the crate's library without its default features, and on the same `faas-core` with what
//! the inside of a sandbox needs. It is a workspace of its own, so that exports, features and profile exist
//! nowhere else; the versions and patches are those of the crate's workspace.

use std::fs;
use std::path::{Path, PathBuf};

use faas_core::{Error, ErrorKind};
use toml::{Table, Value};

use crate::app::App;
use crate::{failure, files};

/// By which name a shim knows the crate.
pub(crate) const APP: &str = "app";

/// What makes the shims of one backend differ from those of another.
pub(crate) struct Recipe<'a> {
    /// The backend; the shim's folder and package are named by it.
    pub(crate) suffix: &'a str,
    /// The features of `faas-core` besides those that the crate turns on.
    pub(crate) features: &'a [&'a str],
    /// What it depends on besides: names and versions.
    pub(crate) dependencies: &'a [(&'a str, &'a str)],
    /// `lib.rs` or `main.rs`.
    pub(crate) file: &'a str,
    /// The content of that file.
    pub(crate) code: String,
    /// The rest of the manifest, as TOML.
    pub(crate) manifest: &'a str,
}

/// A shim package on disk.
pub(crate) struct Shim {
    /// Its `Cargo.toml`.
    pub(crate) manifest: PathBuf,
    /// The name of its library or program, as cargo's messages call it.
    pub(crate) target: String,
}

/// Writes the shim for the crate; what is there and right is left as it is, so that cargo finds it fresh.
pub(crate) fn write(app: &App, recipe: &Recipe<'_>) -> Result<Shim, Error> {
    let folder = app.target.join("shim").join(format!("{}-{}", app.name, recipe.suffix));
    let package = format!("{}-faas-{}", app.name, recipe.suffix);
    let patches = patches(&app.root)?;
    let manifest = format!(
        "# Written by cargo-faas, and written again when it differs.\n\n{}",
        manifest(app, recipe, &package, patches)?
    );
    files::update(&folder.join("src").join(recipe.file), recipe.code.as_bytes())?;
    let changed = files::update(&folder.join("Cargo.toml"), manifest.as_bytes())?;
    copy_lock(&app.root, &folder, changed)?;
    let target = if recipe.file == "lib.rs" { package.replace('-', "_") } else { package };
    Ok(Shim { manifest: folder.join("Cargo.toml"), target })
}

/// The shim's `Cargo.toml`.
fn manifest(app: &App, recipe: &Recipe<'_>, package: &str, patches: Option<Table>) -> Result<Table, Error> {
    let mut manifest: Table = recipe.manifest.parse().map_err(|error| {
        Error::new(ErrorKind::Internal, "a shim's manifest is not TOML").with_source(error)
    })?;
    manifest.insert(
        "package".to_owned(),
        Value::Table(Table::from_iter([
            ("name".to_owned(), package.into()),
            ("version".to_owned(), "0.0.0".into()),
            ("edition".to_owned(), "2024".into()),
            ("publish".to_owned(), false.into()),
        ])),
    );
    let mut dependencies = Table::from_iter([
        (
            APP.to_owned(),
            Value::Table(Table::from_iter([
                ("package".to_owned(), app.name.as_str().into()),
                ("path".to_owned(), text(&app.folder)?.into()),
                ("default-features".to_owned(), false.into()),
            ])),
        ),
        ("faas-core".to_owned(), Value::Table(core(app, recipe))),
    ]);
    dependencies
        .extend(recipe.dependencies.iter().map(|(name, version)| ((*name).to_owned(), (*version).into())));
    manifest.insert("dependencies".to_owned(), Value::Table(dependencies));
    manifest.insert("workspace".to_owned(), Value::Table(Table::new()));
    if let Some(patches) = patches {
        manifest.insert("patch".to_owned(), Value::Table(patches));
    }
    Ok(manifest)
}

fn core(app: &App, recipe: &Recipe<'_>) -> Table {
    let mut core = app.core.clone();
    core.insert("default-features".to_owned(), false.into());
    if !recipe.features.is_empty() {
        core.insert(
            "features".to_owned(),
            Value::Array(recipe.features.iter().copied().map(Value::from).collect()),
        );
    }
    core
}

/// The `[patch]` sections of the workspace, which count only at the root of one. Their paths are made absolute.
fn patches(root: &Path) -> Result<Option<Table>, Error> {
    let path = root.join("Cargo.toml");
    let text = fs::read_to_string(&path).map_err(|error| failure::io("read", &path, error))?;
    let mut manifest: Table = text.parse().map_err(|error| {
        Error::new(ErrorKind::InvalidArgument, format!("cannot read {}", path.display())).with_source(error)
    })?;
    let Some(Value::Table(mut patches)) = manifest.remove("patch") else { return Ok(None) };
    let sources = patches.iter_mut().filter_map(|(_, source)| source.as_table_mut());
    for (_, entry) in sources.flat_map(Table::iter_mut) {
        if let Some(Value::String(path)) = entry.get_mut("path") {
            *path = self::text(&root.join(&*path))?.to_owned();
        }
    }
    Ok(Some(patches))
}

/// Gives the shim the versions that the workspace has locked.
///
/// Cargo adds the shim to its copy and removes what it does not need. So beside it lies what it was made of: only
/// where that has changed, or the shim has, the versions are taken over again.
fn copy_lock(root: &Path, folder: &Path, changed: bool) -> Result<(), Error> {
    let path = root.join("Cargo.lock");
    let Ok(lock) = fs::read(&path) else { return Ok(()) };
    let (copy, origin) = (folder.join("Cargo.lock"), folder.join("Cargo.lock.workspace"));
    let same = || fs::read(&origin).is_ok_and(|origin| origin == lock);
    if changed || !copy.is_file() || !same() {
        files::replace(&copy, &lock)?;
        files::replace(&origin, &lock)?;
    }
    Ok(())
}

fn text(path: &Path) -> Result<&str, Error> {
    path.to_str().ok_or_else(|| {
        let text = format!("the path {} is not valid UTF-8, which a manifest has to be", path.display());
        Error::new(ErrorKind::Unsupported, text)
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use toml::Table;

    use super::{Recipe, write};
    use crate::app::App;
    use crate::scratch;

    /// An app in a workspace whose root has that manifest and that lock file, in a folder of the test's own.
    fn app(test: &str, root: &str, lock: &str) -> App {
        let root_folder = scratch::folder(test);
        fs::write(root_folder.join("Cargo.toml"), root).expect("a manifest");
        fs::write(root_folder.join("Cargo.lock"), lock).expect("a lock file");
        App {
            name: "my-app".to_owned(),
            version: "1.2.3".to_owned(),
            folder: root_folder.join("my app"),
            target: root_folder.join("target/faas"),
            root: root_folder,
            actions: "actions".to_owned(),
            core: "version = \"=0.1.0\"".parse().expect("TOML"),
            manifests: Vec::new(),
            has_build_script: false,
        }
    }

    fn recipe() -> Recipe<'static> {
        Recipe {
            suffix: "wasm",
            features: &["guest-wasi"],
            dependencies: &[("serde_json", "1")],
            file: "lib.rs",
            code: "fn a() {}\n".to_owned(),
            manifest: "[lib]\ncrate-type = [\"cdylib\"]\n",
        }
    }

    fn read(path: impl AsRef<Path>) -> String {
        fs::read_to_string(path).expect("a file")
    }

    fn shim(app: &App) -> (PathBuf, Table) {
        let shim = write(app, &recipe()).expect("a shim");
        assert_eq!(shim.target, "my_app_faas_wasm");
        let folder = app.target.join("shim/my-app-wasm");
        assert_eq!(shim.manifest, folder.join("Cargo.toml"));
        let manifest = read(&shim.manifest).parse().expect("TOML");
        (folder, manifest)
    }

    #[test]
    fn a_shim_depends_on_the_library_and_on_the_same_core() {
        let app = app("depends", "[workspace]\n", "");
        let (folder, manifest) = shim(&app);
        let library = &manifest["dependencies"]["app"];
        assert_eq!(library["package"].as_str(), Some("my-app"));
        assert_eq!(library["path"].as_str(), app.folder.to_str());
        assert_eq!(library["default-features"].as_bool(), Some(false));
        let core = &manifest["dependencies"]["faas-core"];
        assert_eq!(core["version"].as_str(), Some("=0.1.0"));
        assert_eq!(core["default-features"].as_bool(), Some(false));
        assert_eq!(
            core["features"].as_array().map(|features| features[0].as_str()),
            Some(Some("guest-wasi"))
        );
        assert_eq!(manifest["dependencies"]["serde_json"].as_str(), Some("1"));
        assert!(manifest["workspace"].as_table().is_some_and(Table::is_empty));
        assert!(!manifest.contains_key("patch"));
        assert_eq!(read(folder.join("src/lib.rs")), "fn a() {}\n");
    }

    #[test]
    fn patches_come_along_with_absolute_paths() {
        let patches = "
[patch.crates-io]
near = { path = \"vendor/near\" }
far = { git = \"https://example.com/far\", branch = \"main\" }
[patch.\"https://example.com/other\"]
other = { path = \"../other\", package = \"another\" }
";
        let app = app("patches", patches, "");
        let (_, manifest) = shim(&app);
        let path = |source: &str, name: &str| {
            manifest["patch"][source][name]["path"].as_str().map(PathBuf::from).expect("a path")
        };
        assert_eq!(path("crates-io", "near"), app.root.join("vendor/near"));
        assert_eq!(path("https://example.com/other", "other"), app.root.join("../other"));
        assert_eq!(
            manifest["patch"]["https://example.com/other"]["other"]["package"].as_str(),
            Some("another")
        );
        assert_eq!(manifest["patch"]["crates-io"]["far"]["branch"].as_str(), Some("main"));
    }

    #[test]
    fn the_lock_file_is_taken_over_again_only_when_it_changed() {
        let app = app("lock", "[workspace]\n", "one");
        let (folder, _) = shim(&app);
        let lock = folder.join("Cargo.lock");
        assert_eq!(read(&lock), "one");
        fs::write(&lock, "one, as cargo made it").expect("a lock file");
        shim(&app);
        assert_eq!(read(&lock), "one, as cargo made it");
        fs::write(app.root.join("Cargo.lock"), "two").expect("a lock file");
        shim(&app);
        assert_eq!(read(&lock), "two");
    }

    #[test]
    fn an_unchanged_shim_is_left_alone() {
        let app = app("unchanged", "[workspace]\n", "");
        let (folder, _) = shim(&app);
        let changed = |file: &str| {
            fs::metadata(folder.join(file)).and_then(|metadata| metadata.modified()).expect("a time")
        };
        let before = (changed("Cargo.toml"), changed("src/lib.rs"), changed("Cargo.lock"));
        shim(&app);
        assert_eq!(before, (changed("Cargo.toml"), changed("src/lib.rs"), changed("Cargo.lock")));
    }
}
