//! What is no module that can run here: refused when it is deployed, by its cause.

use std::sync::Arc;

use faas_backend_wasm::{ModuleLimits, WasmBuilder};
use faas_core::{Backend, Error, ErrorKind};

use crate::guests::{self, OK, module};
use crate::site::{Site, backend, small, spec};

/// Why a module is refused.
async fn refusal(bytes: Vec<u8>) -> String {
    refusal_of(backend(), bytes).await
}

async fn refusal_of(builder: WasmBuilder, bytes: Vec<u8>) -> String {
    let fine = module(r#"(module (memory (export "memory") 1) (func (export "_start")))"#);
    let backend = builder.module_bytes("a", bytes).module_bytes("fine", fine).build().unwrap();
    let error = backend.deploy(Arc::new(spec("a"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
    // Nothing of it stays in the way of others.
    backend.deploy(Arc::new(spec("fine"))).await.unwrap();
    error.message().to_owned()
}

fn body(text: &str) -> Vec<u8> {
    let text = format!("(module {text})");
    module(&text)
}

const NOT_WASM: &str = "the module is refused: it is not Wasm, which begins with the bytes 00 61 73 6d";

#[tokio::test]
async fn what_is_not_wasm_is_refused() {
    for bytes in
        [&b""[..], b"#!/bin/sh\necho hello\n", b"\x7fELF\x02\x01\x01\0", b"\0as", b"(module)", b"PK\x03\x04"]
    {
        assert_eq!(refusal(bytes.to_vec()).await, NOT_WASM);
    }
    let other_version = refusal(b"\0asm\x02\0\0\0".to_vec()).await;
    assert!(other_version.starts_with("the module is refused: unknown binary version"), "{other_version}");
}

#[tokio::test]
async fn a_module_cut_anywhere_is_refused() {
    let whole = guests::run(OK);
    let sandbox = backend();
    for end in (0..whole.len()).step_by(7).chain(whole.len() - 3..whole.len()) {
        let text = refusal_of(sandbox.clone(), whole[..end].to_vec()).await;
        assert!(text.starts_with("the module is refused: "), "{end}: {text}");
    }
}

#[tokio::test]
async fn a_component_is_refused() {
    let text = refusal(module("(component)")).await;
    assert_eq!(text, "the module is refused: it is a component, not a core module");
}

#[tokio::test]
async fn missing_and_wrong_exports_are_named() {
    let memory = r#"(memory (export "memory") 1)"#;
    let cases = [
        (String::new(), "it exports neither 'faas_v1_run' nor '_start', but nothing"),
        (memory.to_owned(), "it exports neither 'faas_v1_run' nor '_start', but memory"),
        (r#"(func (export "faas_v1_run"))"#.to_owned(), "it exports no 'memory'"),
        (
            r#"(func (export "_start")) (global (export "memory") i32 (i32.const 0))"#.to_owned(),
            "it exports no 'memory'",
        ),
        (
            format!(r#"{memory} (func (export "faas_v1_run") (param i32))"#),
            "its export 'faas_v1_run' is (i32) -> (), not () -> ()",
        ),
        (
            format!(
                r#"{memory} (func (export "faas_v1_run")) (func (export "faas_v1_init") (result i64) i64.const 0)"#
            ),
            "its export 'faas_v1_init' is () -> (i64), not () -> ()",
        ),
        (
            format!(r#"{memory} (global (export "faas_v1_run") i32 (i32.const 0))"#),
            "its export 'faas_v1_run' is no function",
        ),
        (
            format!(r#"{memory} (func (export "faas_v2_run"))"#),
            "it speaks version 2 of the guest interface, and this backend version 1",
        ),
    ];
    for (text, cause) in cases {
        assert_eq!(refusal(body(&text)).await, format!("the module is refused: {cause}"));
    }
}

#[tokio::test]
async fn an_import_that_is_not_granted_is_named() {
    let rest = r#"(memory (export "memory") 1) (func (export "faas_v1_run"))"#;
    let unknown = refusal(body(&format!(r#"(import "env" "system" (func)) {rest}"#))).await;
    assert_eq!(
        unknown,
        "the module is refused: it imports 'env.system', which is not granted; modules are: faas_v1, \
         wasi_snapshot_preview1"
    );
    let function = refusal(body(&format!(r#"(import "faas_v1" "shell" (func)) {rest}"#))).await;
    assert_eq!(
        function,
        "the module is refused: it imports 'faas_v1.shell', which there is not; there are: call, emit, http_cancel, \
         http_poll, http_send, http_take, input, log, monotonic, random, reply, spec, wait, wall"
    );
    let sockets = r#"(import "wasi_snapshot_preview1" "sock_open" (func))"#;
    let sockets = refusal(body(&format!("{sockets} {rest}"))).await;
    assert!(sockets.contains("imports 'wasi_snapshot_preview1.sock_open', which there is not"), "{sockets}");
    let wrong = refusal(body(&format!(r#"(import "faas_v1" "reply" (func (param i64))) {rest}"#))).await;
    assert_eq!(
        wrong,
        "the module is refused: it imports 'faas_v1.reply' as (i64) -> (), which is (i32, i32, i32) -> ()"
    );
    let kinds = ["(memory 1)", "(table 1 funcref)", "(global i32)", "(global (mut i64))", "(tag)"];
    for kind in kinds {
        let text = refusal(body(&format!(r#"(import "faas_v1" "call" {kind}) {rest}"#))).await;
        assert_eq!(text, "the module is refused: it imports 'faas_v1.call', which is no function", "{kind}");
    }
}

#[tokio::test]
async fn what_the_engine_is_not_to_have_is_refused_by_name() {
    let run = r#"(func (export "faas_v1_run"))"#;
    let cases = [
        (r#"(memory (export "memory") i64 1)"#, "memory64"),
        (r#"(memory (export "memory") 1 1 shared)"#, "threads"),
        (r#"(memory (export "memory") 1) (memory 1)"#, "multiple memories"),
        (r#"(memory (export "memory") 1) (table i64 1 funcref)"#, "memory64"),
        (
            r#"(memory (export "memory") 1) (func (param i32) (drop (i32.atomic.load (local.get 0))))"#,
            "threads",
        ),
        (r#"(memory (export "memory") 65537)"#, "memory size"),
    ];
    for (text, cause) in cases {
        let refused = refusal(body(&format!("{text} {run}"))).await;
        assert!(
            refused.starts_with("the module is refused: ") && refused.contains(cause),
            "{cause}: {refused}"
        );
    }
}

#[tokio::test]
async fn more_memory_than_the_limit_is_unsupported() {
    let backend = backend().module_bytes("a", guests::sized(32, "", OK)).build().unwrap();
    let error = backend.deploy(Arc::new(small("a", 1))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(error.message(), "the module begins with 2 MiB of memory, over the action's limit of 1 MiB");
    backend.deploy(Arc::new(small("a", 2))).await.unwrap();
    let huge = guests::sized(65_536, "", OK);
    let site = Site::of([(small("a", 1), guests::run(OK))]).await;
    let backend = self::backend().module_bytes("huge", huge).build().unwrap();
    let error = backend.deploy(Arc::new(spec("huge"))).await.unwrap_err();
    assert_eq!(
        error.message(),
        "the module begins with 4096 MiB of memory, over the action's limit of 256 MiB"
    );
    site.end(0).await;
}

/// A limit that is smaller than usual.
fn limited(change: impl FnOnce(&mut ModuleLimits)) -> WasmBuilder {
    let mut limits = ModuleLimits::default();
    change(&mut limits);
    backend().limits(limits)
}

#[tokio::test]
async fn a_module_with_too_much_in_it_is_refused_before_it_is_compiled() {
    let rest = r#"(memory (export "memory") 1) (func (export "faas_v1_run"))"#;
    let functions = format!("{rest} {}", "(func)".repeat(100_000));
    assert_eq!(refusal(body(&functions)).await, "the module is refused: it has 100001 functions, over 50000");
    let table = refusal(body(&format!("{rest} (table 4000000000 funcref)"))).await;
    assert_eq!(table, "the module is refused: its table begins with 4000000000 elements, over 20000");
    let giant = format!("{rest} (func {})", "(drop (i32.const 1000000))".repeat(220_000));
    let giant = refusal(body(&giant)).await;
    assert_eq!(giant, "the module is refused: it has 1100002 bytes in one function, over 1048576");
    let long = refusal_of(limited(|limits| limits.bytes = 100), guests::run(OK)).await;
    assert!(
        long.starts_with("the module is refused: it has ") && long.ends_with(" bytes, over 100"),
        "{long}"
    );
    let cases = [
        ("(global i32 (i32.const 0))", "globals"),
        ("(type (func (param i64)))", "types"),
        (r#"(import "faas_v1" "wall" (func (result i64)))"#, "imports"),
    ];
    for (item, what) in cases {
        let text =
            refusal_of(limited(|limits| limits.items = 5), body(&format!("{} {rest}", item.repeat(9)))).await;
        assert!(text.ends_with(&format!("{what}, over 5")), "{what}: {text}");
    }
    let exports: String = (0..9).map(|n| format!("(export \"e{n}\" (func 0))")).collect();
    let exports = refusal_of(limited(|limits| limits.items = 5), body(&format!("{rest} {exports}"))).await;
    assert_eq!(exports, "the module is refused: it has 11 exports, over 5");
    let fits =
        limited(|limits| limits.functions = 3).module_bytes("a", body(&format!("{rest} (func) (func)")));
    fits.build().unwrap().deploy(Arc::new(spec("a"))).await.unwrap();
}

#[tokio::test]
async fn an_unknown_action_tells_the_known_ones() {
    let backend = backend().module_bytes("alpha", guests::run(OK)).module_bytes("beta", guests::run(OK));
    let error: Error = backend.build().unwrap().deploy(Arc::new(spec("gamma"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(error.message(), "no action of a module is named 'gamma'; known: alpha, beta");
}
