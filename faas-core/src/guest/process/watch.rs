//! Who answers for a run that does not let go of its thread.
//!
//! Runs are polled by the thread that speaks to the host: to hand one over to another thread, and its reply back, takes
//! longer than most runs do. One that neither ends nor awaits holds that thread up, so another one looks at the clock. It
//! is told of a run by a mutex alone, and woken only for a deadline before the one that it sleeps until.

use std::io;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

/// What is done for a run that is late.
type Late = Box<dyn FnOnce() + Send>;

/// The run that there is, as the thread sees it that looks at the clock.
pub(in crate::guest) struct Watch {
    inside: Mutex<Inside>,
    changed: Condvar,
}

struct Inside {
    run: Option<(Instant, Late)>,
    /// Until when the thread sleeps. Without it, until it is woken.
    asleep: Option<Instant>,
}

impl Watch {
    /// Starts the thread, which is there for as long as the program is. It does `first` before it looks after any run.
    pub(in crate::guest) fn start(first: impl FnOnce() + Send + 'static) -> io::Result<&'static Self> {
        let inside = Mutex::new(Inside { run: None, asleep: None });
        let watch: &'static Self = Box::leak(Box::new(Self { inside, changed: Condvar::new() }));
        let follow = || {
            first();
            watch.follow();
        };
        std::thread::Builder::new().name("watch".to_owned()).spawn(follow)?;
        Ok(watch)
    }

    /// Does `late` on the thread once it is `until`, unless the run has ended before.
    pub(in crate::guest) fn begin(
        &self,
        until: Instant,
        late: impl FnOnce() + Send + 'static,
    ) -> Watched<'_> {
        let mut inside = self.lock();
        inside.run = Some((until, Box::new(late)));
        if inside.asleep.is_none_or(|asleep| asleep > until) {
            self.changed.notify_one();
        }
        Watched(self)
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn follow(&self) {
        loop {
            let late = self.next();
            late();
        }
    }

    /// Waits for a run that is late.
    fn next(&self) -> Late {
        let mut inside = self.lock();
        loop {
            let now = Instant::now();
            if let Some((_, late)) = inside.run.take_if(|(until, _)| *until <= now) {
                return late;
            }
            inside.asleep = inside.run.as_ref().map(|(until, _)| *until);
            inside = match inside.asleep {
                Some(until) => {
                    let woken = self.changed.wait_timeout(inside, until.duration_since(now));
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.changed.wait(inside).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

/// A run that is watched, until this is dropped.
pub(in crate::guest) struct Watched<'a>(&'a Watch);

impl Watched<'_> {
    /// The run has ended. False where it was late, and has been answered for.
    pub(in crate::guest) fn end(self) -> bool {
        self.0.lock().run.take().is_some()
    }
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        self.0.lock().run = None;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    fn after(millis: u64) -> Instant {
        Instant::now() + Duration::from_millis(millis)
    }

    #[test]
    fn a_run_that_is_late_is_answered_for_once_and_one_in_time_never() {
        let watch = Watch::start(|| {}).unwrap();
        let (told, heard) = channel();
        let tell = |what: &'static str| {
            let told = told.clone();
            move || told.send(what).unwrap()
        };
        assert!(watch.begin(after(60_000), tell("in time")).end());
        // Its deadline is before the one that the thread sleeps until.
        let late = watch.begin(after(20), tell("late"));
        assert_eq!(heard.recv_timeout(Duration::from_secs(30)), Ok("late"));
        assert!(!late.end());
        drop(watch.begin(after(20), tell("dropped")));
        let late = watch.begin(after(60), tell("late again"));
        assert_eq!(heard.recv_timeout(Duration::from_secs(30)), Ok("late again"));
        assert!(!late.end());
        assert!(heard.try_recv().is_err());
    }
}
