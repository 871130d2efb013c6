//! The app template: built and tested as the crate of somebody who copied it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::built::{target, text};

/// A copy of the template outside of the workspace, with the versions that the workspace has locked, so that
/// nothing is fetched and nothing written beside the sources.
fn copy() -> PathBuf {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (template, copy) = (examples.join("app-template"), target().join("app-template/package"));
    for file in ["Cargo.toml", "src/lib.rs", "src/main.rs", "tests/app.rs"] {
        fs::create_dir_all(copy.join(file).parent().unwrap()).unwrap();
        fs::copy(template.join(file), copy.join(file)).unwrap();
    }
    let manifest = fs::read_to_string(copy.join("Cargo.toml")).unwrap();
    let core = format!("path = {:?}", examples.join("../faas-core"));
    assert!(manifest.contains(r#"path = "../../faas-core""#), "{manifest}");
    let manifest = manifest.replace(r#"path = "../../faas-core""#, &core) + "\n[workspace]\n";
    fs::write(copy.join("Cargo.toml"), manifest).unwrap();
    fs::copy(examples.join("../Cargo.lock"), copy.join("Cargo.lock")).unwrap();
    copy
}

#[test]
fn the_template_builds_with_and_without_its_host_and_passes_its_tests() {
    let copy = copy();
    let cargo = |args: &[&str]| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(args).args(["--offline", "--target-dir"]).arg(target().join("app-template"));
        text(&cargo.current_dir(&copy).output().unwrap())
    };
    let tested = cargo(&["test"]);
    assert!(tested.contains("test tests::a_greeting_is_polite ... ok"), "{tested}");
    assert!(tested.contains("test whoever_has_a_name_is_greeted ... ok"), "{tested}");
    assert!(tested.contains("test without_a_name_there_is_a_record_of_the_failure ... ok"), "{tested}");
    cargo(&["build"]);
    let program = target().join("app-template/debug/app-template");
    let greeted = text(&Command::new(program).args(["Ada", "Grace"]).output().unwrap());
    assert_eq!(greeted, "Hello, Ada!\nHello, Grace!\n");

    cargo(&["build", "--lib", "--no-default-features"]);
    let mut tree = Command::new(env!("CARGO"));
    tree.args(["tree", "--offline", "--no-default-features", "--edges", "normal", "--prefix", "none"]);
    let tree = text(&tree.current_dir(&copy).output().unwrap());
    assert!(tree.contains("faas-core"), "{tree}");
    assert!(!tree.contains("tokio"), "the library alone has a runtime:\n{tree}");
}
