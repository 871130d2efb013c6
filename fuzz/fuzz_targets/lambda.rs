//! What functions of Lambda answer, what Lambda tells of them, what a function is asked, and the zip that it is made of.
//! An answer has an outcome within its limit, or none; a log is within its own.

#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use faas_backend_lambda::fuzzing;
use faas_core::ActivationId;
use faas_core::guest::lambda::wire::Event;
use faas_core::outcome::MAX_RESULT;
use faas_fuzz::LOGS;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some(outcome) = fuzzing::outcome(&Bytes::copy_from_slice(data)) {
        let result = outcome.result().len();
        assert!(result <= MAX_RESULT, "a result of {result} bytes");
        assert!(outcome.is_success() || outcome.error().is_some(), "{outcome:?}");
    }
    let _ = serde_json::from_slice::<Event<'_>>(data);
    assert!(!fuzzing::failure(data).is_empty());
    let activation = ActivationId::from_u128(1);
    for tail in [STANDARD.encode(data), String::from_utf8_lossy(data).into_owned()] {
        let log = fuzzing::log(&tail, activation, LOGS);
        let logged: usize = log.iter().map(|line| line.text.len()).sum();
        // The line that tells of those that were dropped comes on top.
        assert!(logged as u64 <= LOGS + 256, "{logged} bytes of log");
    }
    if let Some(program) = fuzzing::program(data.to_vec()) {
        assert!(program.starts_with(b"\x7fELF"));
    }
});
