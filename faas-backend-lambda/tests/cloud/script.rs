//! What is answered other than AWS would, and what was asked.

use super::http::Response;

/// A call that arrived, whether it was answered or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// Its name in AWS's API reference, such as `GetFunction`.
    pub(crate) operation: &'static str,
    pub(crate) method: String,
    /// The path, decoded, without the query.
    pub(crate) path: String,
    /// The version or alias that it is about.
    pub(crate) qualifier: Option<String>,
    /// The key that it was signed with and the region that it was signed for, with a space between.
    pub(crate) signed_by: String,
}

impl Call {
    /// Whether it changes nothing and runs nothing.
    pub(crate) fn is_reading(&self) -> bool {
        ["Get", "List", "HeadObject"].iter().any(|begin| self.operation.starts_with(begin))
    }
}

/// What becomes of a call that a rule is about.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// It is not done, and this is said.
    Said(Response),
    /// It is not done; these bytes are sent, and the connection ends.
    Raw(Vec<u8>),
    /// It is not done, and the connection ends without an answer.
    Closed,
    /// It is not done, and never answered.
    Stalled,
    /// It is done, and the connection ends without an answer.
    Lost,
    /// It is done, and the connection ends in the middle of the answer.
    Half,
    /// It is done, and never answered.
    Unanswered,
}

impl Answer {
    /// A refusal by that name.
    pub(crate) fn refusal(status: u16, code: &str, message: &str) -> Self {
        Self::Said(Response::refusal(status, code, message))
    }
}

/// Which calls are answered so.
#[derive(Clone, Debug)]
pub(crate) struct Rule {
    /// The operation; none for any.
    operation: Option<&'static str>,
    /// How many such calls are left alone first.
    skip: usize,
    /// How many are answered so after that.
    times: usize,
    answer: Answer,
}

impl Rule {
    /// The next call of an operation.
    pub(crate) fn next(operation: &'static str, answer: Answer) -> Self {
        Self { operation: Some(operation), skip: 0, times: 1, answer }
    }

    /// The next call of any operation.
    pub(crate) fn any(answer: Answer) -> Self {
        Self { operation: None, skip: 0, times: 1, answer }
    }

    /// Not the next calls, but those after so many.
    pub(crate) fn after(self, skip: usize) -> Self {
        Self { skip, ..self }
    }

    /// That many calls, and not only one.
    pub(crate) fn times(self, times: usize) -> Self {
        Self { times, ..self }
    }

    /// All calls until the cloud is healed.
    pub(crate) fn always(self) -> Self {
        self.times(usize::MAX)
    }
}

/// The rules that are left; the first that fits is taken.
#[derive(Debug, Default)]
pub(crate) struct Script(Vec<Rule>);

impl Script {
    pub(crate) fn push(&mut self, rule: Rule) {
        self.0.push(rule);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// What the rules say of a call of that operation.
    pub(crate) fn answer(&mut self, operation: &str) -> Option<Answer> {
        let fits = |rule: &Rule| rule.operation.is_none_or(|own| own == operation) && rule.times > 0;
        for rule in self.0.iter_mut().filter(|rule| fits(rule)) {
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            if rule.times < usize::MAX {
                rule.times -= 1;
            }
            return Some(rule.answer.clone());
        }
        None
    }
}
