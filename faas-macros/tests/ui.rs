//! Programs that use `#[action]` right, and run, and programs that use it wrong, and are told so.

use std::fs;
use std::path::PathBuf;

#[test]
fn right_uses_compile_and_run() {
    assert_eq!(programs("pass").len(), 18);
    trybuild::TestCases::new().pass("tests/ui/pass/*.rs");
}

#[test]
fn wrong_uses_are_explained() {
    let programs = programs("fail");
    assert_eq!(programs.len(), 37);
    // trybuild lets a program without a pinned message pass.
    for program in programs {
        assert!(program.with_extension("stderr").exists(), "{} has no pinned message", program.display());
    }
    trybuild::TestCases::new().compile_fail("tests/ui/fail/*.rs");
}

fn programs(folder: &str) -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/ui").join(folder);
    let files = fs::read_dir(folder).expect("the folder exists").map(|entry| entry.expect("an entry").path());
    files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}
