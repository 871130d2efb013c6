//! Quantities with a unit, as they are written in `#[action(..)]`.

/// Mebibytes in each unit of memory.
const MEMORY_UNITS: &[(&str, u64)] = &[("MiB", 1), ("GiB", 1024)];
/// The most memory that an action can ask for, in MiB: what AWS Lambda gives at most.
const MAX_MEMORY_MIB: u64 = 10 * 1024;

/// Milliseconds in each unit of time.
const TIME_UNITS: &[(&str, u64)] =
    &[("ms", 1), ("s", 1000), ("m", MINUTE_MS), ("min", MINUTE_MS), ("h", HOUR_MS)];
const MINUTE_MS: u64 = 60 * 1000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
/// The longest timeout that an action can ask for, in milliseconds.
const MAX_TIMEOUT_MS: u64 = 24 * HOUR_MS;

/// Reads an amount of memory, such as `256MiB`, in MiB.
pub(crate) fn memory_mib(text: &str) -> Result<u64, String> {
    let mib = quantity(text, MEMORY_UNITS, "256MiB")?;
    match mib {
        Some(mib @ 1..=MAX_MEMORY_MIB) => Ok(mib),
        _ => Err(format!("`{text}` is out of range: memory is from 1MiB to 10GiB")),
    }
}

/// Reads a span of time, such as `30s`, in milliseconds.
pub(crate) fn timeout_ms(text: &str) -> Result<u64, String> {
    let ms = quantity(text, TIME_UNITS, "30s")?;
    match ms {
        Some(ms @ 1..=MAX_TIMEOUT_MS) => Ok(ms),
        _ => Err(format!("`{text}` is out of range: a timeout is from 1ms to 24h")),
    }
}

/// Reads the longest time after which something is tried again, such as `1h`, in milliseconds.
pub(crate) fn max_age_ms(text: &str) -> Result<u64, String> {
    let ms = quantity(text, TIME_UNITS, "1h")?;
    ms.filter(|ms| *ms > 0).ok_or_else(|| format!("`{text}` is out of range: a maximum age is from 1ms on"))
}

/// Reads `<whole number><unit>` in the unit whose factor is 1; `None` where that is beyond `u64`.
fn quantity(text: &str, units: &[(&str, u64)], example: &str) -> Result<Option<u64>, String> {
    let digits_end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, unit) = text.split_at(digits_end);
    if digits.is_empty() || unit.starts_with(['.', ',', '_']) {
        return Err(format!("`{text}` is not a whole number with a unit, such as `{example}`"));
    }
    let unit = unit.trim_start_matches(' ');
    let Some(&(_, factor)) = units.iter().find(|(known, _)| *known == unit) else {
        let known: Vec<_> = units.iter().map(|(known, _)| format!("`{known}`")).collect();
        let problem =
            if unit.is_empty() { format!("`{text}` has no unit") } else { format!("unknown unit `{unit}`") };
        return Err(format!("{problem}: the units are {}", known.join(", ")));
    };
    Ok(digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{MAX_MEMORY_MIB, MAX_TIMEOUT_MS, memory_mib, timeout_ms};

    #[test]
    fn reads_memory_in_mib() {
        assert_eq!(memory_mib("1MiB"), Ok(1));
        assert_eq!(memory_mib("256 MiB"), Ok(256));
        assert_eq!(memory_mib("2GiB"), Ok(2048));
        assert_eq!(memory_mib("10GiB"), Ok(10_240));
        assert_eq!(memory_mib("10240MiB"), Ok(10_240));
        assert_eq!(memory_mib("007MiB"), Ok(7));
    }

    #[test]
    fn reads_time_in_milliseconds() {
        assert_eq!(timeout_ms("1ms"), Ok(1));
        assert_eq!(timeout_ms("30s"), Ok(30_000));
        assert_eq!(timeout_ms("5m"), Ok(300_000));
        assert_eq!(timeout_ms("5min"), Ok(300_000));
        assert_eq!(timeout_ms("24h"), Ok(86_400_000));
    }

    #[test]
    fn refuses_what_is_out_of_range_and_names_value_and_range() {
        for text in ["0MiB", "10241MiB", "11GiB", "18446744073709551615GiB", "99999999999999999999999MiB"] {
            let message = memory_mib(text).unwrap_err();
            assert_eq!(message, format!("`{text}` is out of range: memory is from 1MiB to 10GiB"));
        }
        for text in ["0ms", "0h", "25h", "86400001ms", "18446744073709551615h"] {
            let message = timeout_ms(text).unwrap_err();
            assert_eq!(message, format!("`{text}` is out of range: a timeout is from 1ms to 24h"));
        }
    }

    #[test]
    fn lists_the_units_when_the_unit_is_unknown_or_absent() {
        assert_eq!(memory_mib("256MB").unwrap_err(), "unknown unit `MB`: the units are `MiB`, `GiB`");
        assert_eq!(memory_mib("256mib").unwrap_err(), "unknown unit `mib`: the units are `MiB`, `GiB`");
        assert_eq!(memory_mib("256MiB ").unwrap_err(), "unknown unit `MiB `: the units are `MiB`, `GiB`");
        assert_eq!(
            timeout_ms("30").unwrap_err(),
            "`30` has no unit: the units are `ms`, `s`, `m`, `min`, `h`"
        );
        assert_eq!(
            timeout_ms("3d").unwrap_err(),
            "unknown unit `d`: the units are `ms`, `s`, `m`, `min`, `h`"
        );
    }

    #[test]
    fn refuses_what_is_not_a_whole_number() {
        for text in ["", "MiB", "-1MiB", "+1MiB", "1.5MiB", "1,5MiB", "1_000MiB", " 1MiB", "٣MiB"] {
            let message = memory_mib(text).unwrap_err();
            assert!(message.contains("is not a whole number with a unit, such as `256MiB`"), "{message}");
        }
        assert!(timeout_ms("1.5s").unwrap_err().contains("such as `30s`"));
    }

    #[test]
    fn agrees_with_the_core_about_amounts_and_ranges() {
        for text in ["1MiB", "256 MiB", "2GiB", "10GiB"] {
            let memory: faas_core::MemoryMib = text.parse().expect("an amount");
            assert_eq!(memory_mib(text), Ok(u64::from(memory.mib())), "{text}");
        }
        for text in ["1ms", "30 s", "5m", "24h"] {
            let timeout = faas_core::units::parse_duration(text).expect("a duration");
            assert_eq!(timeout_ms(text).map(Duration::from_millis), Ok(timeout), "{text}");
        }
        assert_eq!(MAX_MEMORY_MIB, u64::from(faas_core::MemoryMib::MAX.mib()));
        assert_eq!(Duration::from_millis(MAX_TIMEOUT_MS), faas_core::Limits::MAX_TIMEOUT);
    }
}
