//! Where the end of work that nobody waits for is sent.

use serde_json::{Value, json};

use super::Inner;
use super::target::Runs;
use super::unfinished::Progress;
use crate::action::Destination;
use crate::activation::Record;
use crate::error::Error;
use crate::payload::Payload;
use crate::store::Work;

impl Progress {
    /// Whether its action has a destination for how it ends.
    pub(super) fn sends_on(&self) -> bool {
        let Runs::Action(deployed) = &self.target.runs else { return false };
        self.alone && deployed.spec().destinations.is_some()
    }

    /// Once the record is known: adds the job for its action's destination, where it has one. The end of a step is
    /// told by its sequence.
    pub(super) fn send_on(&mut self, platform: &Inner) {
        if !self.sends_on() || self.held.as_ref().is_some_and(|held| held.is_step) {
            return;
        }
        let (Runs::Action(deployed), Some(record)) = (&self.target.runs, &self.record) else { return };
        let Some(destinations) = &deployed.spec().destinations else { return };
        let (destination, name) = match record.outcome.is_success() {
            true => (&destinations.on_success, "on-success"),
            false => (&destinations.on_failure, "on-failure"),
        };
        let Some(destination) = destination else { return };
        let home = platform.registry.home();
        let now = platform.entropy.wall_clock();
        match letter(&self.payload, record, platform.max_payload) {
            Ok(payload) => {
                let work = match destination {
                    Destination::Action(action) => Work::Invoke(action.resolve(home)),
                    Destination::Trigger(trigger) => Work::Fire(trigger.resolve(home)),
                };
                let job = self.caused(name, work, payload, now, platform);
                self.follow_up.push(job);
            }
            Err(error) => tracing::error!(activation = %self.id, %error, "nothing was sent to a destination"),
        }
    }
}

/// What a destination is told: the input and the record. Where that is more than a payload may have, it goes without
/// the logs, and then without the input and the result, which are in the store.
fn letter(input: &Payload, record: &Record, max: usize) -> Result<Payload, Error> {
    let encode =
        |input: Value, record: &Record| Payload::encode(&json!({ "input": input, "activation": record }));
    let mut record = Record { input: None, ..record.clone() };
    let whole = encode(input.to_value(), &record)?;
    if whole.len() <= max {
        return Ok(whole);
    }
    record.logs = Vec::new();
    let without_logs = encode(input.to_value(), &record)?;
    if without_logs.len() <= max {
        return Ok(without_logs);
    }
    record.outcome = record.outcome.without_result();
    encode(Value::Null, &record)
}
