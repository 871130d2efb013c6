//! What is known of modules that were looked at before, so that a start with many of them reads none.
//!
//! It is one file of sorted lines, which is searched as it is: a process that starts with a thousand modules parses
//! the lines of those that it deploys.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::UNIX_EPOCH;

use super::key::{Key, TAG};
use super::replace;
use crate::inspect::{Entry, Facts};

/// The most bytes of an index; one that grew larger begins anew. Arbitrary: about 100,000 modules.
const MOST: usize = 32 << 20;

/// What stands between the fields of a line.
const BETWEEN: u8 = b'\t';

/// A module that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// The SHA-256 of the module.
    pub(crate) digest: String,
    pub(crate) facts: Facts,
}

/// Known modules, by the digest that a manifest tells, or by path, size and time of change.
pub(crate) struct Index {
    path: PathBuf,
    key: Key,
    lines: Mutex<Lines>,
}

/// Lines sorted by their names, and where each begins.
#[derive(Default)]
struct Lines {
    text: String,
    starts: Vec<usize>,
}

impl Index {
    /// Reads the index; one that was not written here, or is damaged, is empty.
    pub(super) fn open(path: PathBuf, key: Key) -> Self {
        let lines = Mutex::new(Lines::of(read(&path, &key).unwrap_or_default()));
        Self { path, key, lines }
    }

    /// How a file is named that has no digest yet.
    pub(crate) fn name(path: &Path) -> Option<String> {
        let metadata = fs::metadata(path).ok()?;
        let changed = metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok()?;
        let absolute =
            if path.is_absolute() { Cow::Borrowed(path) } else { std::path::absolute(path).ok()?.into() };
        let path = absolute.to_str().filter(|path| !path.bytes().any(|byte| byte.is_ascii_control()))?;
        Some(format!("{path}|{}|{}.{}", metadata.len(), changed.as_secs(), changed.subsec_nanos()))
    }

    pub(crate) fn get(&self, name: &str) -> Option<Known> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner).get(name)
    }

    /// Remembers a module. Another process may be writing as well: the last one's index stays, and what it lacks is
    /// looked at again.
    pub(crate) fn put(&self, name: &str, module: &Known) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.put(name, module);
        let content = lines.text.clone();
        drop(lines);
        let tag = tag(&self.key, content.as_bytes());
        let written = replace(&self.path, |file| {
            file.write_all(&tag)?;
            file.write_all(content.as_bytes())
        });
        if let Err(error) = written {
            tracing::debug!(file = %self.path.display(), %error, "what is known of modules is not kept");
        }
    }
}

impl Lines {
    fn of(text: String) -> Self {
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        let starts = std::iter::once(0).chain(ends).filter(|start| *start < text.len()).collect();
        Self { text, starts }
    }

    fn find(&self, name: &str) -> Result<usize, usize> {
        self.starts.binary_search_by(|start| {
            // Only as much of the line as decides: a name ends with a byte that is in none.
            let line = &self.text.as_bytes()[*start..];
            let prefix = &line[..line.len().min(name.len())];
            let ends = || line.get(name.len()).is_none_or(|byte| *byte == BETWEEN);
            prefix.cmp(name.as_bytes()).then_with(|| if ends() { Ordering::Equal } else { Ordering::Greater })
        })
    }

    fn get(&self, name: &str) -> Option<Known> {
        let line = self.text[self.starts[self.find(name).ok()?]..].lines().next()?;
        Known::parse(line.get(name.len() + 1..)?)
    }

    fn put(&mut self, name: &str, module: &Known) {
        if self.text.len() >= MOST {
            *self = Self::default();
        }
        let start_of = |at: usize| self.starts.get(at).copied().unwrap_or(self.text.len());
        let range = match self.find(name) {
            Ok(at) => start_of(at)..start_of(at + 1),
            Err(at) => start_of(at)..start_of(at),
        };
        let mut text = std::mem::take(&mut self.text);
        text.replace_range(range, &format!("{name}\t{}\n", module.fields()));
        *self = Self::of(text);
    }
}

impl Known {
    fn fields(&self) -> String {
        let Facts { entry, memory, init, initialize } = self.facts;
        let entry = match entry {
            Entry::Guest => "guest",
            Entry::Command => "command",
        };
        format!("{}\t{entry}\t{memory}\t{init}\t{initialize}", self.digest)
    }

    fn parse(fields: &str) -> Option<Self> {
        let mut fields = fields.split('\t');
        let digest = fields.next()?.to_owned();
        let entry = match fields.next()? {
            "guest" => Entry::Guest,
            "command" => Entry::Command,
            _ => return None,
        };
        let memory = fields.next()?.parse().ok()?;
        let (init, initialize) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        Some(Self { digest, facts: Facts { entry, memory, init, initialize } })
    }
}

fn read(path: &Path, key: &Key) -> Option<String> {
    let mut file = fs::File::open(path).ok()?;
    let mut tag = [0; TAG];
    file.read_exact(&mut tag).ok()?;
    let mut content = String::new();
    file.read_to_string(&mut content).ok()?;
    (self::tag(key, content.as_bytes()) == tag).then_some(content)
}

fn tag(key: &Key, content: &[u8]) -> [u8; TAG] {
    let mut tagger = key.tagger();
    tagger.update(content);
    tagger.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(n: u64) -> Known {
        let entry = if n.is_multiple_of(2) { Entry::Guest } else { Entry::Command };
        let facts = Facts { entry, memory: n << 16, init: n.is_multiple_of(3), initialize: n == 4 };
        Known { digest: format!("digest{n}"), facts }
    }

    #[test]
    fn what_was_put_is_found_in_any_order_and_the_last_counts() {
        let mut lines = Lines::default();
        for n in [5, 1, 9, 3, 7, 2, 8, 4, 6, 0] {
            lines.put(&format!("name{n}"), &module(n));
        }
        lines.put("name3", &module(33));
        assert!(lines.text.lines().is_sorted());
        assert_eq!(lines.starts.len(), 10);
        for n in 0..10 {
            let expected = module(if n == 3 { 33 } else { n });
            assert_eq!(lines.get(&format!("name{n}")), Some(expected));
        }
        for absent in ["", "name", "name10", "zz"] {
            assert_eq!(lines.get(absent), None, "{absent}");
        }
        let again = Lines::of(lines.text.clone());
        assert_eq!(again.get("name9"), Some(module(9)));
    }

    #[test]
    fn a_line_that_cannot_be_read_is_no_module() {
        let lines =
            Lines::of("a\tdigest\tguest\tmany\ttrue\ttrue\nb\nc\tdigest\tghost\t1\ttrue\ttrue\n".to_owned());
        for name in ["a", "b", "c"] {
            assert_eq!(lines.get(name), None, "{name}");
        }
    }
}
