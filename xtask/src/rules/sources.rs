//! Rules over the text of the files.

use std::fs;

use anyhow::Result;

use super::Tree;

/// Most lines of a Rust file outside tests.
const MAX_LINES: usize = 500;

/// What the examples keep to: a newcomer reads all of them.
const MAX_EXAMPLES: usize = 8;
const MAX_EXAMPLE_LINES: usize = 80;

/// Marks of unfinished work, put together here so that this file does not contain them.
const UNFINISHED: [&str; 5] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("#[", "ignore"),
];

/// What a test would say of its skip if the harness did not keep it to itself, put together for the same reason.
const UNHEARD: &str = concat!("println!(\"", "SKIP");

/// Where people and build machines keep their things; put together for the same reason.
const MACHINE_ROOTS: [&str; 4] =
    [concat!("/", "home/"), concat!("/", "Users/"), concat!("/", "work/"), concat!("/", "root/")];

pub(super) fn lengths(tree: &Tree<'_>) -> Result<Vec<String>> {
    let long = tree.rust_files().filter(|file| !is_test(&file.path)).filter_map(|file| {
        let lines = file.text.lines().count();
        (lines > MAX_LINES).then(|| format!("{} has {lines} lines, over {MAX_LINES}", file.path))
    });
    Ok(long.collect())
}

fn is_test(path: &str) -> bool {
    path.split('/').any(|part| part == "tests")
}

pub(super) fn unfinished(tree: &Tree<'_>) -> Result<Vec<String>> {
    let found = tree.rust_files().flat_map(|file| {
        numbered_lines(&file.text).filter_map(|(number, line)| {
            let mark = UNFINISHED.iter().find(|mark| line.contains(**mark))?;
            Some(format!("{}:{number}: {mark}", file.path))
        })
    });
    Ok(found.collect())
}

/// A test that passes is not heard through the harness's macros, and a skip that nobody counts is a silent one.
pub(super) fn skips(tree: &Tree<'_>) -> Result<Vec<String>> {
    let found = tree.rust_files().filter(|file| is_test(&file.path)).flat_map(|file| {
        let unheard = numbered_lines(&file.text).filter(|(_, line)| line.contains(UNHEARD));
        unheard.map(|(number, _)| format!("{}:{number}: write it to io::stdout() itself", file.path))
    });
    Ok(found.collect())
}

pub(super) fn machine_paths(tree: &Tree<'_>) -> Result<Vec<String>> {
    let found = tree.files.iter().flat_map(|file| {
        numbered_lines(&file.text)
            .filter_map(|(number, line)| Some(format!("{}:{number}: {}", file.path, machine_path(line)?)))
    });
    Ok(found.collect())
}

pub(super) fn numbered_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

/// The machine root that starts an absolute path in the line. The middle of a longer path or of a
/// URL is none, which what stands before the slash tells.
fn machine_path(line: &str) -> Option<&'static str> {
    MACHINE_ROOTS.into_iter().find(|root| {
        line.match_indices(root).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | '/' | '-'))
        })
    })
}

pub(super) fn examples(tree: &Tree<'_>) -> Result<Vec<String>> {
    let packages = tree.workspace.metadata.workspace_packages().into_iter();
    let examples: Vec<_> = packages
        .filter(|package| package.name == "faas-examples")
        .flat_map(|package| package.targets.iter().filter(|target| target.is_example()))
        .collect();
    let mut violations = Vec::new();
    if examples.len() > MAX_EXAMPLES {
        violations.push(format!("{} examples, over {MAX_EXAMPLES}", examples.len()));
    }
    for example in examples {
        let lines = fs::read_to_string(&example.src_path)?.lines().count();
        if lines >= MAX_EXAMPLE_LINES {
            violations.push(format!("{} has {lines} lines, not under {MAX_EXAMPLE_LINES}", example.name));
        }
    }
    Ok(violations)
}

#[cfg(test)]
mod tests {
    use super::{is_test, machine_path};

    #[test]
    fn absolute_paths_are_told_from_parts_of_others() {
        let home = concat!("/", "home/");
        assert_eq!(machine_path(&format!("let x = \"{home}me/x\";")), Some(home));
        assert_eq!(machine_path(&format!("{home}me")), Some(home));
        assert_eq!(machine_path(&format!("https://example.com{home}me")), None);
        assert_eq!(machine_path(&format!("../..{home}me")), None);
        assert_eq!(machine_path("/homes/"), None);
    }

    #[test]
    fn only_a_whole_folder_name_makes_a_test() {
        assert!(is_test("faas-core/tests/a.rs"));
        assert!(!is_test("faas-testkit/src/lib.rs"));
        assert!(!is_test("faas-core/src/contests/a.rs"));
    }
}
