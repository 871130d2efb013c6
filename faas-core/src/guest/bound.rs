//! An action that is bound to its host, as its contexts see it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::{Call, Running, capture};
use crate::action::{ActionSpec, Code, NativeCode, State};
use crate::context::{Context, Host};
use crate::log::LogBuffer;

/// The action as its contexts see it.
pub(crate) struct Bound {
    /// Its code is native.
    pub(crate) spec: Spec,
    pub(crate) host: Arc<dyn Host>,
    /// Boxed, since most have none.
    built: OnceLock<Box<Built>>,
}

/// What an initialisation left.
struct Built {
    state: State,
    /// Whether its log is still there. Looked at before the lock is, which all runs share.
    has_logs: AtomicBool,
    logs: Mutex<Option<LogBuffer>>,
}

impl Bound {
    pub(super) fn new(spec: Spec, host: Arc<dyn Host>) -> Self {
        Self { spec, host, built: OnceLock::new() }
    }

    pub(crate) fn state(&self) -> Option<&State> {
        self.built.get().map(|built| &built.state)
    }

    /// Keeps the state that was built, and what was logged meanwhile. A concurrent caller may have been first; both
    /// states are alike.
    pub(super) fn set_state(&self, state: State, logs: LogBuffer) {
        let built = Built { state, has_logs: AtomicBool::new(true), logs: Mutex::new(Some(logs)) };
        let _ = self.built.set(Box::new(built));
    }

    /// The log of the initialisation, for the first run to go on with.
    pub(super) fn take_logs(&self) -> Option<LogBuffer> {
        let built = self.built.get().filter(|built| built.has_logs.load(Ordering::Relaxed))?;
        built.has_logs.store(false, Ordering::Relaxed);
        built.logs.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Starts a run in a context of its own.
    pub(crate) fn run(&self, cx: Context, call: Call) -> Running<'_> {
        let future = self.spec.code().map(|code| code.action.call(cx.clone(), call.payload));
        Running(super::Code { cx, future, capture: capture::Capture::new(call.log_level) })
    }
}

/// What is known of the action: its specification, or how to find out.
pub(crate) enum Spec {
    /// It was told when the action was bound.
    Told(Arc<ActionSpec>),
    /// It is asked of the host when somebody wants to know, which in most runs nobody does.
    #[cfg(all(feature = "guest-wasi", target_family = "wasm"))]
    Asked(Box<Asked>),
}

/// A specification that is not known yet.
#[cfg(all(feature = "guest-wasi", target_family = "wasm"))]
pub(crate) struct Asked {
    pub(super) code: NativeCode,
    pub(super) log_limit: u64,
    /// Lays what the host knows over the specification that the code has.
    pub(super) ask: fn(ActionSpec) -> ActionSpec,
    pub(super) answer: OnceLock<Arc<ActionSpec>>,
}

impl Spec {
    pub(crate) fn get(&self) -> &Arc<ActionSpec> {
        match self {
            Self::Told(spec) => spec,
            #[cfg(all(feature = "guest-wasi", target_family = "wasm"))]
            Self::Asked(asked) => {
                asked.answer.get_or_init(|| Arc::new((asked.ask)(asked.code.action.spec())))
            }
        }
    }

    /// The action's code, where it is of this program.
    pub(super) fn code(&self) -> Option<&NativeCode> {
        match self {
            Self::Told(spec) => match &spec.code {
                Code::Native(code) => Some(code),
                Code::Unbound => None,
            },
            #[cfg(all(feature = "guest-wasi", target_family = "wasm"))]
            Self::Asked(asked) => Some(&asked.code),
        }
    }

    pub(super) fn log_limit(&self) -> u64 {
        match self {
            Self::Told(spec) => spec.limits.logs,
            #[cfg(all(feature = "guest-wasi", target_family = "wasm"))]
            Self::Asked(asked) => asked.log_limit,
        }
    }
}
