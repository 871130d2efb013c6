//! The cron feed: expressions, time zones, and the changes of their clocks.

use chrono::{DateTime, Datelike, Duration as Span, NaiveDate, TimeZone, Timelike, Utc};
use chrono_tz::Tz;
use faas_core::trigger::Cron;
use faas_core::{Error, ErrorKind, Timestamp};
use proptest::prelude::{Just, Strategy, prop_oneof, proptest};

use crate::fake::{FakeSink, at, seconds};

fn feed(expression: &str, zone: &str) -> Cron {
    Cron::new("tick", expression).and_then(|cron| cron.with_zone(zone)).unwrap()
}

fn in_zone(at: Timestamp, zone: &str) -> DateTime<Tz> {
    let zone: Tz = zone.parse().unwrap();
    DateTime::<Utc>::from(std::time::SystemTime::from(at)).with_timezone(&zone)
}

/// The first `n` ticks later than `after`, in the zone's time.
fn ticks(expression: &str, zone: &str, after: &str, n: usize) -> Vec<String> {
    let cron = feed(expression, zone);
    let first = cron.next_after(at(after));
    std::iter::successors(first, |tick| cron.next_after(*tick))
        .take(n)
        .map(|tick| in_zone(tick, zone).format("%m-%d %H:%M:%S%:z").to_string())
        .collect()
}

#[test]
fn expressions_mean_what_crontab_says() {
    let cases: [(&str, &[&str]); 16] = [
        ("*/5 * * * *", &["01-31 23:05:00+00:00", "01-31 23:10:00+00:00"]),
        ("*/20 * * * * *", &["01-31 23:00:20+00:00", "01-31 23:00:40+00:00", "01-31 23:01:00+00:00"]),
        ("30 4-6/2 * * *", &["02-01 04:30:00+00:00", "02-01 06:30:00+00:00", "02-02 04:30:00+00:00"]),
        ("0 0 L * *", &["02-28 00:00:00+00:00", "03-31 00:00:00+00:00", "04-30 00:00:00+00:00"]),
        ("0 0 LW * *", &["02-27 00:00:00+00:00", "03-31 00:00:00+00:00"]),
        ("0 0 15W * *", &["02-16 00:00:00+00:00", "03-16 00:00:00+00:00", "04-15 00:00:00+00:00"]),
        ("0 0 * * 5L", &["02-27 00:00:00+00:00", "03-27 00:00:00+00:00"]),
        ("0 0 * * FRIL", &["02-27 00:00:00+00:00", "03-27 00:00:00+00:00"]),
        ("0 0 * * mon#2", &["02-09 00:00:00+00:00", "03-09 00:00:00+00:00"]),
        ("0 0 1 * MON", &["02-01 00:00:00+00:00", "02-02 00:00:00+00:00", "02-09 00:00:00+00:00"]),
        ("0 0 1 * +MON", &["06-01 00:00:00+00:00"]),
        ("0 0 ? JAN,jun ?", &["06-01 00:00:00+00:00", "06-02 00:00:00+00:00"]),
        ("0 0 * * 0", &["02-01 00:00:00+00:00", "02-08 00:00:00+00:00"]),
        ("0 0 * * 7", &["02-01 00:00:00+00:00", "02-08 00:00:00+00:00"]),
        ("@hourly", &["02-01 00:00:00+00:00", "02-01 01:00:00+00:00"]),
        ("  @Weekly ", &["02-01 00:00:00+00:00", "02-08 00:00:00+00:00"]),
    ];
    for (expression, expected) in cases {
        // 2026-01-31 was a Saturday.
        assert_eq!(
            ticks(expression, "UTC", "2026-01-31T23:00:00Z", expected.len()),
            expected,
            "{expression}"
        );
    }
}

#[test]
fn february_29_comes_in_leap_years_only() {
    let cron = feed("0 12 29 2 *", "UTC");
    let leap = cron.next_after(at("2026-01-01T00:00:00Z")).unwrap();
    assert_eq!(leap, at("2028-02-29T12:00:00Z"));
    // 2100 is none.
    assert_eq!(cron.next_after(at("2096-03-01T00:00:00Z")).unwrap(), at("2104-02-29T12:00:00Z"));
}

