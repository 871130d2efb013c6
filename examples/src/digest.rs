//! One number for what a whole run came to, whenever, wherever and in whichever order it ran.

use std::fmt::Write as _;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// SHA-256 in hex over one line of JSON for each activation: the event, the action, the outcome and the
/// canonical result. The lines are sorted, and have no ids, times or start kinds.
pub(crate) fn digest<'a>(activations: impl Iterator<Item = (&'a str, &'a str, &'a str, Value)>) -> String {
    let mut lines: Vec<String> = activations
        .map(|(event, action, outcome, result)| {
            let key = Value::from(vec![event, action, outcome]);
            let mut line = String::new();
            write_canonical(&key, &mut line);
            write_canonical(&result, &mut line);
            line.push('\n');
            line
        })
        .collect();
    lines.sort_unstable();
    let mut hash = Sha256::new();
    lines.iter().for_each(|line| hash.update(line));
    hash.finalize().iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// Writes JSON without spaces and with the fields of objects sorted, also where some crate of the build makes
/// `serde_json` keep their order.
fn write_canonical(value: &Value, text: &mut String) {
    let separate = |text: &mut String, index| {
        if index > 0 {
            text.push(',');
        }
    };
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<(&String, &Value)> = fields.iter().collect();
            fields.sort_unstable_by_key(|(name, _)| *name);
            text.push('{');
            for (index, (name, value)) in fields.into_iter().enumerate() {
                separate(text, index);
                let _ = write!(text, "{}:", Value::from(name.as_str()));
                write_canonical(value, text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                separate(text, index);
                write_canonical(item, text);
            }
            text.push(']');
        }
        scalar => {
            let _ = write!(text, "{scalar}");
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn canonical_json_is_sorted_and_compact() {
        let mut text = String::new();
        write_canonical(&json!({ "b": [1, { "d": null, "c": "\"\n" }], "a": 0.5 }), &mut text);
        assert_eq!(text, r#"{"a":0.5,"b":[1,{"c":"\"\n","d":null}]}"#);
    }

    #[test]
    fn the_digest_depends_on_what_happened_but_not_on_the_order() {
        let run = [
            ("e1", "aggregate", "success", json!({ "cell": "0N 0E" })),
            ("e2", "aggregate", "application error", json!({ "error": "no earthquake" })),
        ];
        let [first, second] = run.clone();
        let of = |run: Vec<_>| digest(run.into_iter());
        let expected = of(run.into());
        assert_eq!(expected.len(), 64);
        assert_eq!(expected, of(vec![second.clone(), first.clone()]));
        assert_ne!(expected, of(vec![first.clone()]));
        assert_ne!(expected, of(vec![first, ("e2", "aggregate", "success", second.3)]));
        // The digest of nothing is SHA-256's own.
        assert!(of(Vec::new()).starts_with("e3b0c44298fc1c14"));
    }
}
