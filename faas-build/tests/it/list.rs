//! Listing what a crate exports, which needs no compiler for Wasm.

use std::path::{Component, Path};

use faas_build::{Build, Output};
use faas_core::ErrorKind;
use faas_core::artifact::Description;

use crate::world::{DEPENDS, cargo_faas, fails, one_action, package, stderr, succeeds, workspace, world};

const LIBRARY: &str = r#"
use faas_core::{InitContext, action, actions};

actions![greet, settle; init = setup];

async fn setup(_: InitContext) -> Result<u32, std::convert::Infallible> {
    Ok(1)
}

/// Greets whoever asks.
#[action(memory = "16MiB", timeout = "1500ms", retries = 2)]
pub fn greet() -> Vec<String> {
    Vec::new()
}

#[action(package = "orders")]
pub fn settle() {}
"#;

fn stdout(folder: &Path, args: &[&str]) -> String {
    let output = cargo_faas(folder, args).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_a_crate_exports_is_shown_for_people_and_for_programs() {
    let app = package("listed", DEPENDS, LIBRARY);
    let table = stdout(&app, &["list"]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(
        lines,
        [
            "NAME           MEMORY   TIMEOUT  RETRIES  DESCRIPTION",
            "greet          16 MiB   1.5s     2        Greets whoever asks.",
            "orders/settle  256 MiB  60s      0",
            "",
            "Their shared state is built by an init function, once in each sandbox.",
        ]
    );
    let json: Description = serde_json::from_str(&stdout(&app, &["list", "--json", "--quiet"])).unwrap();
    assert_eq!((json.abi, json.init, json.actions.len()), (1, true, 2));
    let library = Build::new(&app).output(Output::Quiet).list().unwrap();
    assert_eq!(library.actions[1].name, json.actions[1].name);
}

#[test]
fn a_crate_without_a_list_is_told_how_to_make_one() {
    let app = package("unlisted", DEPENDS, &one_action("alone").replace("faas_core::actions![alone];", ""));
    let said = fails(cargo_faas(&app, &["list"]));
    let hint = "error: 'unlisted' has no public function `actions`: put `faas_core::actions![…]` with all its \
                actions at the root of src/lib.rs, or name the path of the function as `actions` in \
                [package.metadata.faas]";
    assert!(said.contains(hint), "{said}");
    assert!(said.contains("error[E0425]: cannot find function `actions` in crate `app`"), "{said}");
}

#[test]
fn a_list_that_is_private_or_named_wrongly_is_told_apart_from_other_mistakes() {
    let private = one_action("hidden")
        .replace("faas_core::actions!", "mod inner {\n    use super::*;\n    faas_core::actions!");
    let named = format!("[package.metadata.faas]\nactions = \"inner::actions\"\n\n{DEPENDS}");
    let app = package("private", &named, &(private + "}\n"));
    let said = fails(cargo_faas(&app, &["list"]));
    assert!(said.contains("error: 'private' has no public function `inner::actions`: "), "{said}");

    let other = one_action("hidden").replace("\"one\".to_owned()", "1");
    let app = package("mistaken", DEPENDS, &other);
    let error = Build::new(&app).output(Output::Quiet).list().unwrap_err();
    assert_eq!((error.kind(), error.operation()), (ErrorKind::InvalidArgument, "list"));
    assert_eq!(error.message(), "'mistaken' does not build: mismatched types");
    assert!(format!("{error:?}").contains("error[E0308]: mismatched types"), "{error:?}");
}

#[test]
fn a_program_that_fails_to_list_is_shown() {
    let panicking = format!(
        "{}\npub fn panicking() -> faas_core::ActionSet {{\n    panic!(\"no list today\")\n}}\n",
        one_action("one")
    );
    let named = format!("[package.metadata.faas]\nactions = \"panicking\"\n\n{DEPENDS}");
    let app = package("panicking", &named, &panicking);
    let said = fails(cargo_faas(&app, &["list", "--quiet"]));
    assert!(said.contains("no list today"), "{said}");
}

#[test]
fn a_core_that_the_workspace_patches_is_the_one_that_is_used() {
    // No registry has it here, so that only the patches can give it. Their paths are relative to the package: up to
    // the root of the file system, and down again.
    let names = |path: &Path| path.components().filter(|part| matches!(part, Component::Normal(_))).count();
    let up = "../".repeat(names(&world().join("patched")));
    let down = workspace().canonicalize().unwrap().to_str().unwrap().trim_start_matches('/').to_owned();
    let patch = |name: &str| format!("{name} = {{ path = {:?} }}\n", format!("{up}{down}/{name}"));
    let patches = [patch("faas-core"), patch("faas-macros")].concat();
    let depends = DEPENDS.replace("path = CORE", "version = \"0.1\"");
    let app = package("patched", &format!("{depends}\n[patch.crates-io]\n{patches}"), &one_action("one"));
    succeeds(cargo_faas(&app, &["list"]));
}