#[test]
fn a_time_that_is_skipped_fires_once_right_after_the_gap() {
    // Berlin, 2026-03-29: 02:00 becomes 03:00.
    let berlin = |expression| ticks(expression, "Europe/Berlin", "2026-03-28T12:00:00Z", 2);
    assert_eq!(berlin("30 2 * * *"), ["03-29 03:00:00+02:00", "03-30 02:30:00+02:00"]);
    assert_eq!(berlin("0,30 2 * * *"), ["03-29 03:00:00+02:00", "03-30 02:00:00+02:00"]);
    assert_eq!(berlin("*/10 15 2 * * *"), ["03-29 03:00:00+02:00", "03-30 02:15:00+02:00"]);
    assert_eq!(berlin("0 2,3 * * *"), ["03-29 03:00:00+02:00", "03-30 02:00:00+02:00"]);
    assert_eq!(berlin("0 3 * * *"), ["03-29 03:00:00+02:00", "03-30 03:00:00+02:00"]);
    // New York, 2026-03-08: 02:00 becomes 03:00.
    assert_eq!(
        ticks("15 2 * * *", "America/New_York", "2026-03-07T12:00:00Z", 2),
        ["03-08 03:00:00-04:00", "03-09 02:15:00-04:00"]
    );
    // Lord Howe, 2026-10-04: 02:00 becomes 02:30.
    assert_eq!(
        ticks("0,15,45 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", 3),
        ["10-04 02:30:00+11:00", "10-04 02:45:00+11:00", "10-05 02:00:00+11:00"]
    );
    // Santiago, 2026-09-06: midnight becomes 01:00.
    assert_eq!(
        ticks("0 0 * * *", "America/Santiago", "2026-09-05T12:00:00Z", 2),
        ["09-06 01:00:00-03:00", "09-07 00:00:00-03:00"]
    );
    // Apia had no 2011-12-30 at all.
    assert_eq!(
        ticks("0 12 * * *", "Pacific/Apia", "2011-12-29T12:00:00Z", 3),
        ["12-29 12:00:00-10:00", "12-31 00:00:00+14:00", "12-31 12:00:00+14:00"]
    );
}

#[test]
fn a_time_that_happens_twice_fires_the_first_time() {
    // Berlin, 2026-10-25: 03:00 becomes 02:00.
    let berlin = |expression| ticks(expression, "Europe/Berlin", "2026-10-24T12:00:00Z", 3);
    assert_eq!(
        berlin("30 2 * * *"),
        ["10-25 02:30:00+02:00", "10-26 02:30:00+01:00", "10-27 02:30:00+01:00"]
    );
    assert_eq!(
        berlin("0,30 2 * * *"),
        ["10-25 02:00:00+02:00", "10-25 02:30:00+02:00", "10-26 02:00:00+01:00"]
    );
    assert_eq!(
        berlin("0 1-3 * * *"),
        ["10-25 01:00:00+02:00", "10-25 02:00:00+02:00", "10-25 03:00:00+01:00"]
    );
    // New York, 2026-11-01: 02:00 becomes 01:00.
    assert_eq!(
        ticks("15 1 * * *", "America/New_York", "2026-10-31T12:00:00Z", 2),
        ["11-01 01:15:00-04:00", "11-02 01:15:00-05:00"]
    );
    // Lord Howe, 2026-04-05: 02:00 becomes 01:30.
    assert_eq!(
        ticks("15,45 1 * * *", "Australia/Lord_Howe", "2026-04-04T12:00:00Z", 3),
        ["04-05 01:15:00+11:00", "04-05 01:45:00+11:00", "04-06 01:15:00+10:30"]
    );
    // Seen from the second half, the time is over.
    assert_eq!(ticks("30 2 * * *", "Europe/Berlin", "2026-10-25T01:00:00Z", 1), ["10-26 02:30:00+01:00"]);
}

#[test]
fn a_wildcard_keeps_its_distances() {
    assert_eq!(
        ticks("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:00:00Z", 3),
        ["03-29 01:30:00+01:00", "03-29 03:00:00+02:00", "03-29 03:30:00+02:00"]
    );
    assert_eq!(
        ticks("*/30 * * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", 5),
        [
            "10-25 02:30:00+02:00",
            "10-25 02:00:00+01:00",
            "10-25 02:30:00+01:00",
            "10-25 03:00:00+01:00",
            "10-25 03:30:00+01:00"
        ]
    );
    assert_eq!(
        ticks("*/15 * * * *", "Australia/Lord_Howe", "2026-04-04T14:30:00Z", 6),
        [
            "04-05 01:45:00+11:00",
            "04-05 01:30:00+10:30",
            "04-05 01:45:00+10:30",
            "04-05 02:00:00+10:30",
            "04-05 02:15:00+10:30",
            "04-05 02:30:00+10:30"
        ]
    );
    assert_eq!(
        ticks("0 */2 * * *", "Europe/Berlin", "2026-03-28T22:00:00Z", 2),
        ["03-29 00:00:00+01:00", "03-29 04:00:00+02:00"]
    );
}

