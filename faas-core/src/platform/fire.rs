//! Firing triggers: one activation for the trigger, one derived from it for each rule that matches.

use std::sync::Arc;

use serde_json::json;

use super::in_flight::Entered;
use super::invoke::ended;
use super::registry::{RuleEntry, TriggerEntry};
use super::target::merge;
use super::{Inner, Platform};
use crate::activation::{Activation, ActivationId, ActivationKind, Record};
use crate::error::{BoxError, Error, ErrorKind};
use crate::guest;
use crate::log::{LogLine, Stream};
use crate::name::EntityName;
use crate::outcome::{Outcome, Status};
use crate::payload::{IntoPayload, Payload};
use crate::store::{Claim, FollowUp, Job, Work};
use crate::trigger::Event;
use crate::units::Timestamp;

/// How firing a trigger differs from the usual.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct FireOptions {
    /// What the caller calls this event, at most [`MAX_KEY`](super::MAX_KEY) bytes. The event of a trigger and a key
    /// is accepted once within the platform's
    /// [`idempotency_retention`](crate::PlatformBuilder::idempotency_retention): each call gives the id of the first.
    pub key: Option<String>,
}

impl FireOptions {
    /// Firing as usual.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, once for this key.
    #[must_use]
    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }
}

/// What firing a trigger comes to: its record, and the jobs of the rules that matched.
struct Fired {
    record: Activation,
    jobs: Vec<Job>,
    /// Records of rules whose mapping failed.
    failed: Vec<Activation>,
    /// How far the schedule has come that fired it, where one did.
    position: Option<Timestamp>,
}

impl Fired {
    fn follow_up(&self) -> FollowUp {
        let schedule = self.position.map(|position| (self.record.action().clone(), position));
        FollowUp { jobs: self.jobs.clone(), records: self.failed.clone(), schedule }
    }
}

/// What a rule did, as the trigger's record tells it.
enum RuleResult {
    NoMatch,
    Activated(Job),
    NotActivated(Status, String, Option<Box<Record>>),
}

impl Platform {
    /// Fires a trigger: every enabled rule of it whose filter accepts the event invokes its action. Gives the
    /// id of the trigger's own activation once all of that is accepted; its record's logs tell what each rule
    /// did.
    ///
    /// # Errors
    /// `NotFound` for a missing trigger, `InvalidArgument` for a disabled one or a payload that is no object,
    /// `Throttled`, `Overloaded`, `Closed`. Nothing is accepted then.
    ///
    /// # Cancel safety
    /// Dropping it leaves the event fired as a whole or not at all.
    pub async fn fire(&self, trigger: &str, payload: impl IntoPayload) -> Result<ActivationId, Error> {
        let payload = payload.into_payload()?;
        let event = Event { id: None, at: self.0.entropy.wall_clock(), payload };
        self.fire_event(trigger, event).await
    }

    /// [`fire`](Self::fire) with options. With a key the event itself is accepted first, and fired a little later:
    /// [`activation`](Self::activation) waits for the trigger's record.
    ///
    /// ```
    /// use faas_core::prelude::*;
    /// use faas_core::FireOptions;
    /// use serde_json::json;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), BoxError> {
    /// let app = Platform::builder().backend(LocalBackend::new()).trigger("paid").build().await?;
    /// let once = || FireOptions::new().with_key("invoice-7");
    /// let first = app.fire_with("paid", json!({ "invoice": 7 }), once()).await?;
    /// assert_eq!(app.fire_with("paid", json!({ "invoice": 7 }), once()).await?, first);
    /// assert!(app.activation(first).await?.outcome.is_success());
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`fire`](Self::fire); `InvalidArgument` for a key that is empty or too long.
    ///
    /// # Cancel safety
    /// Dropping it leaves the event accepted or not. With a key it can be called again without harm.
    pub async fn fire_with(
        &self,
        trigger: &str,
        payload: impl IntoPayload,
        options: FireOptions,
    ) -> Result<ActivationId, Error> {
        let payload = payload.into_payload()?;
        match options.key {
            Some(key) => self.0.fire_once(trigger, payload, &key).await,
            None => self.fire(trigger, payload).await,
        }
    }

    /// [`fire`](Self::fire) with an event of a source. An event whose id the source gave fires once: repeating
    /// it gives the same id and does nothing else, for as long as the record is kept.
    ///
    /// # Errors
    /// As [`fire`](Self::fire).
    ///
    /// # Cancel safety
    /// As [`fire`](Self::fire); firing an event with an id again does no harm.
    pub async fn fire_event(&self, trigger: &str, event: Event) -> Result<ActivationId, Error> {
        let trigger = self.0.registry.trigger(trigger)?;
        self.0.fire_entry(&trigger, event, None).await
    }
}

