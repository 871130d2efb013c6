//! Finding a compiler, with stand-ins for rustup and rustc.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use faas_build::{Build, COMPILER_VARIABLE, Output};

use crate::world::{DEPENDS, cargo_faas, fails, one_action, package, write};

/// The folder of the real cargo and rustc.
fn toolchain() -> &'static Path {
    Path::new(env!("CARGO")).parent().unwrap()
}

/// A crate in a target folder of its own, and a search path with a rustc that looks for the target's libraries in
/// `libraries`, and a rustup that counts its calls in `calls` and then does `rustup`.
fn stand_ins(name: &str, rustup: &str) -> (PathBuf, PathBuf) {
    let app = package(name, DEPENDS, &one_action("one"));
    write(&app.join(".cargo/config.toml"), "[build]\ntarget-dir = \"target\"\n");
    let _ = fs::remove_dir_all(app.join("target"));
    let programs = app.join("programs");
    let _ = fs::remove_dir_all(&programs);
    let libraries = programs.join("root/lib/rustlib/wasm32-wasip1/lib");
    let (here, real) = (programs.display(), toolchain().display());
    let rustc = format!(
        "case \"$*\" in *target-libdir*) echo '{}' ;; *) exec '{real}/rustc' \"$@\" ;; esac",
        libraries.display()
    );
    let rustup = format!(
        "echo called >> '{here}/calls'\n{}",
        rustup.replace("LIBRARIES", &libraries.display().to_string())
    );
    for (program, script) in
        [("rustc", rustc), ("rustup", rustup), ("cargo", format!("exec '{real}/cargo' \"$@\""))]
    {
        stand_in(&programs, program, &script);
    }
    (app, programs)
}

fn stand_in(programs: &Path, program: &str, script: &str) {
    write(&programs.join(program), &format!("#!/bin/sh\n{script}\n"));
    fs::set_permissions(programs.join(program), fs::Permissions::from_mode(0o755)).unwrap();
}

