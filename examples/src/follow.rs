//! From an event to everything that it caused.

use faas_core::activation::ActivationKind;
use faas_core::{Activation, ActivationId, Error, Platform};
use serde_json::Value;

/// Waits for all activations that a trigger's activation caused: of its rules, and of their sequences' members.
///
/// # Errors
/// As [`Platform::activation`].
pub async fn caused_by(app: &Platform, event: ActivationId) -> Result<Vec<Activation>, Error> {
    let mut found = Vec::new();
    let mut waiting = children(&app.activation(event).await?);
    while let Some(id) = waiting.pop() {
        let activation = app.activation(id).await?;
        waiting.extend(children(&activation));
        found.push(activation);
    }
    Ok(found)
}

/// The logs of a trigger tell what its rules activated, and those of a sequence list its members.
fn children(activation: &Activation) -> Vec<ActivationId> {
    let lines = activation.logs.iter().map(|line| line.text.as_str());
    match activation.revision.kind {
        ActivationKind::Action => Vec::new(),
        ActivationKind::Sequence => lines.filter_map(|line| line.parse().ok()).collect(),
        ActivationKind::Trigger => lines
            .filter_map(|line| {
                serde_json::from_str::<Value>(line).ok()?["activationId"].as_str()?.parse().ok()
            })
            .collect(),
    }
}
