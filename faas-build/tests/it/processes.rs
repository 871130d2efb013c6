//! Many processes that ask for the same artifact.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use faas_build::{Build, Output as Told};

use crate::world::{DEPENDS, choice, has_compiler, one_action, package, stderr};

/// Tells a process of these tests which crate to ask for.
const ASKED: &str = "FAAS_BUILD_TEST_ASKS_FOR";

/// What another process does: it asks, and prints the answer.
#[test]
fn a_process_that_asks() {
    if let Some(folder) = env::var_os(ASKED) {
        let built = Build::new(folder).output(Told::Quiet).compiler(choice()).wasm();
        println!("{built:?}");
    }
}

/// The answer of another process. Without a cargo on its search path it can only recall what was built.
fn ask(folder: &Path, with_cargo: bool) -> String {
    let mut process = Command::new(env::current_exe().unwrap());
    process.args(["processes::a_process_that_asks", "--exact", "--nocapture"]).env(ASKED, folder);
    if !with_cargo {
        process.env("PATH", "").env_remove("CARGO");
    }
    let output: Output = process.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_further_process_needs_no_cargo_until_something_changes() {
    let app = package("asked-for", DEPENDS, &one_action("one"));
    if !has_compiler("a_further_process_needs_no_cargo_until_something_changes", &app) {
        return;
    }
    let first = Build::new(&app).compiler(choice()).wasm().unwrap();
    let answered = format!("Ok({first:?})");
    let without_cargo = |what: &str| {
        let answer = ask(&app, false);
        assert!(answer.contains("cannot start cargo"), "{what} went unnoticed: {answer}");
        let answer = ask(&app, true);
        assert!(answer.contains(&answered), "after {what}: {answer}");
        let answer = ask(&app, false);
        assert!(answer.contains(&answered), "{what} is noticed for ever: {answer}");
    };
    let answer = ask(&app, false);
    assert!(answer.contains(&answered), "{answer}");

    fs::write(app.join("src/lib.rs"), one_action("two")).unwrap();
    without_cargo("a changed source");
    let manifest = fs::read_to_string(app.join("Cargo.toml")).unwrap();
    fs::write(app.join("Cargo.toml"), manifest + "\n[lints]\n").unwrap();
    without_cargo("a changed manifest");
    fs::write(first.join("asked-for.wasm"), "damaged").unwrap();
    without_cargo("a damaged module");
    fs::write(app.join("rust-toolchain.toml"), "").unwrap();
    let answer = ask(&app, false);
    assert!(answer.contains("cannot start cargo"), "a toolchain file went unnoticed: {answer}");
    fs::remove_file(app.join("rust-toolchain.toml")).unwrap();
}

#[test]
fn within_a_process_a_crate_is_built_once() {
    let app = package("once", DEPENDS, &one_action("one"));
    if !has_compiler("within_a_process_a_crate_is_built_once", &app) {
        return;
    }
    let build = || Build::new(&app).compiler(choice()).wasm();
    let first = build().unwrap();
    // Nobody looks at the source again.
    fs::write(app.join("src/lib.rs"), "no longer Rust").unwrap();
    assert_eq!(build().unwrap(), first);
    std::thread::scope(|scope| {
        let answers: Vec<_> = (0..4).map(|_| scope.spawn(build)).collect();
        for answer in answers {
            assert_eq!(answer.join().unwrap().unwrap(), first);
        }
    });
}