impl Inner {
    /// Fires a trigger. Where a schedule does, `position` is how far it has come then, which is kept in the same step.
    pub(super) async fn fire_entry(
        self: &Arc<Self>,
        trigger: &Arc<TriggerEntry>,
        event: Event,
        position: Option<Timestamp>,
    ) -> Result<ActivationId, Error> {
        let entered = self.in_flight.enter()?;
        self.check_event(trigger, &event.payload)
            .map_err(|error| error.with_context("trigger", &trigger.name))?;
        self.check_backlog().await?;
        self.quotas.admit_fire(trigger.name.namespace())?;
        let id = match &event.id {
            Some(key) => ActivationId::new(event.at, 0).derive(&format!("{}\0{}", trigger.name, key.0)),
            None => self.new_id(self.entropy.wall_clock()),
        };
        if event.id.is_some() && self.store.activation(id).await?.is_some() {
            if let Some(position) = position {
                self.store.put_schedule(&trigger.name, position).await?;
            }
            return Ok(id);
        }
        let fired = Fired { position, ..self.apply_rules(trigger, id, None, 0, event)? };
        let platform = Arc::clone(self);
        // In a task of its own: a caller who leaves meanwhile leaves no job behind that nobody is told of.
        let firing = tokio::spawn(async move {
            match platform.store.append(fired.record.clone(), fired.follow_up()).await {
                Ok(()) => {
                    platform.fan_out(&fired, &entered);
                    Ok(())
                }
                // Somebody else fired the same event in the meantime.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
                Err(error) => Err(error),
            }
        });
        firing.await.unwrap_or_else(|_| Err(ended()))?;
        Ok(id)
    }

