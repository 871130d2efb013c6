//! An engine's process, which is stopped, and whose folders are removed, when nobody needs it any more.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// Runs the process and waits for the end of its own input, which comes however we end: by dropping the keeper, by a
/// signal or by a crash. Then it ends the process, gently at first.
///
/// As its parent it knows that the number is still that of its process. What an engine that crashed has mounted
/// within the folders is unmounted before they are removed, so that nothing else is lost with them; and the bridges
/// of networks that were not removed are, which the engine would keep for its next start.
const SCRIPT: &str = r#"
log=$1 one=$2 two=$3
shift 3
exec 3<&0
"$@" </dev/null >"$log" 2>&1 3<&- &
process=$!
(
    read -r _
    kill "$process"
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30; do sleep 1; done
    kill -9 "$process"
) <&3 3<&- &
ending=$!
exec 3<&-
wait "$process" 2>/dev/null
kill "$ending" 2>/dev/null
if [ -r /proc/self/mounts ]; then
    while read -r _ place _; do
        case $place in
        "$one" | "$one"/* | "$two" | "$two"/*) umount -l "$place" ;;
        esac
    done </proc/self/mounts
fi
networks=$one/network/files/local-kv.db
for bridge in $(grep -ao 'br-[0-9a-f]\{12\}' "$networks" | sort -u); do
    ip link delete "$bridge" type bridge
done
rm -rf "$one" "$two"
"#;

/// How long the end of the process may take. The script gives it half a minute. Arbitrary.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process with two folders; dropped, all are gone.
pub(crate) struct Keeper {
    shell: Child,
}

impl Keeper {
    /// Starts the process, which owns the folders from now on; the first is that of its data. What it prints is
    /// written to `log`.
    pub(super) fn start(
        program: &Path,
        arguments: &[OsString],
        folders: [&PathBuf; 2],
        log: &Path,
    ) -> Result<Self> {
        let mut shell = Command::new("sh");
        shell.args(["-c", SCRIPT, "keeper"]).arg(log).args(folders).arg(program).args(arguments);
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // A Ctrl-C at the terminal is for us; the end of our process is what reaches these.
        #[cfg(unix)]
        std::os::unix::process::CommandExt::process_group(&mut shell, 0);
        let shell = shell.spawn().context("cannot start sh")?;
        Ok(Self { shell })
    }

    /// Whether the process ended by itself.
    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.shell.try_wait(), Ok(None))
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let started = Instant::now();
        while !self.has_ended() {
            if started.elapsed() > PATIENCE {
                println!("the engine does not end; its keeper is process {}", self.shell.id());
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::Keeper;
    use crate::scratch::Scratch;

    fn eventually(what: &str, holds: impl Fn() -> bool) {
        let started = Instant::now();
        while !holds() {
            assert!(started.elapsed() < Duration::from_secs(30), "not in time: {what}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// A shell that runs the script, with two folders.
    fn keep(machine: &Scratch, script: &str) -> Keeper {
        let folders = ["one", "two"].map(|name| {
            machine.file(&format!("{name}/file"));
            machine.path(name)
        });
        let arguments = ["-c".into(), script.into()];
        Keeper::start(Path::new("sh"), &arguments, [&folders[0], &folders[1]], &machine.path("log"))
            .expect("a keeper")
    }

    #[test]
    fn a_dropped_keeper_leaves_neither_process_nor_folder() {
        let machine = Scratch::new("keeper");
        let keeper = keep(&machine, "trap 'echo ending; exit' TERM; echo $$; while :; do sleep 0.01; done");
        let said = || fs::read_to_string(machine.path("log")).unwrap_or_default();
        eventually("it said its number", || said().ends_with('\n'));
        let process = format!("/proc/{}", said().trim());
        assert!(!cfg!(target_os = "linux") || Path::new(&process).exists());
        drop(keeper);
        assert!(!Path::new(&process).exists());
        assert!(!machine.path("one").exists() && !machine.path("two").exists());
        assert!(said().ends_with("\nending\n"), "it was not ended gently: {}", said());
    }

    #[test]
    fn a_process_that_ends_by_itself_is_noticed() {
        let machine = Scratch::new("keeper-ends");
        let mut keeper = keep(&machine, "echo no >&2; exit 1");
        let started = Instant::now();
        while !keeper.has_ended() {
            assert!(started.elapsed() < Duration::from_secs(30));
            thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(fs::read_to_string(machine.path("log")).expect("a log"), "no\n");
        assert!(!machine.path("one").exists());
    }
}
