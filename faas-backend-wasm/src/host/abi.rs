//! The imports of a guest, version 1; `ABI.md` says what each does.

use faas_core::context::{Emitted, MAX_EMITTED};
use faas_core::guest::wasi::Reply as ReplyKind;
use faas_core::log::Stream;
use faas_core::outcome::MAX_RESULT;
use faas_core::{EntityName, Payload};
use wasmtime::{Caller, Engine, Extern, Linker, Memory, Result};

use super::misuse::misused;
use super::{HostState, Reply, http, wasi};

/// The module that a guest imports these from.
pub(crate) const MODULE: &str = "faas_v1";

/// The most of a text that a guest replies with, in bytes. Arbitrary.
const MAX_TEXT: usize = 64 << 10;

/// The most of a description, in bytes. Arbitrary.
const MAX_DESCRIPTION: usize = 4 << 20;

/// All that a guest may import.
pub(crate) fn linker(engine: &Engine) -> Result<Linker<HostState>> {
    let mut linker = Linker::new(engine);
    linker.func_wrap(MODULE, "call", |mut caller: Caller<'_, HostState>, into: u32| {
        let header = caller.data().header();
        write(&mut caller, into, &header)
    })?;
    linker.func_wrap(MODULE, "input", |mut caller: Caller<'_, HostState>, into: u32| {
        let input = caller.data().input().as_bytes().clone();
        write(&mut caller, into, &input)
    })?;
    linker.func_wrap(MODULE, "spec", |mut caller: Caller<'_, HostState>, into: u32| {
        let action = std::sync::Arc::clone(&caller.data().action);
        write(&mut caller, into, action.encoded_spec())
    })?;
    linker.func_wrap(MODULE, "log", log)?;
    linker.func_wrap(MODULE, "emit", emit)?;
    linker.func_wrap(MODULE, "reply", reply)?;
    linker.func_wrap(MODULE, "wall", |caller: Caller<'_, HostState>| caller.data().wall().nanos())?;
    linker.func_wrap(MODULE, "monotonic", |caller: Caller<'_, HostState>| {
        u64::try_from(caller.data().monotonic().as_nanos()).unwrap_or(u64::MAX)
    })?;
    linker.func_wrap(MODULE, "random", |caller: Caller<'_, HostState>| caller.data().entropy().next_u64())?;
    http::add_to(&mut linker)?;
    wasi::add_to(&mut linker)?;
    Ok(linker)
}

/// The guest's memory. While it is instantiated, it is known only by its name.
fn memory(caller: &mut Caller<'_, HostState>) -> Result<Memory> {
    if let Some(memory) = caller.data().memory {
        return Ok(memory);
    }
    match caller.get_export("memory") {
        Some(Extern::Memory(memory)) => Ok(memory),
        _ => misused!("the module exports no memory"),
    }
}

pub(super) fn write(caller: &mut Caller<'_, HostState>, into: u32, bytes: &[u8]) -> Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    let memory = memory(caller)?;
    let data = memory.data_mut(caller);
    let start = into as usize;
    match start.checked_add(bytes.len()).and_then(|end| data.get_mut(start..end)) {
        Some(target) => target.copy_from_slice(bytes),
        None => misused!("the module gave an address outside of its memory"),
    }
    Ok(())
}

/// The bytes that the guest names, of which no more than `most` are of interest.
pub(super) fn read<'a>(
    caller: &'a mut Caller<'_, HostState>,
    from: u32,
    length: u32,
    most: usize,
) -> Result<(&'a [u8], &'a mut HostState)> {
    let memory = memory(caller)?;
    let (data, state) = memory.data_and_store_mut(caller);
    let (start, length) = (from as usize, length as usize);
    match start.checked_add(length).and_then(|end| data.get(start..end)) {
        Some(bytes) => Ok((&bytes[..length.min(most)], state)),
        None => misused!("the module gave an address outside of its memory"),
    }
}

fn log(mut caller: Caller<'_, HostState>, stream: u32, from: u32, length: u32) -> Result<()> {
    let stream = match stream {
        1 => Stream::Stdout,
        2 => Stream::Stderr,
        other => {
            misused!("the module logs to stream {other}; there are 1, standard output, and 2, standard error")
        }
    };
    let room = caller.data().output.room();
    let (text, state) = read(&mut caller, from, length, room)?;
    state.output.log(state.wall(), stream, &String::from_utf8_lossy(text));
    Ok(())
}

/// Answers 0 when the event is in the outbox, and 1 when it cannot be.
fn emit(
    mut caller: Caller<'_, HostState>,
    trigger: u32,
    trigger_length: u32,
    payload: u32,
    payload_length: u32,
) -> Result<u32> {
    let (name, _) = read(&mut caller, trigger, trigger_length, MAX_TEXT)?;
    let name = std::str::from_utf8(name).ok().and_then(|name| name.parse::<EntityName>().ok());
    let (bytes, state) = read(&mut caller, payload, payload_length, usize::MAX)?;
    let total = state.emitted_bytes + bytes.len() as u64;
    let fits = state.emitted.len() < MAX_EMITTED && total <= state.action.spec.limits.memory.bytes();
    let payload = fits.then(|| Payload::from_json(bytes.to_vec()).ok()).flatten();
    let (Some(trigger), Some(payload)) = (name, payload.filter(Payload::is_object)) else {
        return Ok(1);
    };
    state.emitted_bytes = total;
    state.emitted.push(Emitted { trigger, payload });
    Ok(0)
}

fn reply(mut caller: Caller<'_, HostState>, kind: u32, from: u32, length: u32) -> Result<()> {
    let Some(kind) = ReplyKind::from_number(kind) else {
        misused!("the module replies with kind {kind}, which is none of the interface");
    };
    let most = match kind {
        ReplyKind::Result => MAX_RESULT,
        ReplyKind::DeveloperError | ReplyKind::Panicked => MAX_TEXT,
        ReplyKind::Description => MAX_DESCRIPTION,
    };
    let (bytes, state) = read(&mut caller, from, length, most)?;
    state.reply = Some(Reply { kind, bytes: bytes.to_vec(), length: length as usize });
    Ok(())
}
