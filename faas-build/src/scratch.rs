//! Folders for the unit tests, below the target folder as all that checks write.

use std::env;
use std::fs;
use std::path::PathBuf;

/// An empty folder of the test's own.
pub(crate) fn folder(test: &str) -> PathBuf {
    let program = env::current_exe().expect("the path of the tests");
    // `target/debug/deps/faas_build-<hash>`
    let target = program.ancestors().nth(3).expect("the target folder");
    let folder = target.join("tmp/faas-build-unit").join(test);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}
