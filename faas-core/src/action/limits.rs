//! What an action may use, and when it is run again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};
use crate::units::MemoryMib;

/// What an action may use.
///
/// The ranges are this library's own; a backend may declare narrower ones, and a server OpenWhisk's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// The time that one run, and one initialisation, may take: 1 ms to 24 h, 60 s unless told.
    pub timeout: Duration,
    /// The memory of its sandbox: 1 to 10,240 MiB, 256 unless told.
    pub memory: MemoryMib,
    /// The bytes of log that an activation keeps: 0 to 10 MiB, 10 MiB unless told.
    pub logs: u64,
    /// The activations that one sandbox may run at once: 1 to 1,000, 1 unless told.
    pub concurrency: u32,
}

impl Limits {
    /// The longest timeout. Arbitrary.
    pub const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);
    /// The largest log limit, in bytes. Source: OpenWhisk's 10 MB.
    pub const MAX_LOGS: u64 = 10 << 20;
    /// The largest concurrency. Arbitrary.
    pub const MAX_CONCURRENCY: u32 = 1_000;

    /// Checks every limit against its range.
    ///
    /// # Errors
    /// `InvalidArgument`, naming the value and the range.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |text: String| Err(Error::new(ErrorKind::InvalidArgument, text));
        if self.timeout < Duration::from_millis(1) || self.timeout > Self::MAX_TIMEOUT {
            return refuse(format!("timeout {:?} is out of range: 1 ms to 24 h", self.timeout));
        }
        if self.memory < MemoryMib::MIN || self.memory > MemoryMib::MAX {
            return refuse(format!(
                "memory {} is out of range: {} to {}",
                self.memory,
                MemoryMib::MIN,
                MemoryMib::MAX
            ));
        }
        if self.logs > Self::MAX_LOGS {
            return refuse(format!("log limit {} is out of range: 0 to {} bytes", self.logs, Self::MAX_LOGS));
        }
        if !(1..=Self::MAX_CONCURRENCY).contains(&self.concurrency) {
            return refuse(format!(
                "concurrency {} is out of range: 1 to {}",
                self.concurrency,
                Self::MAX_CONCURRENCY
            ));
        }
        Ok(())
    }
}

impl Default for Limits {
    /// Source of the values: OpenWhisk's defaults.
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(60),
            memory: MemoryMib::DEFAULT,
            logs: Self::MAX_LOGS,
            concurrency: 1,
        }
    }
}

/// When an activation that failed is run again.
///
/// The pause before attempt *n* + 1 is drawn from 0 to `base` × 2^(*n* − 1), at most `max`.
///
/// # Source
/// "Full jitter": M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct RetryPolicy {
    /// How often it may be run again, 0 to 100; 0 means at most once.
    pub retries: u32,
    /// Whether an application error is retried too; developer and internal errors always are.
    pub on_application_error: bool,
    /// The longest first pause.
    pub base: Duration,
    /// The longest pause.
    pub max: Duration,
    /// How long after it was accepted, or was first to run where it was delayed, an attempt may start at the latest; at
    /// any time unless told. An activation whose first attempt could not start by then ends without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<Duration>,
}

impl RetryPolicy {
    /// The largest number of retries. Arbitrary.
    pub const MAX_RETRIES: u32 = 100;

    /// Checks the number of retries against its range.
    ///
    /// # Errors
    /// `InvalidArgument`, naming the value and the range.
    pub fn check(&self) -> Result<(), Error> {
        if self.retries <= Self::MAX_RETRIES {
            return Ok(());
        }
        let text = format!("retries {} is out of range: 0 to {}", self.retries, Self::MAX_RETRIES);
        Err(Error::new(ErrorKind::InvalidArgument, text))
    }

    /// The longest pause after attempt number `attempt` (from 1).
    #[must_use]
    pub fn ceiling(&self, attempt: u32) -> Duration {
        let factor = 1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.max)
    }
}

impl Default for RetryPolicy {
    /// No retries; 100 ms and 10 s once there are some. The pauses are arbitrary.
    fn default() -> Self {
        Self {
            retries: 0,
            on_application_error: false,
            base: Duration::from_millis(100),
            max: Duration::from_secs(10),
            max_age: None,
        }
    }
}
