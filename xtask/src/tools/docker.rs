//! Docker's engine, for the tests and goals of the Docker backend.

use std::env;
use std::path::{Path, PathBuf};

use super::apt;
use crate::engine;
use crate::report::Outcome;

/// Debian's package, and the program.
const PACKAGE: &str = "docker.io";
const PROGRAM: &str = "dockerd";

/// Where the program is where the search path does not lead to it: it is for root, whose path has this.
const PROGRAMS: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];

/// The program, if we may run an engine of our own by it; else why not.
pub(super) fn program() -> Result<PathBuf, String> {
    possible()?;
    let path = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&path).chain(PROGRAMS.map(PathBuf::from));
    find(folders).ok_or_else(|| format!("{PROGRAM} is not installed; --install gets it"))
}

/// Gets the engine where none runs and none could be started for want of it.
///
/// Where no engine of our own can be started, there is nothing to get.
pub(super) fn install() -> Outcome {
    if engine::runs() || program().is_ok() {
        return Outcome::default();
    }
    if let Err(reason) = possible().and_then(|()| apt::possible()) {
        println!("no container engine runs, and none can be installed: {reason}");
        return Outcome::default();
    }
    let installed = apt::install(&[PACKAGE]);
    if program().is_ok() {
        return Outcome::passed();
    }
    let reason = installed.err().unwrap_or_else(|| format!("the package has no {PROGRAM}"));
    Outcome::failed(format!(
        "no container engine could be installed ({reason}): start Docker or Podman, or on Debian run as root \
         `apt-get install {PACKAGE}`"
    ))
}

fn possible() -> Result<(), String> {
    if !cfg!(target_os = "linux") {
        return Err("an engine of our own needs Linux".to_owned());
    }
    if apt::is_root() { Ok(()) } else { Err("only root may run an engine of our own".to_owned()) }
}

fn find(folders: impl IntoIterator<Item = PathBuf>) -> Option<PathBuf> {
    folders.into_iter().map(|folder| folder.join(Path::new(PROGRAM))).find(|program| program.is_file())
}

#[cfg(test)]
mod tests {
    use super::find;
    use crate::scratch::Scratch;

    #[test]
    fn the_first_folder_with_the_program_has_it() {
        let machine = Scratch::new("dockerd");
        let folders = || ["a", "b", "c"].map(|name| machine.path(name));
        assert_eq!(find(folders()), None);
        let program = machine.file("b/dockerd");
        machine.file("c/dockerd");
        assert_eq!(find(folders()), Some(program));
    }
}
