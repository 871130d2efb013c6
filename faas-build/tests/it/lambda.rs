//! Crates that become zips for AWS Lambda.

use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, Cursor, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use faas_build::{Arch, Build};
use faas_core::ErrorKind;
use faas_core::artifact::{FORMAT, Manifest};
use serde_json::{Value, json};
use zip::{CompressionMethod, DateTime, ZipArchive};

use crate::world::{
    DEPENDS, cargo_faas, choice, digest, elf, fails, manifest, one_action, package, skip, skip_optional,
    succeeds, world,
};

/// An action that answers with what it was given.
const ECHO: &str = "#[faas_core::action]\nfn echo(input: serde_json::Value) -> Vec<serde_json::Value> {\n    \
                    vec![input]\n}\n\nfaas_core::actions![echo];\n";

/// How long a program of these tests may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// The architecture of this machine, and another one.
const OWN: Arch = if cfg!(target_arch = "aarch64") { Arch::Arm64 } else { Arch::X86_64 };
const OTHER: Arch = if cfg!(target_arch = "aarch64") { Arch::X86_64 } else { Arch::Arm64 };

/// A crate with that action, which several tests share.
fn echo() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| package("zipped", DEPENDS, ECHO))
}

/// The folder with the zip of the crate; if there is no compiler for it, says that the test is skipped.
fn zip(test: &str, folder: &Path) -> Option<PathBuf> {
    match Build::new(folder).compiler(choice()).lambda() {
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            skip(test, error.message());
            None
        }
        built => Some(built.unwrap()),
    }
}

/// `cargo faas build --backend lambda` in the folder.
fn build_zip(folder: &Path, args: &[&str]) -> Command {
    cargo_faas(folder, &[&["build", "--backend", "lambda"], args].concat())
}

/// The program in a zip that has nothing else, and says nothing that could be another thing elsewhere.
fn program(zip: &[u8]) -> Vec<u8> {
    let mut zip = ZipArchive::new(Cursor::new(zip)).unwrap();
    assert_eq!((zip.len(), zip.comment()), (1, &b""[..]));
    let mut entry = zip.by_index(0).unwrap();
    assert_eq!((entry.name(), entry.unix_mode()), ("bootstrap", Some(0o100_755)));
    assert_eq!(entry.compression(), CompressionMethod::Deflated);
    assert_eq!((entry.last_modified(), entry.extra_data()), (Some(DateTime::DEFAULT), Some(&b""[..])));
    let mut program = Vec::new();
    entry.read_to_end(&mut program).unwrap();
    program
}

#[test]
fn a_crate_becomes_a_zip_of_its_program_alone() {
    let Some(folder) = zip("a_crate_becomes_a_zip_of_its_program_alone", echo()) else { return };
    assert_eq!(folder, world().join("target/faas/zipped/lambda"));
    let told: Manifest = manifest(&folder);
    let archive = fs::read(folder.join("zipped.zip")).unwrap();
    assert_eq!((told.format, &*told.backend, &*told.kind), (FORMAT, "lambda", "rust"));
    assert_eq!((&*told.package, &*told.version, &*told.file), ("zipped", "1.2.3", "zipped.zip"));
    assert_eq!((told.size, told.digest), (archive.len() as u64, digest(&archive)));
    assert_eq!((told.architecture, told.image), (Some(OWN.to_string()), None));
    assert_eq!(told.description.actions[0].name.path(), "echo");

    let headers = elf(&program(&archive)).program_headers;
    assert!(headers.contains(&1), "nothing is loaded: {headers:?}");
    assert!(!headers.contains(&3), "it asks for a dynamic linker: {headers:?}");
}

#[test]
fn the_same_sources_give_the_same_zip() {
    let app = package("same-zip", DEPENDS, &one_action("one"));
    let Some(folder) = zip("the_same_sources_give_the_same_zip", &app) else { return };
    let first = fs::read(folder.join("same-zip.zip")).unwrap();
    let said = succeeds(build_zip(&app, &[]));
    assert!(said.contains("Fresh same-zip in "), "{said}");

    // Compiled once more, at the same place and in another target folder.
    fs::write(app.join("src/lib.rs"), one_action("one")).unwrap();
    fs::remove_dir_all(&folder).unwrap();
    let said = succeeds(build_zip(&app, &[]));
    assert!(said.contains("Finished same-zip in ") && said.contains(": 1 action, "), "{said}");
    assert!(fs::read(folder.join("same-zip.zip")).unwrap() == first);
    let mut other = build_zip(&app, &[]);
    other.env("CARGO_TARGET_DIR", world().join("other-target"));
    succeeds(other);
    assert!(fs::read(world().join("other-target/faas/same-zip/lambda/same-zip.zip")).unwrap() == first);
}

#[test]
fn the_program_answers_the_events_of_a_function() {
    let Some(folder) = zip("the_program_answers_the_events_of_a_function", echo()) else { return };
    if !cfg!(target_os = "linux") {
        return skip("the_program_answers_the_events_of_a_function", "the program is for Linux");
    }
    let file = folder.with_file_name("bootstrap");
    fs::write(&file, program(&fs::read(folder.join("zipped.zip")).unwrap())).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();

    let ask = json!({
        "abi": 1, "activation": "0123456789abcdef0123456789abcdef", "namespace": "ns", "attempt": 1, "level": 3,
        "remaining": 5_000_000_000_u64, "seed": 7,
    });
    let events = [json!({ "value": { "n": 1 }, "faas": ask }), json!({ "n": 2 })];
    let (function, answers) = Function::start(&file, events.to_vec());
    let next = || answers.recv_timeout(PATIENCE).unwrap();
    let (path, told) = next();
    assert_eq!(path, "/2018-06-01/runtime/invocation/1/response");
    assert_eq!((&told["result"], &told["faas"]["status"]), (&json!([{ "n": 1 }]), &json!(0)));
    assert_eq!(told["faas"]["cold"], true);
    // What anybody else sends is the input, and the result the answer.
    assert_eq!(next(), ("/2018-06-01/runtime/invocation/2/response".to_owned(), json!([{ "n": 2 }])));
    drop(function);
}

