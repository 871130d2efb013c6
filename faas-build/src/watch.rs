//! Finding out without cargo that nothing has changed since the last build.
//!
//! A suite may have a hundred processes that all need the same artifact, and cargo takes a third of a second to
//! find it fresh. So a build leaves a list of all that it depends on, with the time of each file's last change;
//! while that holds, the artifact is taken without a cargo. Whenever the list is in doubt there is none, and
//! cargo decides.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use faas_core::artifact::MANIFEST;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::{artifact, environment, files};

/// How coarsely file systems may tell the time of a change. Arbitrary: two ticks of the slowest kernel clock.
const TICK: Duration = Duration::from_millis(20);

/// Files of cargo and rustup that count in a folder and in all above it.
const CONFIGURATION: [&str; 4] =
    [".cargo/config.toml", ".cargo/config", "rust-toolchain.toml", "rust-toolchain"];

/// An artifact and all that it depends on.
#[derive(Serialize, Deserialize)]
struct Watch {
    /// The version of this library, which decides what is built of a crate.
    version: String,
    /// The folder of the artifact.
    folder: PathBuf,
    /// The files, with what they were.
    files: Vec<(PathBuf, State)>,
}

/// A file's size and the time of its last change in nanoseconds since 1970; `None` if there is no such file.
type State = Option<(u64, u64)>;

/// The folder of the artifact for what `key` asks, if it is as its build left it, and its sources too.
pub(crate) fn recall(crate_folder: &Path, key: &str) -> Option<PathBuf> {
    let name = Path::new("faas/fresh").join(name(key));
    let targets = match environment::target_dir() {
        Some(folder) => vec![folder],
        None => crate_folder.ancestors().map(|folder| folder.join("target")).collect(),
    };
    targets.iter().find_map(|target| {
        let watch: Watch = serde_json::from_slice(&fs::read(target.join(&name)).ok()?).ok()?;
        let same = watch.version == env!("CARGO_PKG_VERSION")
            && watch.files.iter().all(|(path, was)| state(path) == *was);
        same.then_some(watch.folder)
    })
}

/// Remembers the artifact that a build begun at `started` left in `folder`, made of `sources`.
///
/// It is not remembered if a file changed meanwhile, since nobody knows which of the two the compiler saw; nor
/// if a build script may have looked at files that nothing lists.
pub(crate) fn remember(
    app: &App,
    key: &str,
    folder: &Path,
    file: &str,
    sources: &[PathBuf],
    started: SystemTime,
) {
    let note = app.target.join("fresh").join(name(key));
    let before = started.checked_sub(TICK).unwrap_or(started);
    let listed = sources.iter().chain(&app.manifests).cloned();
    let read: Vec<(PathBuf, State)> =
        listed.chain(configuration(app)).map(|path| (path.clone(), state(&path))).collect();
    // What is below the target folder was written for this very build, by who holds its lock.
    let doubtful = |(path, state): &(PathBuf, State)| {
        let late = state.is_some_and(|(_, changed)| changed >= nanoseconds(before));
        path.is_relative() || late && !path.starts_with(&app.target)
    };
    if app.has_build_script || sources.is_empty() || read.iter().any(doubtful) {
        let _ = fs::remove_file(note);
        return;
    }
    let own = [folder.join(file), folder.join(MANIFEST)].map(|path| (path.clone(), state(&path)));
    let watch = Watch {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        folder: folder.to_owned(),
        files: read.into_iter().chain(own).collect(),
    };
    // Without the list the next process asks cargo, which is slower and as good.
    if let Ok(text) = serde_json::to_vec(&watch) {
        let _ = files::replace(&note, &text);
    }
}

/// The files that a dependency file of cargo lists: `output: file file`, with a backslash before a space.
pub(crate) fn listed(path: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string(path).unwrap_or_default();
    let Some((_, files)) = text.split_once(": ") else { return Vec::new() };
    let files = files.trim_end().replace("\\ ", "\0");
    files.split(' ').filter(|file| !file.is_empty()).map(|file| file.replace('\0', " ").into()).collect()
}

/// The files that decide which toolchain and which versions are used, whether they are there or not.
fn configuration(app: &App) -> Vec<PathBuf> {
    let home = |variable: &str, folder: &str| {
        env::var_os(variable).map(PathBuf::from).or_else(|| Some(env::home_dir()?.join(folder)))
    };
    let cargo = home("CARGO_HOME", ".cargo").map(|home| home.join("config.toml"));
    let rustup = home("RUSTUP_HOME", ".rustup").map(|home| home.join("settings.toml"));
    let above = app.folder.ancestors();
    let above = above.flat_map(|folder| CONFIGURATION.iter().map(|name| folder.join(name)));
    let workspace = ["Cargo.toml", "Cargo.lock"].map(|name| app.root.join(name));
    above.chain(workspace).chain(cargo).chain(rustup).collect()
}

fn state(path: &Path) -> State {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.len(), nanoseconds(metadata.modified().ok()?)))
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

fn name(key: &str) -> String {
    format!("{}.json", &artifact::digest(key.as_bytes())[..32])
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{listed, state};
    use crate::scratch;

    #[test]
    fn a_dependency_file_lists_paths_with_spaces_too() {
        let folder = scratch::folder("watch");
        let file = folder.join("app.d");
        fs::write(&file, "/t/app.wasm: /a/src/lib.rs /b\\ c/src/lib.rs\n").expect("a file");
        let found: Vec<_> =
            listed(&file).into_iter().map(|path| path.to_string_lossy().into_owned()).collect();
        assert_eq!(found, ["/a/src/lib.rs", "/b c/src/lib.rs"]);
        assert!(listed(&folder.join("none.d")).is_empty());
        assert!(state(&file).is_some() && state(&folder.join("none")).is_none());
    }
}
