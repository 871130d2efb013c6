//! What is logged while a test runs.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// Keeps all that is logged.
#[derive(Clone, Default)]
pub(crate) struct Kept(Arc<Mutex<String>>);

impl Kept {
    /// Keeps what is logged from now on, in a process that is a test's own: in one that others share, what is logged at a
    /// place that one of them came to first is lost.
    pub(crate) fn install() -> Self {
        let kept = Self::default();
        tracing::subscriber::set_global_default(kept.clone()).unwrap();
        kept
    }

    /// All of it, so far.
    pub(crate) fn text(&self) -> String {
        self.0.lock().unwrap().clone()
    }
}

impl Visit for Kept {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = write!(self.0.lock().unwrap(), " {}={value:?}", field.name());
    }
}

impl Subscriber for Kept {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        attributes.record(&mut self.clone());
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, values: &Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let _ = writeln!(self.0.lock().unwrap(), "{}", event.metadata().target());
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}
