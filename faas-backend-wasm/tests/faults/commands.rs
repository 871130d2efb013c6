//! Programs of another language as actions: C, built by a real compiler from C to Wasm.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use faas_core::log::Stream;
use faas_core::outcome::MAX_RESULT;
use faas_core::{ActionSpec, Status};
use serde_json::json;

use crate::alone;
use crate::site::{Site, backend, folder, millis, spec};
use crate::traps::EXITED;

/// The compilers that may be there. They must have a C library for WASI, too.
const COMPILERS: [&str; 9] = [
    "/opt/wasi-sdk/bin/clang",
    "clang-21",
    "clang-20",
    "clang-19",
    "clang-18",
    "clang-17",
    "clang-16",
    "clang",
    "wasm32-wasi-clang",
];

fn compile(compiler: &str, source: &Path, into: &Path) -> bool {
    let mut command = Command::new(compiler);
    command.args(["--target=wasm32-wasi", "-O1", "-o"]).arg(into).arg(source);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The folder of the built programs, or `None`, which is told, without a compiler.
pub(crate) fn programs(test: &str) -> Option<&'static PathBuf> {
    static BUILT: OnceLock<Option<PathBuf>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join("commands");
        // Not shared with a test that runs in a process of its own.
        let folder = folder(&format!("commands-{}", alone::is_alone()));
        std::fs::create_dir_all(&folder).unwrap();
        let silent = (sources.join("silent.c"), folder.join("silent.wasm"));
        let compiler = COMPILERS.into_iter().find(|compiler| compile(compiler, &silent.0, &silent.1))?;
        for name in ["words", "files"] {
            let (source, module) = (sources.join(format!("{name}.c")), folder.join(format!("{name}.wasm")));
            assert!(compile(compiler, &source, &module), "{name}.c does not build");
        }
        Some(folder)
    });
    if built.is_none() {
        let text = "no C compiler builds for wasm32-wasi: install clang-19, lld-19, wasi-libc and \
                    libclang-rt-19-dev-wasm32";
        // Past the harness, which keeps what a test prints that passes.
        let _ = writeln!(std::io::stdout(), "SKIP {test}: {text}");
    }
    built.as_ref()
}

async fn words(programs: &Path, change: impl FnOnce(ActionSpec) -> ActionSpec) -> Site {
    let builder =
        backend().module("words", programs.join("words.wasm")).module("silent", programs.join("silent.wasm"));
    let words = change(spec("words").with_env("OWN", "hers"));
    Site::on(builder, [words, spec("silent")]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_reads_its_input_and_its_last_line_is_the_result() {
    let Some(programs) = programs("a_program_reads_its_input_and_its_last_line_is_the_result") else {
        return;
    };
    let site = words(programs, |spec| spec).await;
    let input = json!({ "do": "facts", "pad": "x".repeat(10_000) });
    let record = site.run("words", input.clone()).await;
    let result = record.outcome.result().to_value();
    let expected = json!({
        "id": record.id.to_string(), "name": "/guest/words", "argc": 1, "arg": "words", "home": false, "own": "hers",
    });
    assert_eq!(result, expected);
    let mut logs: Vec<_> =
        record.logs.iter().map(|line| (line.stream == Stream::Stdout, line.text.as_str())).collect();
    logs.sort();
    let length = input.to_string().len();
    assert_eq!(logs[0], (false, "order facts"));
    assert_eq!(logs[1], (true, &*format!("read {length} bytes")));
    assert_eq!(logs.len(), 2);
    site.end(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_of_a_program_may_lack_its_newline_or_be_followed_by_empty_lines() {
    let test = "a_result_of_a_program_may_lack_its_newline_or_be_followed_by_empty_lines";
    let Some(programs) = programs(test) else { return };
    let site = words(programs, |spec| spec).await;
    let raw = site.run("words", json!({ "do": "raw", "text": "[1,2]" })).await;
    assert_eq!(raw.outcome.result().to_value(), json!([1, 2]));
    let trailing = site.run("words", json!({ "do": "trailing", "text": "end" })).await;
    assert_eq!(trailing.outcome.result().to_value(), json!({ "text": "end" }), "{:?}", trailing.logs);
    let garbage = site.fails("words", json!({ "do": "raw", "text": "no json" })).await;
    assert_eq!(garbage, "The action did not produce a valid JSON or JSON Array response: no json");
    site.end(4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_says_nothing_or_exits_badly_is_a_developer_error() {
    let test = "a_program_that_says_nothing_or_exits_badly_is_a_developer_error";
    let Some(programs) = programs(test) else { return };
    let site = words(programs, |spec| spec).await;
    assert_eq!(site.fails("silent", json!({})).await, EXITED);
    let code = |code: &str| json!({ "do": "code", "text": code });
    assert_eq!(site.run("words", code("0")).await.outcome.result().to_value(), json!({ "text": "0" }));
    for bad in ["1", "7"] {
        assert_eq!(site.fails("words", code(bad)).await, EXITED);
    }
    assert_eq!(site.fails("words", json!({ "do": "abort" })).await, EXITED);
    // What it printed before is its last line, and no result.
    let silent = site.fails("words", json!({ "do": "silent" })).await;
    assert!(silent.ends_with(" bytes"), "{silent}");
    site.end(5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_result_of_a_program_is_as_large_as_any() {
    let Some(programs) = programs("a_result_of_a_program_is_as_large_as_any") else { return };
    let site = words(programs, |spec| spec.with_timeout(millis(20_000))).await;
    let sized = |bytes: usize| json!({ "do": "large", "text": bytes.to_string() });
    let fits = site.run("words", sized(MAX_RESULT)).await;
    assert!(fits.outcome.is_success());
    assert_eq!(fits.outcome.result().len(), MAX_RESULT);
    for over in [MAX_RESULT + 1, 9 << 20] {
        let record = site.run("words", sized(over)).await;
        assert_eq!(record.status(), Status::ApplicationError);
        let text = record.outcome.error().unwrap();
        let begin = format!(
            "The action produced a response that exceeded the allowed length: {over} > {MAX_RESULT} bytes."
        );
        assert!(text.starts_with(&begin), "{}", &text[..100]);
    }
    site.end(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_loops_ends_at_its_limit_and_sees_no_file() {
    let Some(programs) = programs("a_program_that_loops_ends_at_its_limit_and_sees_no_file") else { return };
    let site = words(programs, |spec| spec.with_timeout(millis(300))).await;
    let text = site.fails("words", json!({ "do": "loop" })).await;
    assert_eq!(text, "The action exceeded its time limits of 300 milliseconds.");
    for path in ["/etc/passwd", "../../etc/passwd", ".", "/proc/self/environ"] {
        let record = site.run("words", json!({ "do": "open", "text": path })).await;
        assert_eq!(record.outcome.result().to_value(), json!({ "opened": false }), "{path}");
    }
    site.end(5).await;
}
