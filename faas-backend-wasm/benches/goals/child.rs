//! Measurements in a process of their own.

use std::env;
use std::process::{Command, Stdio};

use super::{memory, startup};

/// The first argument of a process that measures for its parent.
const CHILD: &str = "--child";

/// Measures what the arguments ask for and prints it, where this process is such a child.
pub(crate) fn run() -> bool {
    let args: Vec<String> = env::args().collect();
    let Some(at) = args.iter().position(|arg| arg == CHILD) else { return false };
    let [what, rest @ ..] = &args[at + 1..] else { return false };
    let figure = match what.as_str() {
        "live-ours" => memory::live_ours(&rest[0]),
        "live-bare" => memory::live_bare(&rest[0]),
        "registered" => memory::registered(&rest[0]),
        "start" => startup::first_activation(&rest[0], rest[1].parse().expect("a number")),
        other => panic!("no measurement is called {other}"),
    };
    println!("{figure}");
    true
}

/// What a child measures.
pub(crate) fn measure(what: &str, args: &[&str]) -> f64 {
    let mut child = Command::new(env::current_exe().expect("this program"));
    let output = child.arg(CHILD).arg(what).args(args).stderr(Stdio::inherit()).output().expect("a child");
    assert!(output.status.success(), "{what} ended with {}", output.status);
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("a figure")
}
