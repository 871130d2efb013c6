//! Debian's packages, where this is a Debian and we are its root.

use std::env;
use std::path::Path;
use std::process::Command;

use crate::process;

/// Installs the packages; else says why that cannot be.
pub(super) fn install(packages: &[&str]) -> Result<(), String> {
    possible()?;
    // The lists of a fresh machine are empty or old. Where they cannot be had, the install below says so.
    process::succeeds(apt_get().arg("update"));
    let mut install = apt_get();
    install.args(["install", "--yes", "--no-install-recommends"]).args(packages);
    match process::run(&mut install) {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("apt-get install: {status}")),
        Err(error) => Err(format!("{error:#}")),
    }
}

/// Says why nothing can be installed here, if so.
pub(super) fn possible() -> Result<(), String> {
    check_possible(&env::var("PATH").unwrap_or_default(), is_root())
}

fn apt_get() -> Command {
    let mut apt_get = Command::new("apt-get");
    // Nobody is there to answer.
    apt_get.env("DEBIAN_FRONTEND", "noninteractive").arg("--quiet");
    apt_get
}

fn check_possible(path: &str, root: bool) -> Result<(), String> {
    if !finds(path, "apt-get") {
        return Err("there is no apt-get".to_owned());
    }
    if root { Ok(()) } else { Err("only root may use apt-get".to_owned()) }
}

/// Whether the program is on the search path.
fn finds(path: &str, program: &str) -> bool {
    env::split_paths(path).any(|folder| Path::new(&folder).join(program).is_file())
}

/// Whether we are root.
pub(super) fn is_root() -> bool {
    process::capture(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0")
}

#[cfg(test)]
mod tests {
    use super::{check_possible, finds};
    use crate::scratch::Scratch;

    #[test]
    fn a_machine_without_apt_or_a_user_without_rights_is_told() {
        let machine = Scratch::new("apt");
        let path = machine.path("bin").display().to_string();
        assert_eq!(check_possible(&path, true).expect_err("no apt"), "there is no apt-get");
        machine.file("bin/apt-get");
        assert!(finds(&path, "apt-get") && !finds(&path, "apt"));
        assert_eq!(check_possible(&path, false).expect_err("no root"), "only root may use apt-get");
        assert_eq!(check_possible(&path, true), Ok(()));
    }
}
