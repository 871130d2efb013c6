//! Sequences: each member's result is the next one's payload; the first failure ends it.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::Inner;
use super::held::step_id;
use super::run::Admission;
use super::target::Runs;
use super::unfinished::{Progress, Ran, Unfinished};
use crate::activation::{Activation, ActivationId, Times};
use crate::error::{Error, ErrorKind};
use crate::log::{LogLine, Stream};
use crate::name::EntityName;
use crate::outcome::Outcome;
use crate::payload::Payload;

/// The most members that a sequence may have once inner sequences are counted by theirs, and the deepest that
/// sequences may nest. Source: OpenWhisk.
pub const MAX_SEQUENCE: usize = 50;

const TOO_MANY: &str = "Too many actions in the sequence.";
const ITSELF: &str = "Sequence may not refer to itself.";
const MISSING: &str = "Sequence component does not exist.";

impl Inner {
    /// Runs a sequence to its record, whose logs are the ids of its members' activations. One that is resumed goes on
    /// at the first member that has no record, unless a later one shows that the store has dropped it.
    pub(super) async fn run_sequence(
        self: &Arc<Self>,
        members: &[EntityName],
        mut unfinished: Unfinished<'_>,
    ) -> Ran {
        // It may have grown since it was made, by what became of its members.
        let name = unfinished.progress().target.name().clone();
        if let Err(why @ (TOO_MANY | ITSELF)) = self.measure(&name, members, 1) {
            return unfinished.conclude(Outcome::application_error(why), Times::default(), Vec::new()).await;
        }
        let reached = match self.reached(unfinished.progress(), members.len()).await {
            Ok(reached) => reached,
            Err(error) => return unfinished.fail(error).await,
        };
        let warming = self.warm_later_members(members, unfinished.progress());
        let mut payload = std::mem::take(&mut unfinished.progress().payload);
        let mut logs = Vec::with_capacity(members.len());
        let mut times = Times::default();
        let mut outcome = Outcome::success(Payload::empty());
        for (number, member) in members.iter().enumerate() {
            let has_run = number < reached;
            let step = match self.run_step(unfinished.progress(), number, member, payload, has_run).await {
                Ok(Some(step)) => step,
                Ok(None) => return unfinished.leave().await,
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    outcome = Outcome::application_error(MISSING);
                    break;
                }
                Err(error) => return unfinished.fail(error).await,
            };
            logs.push(LogLine { at: step.start, stream: Stream::Stdout, text: step.id.to_string() });
            times.wait += step.times.wait;
            times.create += step.times.create;
            times.init += step.times.init;
            times.run += step.times.run;
            outcome = step.outcome.clone();
            if !outcome.is_success() {
                break;
            }
            payload = outcome.result().clone();
        }
        drop(warming);
        unfinished.conclude(outcome, times, logs).await
    }

    async fn run_step(
        self: &Arc<Self>,
        sequence: &mut Progress,
        number: usize,
        member: &EntityName,
        payload: Payload,
        has_run: bool,
    ) -> Ran {
        let id = step_id(sequence.id, number);
        if sequence.is_resumed() {
            match self.find_step(sequence, id).await? {
                Some(done) => return Ok(Some(done)),
                None if has_run => return Err(dropped(id)),
                None => {}
            }
        }
        let target = self.registry.action(&format!("/{member}"))?;
        let payload = target.merge(payload)?;
        let wait = if sequence.alone { Duration::MAX } else { self.queue_deadline };
        let mut step = self.accept(target, payload, wait, sequence.entered.another());
        step.id = id;
        step.invoker = sequence.invoker.clone();
        step.cause = Some(sequence.id);
        step.depth = sequence.depth;
        step.alone = sequence.alone;
        if !self.durable {
            return self.run(step, None).await;
        }
        let admission = match &step.target.runs {
            Runs::Action(deployed) => deployed.lane.scheduler.try_admit(deployed.weight()),
            Runs::Sequence(_) => None,
        };
        let mut step = self.begin(step, admission.is_some()).await?;
        if let Some(held) = &mut step.held {
            (held.is_step, held.is_awaited) = (true, true);
        }
        self.run(step, admission.map(Admission::Granted)).await
    }

    /// The last step that an earlier owner of the sequence began, as far as the store still knows: those before it have
    /// run.
    async fn reached(&self, sequence: &Progress, steps: usize) -> Result<usize, Error> {
        if !sequence.is_resumed() {
            return Ok(0);
        }
        for number in (1..steps).rev() {
            let id = step_id(sequence.id, number);
            let is_known = self.patiently(|| self.store.job(id)).await?.is_some()
                || self.patiently(|| self.store.activation(id)).await?.is_some();
            if is_known {
                return Ok(number);
            }
        }
        Ok(0)
    }

    /// The record of a step that an earlier owner of the sequence began; waits for it while the step is a job.
    async fn find_step(
        &self,
        sequence: &mut Progress,
        id: ActivationId,
    ) -> Result<Option<Activation>, Error> {
        if self.patiently(|| self.store.job(id)).await?.is_none() {
            return self.patiently(|| self.store.activation(id)).await;
        }
        // The step needs a place in the window itself.
        if let Some(held) = &mut sequence.held {
            held.place = None;
        }
        tokio::select! {
            biased;
            () = self.dispatch.stopped() => Err(Error::new(ErrorKind::Closed, "the platform is shut down")),
            done = self.patiently(|| self.wait_for(id)) => match done {
                Err(error) if error.kind() == ErrorKind::NotFound => Err(dropped(id)),
                done => done.map(Some),
            },
        }
    }

    /// Makes sandboxes of the members after the first ready, all at once, so that a sequence of cold members
    /// waits for one cold start and not for one each. What is not begun when the result is dropped never is.
    fn warm_later_members(self: &Arc<Self>, members: &[EntityName], parent: &Progress) -> JoinSet<()> {
        let mut warming = JoinSet::new();
        let mut seen: Vec<EntityName> = Vec::new();
        let mut waiting: Vec<EntityName> = members.iter().rev().cloned().collect();
        while let Some(member) = waiting.pop() {
            let Ok(target) = self.registry.action(&format!("/{member}")) else { continue };
            match &target.runs {
                Runs::Sequence(inner) => waiting.extend(inner.iter().rev().cloned()),
                Runs::Action(deployed) => {
                    let first = seen.is_empty();
                    if seen.contains(&member) {
                        continue;
                    }
                    seen.push(member);
                    let foreign = parent.invoker.is_some();
                    if first || foreign || !deployed.lane.capability.prewarms {
                        continue;
                    }
                    let target = Arc::clone(&target);
                    warming.spawn(async move {
                        if let Runs::Action(deployed) = &target.runs {
                            // A member that cannot be made ready will say so when it runs.
                            let _ = deployed.lane.backend.warm(&deployed.deployment, 1).await;
                        }
                    });
                }
            }
        }
        warming
    }

    /// Checks the members of a sequence called `name`: they exist, do not lead back to it, and are not too many.
    pub(super) fn check_sequence(&self, name: &EntityName, members: &[EntityName]) -> Result<(), Error> {
        let refuse =
            |text: String| Err(Error::new(ErrorKind::InvalidArgument, text).with_context("sequence", name));
        if members.is_empty() {
            return refuse("No component specified for the sequence.".into());
        }
        let is_gone = |member: &&EntityName| self.registry.action(&format!("/{member}")).is_err();
        match self.measure(name, members, 1) {
            Ok(_) => Ok(()),
            Err(MISSING) => match members.iter().find(is_gone) {
                Some(member) => refuse(format!("{MISSING} ({member})")),
                None => refuse(format!("{MISSING} (in an inner sequence)")),
            },
            Err(TOO_MANY) => refuse(format!("{TOO_MANY} (more than {MAX_SEQUENCE})")),
            Err(why) => refuse(why.into()),
        }
    }

    /// How many actions `members` of the sequence called `name` come to, `depth` levels down.
    fn measure(
        &self,
        name: &EntityName,
        members: &[EntityName],
        depth: usize,
    ) -> Result<usize, &'static str> {
        if depth > MAX_SEQUENCE {
            return Err(TOO_MANY);
        }
        let mut atoms = 0;
        for member in members {
            if member == name {
                return Err(ITSELF);
            }
            let target = self.registry.action(&format!("/{member}")).map_err(|_| MISSING)?;
            atoms += match &target.runs {
                Runs::Action(_) => 1,
                Runs::Sequence(inner) => self.measure(name, inner, depth + 1)?,
            };
            if atoms > MAX_SEQUENCE {
                return Err(TOO_MANY);
            }
        }
        Ok(atoms)
    }

    /// The memory that a sequence is recorded with: the most of its members. Source: OpenWhisk.
    pub(super) fn sequence_memory(&self, members: &[EntityName]) -> crate::MemoryMib {
        let memory = |member| self.registry.action(&format!("/{member}")).ok().map(|t| t.record.memory);
        members.iter().filter_map(memory).max().unwrap_or(crate::MemoryMib::MIN)
    }
}

/// The error of a sequence that needs what its store keeps no more.
fn dropped(step: ActivationId) -> Error {
    let text = format!(
        "step {step} has run, but its record was dropped before the sequence could go on: the store keeps too few"
    );
    Error::new(ErrorKind::Internal, text)
}
