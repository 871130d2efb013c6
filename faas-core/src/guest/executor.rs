//! A minimal executor: one future on one thread, with timers, for guests without a runtime.
//!
//! The host blocks while nothing can go on. Whatever it waits for, it is a matter of this thread alone, so that
//! no lock and no queue is needed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

thread_local! {
    static TIMERS: RefCell<Timers> = const { RefCell::new(Timers { pending: BTreeMap::new(), next: 0 }) };
    /// Who awaits something that the host does, by the handle under which it does it.
    static AWAITED: RefCell<BTreeMap<u32, Waker>> = const { RefCell::new(BTreeMap::new()) };
}

/// The timers that somebody awaits, by the time at which they end.
struct Timers {
    pending: BTreeMap<(Duration, u64), Waker>,
    next: u64,
}

impl Timers {
    fn earliest(&self) -> Option<Duration> {
        self.pending.first_key_value().map(|((at, _), _)| *at)
    }

    /// Wakes whoever awaits a timer that ended by `now`.
    fn fire(&mut self, now: Duration) {
        while let Some(entry) = self.pending.first_entry().filter(|entry| entry.key().0 <= now) {
            entry.remove().wake();
        }
    }
}

/// Whether the future asked to be polled again.
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs a future to its end. `now` reads the host's monotonic clock; `wait` blocks for so long, or until
/// something else happens that the future may await.
pub(super) fn block_on<F: Future>(
    mut future: Pin<&mut F>,
    now: impl Fn() -> Duration,
    wait: impl Fn(Duration),
) -> F::Output {
    let woken = Arc::new(Woken(AtomicBool::new(false)));
    let waker = Waker::from(Arc::clone(&woken));
    let mut task = Context::from_waker(&waker);
    loop {
        woken.0.store(false, Ordering::Relaxed);
        if let Poll::Ready(output) = future.as_mut().poll(&mut task) {
            return output;
        }
        if !woken.0.load(Ordering::Relaxed) {
            let earliest = TIMERS.with_borrow(Timers::earliest);
            let left = earliest.map_or(Duration::MAX, |at| at.saturating_sub(now()));
            if !left.is_zero() {
                wait(left);
            }
        }
        TIMERS.with_borrow_mut(|timers| timers.fire(now()));
        // The host does not say what it has done: all who await it look. Those who go on waiting come again.
        for waker in AWAITED.take().into_values() {
            waker.wake();
        }
    }
}

/// Has the task polled again once the host may have done what it does under `handle`.
pub(super) fn await_host(handle: u32, task: &Context<'_>) {
    AWAITED.with_borrow_mut(|awaited| awaited.insert(handle, task.waker().clone()));
}

/// Forgets who awaits `handle`.
pub(super) fn forget(handle: u32) {
    AWAITED.with_borrow_mut(|awaited| awaited.remove(&handle));
}

/// A timer that ends at `until` on the host's monotonic clock, which `now` reads.
pub(super) struct Sleep<N> {
    until: Duration,
    now: N,
    /// Its number among the pending timers, while it is one.
    number: Option<u64>,
}

impl<N: Fn() -> Duration> Sleep<N> {
    pub(super) fn new(duration: Duration, now: N) -> Self {
        Self { until: now().saturating_add(duration), now, number: None }
    }
}

impl<N> Sleep<N> {
    fn forget(&mut self) {
        if let Some(number) = self.number.take() {
            TIMERS.with_borrow_mut(|timers| timers.pending.remove(&(self.until, number)));
        }
    }
}

impl<N: Fn() -> Duration + Unpin> Future for Sleep<N> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<()> {
        if (self.now)() >= self.until {
            self.forget();
            return Poll::Ready(());
        }
        let (until, number) = (self.until, self.number);
        let number = TIMERS.with_borrow_mut(|timers| {
            let number = number.unwrap_or_else(|| {
                timers.next += 1;
                timers.next
            });
            timers.pending.insert((until, number), task.waker().clone());
            number
        });
        self.number = Some(number);
        Poll::Pending
    }
}

