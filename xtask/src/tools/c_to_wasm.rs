//! The C compiler for Wasm, by which tests make programs that are no Rust.

use std::path::PathBuf;
use std::process::Command;

use super::apt;
use crate::process;
use crate::report::Outcome;
use crate::workspace::Workspace;

/// Debian's packages that have all of it, and the program.
const PACKAGES: [&str; 4] = ["clang-19", "libclang-rt-19-dev-wasm32", "lld-19", "wasi-libc"];
const CLANG: &str = "clang-19";

/// What is missing, if there is no such compiler.
pub(super) fn missing(workspace: &Workspace) -> Option<String> {
    (!is_there(workspace)).then(|| format!("a C compiler for Wasm ({})", PACKAGES.join(" ")))
}

/// Gets the compiler unless it is there.
pub(super) fn install(workspace: &Workspace) -> Outcome {
    if is_there(workspace) {
        return Outcome::default();
    }
    println!("no {CLANG} that compiles C to Wasm; trying the packages {}", PACKAGES.join(" "));
    let installed = apt::install(&PACKAGES);
    if is_there(workspace) {
        return Outcome::passed();
    }
    let reason = installed.err().unwrap_or_else(|| "the packages do not compile C to Wasm".to_owned());
    Outcome::failed(sentence(&reason))
}

fn sentence(reason: &str) -> String {
    let packages = PACKAGES.join(" ");
    format!(
        "no C compiler for Wasm could be installed ({reason}): on Debian, run as root `apt-get install {packages}`"
    )
}

/// Whether it compiles and links a program, which needs each of the packages and takes a moment.
fn is_there(workspace: &Workspace) -> bool {
    compiles(Command::new(CLANG), workspace.target().join("tools"))
}

fn compiles(mut clang: Command, folder: PathBuf) -> bool {
    let (source, module) = (folder.join("probe.c"), folder.join("probe.wasm"));
    let text = "#include <stdio.h>\nint main(void) { puts(\"{}\"); return 0; }\n";
    if std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&source, text)).is_err() {
        return false;
    }
    process::succeeds(clang.arg("--target=wasm32-wasi").arg(&source).arg("-o").arg(&module))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::{compiles, sentence};
    use crate::scratch::Scratch;

    #[cfg(unix)]
    #[test]
    fn a_compiler_is_there_if_it_compiles_a_program() {
        let machine = Scratch::new("clang");
        let clang = |works| Command::new(machine.program("bin/clang", works));
        assert!(compiles(clang(true), machine.path("tools")));
        assert!(!compiles(clang(false), machine.path("tools")), "it has no libraries");
        assert!(!compiles(Command::new(machine.path("bin/none")), machine.path("tools")));
    }

    #[test]
    fn a_failure_is_one_sentence_with_what_to_install() {
        assert!(
            sentence("only root may use apt-get")
                .contains("apt-get install clang-19 libclang-rt-19-dev-wasm32")
        );
    }
}
