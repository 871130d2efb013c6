//! Finding a compiler, with stand-ins for rustup and rustc.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use faas_build::{Build, COMPILER_VARIABLE, Output};

use crate::world::{DEPENDS, cargo_faas, fails, one_action, package, write};

/// Has a script find the tools of the system on a search path that has none.
const TOOLS: &str = "PATH=$PATH:/usr/bin:/bin";

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
        "{TOOLS}
        case \"$*\" in
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
        {TOOLS}
        {{ echo \"$*\"; env | grep -E '^(CARGO_TARGET|CC)_'; }} >'{}'; exit 1",
        flags.display()
    );
    stand_in(&programs, "cargo", &cargo);
    has_target(&programs, target);
    (app, programs)
}

/// Has the rustc of [`toolchain_of`] find the standard library for that target too.
fn has_target(programs: &Path, target: &str) {
    write(&programs.join("root/lib/rustlib").join(target).join("lib/libstd-0f.rlib"), "");
}

fn build(app: &Path, programs: &Path) -> Command {
    with(programs, cargo_faas(app, &["build", "--backend", "wasm", "--compiler", "rustup"]))
}

fn with(programs: &Path, mut command: Command) -> Command {
    let path = [programs, Path::new("/usr/bin"), Path::new("/bin")];
    command.env("PATH", env::join_paths(path).unwrap());
    command
}

/// `cargo faas build --backend lambda` for arm64, where no compiler for C is but those among the programs.
fn build_for_arm64(app: &Path, programs: &Path) -> Command {
    alone(programs, cargo_faas(app, &["build", "--backend", "lambda", "--arch", "arm64"]))
}

/// The command, with those programs and no others.
fn alone(programs: &Path, mut command: Command) -> Command {
    command.env("PATH", programs).env_remove("TARGET_CC");
    for target in ["x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl"] {
        command.env_remove(format!("CC_{target}")).env_remove(format!("CC_{}", target.replace('-', "_")));
    }
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
        assert!(flags.contains(&format!("\n{variable}=-C target-feature=+crt-static\n")), "{flags}");
        assert_eq!(calls(&programs), 0);
    }
}

#[test]
fn another_architecture_is_linked_by_what_comes_with_the_toolchain_and_needs_a_compiler_for_c() {
    let musl = "aarch64-unknown-linux-musl";
    let (app, programs) = toolchain_of("cross", "x86_64-unknown-linux-gnu", musl);
    let said = fails(build_for_arm64(&app, &programs));
    let sentence = "error: no C compiler for aarch64-unknown-linux-musl is installed, which HTTP requests need: install \
                    one, such as Debian's package gcc-aarch64-linux-gnu, or name it in CC_aarch64_unknown_linux_musl\n";
    assert_eq!(said, sentence);

    let flags = |command: Command| {
        let said = fails(command);
        assert!(said.contains(&format!("Compiling cross for {musl} (rustc 1.")), "{said}");
        let flags = fs::read_to_string(programs.join("flags")).unwrap();
        assert!(flags.contains(&format!(" --target {musl} ")), "{flags}");
        assert!(flags.contains("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER=rust-lld\n"), "{flags}");
        flags
    };
    // Each is preferred to those before it.
    for (program, argument) in
        [("clang", ""), ("aarch64-linux-gnu-gcc", " -U_FORTIFY_SOURCE"), ("aarch64-linux-musl-gcc", "")]
    {
        stand_in(&programs, program, "exit 1");
        let found = flags(build_for_arm64(&app, &programs));
        let variable = format!("\nCC_aarch64_unknown_linux_musl={program}{argument}\n");
        assert!(found.contains(&variable), "{found}");
    }
    let mut named = build_for_arm64(&app, &programs);
    named.env("TARGET_CC", "my-gcc");
    let found = flags(named);
    assert!(found.contains("\nCC_aarch64_unknown_linux_musl=my-gcc\n"), "{found}");
}

#[test]
fn another_architecture_without_musl_is_linked_by_its_own_compiler_for_c() {
    let gnu = "aarch64-unknown-linux-gnu";
    let (app, programs) = toolchain_of("cross-gnu", "x86_64-unknown-linux-gnu", gnu);
    let said = fails(build_for_arm64(&app, &programs));
    assert!(said.starts_with("error: no C compiler for aarch64-unknown-linux-musl is installed"), "{said}");
    stand_in(&programs, "aarch64-linux-gnu-gcc", "exit 1");
    fails(build_for_arm64(&app, &programs));
    let flags = fs::read_to_string(programs.join("flags")).unwrap();
    assert!(flags.contains(&format!(" --target {gnu} ")), "{flags}");
    for (what, value) in [("LINKER", "aarch64-linux-gnu-gcc"), ("RUSTFLAGS", "-C target-feature=+crt-static")]
    {
        let variable = format!("\nCARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_{what}={value}\n");
        assert!(flags.contains(&variable), "{flags}");
    }
}

#[test]
fn what_another_architecture_lacks_is_said_in_one_sentence() {
    let host = "x86_64-unknown-linux-gnu";
    let (app, programs) = toolchain_of("cross-less", host, host);
    let said = fails(build_for_arm64(&app, &programs));
    let sentence = "error: no compiler for static Linux programs for arm64 is installed: run `rustup target add \
                    aarch64-unknown-linux-musl`, and install a C compiler for it, such as Debian's \
                    package gcc-aarch64-linux-gnu, or name it in CC_aarch64_unknown_linux_musl\n";
    assert_eq!(said, sentence);
    stand_in(&programs, "aarch64-linux-gnu-gcc", "exit 1");
    let said = fails(build_for_arm64(&app, &programs));
    assert!(said.ends_with(": run `rustup target add aarch64-unknown-linux-musl`\n"), "{said}");
    assert_eq!(calls(&programs), 0, "nothing is downloaded for it");

    let (app, programs) = toolchain_of("riscv", "riscv64gc-unknown-linux-gnu", "riscv64gc-unknown-linux-gnu");
    let said = fails(alone(&programs, cargo_faas(&app, &["build", "--backend", "lambda"])));
    let sentence = "error: AWS Lambda has no machines for riscv64gc-unknown-linux-gnu: choose an architecture, x86_64 or \
                    arm64\n";
    assert_eq!(said, sentence);
}

#[test]
fn what_has_no_c_in_it_takes_musl_without_a_compiler_for_c() {
    let (host, musl) = ("x86_64-unknown-linux-gnu", "x86_64-unknown-linux-musl");
    let (app, programs) = toolchain_of("no-c", host, musl);
    has_target(&programs, host);
    for (backend, target) in [("docker", musl), ("lambda", host)] {
        let said = fails(alone(&programs, cargo_faas(&app, &["build", "--backend", backend])));
        assert!(said.contains(&format!("Compiling no-c for {target} (rustc 1.")), "{said}");
    }
}
