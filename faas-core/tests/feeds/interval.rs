//! The interval feed.

use std::sync::Arc;

use faas_core::ErrorKind;
use faas_core::trigger::Interval;
use tokio::time::{Duration, sleep};

use crate::fake::{FakeSink, at, seconds};

fn every(duration: Duration) -> Interval {
    Interval::new("tick", duration).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_first_tick_comes_one_interval_after_the_start() {
    let seen = FakeSink::observe(every(seconds(60)), "2026-01-01T00:00:00.250Z", seconds(185)).await;
    assert_eq!(
        seen,
        ["2026-01-01T00:01:00.250+00:00", "2026-01-01T00:02:00.250+00:00", "2026-01-01T00:03:00.250+00:00"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_first_tick_in_the_past_fixes_the_phase_only() {
    let feed = every(seconds(3600)).with_first(at("2020-01-01T00:30:00Z"));
    let seen = FakeSink::observe(feed, "2026-01-01T00:00:00Z", seconds(2 * 3600)).await;
    assert_eq!(seen, ["2026-01-01T00:30:00+00:00", "2026-01-01T01:30:00+00:00"]);
}

#[tokio::test(start_paused = true)]
async fn a_first_tick_in_the_future_or_now_fires() {
    let feed = every(seconds(60)).with_first(at("2026-01-01T00:10:00Z"));
    let seen = FakeSink::observe(feed, "2026-01-01T00:00:00Z", seconds(11 * 60 + 1)).await;
    assert_eq!(seen, ["2026-01-01T00:10:00+00:00", "2026-01-01T00:11:00+00:00"]);
    let feed = every(seconds(60)).with_first(at("2026-01-01T00:00:00Z"));
    let seen = FakeSink::observe(feed, "2026-01-01T00:00:00Z", seconds(1)).await;
    assert_eq!(seen, ["2026-01-01T00:00:00+00:00"]);
}

#[tokio::test(start_paused = true)]
async fn the_count_includes_missed_ticks_and_the_feed_then_waits_to_be_closed() {
    let sink = FakeSink::new("2026-01-01T00:00:00Z");
    let running = sink.run(Arc::new(every(seconds(1)).with_count(5)));
    sleep(Duration::from_millis(2500)).await;
    sink.set_clock("2026-01-02T00:00:00Z");
    sleep(seconds(3600)).await;
    assert_eq!(
        sink.seen(),
        ["2026-01-01T00:00:01+00:00", "2026-01-01T00:00:02+00:00", "2026-01-01T00:00:05+00:00 +2"]
    );
    assert!(!running.is_finished());
    sink.close();
    running.await.unwrap().unwrap();
    let none = FakeSink::observe(every(seconds(1)).with_count(0), "2026-01-01T00:00:00Z", seconds(9)).await;
    assert!(none.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_leap_over_years_is_merged_at_once() {
    let sink = FakeSink::new("1970-01-01T00:00:00Z");
    let running = sink.run(Arc::new(every(Duration::from_millis(1))));
    sleep(Duration::from_micros(1500)).await;
    sink.set_clock("2026-01-01T00:00:00Z");
    sleep(Duration::from_millis(1)).await;
    sink.close();
    running.await.unwrap().unwrap();
    let seen = sink.seen();
    let missed: u64 = seen[1].split(" +").nth(1).expect("missed ticks").parse().unwrap();
    assert!((1_767_225_599_990..=1_767_225_600_000).contains(&missed), "{seen:?}");
}

#[test]
fn an_interval_under_a_millisecond_is_refused() {
    for bad in [Duration::ZERO, Duration::from_nanos(999_999)] {
        let error = Interval::new("tick", bad).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.to_string().contains("out of range: 1ms or more"), "{error}");
    }
    assert_eq!(Interval::new("no spaces ,", seconds(1)).unwrap_err().kind(), ErrorKind::InvalidArgument);
}

#[tokio::test(start_paused = true)]
async fn the_longest_interval_never_fires() {
    let seen = FakeSink::observe(every(Duration::MAX), "2026-01-01T00:00:00Z", seconds(86_400)).await;
    assert!(seen.is_empty(), "{seen:?}");
}