/// A program that runs as a function, by Lambda's Runtime API. Dropped, it is killed.
struct Function(Child);

impl Function {
    /// Starts the program and hands it the events; the answers come with the path that they were sent to.
    fn start(program: &Path, events: Vec<Value>) -> (Self, Receiver<(String, Value)>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut command = Command::new(program);
        command.env_clear().env("AWS_LAMBDA_RUNTIME_API", listener.local_addr().unwrap().to_string());
        command.env("AWS_LAMBDA_FUNCTION_NAME", "echo").env("AWS_LAMBDA_FUNCTION_VERSION", "1");
        command.env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256");
        let (answer, answers) = mpsc::channel();
        let events = Arc::new(Mutex::new((1..).zip(events).collect()));
        thread::spawn(move || {
            for connection in listener.incoming() {
                let (events, answer) = (Arc::clone(&events), answer.clone());
                thread::spawn(move || serve(&connection.unwrap(), &events, &answer));
            }
        });
        (Self(command.spawn().unwrap()), answers)
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Answers the requests of one connection. When there are no more events, whoever asks for one waits.
fn serve(mut stream: &TcpStream, events: &Mutex<VecDeque<(u32, Value)>>, answer: &Sender<(String, Value)>) {
    let mut reader = BufReader::new(stream);
    while let Some((path, body)) = request(&mut reader) {
        let reply = if path == "/2018-06-01/runtime/invocation/next" {
            let Some((id, event)) = events.lock().unwrap().pop_front() else { continue };
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            let (deadline, event) = ((now + PATIENCE).as_millis(), event.to_string());
            format!(
                "200 OK\r\nLambda-Runtime-Aws-Request-Id: {id}\r\nLambda-Runtime-Deadline-Ms: {deadline}\r\n\
                 Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:eu-west-1:123456789012:function:echo\r\n\
                 Content-Length: {}\r\n\r\n{event}",
                event.len()
            )
        } else {
            answer.send((path, serde_json::from_slice(&body).unwrap())).unwrap();
            "202 Accepted\r\nContent-Length: 0\r\n\r\n".to_owned()
        };
        stream.write_all(format!("HTTP/1.1 {reply}").as_bytes()).unwrap();
    }
}

/// The next request: its path and its body. `None` when the connection ends.
fn request(reader: &mut impl BufRead) -> Option<(String, Vec<u8>)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let path = head.split(' ').nth(1)?.to_owned();
    let head = head.to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    assert!(!head.contains("chunked"), "{head}");
    reader.read_exact(&mut body).ok()?;
    Some((path, body))
}

#[test]
fn an_architecture_is_lambdas_or_refused() {
    let app = package("arches", DEPENDS, &one_action("one"));
    let output = build_zip(&app, &["--arch", "aarch64"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "as clap ends it");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("no architecture is named 'aarch64'; known: arm64, x86_64"), "{said}");
    for backend in ["docker", "wasm"] {
        let said = fails(cargo_faas(&app, &["build", "--backend", backend, "--arch", "arm64"]));
        let refused = format!("error: an architecture can be chosen for lambda only, not for '{backend}'\n");
        assert_eq!(said, refused);
    }
    let error = Build::new(&app).arch(OWN).wasm().unwrap_err();
    assert_eq!((error.kind(), error.operation()), (ErrorKind::InvalidArgument, "build"));
}

#[test]
fn who_asks_for_another_architecture_gets_no_other() {
    let Some(folder) = zip("who_asks_for_another_architecture_gets_no_other", echo()) else { return };
    let build = || Build::new(echo()).compiler(choice());
    assert_eq!(build().arch(OWN).lambda().unwrap(), folder, "it is this machine's");
    match build().arch(OTHER).lambda() {
        Ok(other) => assert_eq!(other, folder.with_file_name(format!("lambda-{OTHER}"))),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}"),
    }
}

#[test]
fn a_zip_for_arm64_has_a_program_for_arm64() {
    let folder = match Build::new(echo()).arch(Arch::Arm64).compiler(choice()).lambda() {
        Err(error) if error.kind() == ErrorKind::Unsupported => {
            return skip_optional("a_zip_for_arm64_has_a_program_for_arm64", error.message());
        }
        built => built.unwrap(),
    };
    let told = manifest(&folder);
    assert_eq!(told.architecture.as_deref(), Some("arm64"));
    assert_eq!(told.description.actions[0].name.path(), "echo");
    let elf = elf(&program(&fs::read(folder.join("zipped.zip")).unwrap()));
    // Source: the processor supplement for AArch64 of the System V ABI.
    assert_eq!(elf.machine, 183);
    assert!(elf.program_headers.contains(&1) && !elf.program_headers.contains(&3));
    let said = succeeds(build_zip(echo(), &["--arch", "arm64"]));
    assert!(said.contains("Fresh zipped in "), "{said}");
}
