//! What both feeds promise about missed ticks, clocks that are set, errors and closing.

use std::sync::Arc;

use faas_core::trigger::{Cron, Interval, MAX_MISSED};
use faas_core::{ErrorKind, EventSink, Trigger};
use tokio::time::{Duration, sleep, timeout};

use crate::fake::{FakeSink, at, seconds};

fn minutely() -> Arc<Cron> {
    Arc::new(Cron::new("tick", "* * * * *").unwrap())
}

#[tokio::test(start_paused = true)]
async fn each_tick_is_an_event_with_its_own_id() {
    let sink = FakeSink::new("2026-03-01T00:00:30Z");
    let running =
        sink.run(Arc::new(Cron::new("tick", "* * * * *").unwrap().with_zone("Asia/Kolkata").unwrap()));
    sleep(seconds(91)).await;
    sink.close();
    running.await.unwrap().unwrap();
    let fired = sink.fired.lock().unwrap();
    let event = &fired[0];
    assert_eq!(event.payload.as_str(), r#"{"missed":0,"scheduled":"2026-03-01T05:31:00+05:30"}"#);
    assert_eq!(&*event.id.as_ref().unwrap().0, "2026-03-01T00:01:00.000000000Z");
    assert_eq!(event.at, at("2026-03-01T00:01:00Z"));
    assert_ne!(fired[0].id, fired[1].id);
    assert_eq!(fired.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_tick_fires_on_time() {
    let sink = FakeSink::new("2026-03-01T00:00:00Z");
    let running = sink.run(Arc::new(Cron::new("tick", "0 3 * * *").unwrap()));
    sleep(seconds(3 * 3600) - Duration::from_millis(1)).await;
    assert!(sink.seen().is_empty());
    sleep(Duration::from_millis(3)).await;
    assert_eq!(sink.seen(), ["2026-03-01T03:00:00+00:00"]);
    sink.close();
    running.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_forward_fires_the_missed_ticks_once_and_soon() {
    let sink = FakeSink::new("2026-03-01T00:00:30Z");
    let running = sink.run(minutely());
    sleep(seconds(31)).await;
    sink.set_clock("2026-03-01T08:10:05Z");
    sleep(seconds(10)).await;
    assert_eq!(sink.seen(), ["2026-03-01T00:01:00+00:00", "2026-03-01T08:10:00+00:00 +488"]);
    sleep(seconds(60)).await;
    sink.close();
    running.await.unwrap().unwrap();
    assert_eq!(sink.seen()[2..], ["2026-03-01T08:11:00+00:00"]);
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_back_fires_no_tick_twice() {
    for feed in [
        minutely() as Arc<dyn Trigger>,
        Arc::new(Interval::new("tick", seconds(60)).unwrap().with_first(at("2026-03-01T00:00:00Z"))),
    ] {
        let sink = FakeSink::new("2026-03-01T12:00:30Z");
        let target = EventSink::new(Arc::<FakeSink>::clone(&sink));
        let running = tokio::spawn(async move { feed.run(target).await });
        sleep(seconds(31)).await;
        sink.set_clock("2026-03-01T11:58:00Z");
        sleep(seconds(185)).await;
        assert_eq!(sink.seen(), ["2026-03-01T12:01:00+00:00"]);
        sleep(seconds(60)).await;
        sink.close();
        running.await.unwrap().unwrap();
        assert_eq!(sink.seen()[1..], ["2026-03-01T12:02:00+00:00"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_sink_gets_what_it_missed_as_one_event() {
    let sink = FakeSink::new("2026-03-01T00:00:00Z");
    *sink.delay.lock().unwrap() = seconds(150);
    let running = sink.run(minutely());
    sleep(seconds(460)).await;
    sink.close();
    running.await.unwrap().unwrap();
    assert_eq!(
        sink.seen(),
        ["2026-03-01T00:00:00+00:00", "2026-03-01T00:02:00+00:00 +1", "2026-03-01T00:05:00+00:00 +2"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_leap_over_years_is_counted_up_to_the_limit() {
    for (expression, last) in [
        ("* * * * * *", "2026-07-01T12:00:30+00:00"),
        ("0 * * * *", "2026-07-01T12:00:00+00:00"),
        ("0-5 0 0 * * *", "2026-07-01T00:00:05+00:00"),
    ] {
        let sink = FakeSink::new("1990-01-01T00:00:30Z");
        let running = sink.run(Arc::new(Cron::new("tick", expression).unwrap()));
        sleep(seconds(1)).await;
        let before = sink.seen().len();
        sink.set_clock("2026-07-01T12:00:20.500Z");
        sleep(seconds(10)).await;
        let seen = sink.seen();
        assert_eq!(seen.iter().filter(|tick| tick.contains(" +")).count(), 1, "{seen:?}");
        assert!(seen[before].ends_with(&format!("+{MAX_MISSED}")), "{seen:?}");
        if expression == "* * * * * *" {
            assert!(seen.last().unwrap() >= &last.to_owned(), "{seen:?}");
        } else {
            assert_eq!(seen[before], format!("{last} +{MAX_MISSED}"));
        }
        sink.close();
        running.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_temporary_error_is_tried_again_with_growing_pauses() {
    let sink = FakeSink::new("2026-03-01T00:00:00Z");
    sink.failures.lock().unwrap().extend([ErrorKind::Overloaded; 5]);
    let running = sink.run(minutely());
    // Five pauses: 0.1, 0.2, 0.4, 0.8 and 1.6 s.
    sleep(Duration::from_millis(3050)).await;
    assert!(sink.seen().is_empty());
    sleep(Duration::from_millis(100)).await;
    assert_eq!(sink.seen(), ["2026-03-01T00:00:00+00:00"]);
    sink.failures.lock().unwrap().extend([ErrorKind::Unavailable; 40]);
    sleep(seconds(200)).await;
    assert_eq!(sink.seen().len(), 1, "the sink refuses everything");
    sink.close();
    timeout(Duration::from_millis(1), running).await.expect("ends at once").unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn after_a_lasting_error_the_feed_goes_on_where_it_was() {
    let sink = FakeSink::new("2026-03-01T00:00:00Z");
    let feed = minutely();
    let running = sink.run(Arc::clone(&feed));
    sleep(seconds(1)).await;
    sink.failures.lock().unwrap().push_back(ErrorKind::Internal);
    assert_eq!(running.await.unwrap().unwrap_err().kind(), ErrorKind::Internal);
    sleep(seconds(120)).await;
    let running = sink.run(feed);
    sleep(seconds(1)).await;
    sink.close();
    running.await.unwrap().unwrap();
    assert_eq!(sink.seen(), ["2026-03-01T00:00:00+00:00", "2026-03-01T00:03:00+00:00 +2"]);
}

#[tokio::test(start_paused = true)]
async fn closing_ends_a_feed_at_once() {
    let sink = FakeSink::new("2026-03-01T00:00:01Z");
    let running = sink.run(Arc::new(Cron::new("tick", "@yearly").unwrap()));
    sleep(seconds(7)).await;
    sink.close();
    timeout(Duration::from_millis(1), running).await.expect("ends at once").unwrap().unwrap();
    let closed = sink.run(minutely());
    timeout(Duration::from_millis(1), closed).await.expect("never starts").unwrap().unwrap();
    assert!(sink.seen().is_empty());
}
