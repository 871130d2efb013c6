//! What an action's or sequence's name stands for at one revision.

use std::ops::Deref;
use std::sync::Arc;

use serde_json::Value;

use super::lane::Lane;
use crate::action::{ActionSpec, Parameters};
use crate::activation::ActionRevision;
use crate::backend::Deployment;
use crate::error::Error;
use crate::metrics::ActionMetrics;
use crate::name::EntityName;
use crate::payload::Payload;
use crate::scheduler::RunAverage;
use crate::store::{EntityKind, Revision};

/// One revision of an action or sequence. Whoever runs it holds it, so that an update never changes what an
/// admitted activation runs; the last holder of a deployment has it removed.
pub(crate) struct Target {
    /// What records say of it.
    pub(crate) record: Arc<ActionRevision>,
    /// The revision that the store gave it.
    pub(crate) revision: Revision,
    /// Parameters that go under each payload, where there are any: the package's, then its own.
    pub(crate) defaults: Option<Box<Parameters>>,
    pub(crate) metrics: ActionMetrics,
    pub(crate) runs: Runs,
}

/// A target as the activations of one thread hold it, so that threads count no references together.
pub(crate) struct OwnTarget {
    target: Arc<Target>,
    /// What the records of these activations hold: the thread's own copy.
    pub(crate) own_record: Arc<ActionRevision>,
}

impl OwnTarget {
    pub(crate) fn new(target: Arc<Target>) -> Self {
        let own_record = Arc::new(ActionRevision::clone(&target.record));
        Self { target, own_record }
    }
}

impl Deref for OwnTarget {
    type Target = Target;

    fn deref(&self) -> &Target {
        &self.target
    }
}

/// How it is run.
pub(crate) enum Runs {
    Action(Arc<Deployed>),
    /// The members, at least one.
    Sequence(Arc<[EntityName]>),
}

/// An action that is deployed on a lane.
pub(crate) struct Deployed {
    pub(crate) lane: Arc<Lane>,
    pub(crate) deployment: Deployment,
    /// How long it has been running, where the lane goes by that: otherwise a run writes to nothing shared.
    pub(crate) average: RunAverage,
}

impl Deployed {
    pub(crate) fn spec(&self) -> &Arc<ActionSpec> {
        &self.deployment.spec
    }

    /// What one run takes of the lane's capacity.
    pub(crate) fn weight(&self) -> u32 {
        self.lane.scheduler.weight(self.spec().limits.memory)
    }
}

impl Drop for Deployed {
    fn drop(&mut self) {
        self.lane.retire(self.deployment.clone());
    }
}

impl Target {
    pub(crate) fn new(
        record: Arc<ActionRevision>,
        revision: Revision,
        defaults: Parameters,
        runs: Runs,
    ) -> Self {
        let defaults = (!defaults.is_empty()).then(|| Box::new(defaults));
        Self { record, revision, defaults, metrics: ActionMetrics::default(), runs }
    }

    pub(crate) fn name(&self) -> &EntityName {
        &self.record.name
    }

    pub(crate) fn entity_kind(&self) -> EntityKind {
        match self.runs {
            Runs::Action(_) => EntityKind::Action,
            Runs::Sequence(_) => EntityKind::Sequence,
        }
    }

    /// The payload over the default parameters. Arrays, which occur within sequences, are not merged.
    pub(crate) fn merge(&self, payload: Payload) -> Result<Payload, Error> {
        match &self.defaults {
            Some(defaults) => merge(defaults, payload),
            None => Ok(payload),
        }
    }
}

/// A payload over default parameters: the payload's fields win.
///
/// # Source
/// OpenWhisk's order of parameters: package, then action (or trigger), then payload.
pub(crate) fn merge(defaults: &Parameters, payload: Payload) -> Result<Payload, Error> {
    if defaults.is_empty() || !payload.is_object() {
        return Ok(payload);
    }
    let Value::Object(fields) = payload.to_value() else { return Ok(payload) };
    let mut merged = defaults.clone();
    merged.extend(fields);
    Payload::encode(&merged)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn object(keys: &[u8]) -> Parameters {
        keys.iter().map(|key| (key.to_string(), json!(keys.len()))).collect()
    }

    proptest! {
        #[test]
        fn the_payload_wins_and_defaults_fill_in(under in prop::collection::vec(0_u8..8, 0..6), over in prop::collection::vec(0_u8..8, 0..6)) {
            let (defaults, fields) = (object(&under), object(&over));
            let merged = merge(&defaults, Payload::encode(&fields).unwrap()).unwrap().to_value();
            for key in 0_u8..8 {
                let key = key.to_string();
                let expected = fields.get(&key).or_else(|| defaults.get(&key));
                prop_assert_eq!(merged.get(&key), expected);
            }
        }
    }

    #[test]
    fn arrays_are_not_merged() {
        let array = Payload::from_value(&json!([1])).unwrap();
        assert_eq!(merge(&object(&[1]), array.clone()).unwrap(), array);
    }
}
