//! `cargo xtask goals`: the benchmarks that measure what SPECIFICATION.md promises of speed and
//! memory, collected from every crate that has a bench target named `goals`.

mod line;

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use clap::Args;

use self::line::Goal;
use crate::workspace::Workspace;
use crate::{engine, markdown, process, tools};

/// The heading of SPECIFICATION.md whose table lists the goals.
const HEADING: &str = "Speed and memory";

#[derive(Args)]
pub(crate) struct Options {
    /// First get what is missing, as `cargo xtask test` does, and start a container engine where none runs.
    #[arg(long)]
    install: bool,
    /// Passed on to each bench: usually the names of the goals to run.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    filters: Vec<String>,
}

/// Runs the benches and prints their goal lines together.
///
/// A missed goal is told but is no failure. A bench that fails, a line that cannot be read, a goal
/// printed twice, and, where no filter was given, a promised goal that was not printed, are.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<bool> {
    let packages = packages_with_goals(workspace);
    ensure!(!packages.is_empty(), "no crate has a bench target named `goals`");
    let mut goals = Vec::new();
    let mut problems = Vec::new();
    if options.install {
        problems.extend(tools::install(workspace)?.failures);
    }
    let engine = engine::ready(workspace, options.install)?;
    for package in packages {
        println!("\n==> {package}");
        let mut cargo = workspace.cargo("bench");
        cargo.args(["-p", package, "--bench", "goals", "--"]).args(&options.filters);
        engine.tell(&mut cargo);
        tools::tell(workspace, &mut cargo);
        let status = process::stream(&mut cargo, |line| match Goal::parse(line) {
            Some(Ok(goal)) => goals.push(goal),
            Some(Err(problem)) => problems.push(format!("{problem}: {line}")),
            None => {}
        })?;
        if !status.success() {
            problems.push(format!("the goals of {package} ended with {status}"));
        }
    }
    drop(engine);
    println!("\nGoals");
    for goal in &goals {
        println!("{}", goal.line);
    }
    let documented = workspace.read("GOALS.md").unwrap_or_default();
    for goal in goals.iter().filter(|goal| goal.missed) {
        if !markdown::has_heading(&documented, &goal.name) {
            println!("MISS without a heading in GOALS.md: {}", goal.name);
        }
    }
    let promised = promised(&workspace.read("SPECIFICATION.md")?);
    problems.extend(doubles(&goals));
    if options.filters.is_empty() {
        problems.extend(unmeasured(&promised, &goals));
    }
    for problem in &problems {
        println!("FAIL {problem}");
    }
    let missed = goals.iter().filter(|goal| goal.missed).count();
    println!("{} goals met, {missed} missed, {} problems", goals.len() - missed, problems.len());
    Ok(problems.is_empty())
}

fn packages_with_goals(workspace: &Workspace) -> Vec<&str> {
    let packages = workspace.metadata.workspace_packages().into_iter();
    packages
        .filter(|package| package.targets.iter().any(|target| target.is_bench() && target.name == "goals"))
        .map(|package| package.name.as_str())
        .collect()
}

/// The names in the first column of the table of goals.
fn promised(specification: &str) -> BTreeSet<String> {
    markdown::section(specification, HEADING)
        .into_iter()
        .filter_map(markdown::cells)
        .filter_map(|row| row.first().and_then(|cell| markdown::code_spans(cell).next()))
        .map(str::to_owned)
        .collect()
}

fn doubles(goals: &[Goal]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let again = goals.iter().filter(|goal| !seen.insert(goal.name.as_str()));
    again.map(|goal| format!("goal {} was printed twice", goal.name)).collect()
}

fn unmeasured(promised: &BTreeSet<String>, goals: &[Goal]) -> Vec<String> {
    let printed: BTreeSet<&str> = goals.iter().map(|goal| goal.name.as_str()).collect();
    let missing = promised.iter().filter(|name| !printed.contains(name.as_str()));
    missing.map(|name| format!("goal {name} of SPECIFICATION.md was not printed")).collect()
}

#[cfg(test)]
mod tests {
    use super::{Goal, doubles, promised, unmeasured};

    fn goal(name: &str) -> Goal {
        Goal { name: name.to_owned(), missed: false, line: String::new() }
    }

    #[test]
    fn a_promised_goal_must_be_printed_once() {
        let promised =
            promised("## Speed and memory\n| goal | target |\n| --- | --- |\n| `a` | x |\n| `b` | y |\n");
        assert_eq!(unmeasured(&promised, &[goal("a")]), ["goal b of SPECIFICATION.md was not printed"]);
        assert!(unmeasured(&promised, &[goal("a"), goal("b"), goal("more")]).is_empty());
        assert_eq!(doubles(&[goal("a"), goal("b"), goal("a")]), ["goal a was printed twice"]);
    }
}
