//! Rules over unsafe code: where it may be, and what it says of itself.

use anyhow::Result;

use super::Tree;
use super::sources::numbered_lines;

/// The files that may allow it; the workspace denies it everywhere else.
const PLACES: [&str; 6] = [
    // Imports of a Wasm module are foreign functions.
    "faas-core/src/guest/wasi/abi.rs",
    // The C library has its callers vouch for what runs when a program ends.
    "faas-core/src/guest/process/ending.rs",
    // Descriptors that user code has opened are only numbers there.
    "faas-core/src/guest/lambda/leftovers.rs",
    // Nobody wraps the calls that name who gets the signals of a file.
    "faas-backend-lambda/src/local/lifeline.rs",
    // The engine has its caller vouch for compiled code.
    "faas-backend-wasm/src/cache/load.rs",
    // The floor of the goals does the same.
    "faas-backend-wasm/benches/goals/bare.rs",
];

/// The lint, and what begins a block; put together here so that this file does not contain them.
const LINT: &str = concat!("unsafe", "_code");
const BLOCKS: [&str; 2] = [concat!("unsafe", " {"), concat!("unsafe", " impl")];

pub(super) fn places(tree: &Tree<'_>) -> Result<Vec<String>> {
    let others = tree.rust_files().filter(|file| !PLACES.contains(&file.path.as_str()));
    let found = others.flat_map(|file| {
        let allowed = numbered_lines(&file.text).filter(|(_, line)| allows(line));
        allowed.map(|(number, line)| format!("{}:{number}: {}", file.path, line.trim()))
    });
    let gone = PLACES.into_iter().filter(|place| !tree.files.iter().any(|file| file.path == *place));
    Ok(found.chain(gone.map(|place| format!("{place} is not there any more"))).collect())
}

/// Whether the line sets the lint to anything but an error.
fn allows(line: &str) -> bool {
    line.contains(LINT) && !["forbid(", "deny("].iter().any(|level| line.contains(level))
}

pub(super) fn reasons(tree: &Tree<'_>) -> Result<Vec<String>> {
    // Programs that show what is refused are never run.
    let files = tree.rust_files().filter(|file| !file.path.contains("/ui/"));
    let found = files
        .flat_map(|file| unexplained(&file.text).into_iter().map(|number| format!("{}:{number}", file.path)));
    Ok(found.collect())
}

/// The lines with unsafe code whose comment, directly above, has no `SAFETY:`.
fn unexplained(text: &str) -> Vec<usize> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let explained = |at: usize| {
        let above = lines[..at].iter().rev().take_while(|line| line.starts_with("//"));
        above.into_iter().any(|line| line.starts_with("// SAFETY: "))
    };
    let is_unsafe = |line: &str| !line.starts_with("//") && BLOCKS.iter().any(|block| line.contains(block));
    (0..lines.len()).filter(|at| is_unsafe(lines[*at]) && !explained(*at)).map(|at| at + 1).collect()
}

#[cfg(test)]
mod tests {
    use super::{LINT, allows, unexplained};

    #[test]
    fn the_lint_may_be_made_stricter() {
        assert!(allows(&format!("#![allow({LINT}, reason = \"x\")]")));
        assert!(allows(&format!("    {LINT},")), "in a list of several lines");
        assert!(!allows(&format!("#![forbid({LINT})]")));
    }

    #[test]
    fn a_block_says_directly_above_why_it_is_safe() {
        let block = concat!("let x = unsafe", " { f() };");
        assert!(unexplained(&format!("// SAFETY: it is\n// and more.\n{block}\n")).is_empty());
        assert_eq!(unexplained(&format!("{block}\n")), [1]);
        assert_eq!(unexplained(&format!("// SAFETY: of another\nlet y;\n// text\n{block}\n")), [4]);
        assert!(unexplained(&format!("// {block}\n")).is_empty());
    }
}
