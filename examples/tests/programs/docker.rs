//! The quickstart on the Docker backend, which builds the image of this package's actions first.

use std::io::{self, Write};
use std::process::Output;

use serde_json::Value;

use crate::built::{example, target, text};
use crate::quickstart::{DIGEST, check};

/// What this machine lacks for a run that ended so, as its first line says: an engine at the start, or a compiler. One
/// that was lost in the middle is told in other words.
fn lacking(output: &Output) -> Option<&'static str> {
    let complaint = String::from_utf8_lossy(&output.stderr);
    let first = complaint.lines().next().filter(|_| !output.status.success())?;
    let (engine, compiler) = ("a container engine", "a compiler for static Linux programs");
    let complaints = [
        ("unavailable: there is no container engine: ", engine),
        ("unavailable: no container engine answers", engine),
        ("unsupported: no compiler for static Linux programs is installed: ", compiler),
    ];
    complaints.into_iter().find(|(text, _)| first.contains(text)).map(|(_, lacks)| lacks)
}

/// The run on that backend. `None` where there is no container engine, or no compiler for its images: then it says that
/// `test` is skipped, past the test harness, which keeps what a test prints to itself.
fn run_json(test: &str, url: &str) -> Option<Value> {
    let output = example("quickstart").run(&["--json", "--backend", url]);
    let complaint = String::from_utf8_lossy(&output.stderr);
    if let Some(lacks) = lacking(&output) {
        // Set by the checks of the repository where they have started an engine for the tests.
        let was_there = std::env::var_os("FAAS_TEST_ENGINE_RUNS").is_some() && lacks == "a container engine";
        assert!(!was_there, "the engine that was started for the tests is gone: {complaint}");
        io::stdout().write_all(format!("SKIP {test}: there is not {lacks}\n").as_bytes()).unwrap();
        return None;
    }
    assert_eq!(complaint, "", "with --json nothing is told but the result");
    Some(serde_json::from_str(&text(&output)).unwrap())
}

#[test]
fn a_week_of_earthquakes_is_the_same_in_containers() {
    let name = "a_week_of_earthquakes_is_the_same_in_containers";
    let Some(run) = run_json(name, "docker?pool=faas-quickstart-test") else { return };
    check(&run);
    let table = run["table"].as_array().unwrap();
    let sum = |column: &str| table.iter().map(|row| row[column].as_u64().unwrap()).sum::<u64>();
    // Containers are used again, and each of them was made once.
    assert!(sum("cold") <= 64 && sum("warm") >= 1_700, "{table:?}");
    assert_eq!(sum("cold") + sum("prewarmed") + sum("warm"), 1_707 + 3 * 85);

    // What was built is an artifact like any other.
    let artifact = target().join("faas/faas-examples/docker");
    let url = format!("docker:{}?pool=faas-quickstart-test", artifact.display());
    assert_eq!(run_json(name, &url).unwrap()["digest"], DIGEST);
}

#[cfg(unix)]
#[test]
fn what_a_machine_lacks_for_containers_is_told_from_what_goes_wrong() {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    let quickstart = example("quickstart");
    let run = || quickstart.command(&["--json", "--backend", "docker?pool=faas-quickstart-test"]);
    // A compiler that has the standard library of no target.
    let programs = Path::new(env!("CARGO_TARGET_TMPDIR")).join("no-compiler");
    let rustc = programs.join("rustc");
    fs::create_dir_all(&programs).unwrap();
    let real = Path::new(env!("CARGO")).with_file_name("rustc");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *target-libdir*) echo /nowhere ;; *) exec '{}' \"$@\" ;; esac\n",
        real.display()
    );
    fs::write(&rustc, script).unwrap();
    fs::set_permissions(&rustc, fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::join_paths([&programs, Path::new("/usr/bin"), Path::new("/bin")]).unwrap();
    let output = run().env("PATH", path).output().unwrap();
    assert_eq!(lacking(&output), Some("a compiler for static Linux programs"), "{output:?}");

    let output = run().env("DOCKER_HOST", "unix:///nowhere/docker.sock").output().unwrap();
    // A compiler is looked for first.
    assert!(lacking(&output).is_some(), "{output:?}");
    let output = quickstart.command(&["--json", "--backend", "docker?pull=sometimes"]).output().unwrap();
    assert!(!output.status.success());
    assert_eq!(lacking(&output), None, "{output:?}");
}
