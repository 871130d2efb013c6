//! What a container is asked to run.

use std::sync::Arc;

use bytes::Bytes;
use faas_core::guest::http::wire::{RunAction, RunExtra, encode_run};
use faas_core::{ActionSpec, Invocation, Timestamp};

/// An action as its container is told of it.
pub(crate) struct Asked {
    pub(crate) spec: Arc<ActionSpec>,
    /// Its name, with a slash before it.
    name: String,
    version: String,
}

impl Asked {
    pub(crate) fn new(spec: &Arc<ActionSpec>) -> Self {
        let (name, version) = (format!("/{}", spec.name), spec.version.to_string());
        Self { spec: Arc::clone(spec), name, version }
    }

    /// The body of `/run` for a run that begins then; `extra` is for guests of this library.
    pub(crate) fn body(&self, invocation: &Invocation, began: Timestamp, extra: Option<&RunExtra>) -> Bytes {
        let deadline = began.after(self.spec.limits.timeout).millis().to_string();
        let action = RunAction {
            namespace: invocation.namespace(&self.spec),
            name: &self.name,
            version: &self.version,
            deadline: &deadline,
        };
        encode_run(&invocation.payload, invocation.id, &action, extra)
    }
}
