//! What the capacity and the queue are built on; the model check puts loom's in its place.

pub(super) use std::sync::atomic::{AtomicU64, Ordering};
pub(super) use std::sync::{Mutex, MutexGuard};

pub(super) use crate::stripe::{STRIPES, thread_number};
