//! A door for fuzz targets to what reads what functions, and AWS, have sent.

use bytes::Bytes;
use faas_core::log::LogLine;
use faas_core::{ActivationId, Outcome, Timestamp};

use crate::local::program;
use crate::message::{self, Failure, Heard};
use crate::report::Tail;

/// The program in a zip, if there is one.
#[must_use]
pub fn program(zip: Vec<u8>) -> Option<Vec<u8>> {
    program::read(zip).ok()
}

/// The outcome that an answer tells of, if it tells of one.
#[must_use]
pub fn outcome(answer: &Bytes) -> Option<Outcome> {
    match message::heard(answer) {
        Heard::Ran(_, reply) | Heard::Uninitialized(_, reply) => Some(reply.outcome),
        Heard::Garbage(outcome) => Some(outcome),
        Heard::Refused(_) => None,
    }
}

/// What Lambda told of a failure, for people.
#[must_use]
pub fn failure(body: &[u8]) -> String {
    Failure::read(body).text()
}

/// The log of an activation, in the end of a function's log as Lambda sends it.
#[must_use]
pub fn log(encoded: &str, activation: ActivationId, limit: u64) -> Vec<LogLine> {
    let tail = Tail::read(Some(encoded));
    let _ = (tail.usage(), tail.is_memory_used_up(128), tail.all(limit, Timestamp::default()));
    tail.of(activation, limit, Timestamp::default())
}
