//! The rules over the tree that no compiler checks: dependencies, sources and prose.

mod dependencies;
mod prose;
mod sources;
mod unsafety;

use anyhow::Result;

use crate::report::Outcome;
use crate::workspace::{SourceFile, Workspace};

/// What every rule looks at.
struct Tree<'a> {
    workspace: &'a Workspace,
    files: Vec<SourceFile>,
}

impl Tree<'_> {
    fn rust_files(&self) -> impl Iterator<Item = &SourceFile> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }
}

/// Looks for violations, and returns one line for each.
type Rule = fn(&Tree<'_>) -> Result<Vec<String>>;

const RULES: [(&str, Rule); 13] = [
    ("faas-core keeps to its number of dependencies", dependencies::core_is_small),
    ("a guest pulls in nothing of a host", dependencies::guest_is_free_of_hosts),
    ("no direct dependency has two major versions", dependencies::one_major_version),
    ("every crate inherits what the workspace sets", dependencies::manifests_inherit),
    ("no source file is too long", sources::lengths),
    ("nothing is marked unfinished or ignored", sources::unfinished),
    ("no file names a path of somebody's machine", sources::machine_paths),
    ("tests that skip themselves are heard", sources::skips),
    ("unsafe code is only where it is known to be needed", unsafety::places),
    ("every unsafe block says why it is safe", unsafety::reasons),
    ("examples stay few and short", sources::examples),
    ("the commands of the README exist", prose::readme_commands),
    ("every test that SPECIFICATION.md names exists", prose::specification_tests),
];

/// Runs every rule; each counts as one check.
pub(crate) fn run(workspace: &Workspace) -> Result<Outcome> {
    let tree = Tree { workspace, files: workspace.files()? };
    let mut outcome = Outcome::default();
    for (name, rule) in RULES {
        let violations = rule(&tree)?;
        println!("{:>4} {name}", if violations.is_empty() { "ok" } else { "FAIL" });
        for violation in &violations {
            println!("       {violation}");
        }
        outcome.merge(match violations.as_slice() {
            [] => Outcome::passed(),
            [only] => Outcome::failed(format!("{name}: {only}")),
            [first, rest @ ..] => Outcome::failed(format!("{name}: {first} (and {} more)", rest.len())),
        });
    }
    Ok(outcome)
}