#[tokio::test(start_paused = true)]
async fn feeds_live_through_the_changes_of_the_clock() {
    let day = seconds(24 * 3600);
    assert_eq!(
        FakeSink::observe(feed("30 2 * * *", "Europe/Berlin"), "2026-03-28T12:00:00Z", 2 * day).await,
        ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]
    );
    assert_eq!(
        FakeSink::observe(feed("30 2 * * *", "Europe/Berlin"), "2026-10-24T12:00:00Z", 2 * day).await,
        ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]
    );
    assert_eq!(
        FakeSink::observe(feed("0 3 * * *", "Asia/Tokyo"), "2026-03-28T12:00:00Z", 2 * day).await,
        ["2026-03-29T03:00:00+09:00", "2026-03-30T03:00:00+09:00"]
    );
}

#[test]
fn a_bad_expression_names_the_field_and_what_it_takes() {
    let cases = [
        ("61 * * * *", "field 1 (minute) is '61', but takes 0 to 59, with * , - /"),
        ("0 61 * * * *", "field 2 (minute) is '61'"),
        ("60 * * * * *", "field 1 (second) is '60'"),
        ("* 24 * * *", "field 2 (hour) is '24', but takes 0 to 23"),
        ("* * 0 * *", "field 3 (day of month) is '0', but takes 1 to 31"),
        ("* * 32 * *", "field 3 (day of month) is '32'"),
        ("* * * 13 *", "field 4 (month) is '13', but takes 1 to 12 or JAN to DEC"),
        ("* * * * 8", "field 5 (day of week) is '8', but takes 0 to 7 or SUN to SAT"),
        ("* * * * MAY", "field 5 (day of week) is 'MAY'"),
        ("* * * SAT *", "field 4 (month) is 'SAT'"),
        ("* * * * SUNMON", "field 5 (day of week) is 'SUNMON'"),
        ("JAN * * * *", "field 1 (minute) is 'JAN'"),
        ("1,,2 * * * *", "field 1 (minute) is '1,,2'"),
        (", * * * *", "field 1 (minute) is ','"),
        ("5-1 * * * *", "field 1 (minute) is '5-1'"),
        ("*/0 * * * *", "field 1 (minute) is '*/0'"),
        ("5/10 * * * *", "field 1 (minute) is '5/10'"),
        ("-5 * * * *", "field 1 (minute) is '-5'"),
        ("L * * * *", "field 1 (minute) is 'L'"),
        ("99999999999999999999 * * * *", "field 1 (minute)"),
        ("* * * * 5#6", "field 5 (day of week) is '5#6'"),
        ("\u{df} * * * *", "field 1 (minute) is '\u{df}'"),
        ("* * * *", "it has 4 fields, but takes 5 or 6"),
        ("* * * * * * 2026", "it has 7 fields, but takes 5 or 6"),
        ("", "cron expression '': it has 0 fields"),
        ("@dayly", "'@dayly' is none of @hourly, @daily, @weekly, @monthly, @yearly, @annually"),
        ("x@daily", "it has 1 fields"),
        ("0 0 30 2 *", "its day never comes in any month it names"),
        ("0 0 31 4,6,9,11 *", "its day never comes"),
        ("0 0 31W 2 *", "its day never comes"),
    ];
    for (expression, expected) in cases {
        let error = Cron::new("tick", expression).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{expression}");
        let text = error.to_string();
        assert!(text.contains(expected), "{expression}: {text}");
        assert!(text.contains(&format!("cron expression '{expression}'")), "{text}");
        assert_eq!(error.context("trigger"), Some("tick"));
    }
}

