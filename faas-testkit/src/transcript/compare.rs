//! Comparing the transcripts of two subjects.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use super::{RunStatus, Transcript, Transcripts};

/// Something that two subjects do not have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The behaviour.
    pub behaviour: String,
    /// What differs, with both sides.
    pub what: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.behaviour, self.what)
    }
}

/// Everything in which two subjects differ.
///
/// # Behavior
/// - A behaviour that only one has a transcript of is a difference.
/// - A behaviour that ran and left no entry is a difference: there was nothing to compare.
/// - A behaviour that either skipped is not compared.
/// - Where both ran, the number of entries and every field of each entry must agree.
#[must_use]
pub fn compare(left: &Transcripts, right: &Transcripts) -> Vec<Difference> {
    let names: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    let differences = names.into_iter().flat_map(|name| {
        let found = match (left.get(name), right.get(name)) {
            (Some(left), Some(right)) => of_behaviour(left, right),
            (left, _) => {
                let side = if left.is_some() { "second" } else { "first" };
                vec![format!("the {side} subject has no transcript")]
            }
        };
        found.into_iter().map(move |what| Difference { behaviour: name.clone(), what })
    });
    differences.collect()
}

fn of_behaviour(left: &Transcript, right: &Transcript) -> Vec<String> {
    for (side, transcript) in [("first", left), ("second", right)] {
        if transcript.status == RunStatus::Ran && transcript.entries.is_empty() {
            return vec![format!("the {side} subject's transcript is empty")];
        }
    }
    if left.status == RunStatus::Skipped || right.status == RunStatus::Skipped {
        return Vec::new();
    }
    if left.entries.len() != right.entries.len() {
        return vec![format!("{} entries, but {}", left.entries.len(), right.entries.len())];
    }
    let pairs = left.entries.iter().zip(&right.entries).enumerate();
    pairs
        .flat_map(|(index, (left, right))| {
            let (left, right) = (fields(left), fields(right));
            let keys: BTreeSet<String> = left.keys().chain(right.keys()).cloned().collect();
            keys.into_iter().filter_map(move |key| {
                let (left, right) = (left.get(&key), right.get(&key));
                (left != right)
                    .then(|| format!("entry {index}, {key}: {}, but {}", shown(left), shown(right)))
            })
        })
        .collect()
}

fn fields(entry: &super::Entry) -> serde_json::Map<String, Value> {
    match serde_json::to_value(entry) {
        Ok(Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    }
}

/// The most of a value that a difference shows, in characters. Arbitrary.
const SHOWN: usize = 200;

fn shown(value: Option<&Value>) -> String {
    value.map_or_else(|| "nothing".to_owned(), |value| value.to_string().chars().take(SHOWN).collect())
}
