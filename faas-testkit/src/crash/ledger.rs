//! What the processes that were killed have told.

use std::collections::{BTreeMap, BTreeSet};

use faas_core::ActivationId;

use super::points::MARK;

/// All that was told during the life of one directory.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// What was accepted: each activation, and how it was asked for.
    pub(super) accepted: BTreeMap<ActivationId, String>,
    /// The activations of each key.
    pub(super) keys: BTreeMap<String, BTreeSet<ActivationId>>,
    /// The revisions of the entity that was changed, in the order in which they were told, and what it was changed to.
    pub(super) revisions: Vec<(u64, bool)>,
    /// Whether the entity that comes and goes is there, if it is known.
    pub(super) passing: Option<bool>,
    /// The dead letters that somebody began to drop, and those that were dropped.
    pub(super) dropping: BTreeSet<ActivationId>,
    pub(super) dropped: BTreeSet<ActivationId>,
    /// The points at which a process died.
    pub(super) hit: BTreeSet<String>,
    /// How many jobs were left after all had come to their end.
    pub(super) left: Option<u64>,
    /// What the platform held on to then.
    pub(super) held: Option<u64>,
    /// What cannot be, such as an error that a caller got, or a process that ended before it was killed.
    pub(super) wrong: Vec<String>,
}

/// What a line is to the harness besides what is written down.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// The app is up.
    Ready,
    Other,
}

impl Ledger {
    /// Takes a line; one that was cut off says nothing.
    pub(super) fn take(&mut self, line: &str) -> Heard {
        let Some((_, told)) = line.split_once(MARK) else { return Heard::Other };
        match told.split_once(' ') {
            None if told == "READY" => return Heard::Ready,
            Some(("ACCEPTED", rest)) => self.accept(rest),
            Some(("REVISION", rest)) => self.revisions.extend(revision(rest)),
            Some(("PASSING", state)) => {
                self.passing = match state {
                    "there" => Some(true),
                    "gone" => Some(false),
                    _ => None,
                };
            }
            Some(("DROPPING", id)) => self.dropping.extend(id.parse::<ActivationId>()),
            Some(("DROPPED", id)) => self.dropped.extend(id.parse::<ActivationId>()),
            Some(("HIT", name)) => {
                self.hit.insert(name.to_owned());
            }
            Some(("HELD", count)) => self.held = count.parse().ok(),
            Some(("DRAINED", count)) => self.left = count.parse().ok(),
            Some(("REFUSED", error)) => self.wrong.push(format!("a caller was refused: {error}")),
            _ => {}
        }
        Heard::Other
    }

    fn accept(&mut self, rest: &str) {
        let Some((id, what)) = rest.split_once(' ') else { return };
        let Ok(id) = id.parse::<ActivationId>() else { return };
        if let Some(key) = what.strip_prefix("keyed ") {
            self.keys.entry(key.to_owned()).or_default().insert(id);
        }
        self.accepted.insert(id, what.to_owned());
    }
}

fn revision(told: &str) -> Option<(u64, bool)> {
    let (number, to) = told.split_once(' ')?;
    Some((number.parse().ok()?, to.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_whatever_stands_before_them() {
        let mut ledger = Ledger::default();
        let id = ActivationId::from_u128(7);
        assert_eq!(ledger.take("test x ... CRASHED READY"), Heard::Ready);
        for line in [
            format!("CRASHED ACCEPTED {id} keyed k1"),
            "CRASHED REVISION 3 true".to_owned(),
            "CRASHED HIT finish.after".to_owned(),
            "CRASHED DRAINED 0".to_owned(),
            "CRASHED ACCEPTED 00".to_owned(),
            "running 1 test".to_owned(),
        ] {
            assert_eq!(ledger.take(&line), Heard::Other);
        }
        assert_eq!(ledger.keys["k1"].first(), Some(&id));
        assert_eq!((ledger.accepted.len(), ledger.revisions[0], ledger.left), (1, (3, true), Some(0)));
        assert!(ledger.hit.contains("finish.after"));
    }
}
