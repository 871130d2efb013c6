//! Guests that no compiler makes, written by hand.

/// Replies with `{}`, which all these guests have at 1024.
pub(crate) const OK: &str = "(call $reply (i32.const 0) (i32.const 1024) (i32.const 2))";

/// What every guest here imports.
const IMPORTS: &str = r#"
  (import "faas_v1" "call" (func $call (param i32)))
  (import "faas_v1" "input" (func $input (param i32)))
  (import "faas_v1" "spec" (func $spec (param i32)))
  (import "faas_v1" "log" (func $log (param i32 i32 i32)))
  (import "faas_v1" "emit" (func $emit (param i32 i32 i32 i32) (result i32)))
  (import "faas_v1" "reply" (func $reply (param i32 i32 i32)))
  (import "faas_v1" "wait" (func $wait (param i64)))
  (import "faas_v1" "http_send" (func $http_send (param i32 i32) (result i32)))
  (import "faas_v1" "http_poll" (func $http_poll (param i32) (result i64)))
  (import "faas_v1" "http_take" (func $http_take (param i32 i32)))
  (import "faas_v1" "http_cancel" (func $http_cancel (param i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))"#;

/// A module of this text.
pub(crate) fn module(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

/// A guest with one page of memory that does this when it runs.
pub(crate) fn run(run: &str) -> Vec<u8> {
    with("", run)
}

/// The same with more in its module.
pub(crate) fn with(more: &str, run: &str) -> Vec<u8> {
    sized(1, more, run)
}

/// The same with so many pages of memory.
pub(crate) fn sized(pages: u32, more: &str, run: &str) -> Vec<u8> {
    module(&format!(
        r#"(module {IMPORTS}
          (memory (export "memory") {pages})
          (data (i32.const 1024) "{{}}")
          {more}
          (func (export "faas_v1_run") (local $i i32) {run}))"#
    ))
}

/// A guest that replies with these bytes, of that kind.
pub(crate) fn replies(kind: u32, bytes: &[u8]) -> Vec<u8> {
    let pages = bytes.len().div_ceil(64 << 10) + 1;
    let data = data(2048, bytes);
    let run = format!("(call $reply (i32.const {kind}) (i32.const 2048) (i32.const {}))", bytes.len());
    sized(u32::try_from(pages).unwrap(), &data, &run)
}

/// A data segment.
pub(crate) fn data(at: usize, bytes: &[u8]) -> String {
    let escaped: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
    format!("(data (i32.const {at}) \"{escaped}\")")
}

/// A loop without end around this.
pub(crate) fn forever(body: &str) -> String {
    format!("(loop $again {body} (br $again))")
}

/// A loop of so many rounds around this.
pub(crate) fn times(count: u32, body: &str) -> String {
    format!(
        "(loop $again {body} (local.set $i (i32.add (local.get $i) (i32.const 1)))
           (br_if $again (i32.lt_u (local.get $i) (i32.const {count}))))"
    )
}

/// The same in a function that has no counter of its own.
pub(crate) fn forever_in(name: &str, count: u32, body: &str) -> String {
    format!("(local {name} i32) {}", times(count, body))
}