    /// Accepts an event as a job, once for a key.
    async fn fire_once(
        self: &Arc<Self>,
        trigger: &str,
        payload: Payload,
        key: &str,
    ) -> Result<ActivationId, Error> {
        let _entered = self.in_flight.enter()?;
        let trigger = self.registry.trigger(trigger)?;
        self.check_event(&trigger, &payload).map_err(|error| error.with_context("trigger", &trigger.name))?;
        let key = self.key(trigger.name.namespace(), &trigger.name, Some(key))?;
        if let Some(known) = self.find_keyed(key.as_ref()).await? {
            return Ok(known);
        }
        self.check_backlog().await?;
        self.quotas.admit_fire(trigger.name.namespace())?;
        let now = self.entropy.wall_clock();
        let job = Job {
            id: self.new_id(now),
            work: Work::Fire(trigger.name.clone()),
            payload,
            invoker: None,
            cause: None,
            rule: None,
            depth: 0,
            accepted: self.dispatch.accepted_at(now),
            not_before: now,
            key: key.clone(),
        };
        let id = job.id;
        match self.accept_job(job).await {
            // Somebody else was first with the key.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                self.find_keyed(key.as_ref()).await?.ok_or(error)
            }
            done => done.map(|()| id),
        }
    }

    /// Refuses events from outside while too much accepted work is not finished, but for what is to run later. What
    /// follows from accepted work is never refused, and a store that is durable has a limit of its own.
    async fn check_backlog(&self) -> Result<(), Error> {
        if self.durable {
            return Ok(());
        }
        let later = self.dispatch.later(self.entropy.wall_clock());
        let pending = self.store.pending().await?.saturating_sub(later);
        if pending < self.queue_limit as u64 {
            return Ok(());
        }
        let text = format!("{pending} accepted jobs are not finished, and the limit is {}", self.queue_limit);
        Err(Error::new(ErrorKind::Overloaded, text))
    }

    /// Fires what an action emitted, and events that were accepted first.
    pub(super) async fn fire_job(
        self: &Arc<Self>,
        job: &Job,
        claim: Claim,
        entered: Entered,
    ) -> Result<(), Error> {
        let name = job.work.name();
        let bare = |error: &Error| self.bare_record(job, name, ActivationKind::Trigger, error.message());
        let trigger = match self.enabled_trigger(name) {
            Ok(trigger) => trigger,
            // Once it is back, or enabled, the event can be fired.
            Err(error) => return self.bury_bare(claim, bare(&error), &entered).await,
        };
        match self.fire_accepted(job, &trigger) {
            Ok(fired) => {
                let finish = || self.store.finish(claim, fired.record.clone(), fired.follow_up());
                self.patiently(finish).await?;
                self.fan_out(&fired, &entered);
                Ok(())
            }
            Err(error) => self.finish_bare(claim, bare(&error), &entered).await,
        }
    }

    fn enabled_trigger(&self, name: &EntityName) -> Result<Arc<TriggerEntry>, Error> {
        let trigger = self.registry.trigger(&format!("/{name}"))?;
        check_enabled(&trigger)?;
        Ok(trigger)
    }

    fn fire_accepted(&self, job: &Job, trigger: &TriggerEntry) -> Result<Fired, Error> {
        self.check_depth(job.depth)?;
        self.check_payload(&job.payload)?;
        let event = Event { id: None, at: job.accepted, payload: job.payload.clone() };
        self.apply_rules(trigger, job.id, job.cause, job.depth, event)
    }

    fn check_event(&self, trigger: &TriggerEntry, payload: &Payload) -> Result<(), Error> {
        check_enabled(trigger)?;
        self.check_payload(payload)
    }

    /// After the trigger's record and its jobs are in the store.
    fn fan_out(self: &Arc<Self>, fired: &Fired, entered: &Entered) {
        self.queued(fired.jobs.len());
        self.written(&fired.record, entered);
        for record in &fired.failed {
            self.written(record, entered);
        }
    }

    fn apply_rules(
        &self,
        trigger: &TriggerEntry,
        id: ActivationId,
        cause: Option<ActivationId>,
        depth: u32,
        event: Event,
    ) -> Result<Fired, Error> {
        let payload = merge(&trigger.parameters, event.payload)?;
        let event = Event { payload, ..event };
        let now = self.entropy.wall_clock();
        let (mut logs, mut jobs, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        for rule in self.registry.rules_of(&trigger.name).values() {
            let result = self.apply(rule, id, depth, now, &event);
            logs.extend(log_of(rule, &result, now));
            match result {
                RuleResult::Activated(job) => jobs.push(job),
                RuleResult::NotActivated(_, _, Some(record)) => failed.push(Activation::from(*record)),
                RuleResult::NotActivated(..) | RuleResult::NoMatch => {}
            }
        }
        let outcome = Outcome::success(event.payload);
        let record =
            Record { cause, logs, ..Record::without_run(id, Arc::clone(&trigger.record), now, outcome) };
        Ok(Fired { record: record.into(), jobs, failed, position: None })
    }

    /// What a rule makes of an event.
    fn map_event(&self, rule: &RuleEntry, event: &Event) -> Result<Option<Payload>, BoxError> {
        let mapped = guest::catch_panic(|| rule.rule.apply(event));
        let mapped = mapped.unwrap_or_else(|panic| Err(format!("it panicked: {panic}").into()))?;
        if let Some(payload) = &mapped {
            self.check_payload(payload).map_err(|error| error.message().to_owned())?;
        }
        Ok(mapped)
    }

    fn apply(
        &self,
        rule: &RuleEntry,
        id: ActivationId,
        depth: u32,
        now: Timestamp,
        event: &Event,
    ) -> RuleResult {
        let (name, action) = (&rule.name, &rule.action);
        if !rule.switch.is_enabled() {
            let text = format!("Rule '{name}' is inactive, action '{action}' was not activated.");
            return RuleResult::NotActivated(Status::ApplicationError, text, None);
        }
        let job = |payload: Payload| Job {
            id: id.derive(name.as_str()),
            work: Work::Invoke(action.clone()),
            payload,
            invoker: None,
            cause: Some(id),
            rule: Some(name.clone()),
            depth,
            accepted: self.dispatch.accepted_at(now),
            not_before: now,
            key: None,
        };
        match self.map_event(rule, event) {
            Ok(None) => RuleResult::NoMatch,
            Ok(Some(payload)) => match self.registry.action(&format!("/{action}")) {
                Ok(target) => match target.merge(payload) {
                    Ok(payload) => RuleResult::Activated(job(payload)),
                    Err(error) => {
                        RuleResult::NotActivated(Status::ApplicationError, error.message().into(), None)
                    }
                },
                Err(_) => {
                    let text = "The requested resource does not exist.".to_owned();
                    RuleResult::NotActivated(Status::ApplicationError, text, None)
                }
            },
            Err(error) => {
                let why = format!("Rule '{name}' failed to map the event: {error}");
                let job = job(Payload::empty());
                let record = self.bare_record(&job, action, ActivationKind::Action, &why);
                RuleResult::NotActivated(Status::ApplicationError, why, Some(Box::new(record)))
            }
        }
    }
}

fn check_enabled(trigger: &TriggerEntry) -> Result<(), Error> {
    if trigger.switch.is_enabled() {
        return Ok(());
    }
    let text = format!("trigger '{}' is disabled: enable it before it is fired", trigger.name);
    Err(Error::new(ErrorKind::InvalidArgument, text))
}

/// The line that a trigger's record has for a rule that did something. Source: OpenWhisk.
fn log_of(rule: &RuleEntry, result: &RuleResult, at: Timestamp) -> Option<LogLine> {
    let mut line = json!({ "rule": rule.name.as_str(), "action": rule.action.as_str() });
    match result {
        RuleResult::NoMatch => return None,
        RuleResult::Activated(job) => {
            line["statusCode"] = Status::Success.code().into();
            line["success"] = true.into();
            line["activationId"] = job.id.to_string().into();
        }
        RuleResult::NotActivated(status, error, record) => {
            line["statusCode"] = status.code().into();
            line["success"] = false.into();
            line["error"] = error.as_str().into();
            if let Some(record) = record {
                line["activationId"] = record.id.to_string().into();
            }
        }
    }
    Some(LogLine { at, stream: Stream::Stdout, text: line.to_string() })
}
