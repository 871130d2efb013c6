//! Finding a compiler for C, which some crates need besides the one for Rust: the actions' client for HTTP does, for
//! the cryptography in `ring`.
//!
//! The crate `cc`, by which build scripts find one, looks for no other than the canonical name for a target, and
//! takes what the environment says.

use std::env;

use super::linux::architecture;
use crate::arch::Arch;
use crate::environment;

/// A compiler for C, as `cc` reads it from the environment: the program, and arguments for it.
pub(super) fn find(target: &str, host: &str) -> Option<String> {
    let named = [variable(target), format!("CC_{target}"), "TARGET_CC".to_owned()];
    let named = named.iter().filter_map(|name| env::var(name).ok()).find(|value| !value.is_empty());
    named.or_else(|| {
        let known = candidates(target, host);
        known
            .into_iter()
            .find(|(program, _)| environment::finds(program))
            .map(|(program, argument)| [program.as_str(), argument].join(" ").trim_end().to_owned())
    })
}

/// The variable that names the compiler for a target. Source: the documentation of `cc`, "External configuration via
/// environment variables".
pub(super) fn variable(target: &str) -> String {
    format!("CC_{}", target.replace('-', "_"))
}

/// The programs that compile for the target, the most suitable one first.
fn candidates(target: &str, host: &str) -> Vec<(String, &'static str)> {
    if !target.ends_with("-musl") {
        return vec![(gnu(target), "")];
    }
    let mut found = vec![(format!("{}-linux-musl-gcc", architecture(target)), "")];
    // It is the system's own compiler, with another library.
    if host.contains("-linux-") && architecture(target) == architecture(host) {
        found.push(("musl-gcc".to_owned(), ""));
    }
    // The headers of another C library do for code that asks next to nothing of one. On some systems they turn calls
    // into those of glibc that check sizes, and musl has none of these.
    found.push((gnu(target), "-U_FORTIFY_SOURCE"));
    // It has no headers of a C library, and `ring` asks for none but here.
    if Arch::of(target) != Some(Arch::X86_64) {
        found.push(("clang".to_owned(), ""));
    }
    found
}

/// The compiler for the GNU C library.
pub(super) fn gnu(target: &str) -> String {
    format!("{}-linux-gnu-gcc", architecture(target))
}

/// Which one to install where none is found.
pub(super) fn suggestion(target: &str) -> String {
    let variable = variable(target);
    let architecture = architecture(target).replace('_', "-");
    format!("such as Debian's package gcc-{architecture}-linux-gnu, or name it in {variable}")
}