/// The same with a rustc that runs on `host` and has the standard library for `target` alone, and a cargo that builds
/// nothing but notes in `flags` how it would.
fn toolchain_of(name: &str, host: &str, target: &str) -> (PathBuf, PathBuf) {
    let (app, programs) = stand_ins(name, "exit 1");
    let (root, real) = (programs.join("root/lib/rustlib"), toolchain().display());
    let rustc = format!(
        "case \"$*\" in
            -vV) '{real}/rustc' -vV | sed 's/^host: .*/host: {host}/' ;;
            *target-libdir*) for last; do :; done; echo \"{}/$last/lib\" ;;
            *) exec '{real}/rustc' \"$@\" ;;
        esac",
        root.display()
    );
    stand_in(&programs, "rustc", &rustc);
    let flags = programs.join("flags");
    let cargo = format!(
        "[ \"$1\" = build ] || exec '{real}/cargo' \"$@\"
        {{ echo \"$*\"; env | grep ^CARGO_TARGET_; }} >'{}'; exit 1",
        flags.display()
    );
    stand_in(&programs, "cargo", &cargo);
    write(&root.join(target).join("lib/libstd-0f.rlib"), "");
    (app, programs)
}

fn build(app: &Path, programs: &Path) -> Command {
    with(programs, cargo_faas(app, &["build", "--backend", "wasm", "--compiler", "rustup"]))
}

fn with(programs: &Path, mut command: Command) -> Command {
    let path = [programs, Path::new("/usr/bin"), Path::new("/bin")];
    command.env("PATH", env::join_paths(path).unwrap());
    command
}

fn calls(programs: &Path) -> usize {
    fs::read_to_string(programs.join("calls")).unwrap_or_default().lines().count()
}

#[test]
fn a_rustup_that_cannot_download_is_asked_once_and_what_to_install_is_said() {
    let (app, programs) = stand_ins("rustup-fails", "echo 'error: could not download it' >&2; exit 1");
    let said = fails(build(&app, &programs));
    let sentence = "error: no compiler for wasm32-wasip1 is installed: run `rustup target add wasm32-wasip1`, or on \
                    Debian `apt-get install rustc-web rust-web-src lld-19 wasi-libc`\n";
    assert!(said.contains(sentence), "{said}");
    assert!(said.contains("\n  rustup: could not download it\n"), "{said}");
    assert!(said.contains("Adding wasm32-wasip1 by rustup"), "{said}");

    let again = fails(build(&app, &programs));
    assert!(
        again.contains(sentence) && again.contains("could not download it (tried before; remove "),
        "{again}"
    );
    assert_eq!(calls(&programs), 1);

    // Another toolchain may have more luck, and so may this one on another day.
    let note = app.join("target/faas/rustup-failed");
    let text = fs::read_to_string(&note).unwrap();
    fs::write(&note, text.replacen("rustc", "rustc of yesterday", 1)).unwrap();
    fails(build(&app, &programs));
    assert_eq!(calls(&programs), 2);
    let yesterday = std::time::SystemTime::now() - std::time::Duration::from_secs(24 * 60 * 60 + 1);
    fs::File::options().write(true).open(&note).unwrap().set_modified(yesterday).unwrap();
    fails(build(&app, &programs));
    assert_eq!(calls(&programs), 3);
}

/// Tells a process of these tests for which crate to look for a compiler.
const ASKED: &str = "FAAS_BUILD_TEST_LOOKS_FOR";

/// What another process does: it looks for a compiler, and prints what it found.
#[test]
fn a_process_that_looks() {
    if let Some(folder) = env::var_os(ASKED) {
        println!("{:?}", Build::new(folder).output(Output::Quiet).wasm_compiler());
    }
}

/// What another process finds for the crate with that choice and those programs.
fn look(app: &Path, programs: &Path, choice: &str) -> String {
    let mut process = Command::new(env::current_exe().unwrap());
    process.args(["compilers::a_process_that_looks", "--exact", "--nocapture"]);
    process.env(ASKED, app).env(COMPILER_VARIABLE, choice).env("PATH", programs);
    String::from_utf8(process.output().unwrap().stdout).unwrap()
}

#[test]
fn a_target_that_rustup_has_added_is_used() {
    let adding = "PATH=/usr/bin:/bin; mkdir -p 'LIBRARIES' && touch 'LIBRARIES/libstd-0f.rlib'";
    let (app, programs) = stand_ins("rustup-adds", adding);
    for _ in 0..2 {
        let found = look(&app, &programs, "rustup");
        assert!(found.contains("Ok(Compiler { version: \"rustc 1."), "{found}");
        assert!(found.contains("programs/root/bin/rustc"), "{found}");
        assert_eq!(calls(&programs), 1);
    }
    assert!(!app.join("target/faas/rustup-failed").exists());
}

#[test]
fn what_is_installed_is_never_added_to() {
    let (app, programs) = stand_ins("rustup-idle", "exit 1");
    for (choice, times) in [("installed", 0), ("debian", 0), ("auto", 1)] {
        let found = look(&app, &programs, choice);
        // Debian's compiler may be there or not, but nothing else is.
        assert!(
            found.contains("Ok(Compiler") || found.contains("Err(unsupported: no compiler for "),
            "{found}"
        );
        assert_eq!(calls(&programs), times, "{choice}");
    }
}

#[test]
fn a_system_that_is_not_linux_needs_the_target_with_musl() {
    let (app, programs) = toolchain_of("darwin", "aarch64-apple-darwin", "aarch64-apple-darwin");
    let said = fails(with(&programs, cargo_faas(&app, &["build", "--backend", "docker"])));
    let sentence = "error: no compiler for static Linux programs is installed: \
                    run `rustup target add aarch64-unknown-linux-musl`\n";
    assert_eq!(said, sentence);
    assert_eq!(calls(&programs), 0, "nothing is downloaded for it");
}

#[test]
fn another_system_with_that_target_links_by_what_comes_with_the_toolchain() {
    let (app, programs) = toolchain_of("darwin-musl", "aarch64-apple-darwin", "aarch64-unknown-linux-musl");
    fails(with(&programs, cargo_faas(&app, &["build", "--backend", "docker"])));
    let flags = fs::read_to_string(programs.join("flags")).unwrap();
    assert!(flags.contains("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER=rust-lld\n"), "{flags}");
}

#[test]
fn the_target_with_musl_is_preferred_where_it_is_installed() {
    let (host, musl) = ("x86_64-unknown-linux-gnu", "x86_64-unknown-linux-musl");
    for (name, installed) in [("has-musl", musl), ("has-gnu", host)] {
        let (app, programs) = toolchain_of(name, host, installed);
        let said = fails(with(&programs, cargo_faas(&app, &["build", "--backend", "docker"])));
        assert!(said.contains(&format!("Compiling {name} for {installed} (rustc 1.")), "{said}");
        let flags = fs::read_to_string(programs.join("flags")).unwrap();
        assert!(flags.contains(&format!(" --target {installed} ")), "{flags}");
        let variable = format!("CARGO_TARGET_{}_RUSTFLAGS", installed.replace('-', "_").to_uppercase());
        assert!(flags.ends_with(&format!("\n{variable}=-C target-feature=+crt-static\n")), "{flags}");
        assert_eq!(calls(&programs), 0);
    }
}
