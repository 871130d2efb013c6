//! Rules that keep what the documents promise true.

use std::collections::BTreeSet;

use anyhow::Result;
use clap::CommandFactory;

use super::Tree;
use crate::Cli;
use crate::markdown;

/// The command of the README that runs the main example, and the example it names.
const RUN_EXAMPLE: &str = "cargo run --release -p faas-examples --example quickstart";
/// The same on the Wasm backend.
const RUN_ON_WASM: &str =
    "cargo run --release -p faas-examples --features wasm --example quickstart -- --backend wasm";
/// The same in containers.
const RUN_ON_DOCKER: &str =
    "cargo run --release -p faas-examples --features docker --example quickstart -- --backend docker";
/// The command of the README that runs all checks.
const RUN_CHECKS: &str = "cargo xtask test --install";

pub(super) fn readme_commands(tree: &Tree<'_>) -> Result<Vec<String>> {
    let readme = tree.workspace.read("README.md")?;
    let mut violations = Vec::new();
    for command in [RUN_EXAMPLE, RUN_ON_WASM, RUN_ON_DOCKER, RUN_CHECKS] {
        if !readme.lines().any(|line| line.trim() == command) {
            violations.push(format!("README.md has no line `{command}`"));
        }
    }
    let metadata = &tree.workspace.metadata;
    let has_quickstart = metadata.workspace_packages().into_iter().any(|package| {
        let quickstart = |target: &cargo_metadata::Target| target.is_example() && target.name == "quickstart";
        package.name == "faas-examples" && package.targets.iter().any(quickstart)
    });
    if !has_quickstart {
        violations.push("faas-examples has no example `quickstart`".to_owned());
    }
    let words = RUN_CHECKS.split(' ').skip(1);
    if let Err(error) = Cli::command().try_get_matches_from(words) {
        violations.push(format!("`{RUN_CHECKS}`: {error}"));
    }
    Ok(violations)
}

/// A promise's last cell names what checks it: test functions, conformance behaviours, files.
pub(super) fn specification_tests(tree: &Tree<'_>) -> Result<Vec<String>> {
    let specification = tree.workspace.read("SPECIFICATION.md")?;
    let functions: BTreeSet<&str> = tree.rust_files().flat_map(|file| function_names(&file.text)).collect();
    let exists = |name: &str| {
        functions.contains(name.rsplit("::").next().unwrap_or(name))
            || tree.files.iter().any(|file| file.path == name)
    };
    let mut violations = Vec::new();
    for row in specification.lines().filter_map(markdown::cells) {
        let (Some(promise), Some(checks)) = (row.first(), row.last()) else { continue };
        if !is_promise(promise) {
            continue;
        }
        let mut names = markdown::code_spans(checks).peekable();
        if names.peek().is_none() {
            violations.push(format!("{promise} names no test"));
        }
        violations
            .extend(names.filter(|name| !exists(name)).map(|name| format!("{promise}: no test `{name}`")));
    }
    Ok(violations)
}

/// Promises are numbered `P1`, `P2`, ...; rows of other tables are not of this rule.
fn is_promise(cell: &str) -> bool {
    cell.strip_prefix('P').is_some_and(|number| number.parse::<u32>().is_ok())
}

/// The names that follow `fn` in a source text.
fn function_names(text: &str) -> impl Iterator<Item = &str> {
    text.split("fn ").skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        (end > 0).then(|| &rest[..end])
    })
}

#[cfg(test)]
mod tests {
    use super::function_names;

    #[test]
    fn functions_are_found_by_their_keyword() {
        let text = "pub async fn keeps_order(x: u8) {}\nfn f<T>() {}\nlet g: fn (u8);";
        assert_eq!(function_names(text).collect::<Vec<_>>(), ["keeps_order", "f"]);
    }
}
