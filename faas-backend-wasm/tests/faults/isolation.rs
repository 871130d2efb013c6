//! What one activation leaves is not there for the next, and nothing of the host is there for any.

use serde_json::json;

use crate::guests::{self, OK};
use crate::site::{Site, backend, small, spec};

/// Ends badly unless memory from 4096 on, four mebibytes of it, is all zeros.
const SEEK: &str = "
    (if (i32.ne (memory.grow (i32.const 63)) (i32.const 1)) (then unreachable))
    (local.set $i (i32.const 4096))
    (loop $more
      (if (i64.ne (i64.load (local.get $i)) (i64.const 0)) (then unreachable))
      (local.set $i (i32.add (local.get $i) (i32.const 8)))
      (br_if $more (i32.lt_u (local.get $i) (i32.const 4194304))))";

/// Fills all of that with a secret.
const PLANT: &str = "(memory.fill (i32.const 4096) (i32.const 0x5e) (i32.const 4190208))";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_activation_left_in_its_slot_the_next_does_not_see() {
    let other = format!("{} {}", guests::data(100, b"another image"), "(global (mut i64) (i64.const 7))");
    let builder = backend()
        .instances(1)
        .module_bytes("plants", guests::run(&format!("(drop (memory.grow (i32.const 63))) {PLANT} {OK}")))
        .module_bytes("seeks", guests::with(&other, &format!("{SEEK} {OK}")))
        .module_bytes("both", guests::run(&format!("{SEEK} {PLANT} {OK}")))
        .module_bytes("traps", guests::run(&format!("{SEEK} {PLANT} unreachable")));
    let site = Site::on(builder, ["plants", "seeks", "both", "traps"].map(|name| small(name, 4))).await;
    for round in 0..10 {
        for name in ["plants", "seeks", "both", "both", "traps", "seeks", "plants", "both"] {
            let record = site.app.invoke(name, ()).await.unwrap();
            let logs = &record.logs;
            assert_eq!(record.outcome.is_success(), name != "traps", "{round} {name}: {logs:?}");
            assert_eq!(record.usage.peak_memory, Some(4 << 20), "{name}");
        }
    }
    site.end(70).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn globals_and_tables_begin_anew_for_each_activation() {
    let more = "(global $g (mut i64) (i64.const 5)) (table $t 64 funcref) (elem declare func $f) (func $f)";
    let body = format!(
        "(if (i64.ne (global.get $g) (i64.const 5)) (then unreachable))
         (if (i32.eqz (ref.is_null (table.get $t (i32.const 63)))) (then unreachable))
         (if (i32.ne (table.size $t) (i32.const 64)) (then unreachable))
         (global.set $g (i64.const 0x5ec2e7))
         (table.fill $t (i32.const 0) (ref.func $f) (i32.const 64))
         (drop (table.grow $t (ref.func $f) (i32.const 1000)))
         (i32.store8 (i32.const 1024) (i32.const 0x78)) (i32.store8 (i32.const 1024) (i32.const 0x7b)) {OK}"
    );
    let builder = backend().instances(1).module_bytes("a", guests::with(more, &body));
    let site = Site::on(builder, [small("a", 1)]).await;
    for _ in 0..20 {
        let record = site.app.invoke("a", ()).await.unwrap();
        assert!(record.outcome.is_success(), "{:?}", record.logs);
    }
    site.end(20).await;
}

/// A guest that calls WASI itself, and ends badly unless each answer is as told.
fn asks(imports: &str, checks: &[(String, u32)]) -> Vec<u8> {
    let checks: String = checks
        .iter()
        .map(|(call, answer)| format!("(if (i32.ne {call} (i32.const {answer})) (then unreachable))"))
        .collect();
    guests::module(&format!(
        r#"(module
          (import "faas_v1" "reply" (func $reply (param i32 i32 i32))) {imports}
          (memory (export "memory") 1) (data (i32.const 1024) "{{}}") (data (i32.const 2000) "/etc/passwd")
          (data (i32.const 2100) "..")
          (func (export "faas_v1_run") {checks} {OK}))"#
    ))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_sees_no_variable_argument_file_or_input_of_its_host() {
    const BADF: u32 = 8;
    let wasi =
        |name: &str, ty: &str| format!(r#"(import "wasi_snapshot_preview1" "{name}" (func ${name} {ty}))"#);
    let open = "(param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)";
    let imports = [
        wasi("environ_sizes_get", "(param i32 i32) (result i32)"),
        wasi("args_sizes_get", "(param i32 i32) (result i32)"),
        wasi("fd_prestat_get", "(param i32 i32) (result i32)"),
        wasi("path_open", open),
        wasi("fd_read", "(param i32 i32 i32 i32) (result i32)"),
        wasi("sock_accept", "(param i32 i32 i32) (result i32)"),
    ]
    .concat();
    let opens = |fd: u32, path: u32, length: u32| {
        format!(
            "(call $path_open (i32.const {fd}) (i32.const 1) (i32.const {path}) (i32.const {length}) (i32.const 0)
               (i64.const 2) (i64.const 2) (i32.const 0) (i32.const 64))"
        )
    };
    let mut checks = vec![
        ("(call $environ_sizes_get (i32.const 0) (i32.const 4))".to_owned(), 0),
        ("(i32.load (i32.const 0))".to_owned(), 0),
        ("(call $args_sizes_get (i32.const 0) (i32.const 4))".to_owned(), 0),
        // The action's name, and nothing else.
        ("(i32.load (i32.const 0))".to_owned(), 1),
        ("(i32.load (i32.const 4))".to_owned(), 2),
        // Its input is empty: nothing is read, and that is its end.
        (
            "(i32.store (i32.const 16) (i32.const 4096)) (i32.store (i32.const 20) (i32.const 99))
          (call $fd_read (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 24))"
                .to_owned(),
            0,
        ),
        ("(i32.load (i32.const 24))".to_owned(), 0),
    ];
    for fd in 3..8 {
        checks.push((format!("(call $fd_prestat_get (i32.const {fd}) (i32.const 64))"), BADF));
        checks.push((opens(fd, 2000, 11), BADF));
        checks.push((opens(fd, 2100, 2), BADF));
        checks.push((format!("(call $sock_accept (i32.const {fd}) (i32.const 0) (i32.const 64))"), BADF));
    }
    let module = asks(&imports, &checks);
    let site = Site::of([(spec("a"), module)]).await;
    let record = site.run("a", json!({ "secret": 1 })).await;
    assert!(record.outcome.is_success(), "{:?} {:?}", record.outcome, record.logs);
    site.end(2).await;
}
