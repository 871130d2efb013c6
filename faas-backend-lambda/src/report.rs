//! The end of a function's log, as Lambda sends it along with an answer.
//!
//! # Source
//! "Invoke", AWS Lambda API reference: the last 4 KB, in base64. The report's line: "Viewing CloudWatch logs for Lambda
//! functions", AWS Lambda Developer Guide.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use faas_core::activation::Usage;
use faas_core::log::{LogBuffer, LogLine, Stream, read_label};
use faas_core::{ActivationId, Timestamp};

/// How much of a log is sent, in bytes.
pub(crate) const TAIL: u64 = 4 << 10;

/// What Lambda's own lines begin with.
const OWN: [&str; 6] = [
    "START RequestId: ",
    "END RequestId: ",
    "REPORT RequestId: ",
    "XRAY TraceId: ",
    "INIT_START ",
    "INIT_REPORT ",
];

/// The end of a log.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    text: String,
}

impl Tail {
    /// Reads it; what is no base64 is no log.
    pub(crate) fn read(encoded: Option<&str>) -> Self {
        let bytes = encoded.and_then(|encoded| STANDARD.decode(encoded).ok()).unwrap_or_default();
        Self { text: String::from_utf8_lossy(&bytes).into_owned() }
    }

    /// What the report tells.
    pub(crate) fn usage(&self) -> Usage {
        let report = self.text.lines().rev().find(|line| line.starts_with("REPORT RequestId: "));
        let field = |name: &str, unit: &str| -> Option<f64> {
            let fields = report?.split('\t').map(str::trim);
            let value = fields.filter_map(|field| field.strip_prefix(name)).next()?;
            value.strip_prefix(": ")?.strip_suffix(unit)?.trim().parse().ok()
        };
        let time = |name| field(name, "ms").and_then(|ms| Duration::try_from_secs_f64(ms / 1000.0).ok());
        Usage {
            billed: time("Billed Duration"),
            billed_init: time("Init Duration"),
            peak_memory: field("Max Memory Used", "MB").and_then(bytes),
            ..Usage::default()
        }
    }

    /// Whether the function used all the memory that it has.
    pub(crate) fn is_memory_used_up(&self, memory: u64) -> bool {
        self.usage().peak_memory.is_some_and(|peak| peak >= memory << 20)
    }

    /// The lines that a function of this library printed for an activation, and those without a label.
    pub(crate) fn of(&self, activation: ActivationId, limit: u64, at: Timestamp) -> Vec<LogLine> {
        let lines = self.lines().filter_map(|line| match read_label(line) {
            Some((own, at, text)) if own == activation => Some((at, text)),
            Some(_) => None,
            None => Some((at, line)),
        });
        collect(lines, limit)
    }

    /// All lines but Lambda's own.
    pub(crate) fn all(&self, limit: u64, at: Timestamp) -> Vec<LogLine> {
        collect(self.lines().map(|line| (at, line)), limit)
    }

    /// The lines that are whole, without Lambda's own.
    fn lines(&self) -> impl Iterator<Item = &str> {
        let is_cut = self.text.len() as u64 >= TAIL;
        let lines = self.text.lines().skip(usize::from(is_cut));
        lines.filter(|line| !OWN.iter().any(|own| line.starts_with(own)))
    }
}

/// As far as it can be told, one stream: Lambda's log has both.
fn collect<'a>(lines: impl Iterator<Item = (Timestamp, &'a str)>, limit: u64) -> Vec<LogLine> {
    let mut log = LogBuffer::new(limit);
    for (at, text) in lines {
        log.push(at, Stream::Stdout, text);
    }
    log.into_lines()
}

/// The bytes of so many MB, as Lambda counts them.
fn bytes(megabytes: f64) -> Option<u64> {
    let is_count = megabytes.is_finite() && (0.0..1e9).contains(&megabytes);
    is_count.then(|| format!("{megabytes:.0}").parse::<u64>().ok()).flatten().map(|megabytes| megabytes << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tail(text: &str) -> Tail {
        Tail::read(Some(&STANDARD.encode(text)))
    }

    const REPORT: &str = "REPORT RequestId: 8f5 \tDuration: 12.34 ms\tBilled Duration: 13 ms\tMemory Size: 128 MB\tMax \
                          Memory Used: 30 MB\tInit Duration: 8.56 ms\t\n";

    #[test]
    fn a_report_tells_what_is_billed() {
        let usage = tail(REPORT).usage();
        assert_eq!(usage.billed, Some(Duration::from_millis(13)));
        assert_eq!(usage.billed_init, Some(Duration::from_micros(8560)));
        assert_eq!(usage.peak_memory, Some(30 << 20));
        for text in ["", "REPORT RequestId: 8f5", "REPORT RequestId: 8f5\tBilled Duration: soon\t", "hello"] {
            assert_eq!(tail(text).usage(), Usage::default(), "{text}");
        }
        assert_eq!(Tail::read(None).usage(), Usage::default());
        assert_eq!(Tail::read(Some("?")).usage(), Usage::default());
    }

    #[test]
    fn memory_is_used_up_when_the_report_says_so() {
        let report = REPORT.replace("Used: 30", "Used: 128");
        assert!(tail(&report).is_memory_used_up(128));
        assert!(!tail(REPORT).is_memory_used_up(128) && !tail("").is_memory_used_up(128));
    }

    #[test]
    fn only_the_activations_own_lines_are_its_log() {
        let (own, other) = (ActivationId::from_u128(7), ActivationId::from_u128(8));
        let at = Timestamp::from_millis(5);
        let text = format!("START RequestId: 1 Version: 2\n{own} {at} hello\n{other} {at} no\nraw\n{REPORT}");
        let texts = |lines: Vec<LogLine>| lines.into_iter().map(|line| line.text).collect::<Vec<_>>();
        assert_eq!(texts(tail(&text).of(own, 1000, Timestamp::from_millis(9))), ["hello", "raw"]);
        let all = texts(tail(&text).all(1000, at));
        assert_eq!((all.len(), all[2].as_str()), (3, "raw"));
    }

    #[test]
    fn the_first_line_of_a_log_that_is_cut_is_left_out() {
        let text = format!("{}\nsecond\n", "x".repeat(4 << 10));
        assert_eq!(tail(&text).all(1000, Timestamp::default())[0].text, "second");
    }
}
