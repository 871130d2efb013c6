//! Reading cron expressions and the names of time zones, with errors that say what is wrong where.

use chrono::{DateTime, NaiveDateTime};
use chrono_tz::{TZ_VARIANTS, Tz};
use croner::parser::{CronParser, Seconds, Year};

use crate::error::{Error, ErrorKind};

/// One field of an expression.
struct Field {
    name: &'static str,
    allowed: &'static str,
    /// The words that it knows.
    words: &'static [&'static str],
}

const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const NICKNAMES: [&str; 6] = ["@hourly", "@daily", "@weekly", "@monthly", "@yearly", "@annually"];

const FIELDS: [Field; 6] = [
    Field { name: "second", allowed: "0 to 59, with * , - /", words: &[] },
    Field { name: "minute", allowed: "0 to 59, with * , - /", words: &[] },
    Field { name: "hour", allowed: "0 to 23, with * , - /", words: &[] },
    Field { name: "day of month", allowed: "1 to 31, with * , - / ? L W", words: &["L", "W", "LW"] },
    Field { name: "month", allowed: "1 to 12 or JAN to DEC, with * , - /", words: &MONTHS },
    Field { name: "day of week", allowed: "0 to 7 or SUN to SAT, with * , - / ? L # +", words: &WEEKDAYS },
];

/// Reads an expression of five or six fields, or a nickname.
pub(super) fn parse(expression: &str) -> Result<croner::Cron, Error> {
    let refuse = |text: String| {
        Error::new(ErrorKind::InvalidArgument, format!("cron expression '{}': {text}", expression.trim()))
    };
    let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
    let fields: Vec<&str> = expression.split_whitespace().collect();
    match fields.as_slice() {
        [nickname] if nickname.starts_with('@') => {
            if !NICKNAMES.iter().any(|known| known.eq_ignore_ascii_case(nickname)) {
                return Err(refuse(format!("'{nickname}' is none of {}", NICKNAMES.join(", "))));
            }
        }
        all if !(5..=6).contains(&all.len()) => {
            let text = "minute, hour, day of month, month, day of week, and a second before them if wanted";
            return Err(refuse(format!("it has {} fields, but takes 5 or 6: {text}", all.len())));
        }
        all => {
            let skipped = FIELDS.len() - all.len();
            for (index, text) in all.iter().enumerate() {
                let field = &FIELDS[index + skipped];
                if !field.accepts(text) || !is_legal(parser, index + skipped, text) {
                    let (position, Field { name, allowed, .. }) = (index + 1, field);
                    return Err(refuse(format!(
                        "field {position} ({name}) is '{text}', but takes {allowed}"
                    )));
                }
            }
        }
    }
    let pattern = parser.parse(expression).map_err(|error| refuse(error.to_string()))?;
    // Leap years come at most eight years apart, and croner searches for three thousand.
    let anywhere: NaiveDateTime = DateTime::UNIX_EPOCH.naive_utc();
    match pattern.find_next_occurrence(&anywhere, true) {
        Ok(_) => Ok(pattern),
        Err(_) => Err(refuse("its day never comes in any month it names".to_owned())),
    }
}

/// Whether croner takes `text` as field number `index`, by an expression that is legal everywhere else.
fn is_legal(parser: CronParser, index: usize, text: &str) -> bool {
    let mut fields = ["*"; FIELDS.len()];
    fields[index] = text;
    parser.parse(&fields.join(" ")).is_ok()
}

impl Field {
    /// Refuses what croner lets pass: items of a list that are empty, and words of other fields, which it
    /// replaces by their numbers wherever they stand.
    fn accepts(&self, text: &str) -> bool {
        let text = text.to_ascii_uppercase();
        let known = |word: &str| self.words.iter().any(|known| *known == word || is_last(known, word));
        text.split(',').all(|item| !item.is_empty())
            && text.split(|c: char| !c.is_alphabetic()).filter(|word| !word.is_empty()).all(known)
    }
}

/// Whether `word` is the last of a weekday, such as `FRIL`, or of a number before it, such as the `L` of `5L`.
fn is_last(known: &str, word: &str) -> bool {
    WEEKDAYS.contains(&known) && word.strip_suffix('L').is_some_and(|day| day.is_empty() || day == known)
}

/// The most zones that an error proposes. Arbitrary.
const PROPOSED: usize = 5;

/// The time zone of that IANA name.
pub(super) fn zone(name: &str) -> Result<Tz, Error> {
    name.parse().map_err(|_| {
        let name_letters = letters(name);
        let mut known: Vec<&str> = TZ_VARIANTS.iter().map(|zone| zone.name()).collect();
        known.sort_by_key(|zone| std::cmp::Reverse(nearness(zone, &name_letters)));
        let near = known[..PROPOSED].join(", ");
        let text =
            format!("no time zone is named '{name}'; near: {near}, of {} IANA names", TZ_VARIANTS.len());
        Error::new(ErrorKind::InvalidArgument, text)
    })
}

/// How well a zone fits: by what it has in common with the letters of the name that was meant, from its start
/// or from the start of its city.
fn nearness(zone: &str, meant: &str) -> usize {
    let common = |text: &str| text.bytes().zip(meant.bytes()).take_while(|(a, b)| a == b).count();
    let whole = letters(zone);
    let city = letters(zone.rsplit('/').next().unwrap_or(zone));
    common(&whole).max(common(&city))
}

fn letters(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}
