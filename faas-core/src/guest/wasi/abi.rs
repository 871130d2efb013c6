//! The imports of a guest, version 1 of the interface that `ABI.md` of `faas-backend-wasm` describes.
#![allow(unsafe_code, reason = "imports of a Wasm module are foreign functions")]

use std::time::Duration;

use super::{HEADER, Reply};
use crate::log::Stream;
use crate::units::{self, Timestamp};

mod sys {
    #[link(wasm_import_module = "faas_v1")]
    unsafe extern "C" {
        pub(super) fn call(header: *mut u8);
        pub(super) fn input(into: *mut u8);
        pub(super) fn spec(into: *mut u8);
        pub(super) fn log(stream: u32, text: *const u8, length: usize);
        pub(super) fn emit(
            trigger: *const u8,
            length: usize,
            payload: *const u8,
            payload_length: usize,
        ) -> u32;
        pub(super) fn reply(kind: u32, bytes: *const u8, length: usize);
        pub(super) fn http_send(request: *const u8, length: usize) -> u32;
        pub(super) fn http_take(handle: u32, into: *mut u8);
        // These take no address, so that no caller can break anything.
        pub(super) safe fn wall() -> u64;
        pub(super) safe fn monotonic() -> u64;
        pub(super) safe fn random() -> u64;
        pub(super) safe fn wait(nanos: u64);
        pub(super) safe fn http_poll(handle: u32) -> i64;
        pub(super) safe fn http_cancel(handle: u32);
    }
}

/// The header of the call.
pub(super) fn call() -> [u8; HEADER] {
    let mut header = [0; HEADER];
    // SAFETY: the host writes exactly `HEADER` bytes, as many as there are.
    unsafe { sys::call(header.as_mut_ptr()) };
    header
}

/// The input, whose length the header tells.
pub(super) fn input(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    // SAFETY: the host writes exactly as many bytes as its header said, which is what `length` is.
    unsafe { sys::input(bytes.as_mut_ptr()) };
    bytes
}

/// The action's specification, whose length the header tells.
pub(super) fn spec(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    // SAFETY: the host writes exactly as many bytes as its header said, which is what `length` is.
    unsafe { sys::spec(bytes.as_mut_ptr()) };
    bytes
}

/// Hands a line of the log over.
pub(super) fn log(stream: Stream, text: &str) {
    let stream = match stream {
        Stream::Stdout => 1,
        Stream::Stderr => 2,
    };
    // SAFETY: the host reads the `len` bytes of the text and keeps none of them.
    unsafe { sys::log(stream, text.as_ptr(), text.len()) };
}

/// Puts an event into the outbox, and tells whether the host took it.
pub(super) fn emit(trigger: &str, payload: &[u8]) -> bool {
    // SAFETY: the host reads the bytes of both and keeps none of them.
    let refused = unsafe { sys::emit(trigger.as_ptr(), trigger.len(), payload.as_ptr(), payload.len()) };
    refused == 0
}

/// Replies; the last reply counts.
pub(super) fn reply(kind: Reply, bytes: &[u8]) {
    // SAFETY: the host reads the bytes and keeps none of them.
    unsafe { sys::reply(kind as u32, bytes.as_ptr(), bytes.len()) };
}

/// Reads the host's wall clock.
pub(super) fn wall() -> Timestamp {
    Timestamp::from_nanos(sys::wall())
}

/// 64 random bits.
pub(super) fn random() -> u64 {
    sys::random()
}

/// Reads the host's monotonic clock.
pub(super) fn monotonic() -> Duration {
    Duration::from_nanos(sys::monotonic())
}

/// Blocks for so long, or until something happens that the host did for the guest.
pub(super) fn wait(time: Duration) {
    sys::wait(units::nanos(time));
}

/// Has the host make an HTTP request; the handle is that of its response.
pub(super) fn http_send(request: &[u8]) -> u32 {
    // SAFETY: the host reads the bytes and keeps none of them.
    unsafe { sys::http_send(request.as_ptr(), request.len()) }
}

/// The length of the response, once it is there.
pub(super) fn http_poll(handle: u32) -> Option<usize> {
    usize::try_from(sys::http_poll(handle)).ok()
}

/// Takes the response, whose length `http_poll` told, and gives the handle back.
pub(super) fn http_take(handle: u32, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    // SAFETY: the host writes exactly as many bytes as it told when it was polled, which is what `length` is.
    unsafe { sys::http_take(handle, bytes.as_mut_ptr()) };
    bytes
}

/// Ends a request whose response nobody took, and gives the handle back.
pub(super) fn http_cancel(handle: u32) {
    sys::http_cancel(handle);
}
