//! A guest that does what a script says: it calls any import with any numbers, over any bytes of its memory.

use std::fmt::Write;

/// Where the guest's memory holds the script, beyond the payload that has it in hex.
const SCRIPT: usize = 2 << 20;

/// The most bytes of a script.
const LONGEST: usize = 64 << 10;

/// What the guest can call: the word for it in a script, module and name, parameters, and whether it answers.
///
/// A parameter `a` is an address and `n` a length: unless the script says otherwise, those of the bytes that go
/// with the call. `i` is another number of 32 bits, and `l` one of 64.
const CALLS: [(&str, &str, &str, &str, bool); 21] = [
    ("reply", "faas_v1", "reply", "ian", false),
    ("log", "faas_v1", "log", "ian", false),
    ("emit", "faas_v1", "emit", "anan", true),
    ("send", "faas_v1", "http_send", "an", true),
    ("poll", "faas_v1", "http_poll", "i", true),
    ("take", "faas_v1", "http_take", "ia", false),
    ("cancel", "faas_v1", "http_cancel", "i", false),
    ("wait", "faas_v1", "wait", "l", false),
    ("call", "faas_v1", "call", "a", false),
    ("input", "faas_v1", "input", "a", false),
    ("spec", "faas_v1", "spec", "a", false),
    ("wall", "faas_v1", "wall", "", true),
    ("random", "faas_v1", "random", "", true),
    ("write", "wasi_snapshot_preview1", "fd_write", "iaia", true),
    ("read", "wasi_snapshot_preview1", "fd_read", "iaia", true),
    ("open", "wasi_snapshot_preview1", "path_open", "iianillia", true),
    ("environment", "wasi_snapshot_preview1", "environ_get", "aa", true),
    ("arguments", "wasi_snapshot_preview1", "args_get", "aa", true),
    ("bytes", "wasi_snapshot_preview1", "random_get", "an", true),
    ("oneoff", "wasi_snapshot_preview1", "poll_oneoff", "aaia", true),
    ("exit", "wasi_snapshot_preview1", "proc_exit", "i", false),
];

/// The most numbers that a call takes.
const NUMBERS: usize = 9;

/// The guest, as text. Its script begins with calls of 4 bytes for which it is, from 1, and 4 for each number; a
/// zero ends them.
#[must_use]
pub fn module() -> String {
    let (mut imports, mut calls) = (String::new(), String::new());
    for (at, (word, module, name, params, answers)) in CALLS.iter().enumerate() {
        let wide = |param: char| if param == 'l' { "i64" } else { "i32" };
        let types: Vec<&str> = params.chars().map(wide).collect();
        let result = match (*answers, *name) {
            (false, _) => "",
            (true, "http_poll" | "wall" | "random") => "(result i64)",
            (true, _) => "(result i32)",
        };
        let _ = writeln!(
            imports,
            "(import \"{module}\" \"{name}\" (func ${word} (param {}) {result}))",
            types.join(" ")
        );
        let numbers = params.chars().enumerate().map(|(n, param)| {
            let load = format!("(i32.load offset={} (local.get $at))", 4 + 4 * n);
            if param == 'l' { format!("(i64.extend_i32_u {load})") } else { load }
        });
        let call = format!("(call ${word} {})", numbers.collect::<String>());
        let call = if *answers { format!("(drop {call})") } else { call };
        let _ = writeln!(calls, "(if (i32.eq (local.get $which) (i32.const {})) (then {call}))", at + 1);
    }
    TEMPLATE
        .replace("IMPORTS", &imports)
        .replace("CALLS", &calls)
        .replace("SCRIPT", &SCRIPT.to_string())
        .replace("STEP", &(4 + 4 * NUMBERS).to_string())
}

/// The payload begins with `{"s":"`, and the hex digits end with the next quote.
const TEMPLATE: &str = r#"(module
IMPORTS
(memory (export "memory") 64)
(func $digit (param $at i32) (result i32) (local $c i32)
  (local.set $c (i32.load8_u (local.get $at)))
  (if (result i32) (i32.lt_u (local.get $c) (i32.const 58))
    (then (i32.sub (local.get $c) (i32.const 48)))
    (else (i32.sub (local.get $c) (i32.const 87)))))
(func (export "faas_v1_run") (local $from i32) (local $at i32) (local $which i32)
  (call $input (i32.const 0))
  (local.set $from (i32.const 6))
  (local.set $at (i32.const SCRIPT))
  (block $decoded (loop $next
    (br_if $decoded (i32.eq (i32.load8_u (local.get $from)) (i32.const 34)))
    (i32.store8 (local.get $at) (i32.or
      (i32.shl (call $digit (local.get $from)) (i32.const 4))
      (call $digit (i32.add (local.get $from) (i32.const 1)))))
    (local.set $from (i32.add (local.get $from) (i32.const 2)))
    (local.set $at (i32.add (local.get $at) (i32.const 1)))
    (br $next)))
  (local.set $at (i32.const SCRIPT))
  (block $done (loop $next
    (local.set $which (i32.load (local.get $at)))
    (br_if $done (i32.eqz (local.get $which)))
    CALLS
    (local.set $at (i32.add (local.get $at) (i32.const STEP)))
    (br $next)))))
"#;

/// The payload for a script as text: calls that are separated by lines `%%`. The first line of a call is its word
/// and its numbers, each of which may be `_` for what it is anyway; the rest are its bytes.
///
/// Any bytes are a script: an unknown word is one of the known ones, and a bad number is what it is anyway.
#[must_use]
pub fn payload(text: &[u8]) -> String {
    let parts = split(&text[..text.len().min(LONGEST)]);
    let mut data = SCRIPT + parts.len() * (4 + 4 * NUMBERS) + 4;
    let (mut script, mut tail): (Vec<u8>, Vec<u8>) = (Vec::new(), Vec::new());
    for part in parts {
        let end = part.iter().position(|byte| *byte == b'\n').unwrap_or(part.len());
        let (line, bytes) = (String::from_utf8_lossy(&part[..end]), part.get(end + 1..).unwrap_or_default());
        let mut words = line.split(' ');
        let word = words.next().unwrap_or_default();
        let known = CALLS.iter().position(|(known, ..)| *known == word);
        let which = known.unwrap_or_else(|| word.bytes().map(usize::from).sum::<usize>() % CALLS.len());
        let mut numbers = CALLS[which].3.chars().map(|param| {
            let said = words.next().and_then(|word| word.parse::<u32>().ok());
            said.unwrap_or_else(|| match param {
                'a' => u32::try_from(data).unwrap_or(0),
                'n' => u32::try_from(bytes.len()).unwrap_or(0),
                _ => 1,
            })
        });
        script.extend(u32::try_from(which + 1).unwrap_or(0).to_le_bytes());
        script.extend((0..NUMBERS).flat_map(|_| numbers.next().unwrap_or(0).to_le_bytes()));
        tail.extend_from_slice(bytes);
        data += bytes.len();
    }
    script.extend(0_u32.to_le_bytes());
    script.extend(tail);
    let hex: String = script.iter().map(|byte| format!("{byte:02x}")).collect();
    format!(r#"{{"s":"{hex}"}}"#)
}

fn split(text: &[u8]) -> Vec<&[u8]> {
    const BETWEEN: &[u8] = b"\n%%\n";
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.windows(BETWEEN.len()).position(|window| window == BETWEEN) {
        parts.push(&rest[..at]);
        rest = &rest[at + BETWEEN.len()..];
    }
    parts.push(rest);
    parts
}
