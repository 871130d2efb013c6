//! Captures what user code emits through `tracing`, by scope, and passes it on to the user's own subscriber.
//!
//! A thread enters a scope by making a capturing dispatcher its default for the time of one poll. The
//! dispatcher keeps no activation: which one is current stands in a thread-local, so that one dispatcher per
//! thread and level serves all activations and none has to be registered with `tracing` per run.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::dispatcher::{self, Dispatch};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::{Interest, NoSubscriber, Subscriber};
use tracing::{Event, Level, Metadata};
use tracing_core::span::Current;

use crate::context::ContextInner;
use crate::log::Stream;

/// Whose events are captured on this thread, and who else gets them.
struct Scope {
    activation: Arc<ContextInner>,
    user: Option<Dispatch>,
}

thread_local! {
    static SCOPE: RefCell<Option<Scope>> = const { RefCell::new(None) };
    /// This thread's dispatchers by level: `tracing` keeps a list of all, so they are made once.
    static DISPATCHES: [OnceCell<Dispatch>; 6] = const { [const { OnceCell::new() }; 6] };
}

/// Captures events up to a level.
pub(super) struct Capture {
    level: LevelFilter,
}

impl Capture {
    pub(super) fn new(level: LevelFilter) -> Self {
        Self { level }
    }

    /// Runs `f` with its events captured for `activation`.
    pub(super) fn enter<R>(&self, activation: &Arc<ContextInner>, f: impl FnOnce() -> R) -> R {
        let user = dispatcher::get_default(|user| (!user.is::<NoSubscriber>()).then(|| user.clone()));
        let _leave = Leave(SCOPE.replace(Some(Scope { activation: Arc::clone(activation), user })));
        DISPATCHES.with(|all| {
            let dispatch = all[self.index()]
                .get_or_init(|| Dispatch::new(Capturing { level: self.level, spans: Mutex::default() }));
            dispatcher::with_default(dispatch, f)
        })
    }

    fn index(&self) -> usize {
        let levels = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];
        levels.iter().filter(|level| **level <= self.level).count()
    }
}

/// Restores the scope that was current before, also when user code panics.
struct Leave(Option<Scope>);

impl Drop for Leave {
    fn drop(&mut self) {
        let inner = SCOPE.replace(self.0.take());
        drop(inner);
    }
}

struct Capturing {
    level: LevelFilter,
    /// Which subscriber made a span, because a span may outlive the scope it was made in. Ids are the
    /// subscriber's own.
    spans: Mutex<BTreeMap<u64, Dispatch>>,
}

impl Capturing {
    fn captures(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= self.level
    }

    fn owner(&self, span: &Id) -> Option<Dispatch> {
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).get(&span.into_u64()).cloned()
    }
}

/// The user's subscriber, if there is one and the thread is in a scope.
fn user() -> Option<Dispatch> {
    SCOPE.with_borrow(|scope| scope.as_ref().and_then(|scope| scope.user.clone()))
}

impl Subscriber for Capturing {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::sometimes()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.captures(metadata) || user().is_some_and(|user| user.enabled(metadata))
    }

    fn event(&self, event: &Event<'_>) {
        let scope = SCOPE.with_borrow(|scope| {
            scope.as_ref().map(|scope| (Arc::clone(&scope.activation), scope.user.clone()))
        });
        let Some((activation, user)) = scope else { return };
        if self.captures(event.metadata()) {
            record(&activation, event);
        }
        if let Some(user) = user.filter(|user| user.enabled(event.metadata())) {
            user.event(event);
        }
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        let Some(user) = user() else { return Id::from_u64(1) };
        let id = user.new_span(attributes);
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).insert(id.into_u64(), user);
        id
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        if let Some(user) = self.owner(span) {
            user.record(span, values);
        }
    }

    fn record_follows_from(&self, span: &Id, follows: &Id) {
        if let Some(user) = self.owner(span) {
            user.record_follows_from(span, follows);
        }
    }

    fn enter(&self, span: &Id) {
        if let Some(user) = self.owner(span) {
            user.enter(span);
        }
    }

    fn exit(&self, span: &Id) {
        if let Some(user) = self.owner(span) {
            user.exit(span);
        }
    }

    fn clone_span(&self, span: &Id) -> Id {
        self.owner(span).map_or_else(|| span.clone(), |user| user.clone_span(span))
    }

    fn try_close(&self, span: Id) -> bool {
        let closed = self.owner(&span).is_some_and(|user| user.try_close(span.clone()));
        if closed {
            self.spans.lock().unwrap_or_else(PoisonError::into_inner).remove(&span.into_u64());
        }
        closed
    }

    fn current_span(&self) -> Current {
        user().map_or_else(Current::none, |user| user.current_span())
    }
}

/// Writes the event as one line, `LEVEL message key=value …`.
fn record(activation: &ContextInner, event: &Event<'_>) {
    let left = activation.out().logs.left();
    let mut line = Line { text: String::new(), room: usize::try_from(left).unwrap_or(usize::MAX) };
    let level = *event.metadata().level();
    let _ = write!(line, "{level}");
    event.record(&mut Message(&mut line));
    event.record(&mut Fields(&mut line));
    let stream = if level <= Level::WARN { Stream::Stderr } else { Stream::Stdout };
    activation.log(stream, &line.text);
}

/// A string that stops growing a little over the room that the log has left.
struct Line {
    text: String,
    room: usize,
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = self.room.saturating_add(4).saturating_sub(self.text.len()).min(text.len());
        let end = (room..=text.len()).find(|i| text.is_char_boundary(*i)).unwrap_or(text.len());
        self.text.push_str(&text[..end]);
        if end < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

struct Message<'a>(&'a mut Line);

impl Visit for Message<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.0, " {value:?}");
        }
    }
}

struct Fields<'a>(&'a mut Line);

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() != "message" {
            let _ = write!(self.0, " {}={value:?}", field.name());
        }
    }
}