impl<N> Drop for Sleep<N> {
    fn drop(&mut self) {
        self.forget();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::pin::pin;

    use super::*;

    thread_local! {
        static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    fn now() -> Duration {
        NOW.get()
    }

    fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn sleep(millis: u64) -> Sleep<fn() -> Duration> {
        Sleep::new(ms(millis), now)
    }

    /// Runs a future on a clock that moves only while the host waits; tells how long it waited each time.
    fn run<T>(future: impl Future<Output = T>) -> (T, Vec<Duration>) {
        let waits = RefCell::new(Vec::new());
        let wait = |time| {
            NOW.set(NOW.get().saturating_add(time));
            waits.borrow_mut().push(time);
        };
        let output = block_on(pin!(future), now, wait);
        assert!(TIMERS.with_borrow(|timers| timers.pending.is_empty()), "a timer is left");
        (output, waits.into_inner())
    }

    #[test]
    fn what_is_ready_never_waits() {
        assert_eq!(run(async { 7 }), (7, Vec::new()));
    }

    #[test]
    fn sleeps_wait_one_after_the_other() {
        let both = async {
            sleep(30).await;
            sleep(20).await;
        };
        assert_eq!(run(both).1, [ms(30), ms(20)]);
    }

    #[test]
    fn of_two_sleeps_at_once_the_shorter_ends_first_and_both_overlap() {
        let (order, waits) = run(async {
            let order = RefCell::new(Vec::new());
            let note = async |millis| {
                sleep(millis).await;
                order.borrow_mut().push(millis);
            };
            tokio::join!(note(50), note(20), note(50));
            order.into_inner()
        });
        assert_eq!(order, [20, 50, 50]);
        assert_eq!(waits, [ms(20), ms(30)]);
    }

    #[test]
    fn a_dropped_sleep_is_forgotten() {
        let (_, waits) = run(async {
            tokio::select! {
                () = sleep(10) => {}
                () = sleep(5_000) => unreachable!("it is longer"),
            }
            sleep(1).await;
        });
        assert_eq!(waits, [ms(10), ms(1)]);
    }

    #[test]
    fn who_wakes_itself_is_polled_again_without_waiting() {
        let mut rounds = 0;
        let counted = std::future::poll_fn(|task| {
            rounds += 1;
            task.waker().wake_by_ref();
            if rounds < 5 { Poll::Pending } else { Poll::Ready(()) }
        });
        assert_eq!(run(counted).1, []);
        assert_eq!(rounds, 5);
    }

    /// Polls what is in it only when that was woken, as combinators of many futures do.
    struct OnlyWhenWoken<F>(Pin<Box<F>>, Arc<Relay>);

    struct Relay {
        woken: AtomicBool,
        outer: std::sync::Mutex<Option<Waker>>,
    }

    impl Wake for Relay {
        fn wake(self: Arc<Self>) {
            self.woken.store(true, Ordering::Relaxed);
            self.outer.lock().unwrap().take().into_iter().for_each(Waker::wake);
        }
    }

    impl<F: Future> OnlyWhenWoken<F> {
        fn new(future: F) -> Self {
            Self(
                Box::pin(future),
                Arc::new(Relay { woken: AtomicBool::new(true), outer: Default::default() }),
            )
        }
    }

    impl<F: Future> Future for OnlyWhenWoken<F> {
        type Output = F::Output;

        fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<F::Output> {
            *self.1.outer.lock().unwrap() = Some(task.waker().clone());
            if !self.1.woken.swap(false, Ordering::Relaxed) {
                return Poll::Pending;
            }
            let waker = Waker::from(Arc::clone(&self.1));
            self.0.as_mut().poll(&mut Context::from_waker(&waker))
        }
    }

    /// What the host has done once it was asked so often.
    fn done_after(handle: u32, polls: usize) -> impl Future<Output = usize> {
        let mut asked = 0;
        std::future::poll_fn(move |task| {
            asked += 1;
            if asked >= polls {
                return Poll::Ready(asked);
            }
            await_host(handle, task);
            Poll::Pending
        })
    }

    #[test]
    fn who_awaits_the_host_is_polled_after_each_wait_even_where_only_the_woken_are() {
        let (answers, waits) = run(async {
            let hosts = async |handle, polls| OnlyWhenWoken::new(done_after(handle, polls)).await;
            let timer = async {
                OnlyWhenWoken::new(sleep(10)).await;
                0
            };
            tokio::join!(hosts(1, 2), hosts(2, 4), timer)
        });
        assert_eq!(answers, (2, 4, 0));
        assert_eq!(waits, [ms(10), Duration::MAX, Duration::MAX]);
        assert!(AWAITED.with_borrow(BTreeMap::is_empty));
    }

    #[test]
    fn a_busy_neighbour_does_not_keep_the_host_from_being_asked() {
        let (answer, waits) = run(async {
            let busy = std::future::poll_fn(|task| {
                task.waker().wake_by_ref();
                Poll::<()>::Pending
            });
            tokio::select! {
                answer = OnlyWhenWoken::new(done_after(1, 5)) => answer,
                () = busy => 0,
            }
        });
        assert_eq!((answer, waits), (5, Vec::new()));
    }

    #[test]
    fn who_is_forgotten_is_not_woken() {
        let (_, waits) = run(async {
            let mut left = Box::pin(done_after(7, 100));
            std::future::poll_fn(|task| Poll::Ready(left.as_mut().poll(task).is_pending())).await;
            forget(7);
            assert!(AWAITED.with_borrow(BTreeMap::is_empty));
            sleep(5).await;
        });
        assert_eq!(waits, [ms(5)]);
    }

    #[test]
    fn without_a_timer_it_waits_for_the_host() {
        let mut asked = 0;
        let hosts = std::future::poll_fn(|_| {
            asked += 1;
            if asked < 3 { Poll::Pending } else { Poll::Ready(()) }
        });
        assert_eq!(run(hosts).1, [Duration::MAX, Duration::MAX]);
    }
}
