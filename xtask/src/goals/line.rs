//! The line that a bench prints for one goal:
//! `GOAL <name> ours=<v> floor=<v> unit=<u> ratio=<r> cmp=<le|ge> target=<t> ok|MISS`.

/// A goal line that was read.
#[derive(Debug)]
pub(crate) struct Goal {
    /// The name that SPECIFICATION.md and GOALS.md know it by.
    pub(crate) name: String,
    /// Whether the bench found the target missed.
    pub(crate) missed: bool,
    /// The line as printed.
    pub(crate) line: String,
}

impl Goal {
    /// Reads a line; `None` when it is no goal line, an error when it is one and is malformed or
    /// says `ok` where its own ratio does not.
    pub(crate) fn parse(line: &str) -> Option<Result<Self, String>> {
        let rest = line.trim().strip_prefix("GOAL ")?;
        let words: Vec<&str> = rest.split_whitespace().collect();
        Some(Self::from_words(&words, line.trim()))
    }

    fn from_words(words: &[&str], line: &str) -> Result<Self, String> {
        let [name, ours, floor, unit, ratio, cmp, target, verdict] = words else {
            return Err(format!("a goal line has 8 words after GOAL, not {}", words.len()));
        };
        number(ours, "ours=")?;
        number(floor, "floor=")?;
        field(unit, "unit=")?;
        let ratio = number(ratio, "ratio=")?;
        let target = number(target, "target=")?;
        let met = match field(cmp, "cmp=")? {
            "le" => ratio <= target,
            "ge" => ratio >= target,
            other => return Err(format!("cmp is le or ge, not {other}")),
        };
        let missed = match *verdict {
            "ok" => false,
            "MISS" => true,
            other => return Err(format!("the verdict is ok or MISS, not {other}")),
        };
        // The printed ratio is rounded, so that it may sit on the target although the goal is missed.
        if missed == met && ratio != target {
            return Err(format!(
                "the verdict is {verdict}, but ratio {ratio} against target {target} says otherwise"
            ));
        }
        Ok(Self { name: (*name).to_owned(), missed, line: line.to_owned() })
    }
}

fn field<'a>(word: &'a str, key: &str) -> Result<&'a str, String> {
    word.strip_prefix(key)
        .filter(|value| !value.is_empty())
        .ok_or_else(|| format!("expected {key}, found {word}"))
}

fn number(word: &str, key: &str) -> Result<f64, String> {
    let value = field(word, key)?;
    value.parse().map_err(|_| format!("{key}{value} is no number"))
}

#[cfg(test)]
mod tests {
    use super::Goal;

    #[test]
    fn reads_met_and_missed_goals() {
        let line = "GOAL local_warm ours=812.4 floor=301.0 unit=ns ratio=2.70 cmp=le target=3 ok";
        let goal = Goal::parse(line).expect("a goal line").expect("well formed");
        assert_eq!((goal.name.as_str(), goal.missed, goal.line.as_str()), ("local_warm", false, line));
        let line = "GOAL two ours=1.2 floor=1 unit=1/s ratio=1.2 cmp=ge target=1.6 MISS";
        assert!(Goal::parse(line).expect("a goal line").expect("well formed").missed);
    }

    #[test]
    fn other_lines_are_none() {
        assert!(Goal::parse("running GOAL x").is_none());
    }

    #[test]
    fn malformed_lines_and_false_verdicts_are_errors() {
        for line in [
            "GOAL x ours=1 floor=1",
            "GOAL x ours=a floor=1 unit=ns ratio=1 cmp=le target=3 ok",
            "GOAL x ours=1 floor=1 unit=ns ratio=1 cmp=lt target=3 ok",
            "GOAL x ours=1 floor=1 unit=ns ratio=1 cmp=le target=3 maybe",
            "GOAL x ours=9 floor=1 unit=ns ratio=9 cmp=le target=3 ok",
            "GOAL x ours=1 floor=1 unit=ns ratio=1 cmp=le target=3 MISS",
        ] {
            assert!(Goal::parse(line).expect("a goal line").is_err(), "{line}");
        }
    }
}