#[test]
fn an_unknown_zone_lists_near_ones() {
    let refused =
        |zone: &str| -> Error { Cron::new("tick", "* * * * *").unwrap().with_zone(zone).unwrap_err() };
    for (zone, near) in [
        ("Europe/Berln", "Europe/Berlin"),
        ("europe/berlin", "Europe/Berlin"),
        ("berlin", "Europe/Berlin"),
        ("New York", "America/New_York"),
        ("America/NewYork", "America/New_York"),
    ] {
        let error = refused(zone);
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        let text = error.to_string();
        assert!(text.contains(&format!("no time zone is named '{zone}'; near: {near},")), "{text}");
    }
    assert!(refused("").to_string().contains("no time zone is named ''"));
}

#[test]
fn debug_shows_expression_and_zone() {
    let shown = format!("{:?}", feed(" 0 3 * * * ", "Asia/Tokyo"));
    assert!(shown.starts_with("cron ") && shown.ends_with(": 0 3 * * * in Asia/Tokyo"), "{shown}");
}

/// What an expression of lists and stars means, by trying every minute of a zone's clock.
struct Model {
    minutes: Option<Vec<u32>>,
    hours: Option<Vec<u32>>,
    zone: Tz,
}

impl Model {
    fn expression(&self) -> String {
        let list = |values: &Option<Vec<u32>>| match values {
            None => "*".to_owned(),
            Some(values) => values.iter().map(u32::to_string).collect::<Vec<_>>().join(","),
        };
        format!("{} {} * * *", list(&self.minutes), list(&self.hours))
    }

    fn ticks(&self, from: DateTime<Utc>, days: i64) -> Vec<DateTime<Utc>> {
        let names = |values: &Option<Vec<u32>>, value| values.as_ref().is_none_or(|v| v.contains(&value));
        let wildcard = self.minutes.is_none() || self.hours.is_none();
        let local = from.with_timezone(&self.zone).naive_local();
        let minutes = (-1440..days * 1440).map(|n| local + Span::minutes(n));
        let mut ticks = Vec::new();
        for minute in minutes.filter(|m| names(&self.minutes, m.minute()) && names(&self.hours, m.hour())) {
            match self.zone.from_local_datetime(&minute) {
                chrono::LocalResult::Single(instant) => ticks.push(instant),
                chrono::LocalResult::Ambiguous(earlier, later) => {
                    ticks.push(earlier);
                    ticks.extend(wildcard.then_some(later));
                }
                chrono::LocalResult::None if wildcard => {}
                chrono::LocalResult::None => {
                    let after = (1..1500).map(|n| minute + Span::minutes(n));
                    ticks.extend(after.filter_map(|m| self.zone.from_local_datetime(&m).earliest()).next());
                }
            }
        }
        let end = from + Span::days(days - 1);
        let mut ticks: Vec<_> = ticks.into_iter().map(|tick| tick.with_timezone(&Utc)).collect();
        ticks.sort_unstable();
        ticks.dedup();
        ticks.retain(|tick| *tick > from && *tick <= end);
        ticks
    }
}

fn values(below: u32) -> impl Strategy<Value = Option<Vec<u32>>> {
    prop_oneof![
        Just(None),
        proptest::collection::btree_set(0..below, 1..4).prop_map(|set| Some(set.into_iter().collect())),
    ]
}

proptest! {
    /// Around the changes of the clock, hours that are near them included often.
    #[test]
    fn ticks_are_those_of_the_model(
        minutes in values(60),
        hours in prop_oneof![values(24), values(4)],
        zone in prop_oneof![
            Just(Tz::Europe__Berlin), Just(Tz::America__New_York), Just(Tz::Australia__Lord_Howe),
            Just(Tz::America__Santiago), Just(Tz::Africa__Casablanca), Just(Tz::Asia__Kathmandu),
        ],
        month in 1_u32..=12,
        day in 1_u32..=28,
        minute in 0_i64..1440,
    ) {
        let from = NaiveDate::from_ymd_opt(2026, month, day).unwrap().and_hms_opt(0, 0, 0).unwrap().and_utc()
            + Span::minutes(minute);
        let model = Model { minutes, hours, zone };
        let expected = model.ticks(from, 4);
        let cron = feed(&model.expression(), zone.name());
        let first = cron.next_after(at(&from.to_rfc3339()));
        let seen: Vec<DateTime<Utc>> = std::iter::successors(first, |tick| cron.next_after(*tick))
            .map(|tick| std::time::SystemTime::from(tick).into())
            .take_while(|tick| *tick <= from + Span::days(3))
            .collect();
        assert_eq!(seen, expected, "{} in {zone} from {from} ({})", model.expression(), from.weekday());
    }
}
