//! Input that cannot be built, and what is said of it.

use std::path::{Path, PathBuf};

use faas_build::Build;
use faas_core::ErrorKind;

use crate::world::{DEPENDS, build, cargo_faas, copy_lock, fails, one_action, package, world, write};

/// What `cargo faas build --backend wasm` says of the folder, in its last line that is an error.
fn refused(folder: &Path) -> String {
    let said = fails(build(folder));
    let (_, error) = said.rsplit_once("error: ").unwrap_or_else(|| panic!("{said}"));
    error.lines().next().unwrap_or_default().to_owned()
}

/// A workspace without a package at its root.
fn virtual_workspace(name: &str, members: &[(&str, &str)]) -> PathBuf {
    let root = world().join(name);
    let names = members.iter().map(|(member, _)| format!("{member:?}")).collect::<Vec<_>>().join(", ");
    write(&root.join("Cargo.toml"), &format!("[workspace]\nresolver = \"3\"\nmembers = [{names}]\n"));
    for (member, depends) in members {
        let folder = package(&format!("{name}/{member}"), depends, &one_action("one"));
        let own = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        let own = own.replace(&format!("{name}/{member}"), member).replace("[workspace]\n", "");
        std::fs::write(folder.join("Cargo.toml"), own).unwrap();
    }
    copy_lock(&root);
    root
}

#[test]
fn an_unknown_backend_lists_the_known_ones() {
    let app = package("backends", DEPENDS, &one_action("one"));
    for (backend, known) in [
        ("dockers", "docker, lambda, wasm"),
        ("lambdas", "lambda, docker, wasm"),
        ("", "docker, lambda, wasm"),
    ] {
        let said = fails(cargo_faas(&app, &["build", "--backend", backend]));
        let unknown = format!("error: no backend to build for is named '{backend}'; known: {known}\n");
        assert_eq!(said, unknown);
    }
    let error = Build::new(&app).run("lambdas").unwrap_err();
    assert_eq!((error.kind(), error.operation()), (ErrorKind::NotFound, "build"));
}

#[test]
fn an_unknown_compiler_lists_the_known_ones() {
    let app = package("backends", DEPENDS, &one_action("one"));
    let mut command = build(&app);
    command.env("FAAS_WASM_COMPILER", "gcc");
    let said = fails(command);
    assert!(
        said.contains("no compiler for Wasm is named 'gcc'; known: auto, debian, installed, rustup"),
        "{said}"
    );
    let output = cargo_faas(&app, &["build", "--backend", "wasm", "--compiler", "gcc"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "as clap ends it");
}

#[test]
fn a_path_that_leads_nowhere_is_named() {
    let nowhere = world().join("nowhere");
    let said = fails(cargo_faas(world(), &["list", "--manifest-path", nowhere.to_str().unwrap()]));
    assert_eq!(said, format!("error: there is no {}\n", nowhere.display()));
    let error = Build::new(std::env::temp_dir().ancestors().last().unwrap()).list().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.message().starts_with("there is no Cargo.toml in "), "{error}");
}

#[test]
fn a_manifest_that_cargo_refuses_is_shown_as_cargo_does() {
    let app = package("malformed", "[dependencies]\nfaas-core = 7\n", "");
    let said = fails(cargo_faas(&app, &["list"]));
    assert!(said.contains("cargo failed: invalid type: integer `7`"), "{said}");
    assert!(said.contains("faas-core = 7"), "{said}");
}

#[test]
fn a_package_without_a_library_is_refused() {
    let app = package("no-library", DEPENDS, "");
    std::fs::rename(app.join("src/lib.rs"), app.join("src/main.rs")).unwrap();
    write(&app.join("src/main.rs"), "fn main() {}\n");
    assert_eq!(refused(&app), "package 'no-library' has no library: its actions belong into src/lib.rs");
}

#[test]
fn a_package_without_core_is_refused() {
    // A dependency that only its tests have does not count.
    let app = package("no-core", &DEPENDS.replace("[dependencies]", "[dev-dependencies]"), "");
    assert_eq!(refused(&app), "package 'no-core' does not depend on faas-core, so it has no actions");
}

#[test]
fn a_path_of_actions_that_is_none_is_refused() {
    for (name, path) in [("path-a", "\"a::\""), ("path-b", "\"a(); b\""), ("path-c", "7")] {
        let app = package(name, &format!("[package.metadata.faas]\nactions = {path}\n\n{DEPENDS}"), "");
        let said = refused(&app);
        assert!(
            said.starts_with(&format!("`actions` in [package.metadata.faas] of package '{name}' is ")),
            "{said}"
        );
        assert!(said.ends_with("not a path such as \"fixtures::actions\""), "{said}");
    }
}

#[test]
fn a_package_of_a_workspace_is_chosen_by_name_or_because_it_is_the_only_one_with_actions() {
    let root =
        virtual_workspace("several", &[("several-a", DEPENDS), ("several-b", DEPENDS), ("several-c", "")]);
    assert_eq!(refused(&root), "the workspace has several packages; name one with -p: several-a, several-b");
    let said = fails(cargo_faas(&root, &["list", "-p", "several-z"]));
    let known = "known: several-a, several-b, several-c";
    assert_eq!(said, format!("error: no package of the workspace is named 'several-z'; {known}\n"));
    // From a folder of the workspace as well, and by name also from a neighbour's.
    let inner = root.join("several-c/src");
    assert_eq!(refused(&inner), "package 'several-c' does not depend on faas-core, so it has no actions");
    let named = cargo_faas(&inner, &["list", "-p", "several-b"]);
    crate::world::succeeds(named);

    let root = virtual_workspace("single", &[("single-a", DEPENDS), ("single-b", "")]);
    crate::world::succeeds(cargo_faas(&root, &["list"]));
}
