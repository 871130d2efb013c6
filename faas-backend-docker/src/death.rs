//! Containers that do not answer: what became of them, and what that means for the action.

use std::time::Duration;

use bollard::models::ContainerStateStatusEnum as Status;
use faas_core::{Error, ErrorKind, Outcome};
use tokio::time::{Instant, sleep};

use crate::asked::Phase;
use crate::engine::Engine;
use crate::error::{no_program, unprovided};

/// What a container's init process ends with when there is no such program. Source: the conventions of shells.
const NO_PROGRAM: i64 = 127;

/// How long the engine may take to tell that a container has ended, and why. Source: OpenWhisk polls for 2 s.
pub(crate) const AUTOPSY: Duration = Duration::from_secs(2);

/// Why a container does not answer.
#[derive(Debug)]
pub(crate) enum Death {
    /// It used more memory than it has.
    OutOfMemory,
    /// It ended, with this code, or it runs and has closed its connection.
    Exited(Option<i64>),
    /// It is not there any more: somebody removed it.
    Gone,
    /// The engine cannot be asked.
    Unknown(Error),
}

impl Death {
    /// The error of a container that ended before its server listened: no code of an action can have started.
    pub(crate) fn before_listening(self, image: &str) -> Error {
        match self {
            Self::Exited(Some(NO_PROGRAM)) => no_program(image),
            Self::Gone => lost("the container was removed before it listened").temporary(true),
            Self::Unknown(error) => unprovided(error),
            death => match death.outcome(Phase::Init) {
                Ok(outcome) => Error::new(ErrorKind::InitFailed, outcome.error().unwrap_or_default()),
                Err(error) => error,
            },
        }
    }

    /// The outcome of an action whose container ended in that phase.
    ///
    /// # Errors
    /// `SandboxLost` where it is no fault of the action's, or nobody can tell; it may have run.
    pub(crate) fn outcome(self, phase: Phase) -> Result<Outcome, Error> {
        match (self, phase) {
            (Self::OutOfMemory, _) => Ok(Outcome::memory_exhausted()),
            (Self::Exited(_), Phase::Init) => Ok(Outcome::exited_in_init()),
            (Self::Exited(_), Phase::Run) => Ok(Outcome::exited()),
            (Self::Gone, _) => Err(lost("the container was removed while the action ran")),
            (Self::Unknown(error), _) => {
                Err(lost("the engine cannot tell what became of the container").with_source(error))
            }
        }
    }
}

/// Why a container does not answer; `None` while it runs, after the engine had so long to notice.
pub(crate) async fn death(engine: &Engine, id: &str, patience: Duration) -> Option<Death> {
    let begun = Instant::now();
    let mut wait = Duration::from_millis(5);
    loop {
        match engine.state(id).await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Some(Death::Gone),
            Err(error) => return Some(Death::Unknown(error)),
            // One that is removed by force is killed first.
            Ok(state) if matches!(state.status, Some(Status::REMOVING | Status::DEAD)) => {
                return Some(Death::Gone);
            }
            Ok(state) if state.oom_killed == Some(true) => return Some(Death::OutOfMemory),
            Ok(state) if state.running == Some(false) => {
                // The engine may learn of the reason after the end: a kill may be one for want of memory.
                let killed = state.exit_code == Some(137);
                if !killed || begun.elapsed() >= patience.min(AUTOPSY / 4) {
                    return Some(Death::Exited(state.exit_code));
                }
            }
            Ok(_) if begun.elapsed() >= patience => return None,
            Ok(_) => {}
        }
        sleep(wait).await;
        wait = (wait * 2).min(Duration::from_millis(50));
    }
}

/// A container that is lost, with whatever ran there.
fn lost(text: &str) -> Error {
    Error::new(ErrorKind::SandboxLost, text).temporary(false)
}
